"""chrF by hand, by its rules, and beside sacrebleu where that is installed."""

import random

import pytest

from minbert.chrf import chrf, runs


def test_the_same_texts_have_a_hundred_and_others_nothing():
    assert chrf(["Guten Tag", "ja"], ["Guten Tag", "ja"]) == 100.0
    assert chrf(["abc"], ["xyz"]) == chrf([""], ["abc"]) == chrf([], []) == 0.0


def test_by_hand():
    """ab / abc: runs of one: 2 of 2, 2 of 3; of two: 1 of 1, 1 of 2; three has no run in the translation."""
    precision, recall = 1.0, (2 / 3 + 1 / 2) / 2
    assert chrf(["a b"], ["abc"]) == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall), abs=1e-9)


def test_recall_counts_more_than_precision():
    assert chrf(["abcdef"], ["abcdefghij"]) < chrf(["abcdefghij"], ["abcdef"])


def test_runs_are_counted_with_repetitions():
    assert runs("aaba", 2) == {"aa": 1, "ab": 1, "ba": 1} and runs("ab", 3) == {}


def test_it_is_one_score_of_all_texts_not_a_mean():
    short, long = (["a"], ["b"]), (["abcdefgh"], ["abcdefgh"])
    assert chrf(short[0] + long[0], short[1] + long[1]) > (chrf(*short) + chrf(*long)) / 2


def test_columns_of_different_lengths_are_an_error():
    with pytest.raises(ValueError):
        chrf(["a"], ["a", "b"])


def test_equal_to_sacrebleu():
    metrics = pytest.importorskip("sacrebleu.metrics", reason="needs sacrebleu, to compare with")
    rng = random.Random(0)
    for _ in range(50):
        pairs = [["".join(rng.choices("abc d", k=rng.randint(0, 12))) for _ in "12"] for _ in range(rng.randint(1, 9))]
        found, gold = map(list, zip(*pairs))
        theirs = metrics.CHRF(char_order=6, word_order=0, beta=2).corpus_score(found, [gold]).score
        assert chrf(found, gold) == pytest.approx(theirs, abs=1e-9)
