"""calibrate: against reference values and small tables; what temperature must not do."""

import numpy as np
import pytest

from minbert import UserError
from minbert.study.calibrate import best_threshold, bins, brier, by_fold, ece, fit_temperature, log_loss, scale, softmax


def near(value, rel=1e-9):
    return pytest.approx(value, rel=rel, abs=1e-12)


def test_the_reference(study_golden):
    golden = study_golden["calibration"]
    logits, labels = golden["logits"], golden["labels"]
    p = softmax(logits)
    assert (ece(p, labels), brier(p, labels)) == (near(golden["ece10"]), near(golden["brier"]))
    assert log_loss(p, labels) == near(golden["nll"])
    temperature = fit_temperature(logits, labels)
    assert temperature == near(golden["temperature"], 1e-5)
    after = softmax(logits, temperature)
    assert log_loss(after, labels) == near(golden["nll_after"], 1e-8)
    assert ece(after, labels) == near(golden["ece10_after"], 1e-5)


def test_by_hand():
    """Two texts at .8, one right; two at 1.0, both right: |.5 - .8| / 2 + 0."""
    p, labels = [[0.8, 0.2], [0.2, 0.8], [1.0, 0.0], [1.0, 0.0]], [0, 0, 0, 0]
    assert ece(p, labels) == near(0.15)
    assert [(part.count, part.accuracy) for part in bins(p, labels)] == [(2, 0.5), (2, 1.0)]
    assert brier(p, labels) == near((0.08 + 1.28) / 4)
    assert log_loss([[0.8, 0.2]], [1]) == near(-np.log(0.2))


def test_the_right_edge_belongs_to_the_bin():
    """.7 is of (.6, .7]; .71 is not."""
    counts = [part.count for part in bins([[0.7, 0.3], [0.71, 0.29], [0.61, 0.39]], [0, 0, 0])]
    assert counts == [2, 1]


def test_bins_of_equal_counts():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1], 103)
    parts = bins(p, rng.integers(0, 2, 103), equal="count")
    assert sorted({part.count for part in parts}) == [10, 11] and len(parts) == 10
    assert [part.confidence for part in parts] == sorted(part.confidence for part in parts)


def test_the_temperature_of_overconfident_logits_is_found():
    """Labels drawn from softmax(logits / 2.5)."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, (20_000, 3))
    labels = (softmax(logits, 2.5).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(2.5, abs=0.08)


def test_temperature_changes_no_prediction():
    p = np.random.default_rng(2).dirichlet([0.3, 0.3, 0.3], 500)
    for temperature in (0.1, 0.7, 3, 20):
        assert (scale(p, temperature).argmax(axis=1) == p.argmax(axis=1)).all()


def test_each_fold_is_scaled_by_the_others():
    """Labels of fold 2 turned round change the temperature of fold 1, and not their own."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet([1, 1], 200)
    labels, folds = (rng.random(200) > p[:, 0]) * 1, np.repeat([1, 2], 100)
    scaled, found = by_fold(p, labels, folds)
    turned, other = by_fold(p, np.where(folds == 2, 1 - labels, labels), folds)
    assert other[1] != found[1] and other[2] == found[2]
    assert (turned[folds == 2] == scaled[folds == 2]).all() and (turned[folds == 1] != scaled[folds == 1]).any()
    with pytest.raises(UserError, match="2 or more folds"):
        by_fold(p, labels, np.ones(200))


def test_the_best_threshold_by_hand():
    """Positive at .9, .6, .4: from .4 on, 3 of 4 called ones are right: F1 6/7."""
    threshold, f1 = best_threshold([0.9, 0.7, 0.6, 0.4, 0.2], [True, False, True, True, False])
    assert threshold == near(0.3) and f1 == near(6 / 7)


def test_the_best_threshold_is_that_of_a_search():
    rng = np.random.default_rng(5)
    for _ in range(20):
        p, positive = rng.random(40).round(1), rng.random(40) < 0.4
        threshold, found = best_threshold(p, positive)
        scores = []
        for limit in (*np.linspace(-0.05, 1.05, 12), threshold):
            called = p >= limit
            scores.append(2 * (called & positive).sum() / max(1, called.sum() + positive.sum()))
        assert found == near(max(scores)) == near(scores[-1])
    with pytest.raises(UserError, match="needs texts of the class"):
        best_threshold([0.5], [False])


@pytest.mark.parametrize("p, labels, said", [([[0.5, 0.4]], [0], "sum to 1"), ([[0.5, 0.5]], [0, 1], "1 rows of")])
def test_what_is_no_probability(p, labels, said):
    with pytest.raises(UserError, match=said):
        ece(p, labels)
