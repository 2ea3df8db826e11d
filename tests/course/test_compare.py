"""What is said of a stage: equal within the tolerance, by how much it differs, where, and why it cannot be compared."""

import numpy as np
import pytest

from minbert.course.compare import compare


def only(ours, right):
    (stage,) = compare({"p": {"x": np.array(ours)}}, {"p": {"x": np.array(right)}})
    return stage


def test_within_the_tolerance_is_right_and_beyond_is_not():
    assert only([1.0 + 9e-6], [1.0]).ok and not only([1.0 + 1.2e-5], [1.0]).ok
    assert only([100.0005], [100.0]).ok, "numbers above 1 may differ in proportion"


def test_a_difference_is_named_with_its_place_and_both_numbers():
    stage = only([[0.0, 0.5], [0.0, 0.0]], [[0.0, 0.25], [0.0, 0.0]])
    assert (stage.at, stage.ours, stage.right, stage.title) == ((0, 1), 0.5, 0.25, "p: x")
    assert stage.problem == "the largest difference is 2.50e-01 at [0, 1], allowed is 1e-05; yours 0.5, should be 0.25"


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_and_infinity_never_pass(poison):
    assert only([0.0, poison], [0.0, 0.0]).at == (1,)


@pytest.mark.parametrize(
    "ours, right, problem",
    [
        ([1.0, 2.0], [[1.0, 2.0]], "the shape is [2], but should be [1, 2]"),
        ([1, 0], [True, False], "whole numbers came out (int64), but should be True and False (bool)"),
        (["a"], ["b"], "'a' came out, but should be 'b'"),
    ],
)
def test_another_form_is_said_in_words(ours, right, problem):
    assert only(ours, right).problem == problem


def test_numbers_may_be_of_another_precision():
    assert only(np.ones(3, dtype=np.float64), np.ones(3, dtype=np.float32)).ok


def test_an_exception_is_one_line_with_its_place():
    raised = {"p": {"raised": np.array(["KeyError", "'pooler'\nmore", "heads.py:61"])}}
    (stage,) = compare(raised, {"p": {"x": np.ones(1)}})
    assert stage.problem == "heads.py:61: KeyError: 'pooler'" and not stage.ok
    raised = {"p": {"raised": np.array(["NotImplementedError", "part 3", ""])}}
    assert compare(raised, {"p": {"x": np.ones(1)}})[0].problem.startswith("not written yet")
    assert compare({}, {"p": {"x": np.ones(1)}})[0].problem == "nothing came out"
