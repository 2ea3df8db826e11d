"""Tags -> entities in both readings, and their scores: by hand, and beside seqeval's."""

import json

import pytest

from minbert.entities import ALL, entities, entity_scores, strict_scheme
from minbert.errors import UserError


@pytest.fixture(scope="module")
def cases(shared):
    return json.loads(shared("reference/families2/entities.json").read_text(encoding="utf-8"))["cases"]


def test_entities_equal_the_reference(cases):
    found = [[list(each) for each in entities(tags)] for case in cases for tags in case["gold"]]
    assert found == [spans for case in cases for spans in case["spans"]] and len(found) > 100


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_scores_equal_the_reference(cases, mode):
    for case in cases:
        table = entity_scores(case["gold"], case["predicted"], case["scheme"] if mode == "strict" else None)
        kinds = case[mode].keys() - {"macro avg", "weighted avg"} or {ALL}
        assert table.keys() == kinds, case
        for kind in case[mode].keys() & kinds:
            assert table[kind] == pytest.approx(case[mode][kind], abs=1e-9, rel=0), case


READINGS = [  # tags, the entities as conlleval reads them, strictly in IOB2
    ("B-PER I-PER O I-LOC", [("PER", 0, 1), ("LOC", 3, 3)], [("PER", 0, 1)]),
    ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)], [("PER", 0, 0), ("PER", 1, 1)]),
    ("B-PER I-LOC", [("PER", 0, 0), ("LOC", 1, 1)], [("PER", 0, 0)]),
    ("I-A I-A O I-A", [("A", 0, 1), ("A", 3, 3)], []),
    ("B-A-B I-A-B I-A", [("A-B", 0, 1), ("A", 2, 2)], [("A-B", 0, 1)]),
    ("B I O I", [("_", 0, 1), ("_", 3, 3)], [("_", 0, 1)]),
    ("O O", [], []),
    ("", [], []),
]


@pytest.mark.parametrize("tags, loose, strict", READINGS)
def test_the_two_readings(tags, loose, strict):
    assert entities(tags.split()) == loose
    assert entities(tags.split(), "IOB2") == strict


IOBES = [
    ("S-A S-A", [("A", 0, 0), ("A", 1, 1)], [("A", 0, 0), ("A", 1, 1)]),
    ("B-A I-A E-A E-A", [("A", 0, 2), ("A", 3, 3)], [("A", 0, 2)]),
    ("B-A I-A O", [("A", 0, 1)], []),
    ("B-A E-A B-A E-A", [("A", 0, 1), ("A", 2, 3)], [("A", 0, 1), ("A", 2, 3)]),
    ("E-A B-B", [("A", 0, 0), ("B", 1, 1)], []),
    ("B-A L-A U-B", [("A", 0, 1), ("B", 2, 2)], [("A", 0, 1), ("B", 2, 2)]),  # BILOU
]


@pytest.mark.parametrize("tags, loose, strict", IOBES)
def test_the_two_readings_of_longer_schemes(tags, loose, strict):
    assert entities(tags.split()) == loose
    assert entities(tags.split(), "IOBES") == strict


def test_in_iob1_a_beginning_only_parts():
    assert entities(["I-A", "I-A", "B-A", "I-B"], "IOB1") == [("A", 0, 1), ("A", 2, 2), ("B", 3, 3)]
    assert entities(["B-A"], "IOB1") == []


def test_the_scheme_is_seen_by_its_letters():
    assert strict_scheme([["B-A", "I-A"], ["O"]]) == "IOB2"
    assert strict_scheme([["O"], ["B-A", "L-A"]]) == "IOBES"


@pytest.mark.parametrize("tag", ["PER", "b-PER", "B_PER", "B-", "X-PER", "", "O-PER", "I-", "BPER", "NN"])
def test_what_is_no_tag(tag):
    with pytest.raises(UserError, match="is no tag"):
        entities(["O", tag])


def test_a_letter_of_another_scheme():
    with pytest.raises(UserError, match="'S-A' is no tag of IOB2"):
        entities(["S-A"], "IOB2")


def test_scores_by_hand():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    predicted = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "I-LOC"]]
    table = entity_scores(gold, predicted)
    assert table["PER"] == {"precision": 0.5, "recall": 1.0, "f1-score": pytest.approx(2 / 3), "support": 1}
    assert table["LOC"] == {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 2}
    assert table[ALL] == {"precision": 1 / 3, "recall": 1 / 3, "f1-score": pytest.approx(1 / 3), "support": 3}
    assert list(table) == ["LOC", "PER", ALL]


def test_no_entity_anywhere_scores_nothing():
    assert entity_scores([["O"]], [["O"]]) == {ALL: {"precision": 0, "recall": 0, "f1-score": 0, "support": 0}}


@pytest.mark.parametrize("predicted", [[["O"]], [["O"], ["O", "O"]], [["O", "O"]]])
def test_words_without_a_prediction_are_never_left_out(predicted):
    with pytest.raises(ValueError, match="differ"):
        entity_scores([["O", "B-A"], ["O"]], predicted)


def test_one_letter_of_iobes_is_enough_to_read_by_it():
    """A file may have entities of one word alone, and so no E-."""
    assert [strict_scheme([["O", tag]]) for tag in ("S-A", "U-A", "E-A", "L-A", "B-A", "O")] == ["IOBES"] * 4 + [
        "IOB2"
    ] * 2
