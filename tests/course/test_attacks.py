"""Each attack gets its row, no points and nothing else; who comes after it is graded as if it had not been there."""

import os

import numpy as np
import pytest

from minbert.course import seal
from minbert.course.talk import resident
from tests.conftest import ROOT
from tests.course.attacks import ATTACKS
from tests.course.conftest import ALL, WALL

CHOSEN = [attack for attack in ATTACKS if ALL or attack.number % 3 == 1]


@pytest.fixture(scope="module")
def sealed(grader):
    if grader.nursery.level != "sealed":
        pytest.skip(f"the seal is not complete here: {grader.steps}")
    return grader


@pytest.fixture(scope="module")
def names(sealed):
    """What stands for the names in an attack's code."""
    public = {
        "scores" + str(sum(float(np.float64(question.arguments[name]).sum()) for name in ("query", "key")))
        for question in sealed.exam[3]
        if question.set == "public" and question.probe == "attention_scores"
    }
    return {
        "GOLDEN": ROOT / "tests" / "golden" / "tiny_bert.safetensors",
        "RESULTS": sealed.results,
        "NEIGHBOUR": sealed.neighbour,
        "REPOSITORY": ROOT,
        "JUDGE": os.getpid(),
        "PUBLIC": public,
    }


@pytest.mark.fault("grading: a submission that attacks the grader")
@pytest.mark.parametrize("attack", CHOSEN, ids=lambda attack: attack.id)
def test_an_attack_gets_no_points_and_changes_nothing(sealed, names, attack):
    before, memory = sealed.snapshot(), resident(os.getpid())
    own = {name: attack.source(source, **names) for name, source in attack.own.items()}
    rows = sealed.grade(own, attention=attack.source(**names).encode())
    row = rows[3]
    assert row.points == 0, row
    assert row.status in attack.gets, row
    assert "BREACH" not in row.text, row.text
    assert attack.text in row.text, row
    assert row.seconds < WALL + 2
    assert (rows[2].status, rows[2].points) == ("ok", 10)
    after = sealed.grade()
    assert [(row.status, row.points) for row in after.values()] == [("ok", 10), ("ok", 15)]
    assert sealed.snapshot() == before
    assert sealed.strangers() == []
    assert resident(os.getpid()) <= memory + 10


def test_what_the_public_answers_earn_is_nothing(sealed, names):
    """Attack 52 has the right scores for the public inputs, and for those alone."""
    (attack,) = (attack for attack in ATTACKS if attack.number == 52)
    row = sealed.grade(attention=attack.source(**names).encode())[3]
    stages = [question for question in sealed.exam[3] if question.probe == "attention_scores"]
    assert len(stages) == 2
    assert row.right == 1


def test_the_level_is_measured(sealed):
    assert seal.level(sealed.steps) == "sealed"
    attempts = {name: result for name, result in sealed.steps.items() if result in ("refused", "possible")}
    assert len(attempts) >= 9
    assert set(attempts.values()) == {"refused"}
