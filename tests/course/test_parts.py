"""The table of the parts, and the probes: the same for the same seed, right for the reference, blind to other parts."""

import numpy as np
import pytest

from minbert.course import mistakes, probes
from minbert.course.compare import compare
from minbert.course.parts import PARTS, WHOLE, part
from tests.parts import record

EVERY = [*PARTS, WHOLE]
BLANKS = [(one.number, f"{file[:-3]}.{name}") for one in PARTS for file, names in one.blank.items() for name in names]
by_number = pytest.mark.parametrize("number", [one.number for one in EVERY])


def blanked(*arguments, **options):
    raise NotImplementedError


def test_the_points_of_all_parts_are_100():
    assert sum(one.points for one in EVERY) == 100
    assert [one.number for one in EVERY] == [1, 2, 3, 4, 5, 6, 7, 8, "whole"]
    assert part(3).file == "attention.py"


@by_number
def test_a_seed_always_draws_the_same_and_another_seed_other_inputs(number):
    first, again, other = (str(probes.draw(number, seed)) for seed in (1, 1, 2))
    assert first == again != other


@by_number
def test_inputs_and_answers_are_plain(number):
    inputs = probes.draw(number, 3)
    for arguments in inputs.values():
        assert arguments, "an input without arguments is lost in a file of inputs"
        for value in arguments.values():
            assert isinstance(value, (np.ndarray, int, float, str, list, bool))
    for stages in probes.run(number, inputs).values():
        assert probes.RAISED not in stages
        assert all(isinstance(value, np.ndarray) and value.dtype.kind in "fibU" for value in stages.values())


@by_number
def test_the_reference_answers_alike_twice(number):
    inputs = probes.draw(number, 4)
    assert all(stage.largest == 0 for stage in compare(probes.run(number, inputs), probes.run(number, inputs)))


@pytest.mark.parametrize("number", [one.number for one in PARTS])
def test_the_stored_answers_are_those_of_the_reference(number):
    inputs = probes.draw(number, probes.PUBLIC_SEED)
    assert str(record()[number].inputs) == str(inputs), "python -m tests.course --write"
    assert not [
        stage.problem for stage in compare(record()[number].expected, probes.run(number, inputs)) if not stage.ok
    ]


@pytest.mark.parametrize("number, place", BLANKS)
def test_without_a_function_its_part_fails_and_no_other(number, place):
    code = mistakes.mutant({place: blanked})
    failed = []
    for one in PARTS:
        if f"{place.partition('.')[0]}.py" in one.files:
            found = probes.run(one.number, record()[one.number].inputs, code)
            if any(not stage.ok for stage in compare(found, record()[one.number].expected)):
                failed.append(one.number)
    assert failed == [number]


@pytest.mark.parametrize("number", [one.number for one in PARTS])
def test_a_part_needs_nothing_of_the_files_of_others(number):
    """They are blanked, as in the folder of a student who has written this part only."""
    places = [place for _, place in BLANKS if f"{place.partition('.')[0]}.py" not in part(number).files]
    found = probes.run(number, record()[number].inputs, mistakes.mutant(dict.fromkeys(places, blanked)))
    assert not [stage.title for stage in compare(found, record()[number].expected) if not stage.ok]


def test_dropout_drops_the_same_places_everywhere():
    import torch

    x = torch.ones(40)
    with probes.steady_dropout():
        first, again = torch.nn.Dropout(0.25)(x), torch.nn.functional.dropout(x, 0.25)
        assert torch.equal(torch.nn.Dropout(0.25).eval()(x), x)
    assert torch.equal(first, again) and 8 <= (first == 0).sum() <= 12 and first.max() == pytest.approx(4 / 3)


def test_what_is_raised_is_a_stage_with_its_place():
    code = mistakes.mutant({"attention.attend": lambda *arguments: None + 1})
    found = probes.run(3, {"attend": record()[3].inputs["attend"]}, code)["attend"]
    assert found[probes.RAISED].tolist()[0] == "TypeError"
