"""Scores of classes, numbers and several labels: by hand, and beside the reference libraries."""

import json
import math

import pytest

from minbert import metrics

EXACT = 1e-9


@pytest.fixture(scope="module")
def cases(shared):
    return json.loads(shared("reference/families2/metrics.json").read_text(encoding="utf-8"))


def close(ours, theirs):
    return ours is None if theirs is None else math.isclose(ours, theirs, rel_tol=0, abs_tol=EXACT)


def test_matthews_and_f1_equal_the_reference(cases):
    assert len(cases["classes"]) > 20 and any("f1" in case for case in cases["classes"])
    for case in cases["classes"]:
        sides = case["gold"], case["predicted"]
        assert close(metrics.matthews(*sides), case["matthews"]), case
        if "f1" in case:
            assert close(metrics.f1(*sides), case["f1"]), case


def test_correlations_equal_the_reference(cases):
    assert any(case["pearson"] is None for case in cases["numbers"])
    for case in cases["numbers"]:
        for name in ("pearson", "spearman"):
            assert close(getattr(metrics, name)(case["gold"], case["predicted"]), case[name]), (name, case)


def test_several_labels_equal_the_reference(cases):
    for case in cases["multilabel"]:
        found = metrics.several(case["gold"], case["predicted"])
        wanted = {"micro_f1": case["f1"]["micro"], "macro_f1": case["f1"]["macro"], "exact": case["exact"]}
        assert found.keys() == wanted.keys() and all(close(found[name], wanted[name]) for name in wanted)


def test_matthews_by_hand():
    """5 right of 8: 2 of 3 with class 1 on both sides."""
    gold, predicted = [1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0, 0, 0]
    assert metrics.matthews(gold, predicted) == pytest.approx((2 * 3 - 2 * 1) / math.sqrt(4 * 3 * 5 * 4))
    assert metrics.matthews(gold, gold) == 1 and metrics.matthews(gold, [1 - label for label in gold]) == -1
    assert metrics.matthews(gold, [0] * 8) == 0
    assert metrics.matthews([0, 1, 2, 2], [2, 0, 1, 1]) < 0


def test_f1_is_of_one_class_alone():
    gold, predicted = [1, 1, 1, 0, 0, 2], [1, 0, 1, 1, 0, 2]
    assert metrics.f1(gold, predicted) == 4 / 6
    assert metrics.f1(gold, predicted, positive=2) == 1
    assert metrics.f1([0, 0], [0, 0]) == 0


def test_equal_numbers_share_the_mean_of_their_ranks():
    assert metrics.ranks([10, 30, 20, 30, 30]) == [1, 4, 2, 4, 4]
    assert metrics.ranks([2, 2]) == [1.5, 1.5]
    assert metrics.spearman([1, 2, 3, 4], [1, 8, 27, 64]) == pytest.approx(1)
    assert metrics.pearson([1, 2, 3, 4], [1, 8, 27, 64]) < 0.96


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_constant_has_no_correlation(name):
    assert getattr(metrics, name)([1.0, 2.0, 3.0], [2.5, 2.5, 2.5]) is None
    assert getattr(metrics, name)([0.1] * 3, [1.0, 2.0, 3.0]) is None


def test_large_numbers_keep_their_correlation():
    assert metrics.pearson([1e200, 2e200, 3e200], [3, 2, 1]) == pytest.approx(-1)
    assert metrics.pearson([1e8, 1e8 + 1, 1e8 + 2], [1, 2, 3]) == pytest.approx(1)


def test_the_error_is_in_the_unit_of_the_numbers():
    assert metrics.root_mean_square([1, 2, 3, 4], [1, 2, 3, 8]) == 2


def test_labels_that_nobody_has_count_for_the_macro_mean():
    found = metrics.several([[1, 0, 0], [1, 1, 0]], [[1, 0, 0], [1, 0, 0]])
    assert found == {"micro_f1": 0.8, "macro_f1": pytest.approx(1 / 3), "exact": 0.5}


@pytest.mark.parametrize("score", ["matthews", "f1", "pearson", "spearman", "root_mean_square", "several"])
@pytest.mark.parametrize("sides", [([], []), ([1, 2], [1]), ([1], [1, 2])])
def test_rows_that_are_no_pairs_have_no_score(score, sides):
    with pytest.raises(ValueError, match="no pairs"):
        getattr(metrics, score)(*sides)
