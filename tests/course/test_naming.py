"""A name is given for reproduced outputs only: on every probe, and by one mistake alone."""

import numpy as np
import pytest

from minbert.course.naming import OPTION, Name, name, wrong_parts
from tests.course import apart

RIGHT = {"p": {"x": np.zeros(3), "y": np.zeros(2)}, "q": {"z": np.zeros(2)}}
RAISED = np.array(["ValueError", "", ""])


def full(changes):
    """All stages, some of them changed: {"p": {"x": 1.0}} -> outputs"""
    return {
        probe: {stage: value + changes.get(probe, {}).get(stage, 0.0) for stage, value in stages.items()}
        for probe, stages in RIGHT.items()
    }


def known(**changes):
    return {mistake: wrong_parts(full(change), RIGHT) for mistake, change in changes.items()}


def test_nothing_wrong_is_right():
    assert name(full({}), RIGHT, known(a={"p": {"x": 1.0}})) == Name("right")


def test_a_mistake_is_named_if_all_that_it_does_came_out_and_nothing_else():
    wrong = known(a={"p": {"x": 1.0}, "q": {"z": 2.0}}, b={"p": {"x": 3.0}})
    assert name(full({"p": {"x": 1.0}, "q": {"z": 2.0}}), RIGHT, wrong) == Name("known", ("a",))
    assert name(full({"p": {"x": 1.0}}), RIGHT, wrong).kind == "not known", "q should be wrong, too"
    assert name(full({"p": {"x": 1.0, "y": 1.0}, "q": {"z": 2.0}}), RIGHT, wrong).kind == "not known"
    assert name(full({"p": {"x": 1.1}, "q": {"z": 2.0}}), RIGHT, wrong).kind == "not known", "near is not equal"


def test_rounding_does_not_hide_a_name():
    assert name(full({"p": {"x": 1.0 + 1e-6}}), RIGHT, known(a={"p": {"x": 1.0}})) == Name("known", ("a",))


def test_two_mistakes_that_act_alike_are_both_said_and_disguises_of_one_are_one():
    same = {"p": {"x": 1.0}}
    assert name(full(same), RIGHT, known(a=same, b=same)) == Name("one of", ("a", "b"))
    assert str(name(full(same), RIGHT, known(a=same, b=same))) == "a; or b"
    assert name(full(same), RIGHT, {**known(a=same), "a | 2": known(a=same)["a"]}) == Name("known", ("a",))


def test_more_than_three_that_act_alike_are_not_told():
    same = {"p": {"x": 1.0}}
    assert name(full(same), RIGHT, known(a=same, b=same, c=same)).kind == "one of"
    assert name(full(same), RIGHT, known(a=same, b=same, c=same, d=same)).kind == "not known"


def test_two_mistakes_in_stages_of_their_own_are_named_together():
    wrong = known(a={"p": {"x": 1.0}}, b={"q": {"z": 2.0}}, c={"p": {"x": 5.0}})
    assert name(full({"p": {"x": 1.0}, "q": {"z": 2.0}}), RIGHT, wrong) == Name("two", ("a", "b"))
    assert name(full({"p": {"x": 5.0}, "q": {"z": 7.0}}), RIGHT, wrong).kind == "not known"
    one_function = known(a={"p": {"x": 1.0}}, b={"p": {"y": 2.0}})
    assert name(full({"p": {"x": 1.0, "y": 2.0}}), RIGHT, one_function).kind == "not known"


def test_an_exception_alone_names_nothing():
    raised = full({}) | {"p": {"raised": RAISED}}
    assert name(raised, RIGHT, {"a": wrong_parts(raised, RIGHT)}).kind == "not known"
    both = full({"q": {"z": 2.0}}) | {"p": {"raised": RAISED}}
    assert name(both, RIGHT, {"a": wrong_parts(both, RIGHT)}) == Name("known", ("a",))
    assert name(full({"q": {"z": 2.0}}), RIGHT, {"a": wrong_parts(both, RIGHT)}).kind == "not known"


def test_an_option_may_be_right_all_the_same():
    right = RIGHT | {f"{OPTION}r": {"z": np.zeros(1)}}
    wrong = {"a": {"p": {"x": np.ones(3)}, f"{OPTION}r": {"z": np.ones(1)}}}
    for value, kind in ((1.0, "known"), (0.0, "known"), (0.5, "two")):
        outputs = full({"p": {"x": 1.0}}) | {f"{OPTION}r": {"z": np.full(1, value)}}
        assert name(outputs, right, wrong).kind == kind
    outputs = full({}) | {f"{OPTION}r": {"z": np.ones(1)}}
    assert name(outputs, right, wrong).kind == "not known", "the option alone is not the mistake"


def test_an_option_may_be_wrong_in_its_own_way_and_is_then_a_second_mistake():
    right = RIGHT | {f"{OPTION}r": {"z": np.zeros(1)}}
    wrong = {"a": {"p": {"x": np.ones(3)}, f"{OPTION}r": {"z": np.ones(1)}}, "b": {"p": {"x": np.ones(3)}}}
    outputs = full({"p": {"x": 1.0}}) | {f"{OPTION}r": {"z": np.full(1, 0.5)}}
    assert name(outputs, right, {"a": wrong["a"]}) == Name("two", ("a", "something else in `r`"))
    assert name(outputs, right, {"b": wrong["b"]}) == Name("two", ("b", "something else in `r`"))
    assert name(outputs, right, wrong).kind == "not known", "the option would tell which of them it is"
    outputs["q"] = {"z": np.ones(2)}
    assert name(outputs, right, {"a": wrong["a"]}).kind == "not known", "something plain is wrong, too"


def test_nan_is_reproduced_by_nan_only():
    wrong = known(a={"p": {"x": np.nan}})
    assert name(full({"p": {"x": np.nan}}), RIGHT, wrong) == Name("known", ("a",))
    assert name(full({"p": {"x": 1.0}}), RIGHT, wrong).kind == "not known"


def test_apart_is_in_tolerances():
    wrong = known(a={"p": {"x": 1e-3}}, b={"p": {"x": 2e-3}})
    assert apart(wrong["a"], {}, RIGHT) == pytest.approx(100)
    assert apart(wrong["a"], wrong["b"], RIGHT) == pytest.approx(100, rel=1e-6)


def test_a_called_function_may_be_right_all_the_same():
    right = RIGHT | {"gelu": {"z": np.zeros(1)}}
    wrong = {"a": {"p": {"x": np.ones(3)}, "gelu": {"z": np.ones(1)}}}
    outputs = full({"p": {"x": 1.0}}) | {"gelu": {"z": np.zeros(1)}}
    assert name(outputs, right, wrong) == Name("known", ("a",)), "the layer has an activation of its own"
    outputs = full({}) | {"gelu": {"z": np.ones(1)}}
    assert name(outputs, right, wrong).kind == "not known"
    wrong["a"]["p"] = {"raised": RAISED}
    outputs = full({}) | {"p": {"raised": RAISED}, "gelu": {"z": np.zeros(1)}}
    assert name(outputs, right, wrong).kind == "not known", "an exception is all that they share"
