"""statistics: against reference values, against numbers worked out by hand, and what cannot be tested."""

import math

import numpy as np
import pytest
from scipy import stats

from minbert import UserError
from minbert.study import statistics
from minbert.study.statistics import bca, confusion_counts, corrected_t, f1_of, five_by_two, hierarchical, holm, mcnemar

CLOSE = {"rel": 1e-9, "abs": 1e-12}


def near(value):
    return pytest.approx(value, **CLOSE)


def test_the_corrected_t_of_the_reference(study_golden):
    golden = study_golden["nadeau_bengio"]
    found = corrected_t(np.subtract(golden["a"], golden["b"]), golden["n_test"] / golden["n_train"])
    assert (found.statistic, found.p, found.df) == (near(golden["t"]), near(golden["p"]), (golden["df"],))
    assert [found.low, found.high] == near(golden["ci"])
    golden = study_golden["nadeau_bengio_repeated"]
    found = corrected_t(golden["d"], golden["n_test"] / golden["n_train"])
    assert (found.statistic, found.p, found.df) == (near(golden["t"]), near(golden["p"]), (golden["df"],))


def test_the_corrected_t_by_hand():
    """Differences 1, 2, 3, 4, 5: mean 3, variance 2.5; (1/5 + 1/4) 2.5 = 1.125."""
    found = corrected_t([1, 2, 3, 4, 5], 1 / 4)
    assert found.statistic == near(3 / math.sqrt(1.125)) and found.df == (4,)
    half = 2.7764451051977987 * math.sqrt(1.125)  # the 97.5 % point of t with 4 degrees, from a table
    assert (found.low, found.high) == (near(3 - half), near(3 + half))


def test_differences_without_spread_decide_nothing():
    for values in ([0.0] * 5, [0.1] * 5):
        found = corrected_t(values, 1 / 4)
        assert found.p == 1 and math.isnan(found.low) and math.isnan(found.statistic)
    assert five_by_two([[0.1, 0.1]] * 5).p == 1


def test_five_by_two_of_the_reference(study_golden):
    golden = study_golden["five_by_two"]
    found = five_by_two(golden["d"])
    assert (found.statistic, list(found.df), found.p) == (near(golden["F"]), golden["F_df"], near(golden["F_p"]))


def test_five_by_two_by_hand():
    """Each repeat 1 and 3: squares 5 x 10, spread 5 x 2, F = 50 / 20."""
    assert five_by_two([[1, 3]] * 5).statistic == near(2.5)


def right(b, c, both=3):
    return [True] * b + [False] * c + [True] * both, [False] * b + [True] * c + [True] * both


def test_mcnemar_of_the_reference(study_golden):
    for golden in study_golden["mcnemar"]:
        found = mcnemar(*right(golden["b"], golden["c"]))
        assert (found["exact"], found["mid_p"]) == (near(golden["exact_p"]), near(golden["mid_p"]))
        assert (found["b"], found["c"]) == (golden["b"], golden["c"])


def test_mcnemar_by_hand():
    """0 against 5: 2 / 32 exactly, and half of that as mid-p; 1 against 1: 1 - (1/2) / 2."""
    assert mcnemar(*right(0, 5)) == {"b": 0, "c": 5, "exact": near(1 / 16), "mid_p": near(1 / 32)}
    assert mcnemar(*right(1, 1))["mid_p"] == near(0.75)
    assert mcnemar(*right(0, 0))["exact"] == 1


def test_mcnemar_is_refused_for_folds():
    with pytest.raises(UserError, match="not for 5 folds: use the corrected t test"):
        mcnemar(*right(3, 9), folds=5)
    with pytest.raises(UserError, match="2 and 1 predictions are no pairs"):
        mcnemar([True, False], [True])


def test_holm(study_golden):
    assert holm(study_golden["holm"]["p"]) == near(study_golden["holm"]["adjusted"])


def test_holm_by_hand():
    """.01 x 4; .02 x 3 = .06; .03 x 2 = .06; .9: the maximum runs, and the order stays."""
    assert holm([0.9, 0.01, 0.03, 0.02]) == near([0.9, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]


def test_wilson(study_golden):
    for golden in study_golden["wilson"]:
        assert statistics.wilson(golden["k"], golden["n"]) == near(tuple(golden["ci"]))


def test_the_bootstrap_of_a_mean_is_that_of_theory():
    """Of 400 normal numbers the interval of the mean is mean +- t s / sqrt(n), to the noise of 20,000 draws."""
    values = np.random.default_rng(5).normal(3, 2, 400)
    found = bca(np.c_[values, np.ones(400)], lambda sums: sums[..., 0] / sums[..., 1], draws=20_000)
    half = 1.965927 * values.std(ddof=1) / 20  # the 97.5 % point of t with 399 degrees
    assert found.estimate == near(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


def test_the_bootstrap_of_few_groups_has_the_tails_of_t():
    """12 evenly spread numbers: 2.2 standard errors each way, and not 1.96 of those that are a little small."""
    values = np.linspace(-1, 1, 12)
    found = bca(np.c_[values, np.ones(12)], lambda sums: sums[..., 0] / sums[..., 1], draws=20_000)
    assert found.high == pytest.approx(2.200985 * values.std(ddof=1) / 12**0.5, rel=0.05)
    assert found.low == pytest.approx(-found.high, rel=0.05)


def test_the_bootstrap_follows_a_skewed_statistic():
    """Of squared normal numbers the right side of the interval is the longer one."""
    values = np.random.default_rng(5).normal(0, 1, 60) ** 4
    found = bca(np.c_[values, np.ones(60)], lambda sums: sums[..., 0] / sums[..., 1])
    assert found.high - found.estimate > 1.3 * (found.estimate - found.low)
    level = 2 * stats.norm.cdf(math.sqrt(60 / 59) * stats.t.ppf(0.975, 59)) - 1  # scipy's has no tails of t
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, confidence_level=level, rng=1).confidence_interval
    ours = bca(np.c_[values, np.ones(60)], lambda sums: sums[..., 0] / sums[..., 1], draws=20_000)
    assert (ours.low, ours.high) == pytest.approx(theirs, rel=0.03)


def test_groups_count_as_one():
    """Ten copies of each text are no more information than the texts."""
    rng = np.random.default_rng(3)
    gold, predicted = rng.integers(0, 2, 80), rng.integers(0, 2, 80)
    once = bca(confusion_counts(gold, predicted, 2), f1_of(2))
    copies = confusion_counts(np.repeat(gold, 10), np.repeat(predicted, 10), 2, np.repeat(np.arange(80), 10))
    assert bca(copies, f1_of(2)) == once
    apart = bca(confusion_counts(np.repeat(gold, 10), np.repeat(predicted, 10), 2), f1_of(2))
    assert apart.high - apart.low < 0.5 * (once.high - once.low)


def test_f1_of_counts_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(4)
    gold, predicted = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    counts = confusion_counts(gold, predicted, 3).sum(axis=0)
    assert f1_of(3)(counts) == near(f1_score(gold, predicted, average="macro"))
    assert f1_of(3, positive=2)(counts) == near(f1_score(gold, predicted, average=None)[2])


def test_a_bootstrap_of_one_group_is_refused():
    with pytest.raises(UserError, match="2 or more groups"):
        bca([[1, 2]], lambda sums: sums[..., 0])
    with pytest.raises(UserError, match="finite numbers in 2 dimensions"):
        bca([[1, math.nan]], lambda sums: sums[..., 0])


def test_the_hierarchical_bootstrap_sees_folds_and_seeds():
    """Folds that differ widen it; so do seeds; nothing that differs leaves one point."""

    def spread(folds):
        found = hierarchical(folds, lambda sums: sums[..., 0] / sums[..., 1], draws=300)
        return found.high - found.low

    even, low, high = ([[value, 1]] * 20 for value in (0.5, 0.2, 0.8))
    assert spread([[even, even]] * 5) < 1e-12
    folds, seeds = spread([[low, low], [high, high]] * 3), spread([[low, high]] * 6)
    assert 0.3 < folds < 0.6 and 0.2 < seeds < folds


def test_the_same_numbers_again():
    rng = np.random.default_rng(8)
    counts = confusion_counts(rng.integers(0, 2, 500), rng.integers(0, 2, 500), 2)
    assert bca(counts, f1_of(2)) == bca(counts, f1_of(2)) != bca(counts, f1_of(2), seed=1)
