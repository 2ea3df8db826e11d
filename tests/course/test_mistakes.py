"""The library of known mistakes: large enough, each noticed by its part, told from all others, and named."""

import itertools

import pytest
import torch

from minbert.course import mistakes
from minbert.course.naming import RAISED, name, unique, wrong_parts
from minbert.course.parts import PARTS
from minbert.course.probes import array, run
from tests.course import apart
from tests.parts import record

NUMBERS = [part.number for part in PARTS]
each_part = pytest.mark.parametrize("number", NUMBERS)
NAMES = {number: {mistake.name: mistake for mistake in mistakes.mistakes(number)} for number in NUMBERS}


# They leave nothing to see but that no step is taken.
ALIKE = {
    "the gradient is clipped before it is computed",
    "gradients are cleared between backward and step",
    "backward is forgotten",
}


def test_there_are_as_many_as_promised():
    assert sum(map(len, NAMES.values())) >= 90
    assert sum(mistake.within for of in NAMES.values() for mistake in of.values()) >= 30, "visible in training only"


@each_part
def test_the_stored_mistakes_are_those_of_the_library(number):
    assert set(unique(record()[number].wrong)) == set(NAMES[number]), "python -m tests.course --write"
    assert all(mistake.hint and not mistake.name.endswith(".") for mistake in NAMES[number].values())


@each_part
def test_each_is_far_from_right_and_from_the_others(number):
    known = record()[number]
    for key, parts in known.wrong.items():
        assert apart(parts, {}, known.expected) > 20, f"{key} is hardly visible"
    for (first, x), (second, y) in itertools.combinations(known.wrong.items(), 2):
        if len(unique((first, second))) == 2 and not {*unique((first, second))} <= ALIKE:
            assert apart(x, y, known.expected, enough=20) > 20, f"{first} looks like {second}"


@each_part
def test_each_is_named_by_what_it_computes(number):
    known = record()[number]
    for key, parts in known.wrong.items():
        outputs = {
            probe: dict(parts[probe]) if RAISED in parts.get(probe, {}) else stages | parts.get(probe, {})
            for probe, stages in known.expected.items()
        }
        names = set(name(outputs, known.expected, known.wrong).mistakes)
        assert names == set(unique([key])) or set(unique([key])) <= names <= ALIKE


@each_part
def test_a_planted_mistake_fails_its_part_alone(number):
    """One of each part here; all of them in python -m tests.course."""
    mistake = mistakes.mistakes(number)[1]
    code = mistakes.mutant(mistake.wrong)
    for other in NUMBERS:
        known = record()[other]
        found = run(other, known.inputs, code)
        assert bool(wrong_parts(found, known.expected)) == (other == number)
        if other == number:
            assert name(found, known.expected, known.wrong).mistakes == (mistake.name,)


def test_what_a_probe_yields_stays_when_the_weight_moves_on():
    weight = torch.zeros(2)
    found = array(weight)
    weight += 1
    assert found.tolist() == [0, 0]
    steps = record()[6].expected["AdamW, five steps"]
    assert (steps["first weight after step 1"] != steps["first weight after step 5"]).all()


def test_a_mutant_leaves_the_reference_alone():
    from minbert import attention, encoder

    before = attention.attend, encoder.ACTIVATIONS["gelu"]
    code = mistakes.mutant({"attention.attend": len, "encoder.gelu": abs})
    assert code.attention.attend is len and code.encoder.ACTIVATIONS["gelu"] is abs
    assert (attention.attend, encoder.ACTIVATIONS["gelu"]) == before
