"""The intervals of minbert/metrics.py: against published figures, and against rows that are drawn one by one."""

import numpy as np
import pytest

from minbert import metrics

# R. G. Newcombe (1998), Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 857-872,
# table I, method 3.
NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}


@pytest.mark.parametrize(("share", "limits"), NEWCOMBE.items(), ids=str)
def test_wilson_gives_the_published_intervals(share, limits):
    right, rows = share
    assert metrics.wilson(right, rows) == pytest.approx(limits, abs=5e-5)
    low, high = metrics.wilson(rows - right, rows)
    assert (1 - high, 1 - low) == pytest.approx(limits, abs=5e-5)


def test_wilson_stays_within_0_and_1_and_narrows_with_more_rows():
    assert metrics.wilson(0, 3)[0] == 0.0 and metrics.wilson(3, 3)[1] == 1.0
    widths = [high - low for low, high in (metrics.wilson(rows // 2, rows) for rows in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("share", [(0, 0), (4, 3), (-1, 3)], ids=str)
def test_what_is_no_share_has_no_interval(share):
    with pytest.raises(ValueError, match="no share"):
        metrics.wilson(*share)


def answers(rows, classes, share):
    """(gold, predicted) of a system that is right in about this share; some classes are rare."""
    rng = np.random.default_rng(3)
    gold = np.minimum(rng.geometric(0.6, rows), classes) - 1
    return gold, np.where(rng.random(rows) < share, gold, rng.integers(0, classes, rows))


def macro_f1(gold, predicted, classes):
    """Of many samples at once, [draws, rows] each, from the definition: [draws]"""
    found = []
    for id in range(classes):
        hit = ((gold == id) & (predicted == id)).sum(1)
        all_gold, all_predicted = (gold == id).sum(1), (predicted == id).sum(1)
        precision, recall = (hit / np.maximum(total, 1) for total in (all_predicted, all_gold))
        found.append(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    return np.mean(found, axis=0)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_interval_of_macro_f1_is_that_of_drawing_rows(classes):
    gold, predicted = answers(80, classes, 0.7)
    scores = metrics.score(gold.tolist(), predicted.tolist(), [f"class {id}" for id in range(classes)])
    assert scores.macro_f1_interval[0] < scores.macro_f1 < scores.macro_f1_interval[1]
    drawn = np.random.default_rng(5).integers(0, 80, (4000, 80))
    expected = np.percentile(macro_f1(gold[drawn], predicted[drawn], classes), [2.5, 97.5])
    assert scores.macro_f1_interval == pytest.approx(expected, abs=0.015)
    assert expected[1] - expected[0] > 0.1


def test_a_class_that_occurs_nowhere_counts_as_0_in_every_draw():
    assert metrics.macro_f1_interval([[7, 0], [0, 0]]) == (0.5, 0.5)


def test_the_same_predictions_have_the_same_interval():
    matrix = [[30, 11], [5, 44]]
    assert metrics.macro_f1_interval(matrix) == metrics.macro_f1_interval(matrix)
    assert metrics.macro_f1_interval(matrix) != metrics.macro_f1_interval(matrix, seed=1)


def test_the_interval_of_a_difference_is_that_of_drawing_pairs_of_rows():
    rng = np.random.default_rng(7)
    first = rng.random(300) < 0.8
    second = np.where(rng.random(300) < 0.9, first, ~first)  # mostly right and wrong in the same rows
    drawn = rng.integers(0, 300, (4000, 300))
    expected = np.percentile(first[drawn].mean(1) - second[drawn].mean(1), [2.5, 97.5])
    low, high = metrics.difference_interval(first, second)
    assert (low, high) == pytest.approx(expected, abs=0.008)
    assert low < first.mean() - second.mean() < high
    apart = np.percentile(first[drawn].mean(1) - second[drawn[::-1]].mean(1), [2.5, 97.5])
    assert apart[1] - apart[0] > 1.3 * (high - low)  # what drawing them apart would give


def test_equal_systems_do_not_differ():
    right = [True, False, True]
    assert metrics.difference_interval(right, right) == (0.0, 0.0)
    assert metrics.difference_interval([True] * 5, [False] * 5) == (1.0, 1.0)
    for pair in ((right, right[:2]), ([], [])):
        with pytest.raises(ValueError, match="no pairs"):
            metrics.difference_interval(*pair)


def test_the_columns_of_a_confusion_matrix_stand_below_each_other_in_every_script():
    """A terminal gives a Chinese character two places and an accent none."""
    lines = metrics.format_confusion([[1, 20], [300, 4]], ["好", "tre\u0301s mauvais"]).splitlines()
    wide = {"好": 2, "\u0301": 0}
    ends = [
        [sum(wide.get(char, 1) for char in line[: line.index(cell) + len(cell)]) for cell in cells]
        for line, cells in zip(lines, (("好", "mauvais"), (" 1", "20"), ("300", "  4")))
    ]
    assert ends[0] == ends[1] == ends[2]
