"""Numbers in, numbers out: intervals and tests whose error rate is what they say. `make study-check` simulates them.

Of cross-validation, only tests that know that training parts overlap are offered. McNemar's test is for one fixed test
set that two trained systems have labelled. `five_by_two` is kept for comparison with papers; it is not offered.

G: groups of texts that belong together, or the texts; K: counts kept for each; draws: samples of a bootstrap.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from minbert.errors import UserError
from minbert.metrics import wilson
from minbert.runs.outcomes import mcnemar

__all__ = ["Interval", "Test", "bca", "corrected_t", "five_by_two", "hierarchical", "holm", "mcnemar", "wilson"]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval, in the unit of the numbers."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Test(Interval):
    """A mean difference with its interval; the statistic, its degrees of freedom (one number or two), and p."""

    __test__ = False  # pytest looks for tests by this name

    statistic: float
    df: tuple
    p: float


def corrected_t(differences: Sequence[float], test_share: float) -> Test:
    """Nadeau and Bengio's corrected resampled t test of paired differences, one for each fold of each repeat.

    differences  [J], first system - second
    test_share   texts in a test part / texts in its training part: 1 / (K - 1) of K folds

    Training parts share texts, so the variance of the mean is larger than var / J: (1 / J + test_share) var, J - 1
    degrees of freedom. Differences without any spread say nothing about chance: t and interval are NaN, p is 1.

    C. Nadeau and Y. Bengio (2003), Inference for the generalization error, Machine Learning 52, 239-281; for repeats
    R. Bouckaert and E. Frank (2004), PAKDD, 3-12. Raises UserError for fewer than 2 differences.
    """
    values = numbers(differences, 1)
    if len(values) < 2 or test_share <= 0:
        raise UserError("a corrected t test needs 2 or more folds, and texts in the test parts")
    mean, df = values.mean(), len(values) - 1
    root = math.sqrt((1 / len(values) + test_share) * values.var(ddof=1))
    if root <= 1e-12 * max(1.0, abs(mean)):
        return Test(float(mean), math.nan, math.nan, math.nan, (df,), 1.0)
    half = stats.t.ppf(0.975, df) * root
    t = mean / root
    return Test(float(mean), float(mean - half), float(mean + half), float(t), (df,), float(2 * stats.t.sf(abs(t), df)))


def five_by_two(differences: Sequence[Sequence[float]]) -> Test:
    """Alpaydin's combined F test of 5 x 2-fold cross-validation: differences [5, 2]. It has no interval.

    No table offers it: with 200 texts it rejects more than 1 in 10 pairs of equal systems (`make study-check`), for all
    ten differences share the chance of the one data set. Use `corrected_t(differences, 1)` for these folds.

    E. Alpaydin (1999), Combined 5 x 2 cv F test, Neural Computation 11, 1885-1892, equation 7.
    Raises UserError for another shape.
    """
    values = numbers(differences, 2)
    if values.shape != (5, 2):
        raise UserError(f"this F test is for 5 repeats of 2 folds, not for {len(values)} of {values.shape[1]}")
    spread = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum()
    if spread <= 1e-24:
        return Test(float(values.mean()), math.nan, math.nan, math.nan, (10, 5), 1.0)
    f = float((values**2).sum() / (2 * spread))
    return Test(float(values.mean()), math.nan, math.nan, f, (10, 5), float(stats.f.sf(f, 10, 5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, in their own order. S. Holm (1979), Scandinavian J. of Statistics 6, 65."""
    p = numbers(p_values, 1)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted.tolist()


def bca(counts, statistic: Callable, draws: int = 2000, seed: int = 0) -> Interval:
    """The 95 % bootstrap interval of a statistic of summed counts, over groups: bias-corrected and accelerated.

    counts     [G, K], such as each group's cells of a confusion matrix, or of two systems' for a paired difference
    statistic  sums [..., K] -> values [...]

    The tails are those of a t distribution widened by sqrt(G / (G - 1)), because the plain ones are too narrow for few
    groups: T. Hesterberg (2015), The American Statistician 69, 371-386. BCa: B. Efron (1987), JASA 82, 171-185.
    The interval of F1 of a class with few texts is too wide: docs/study.md has the figure.
    Raises UserError for fewer than 2 groups, and for a statistic that is not defined.
    """
    kinds, often = np.unique(numbers(counts, 2), axis=0, return_counts=True)  # groups of equal counts, and how many
    groups, total = int(often.sum()), often @ kinds
    if groups < 2:
        raise UserError("a bootstrap needs 2 or more groups of texts")
    estimate, without = float(statistic(total)), statistic(total - kinds)  # without: the jackknife, of each kind
    if not np.isfinite([estimate, *without]).all():
        raise UserError("too few texts: without one of the groups the score is not defined")
    drawn = statistic(np.random.default_rng(seed).multinomial(groups, often / groups, size=draws) @ kinds)
    drawn = np.sort(drawn[np.isfinite(drawn)])
    pull = often @ without / groups - without
    spread = often @ pull**2
    if spread <= 1e-24 or drawn[0] == drawn[-1]:
        return Interval(estimate, estimate, estimate)
    acceleration = often @ pull**3 / (6 * spread**1.5)
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2  # ties count half
    bias = stats.norm.ppf(np.clip(below, 1 / draws, 1 - 1 / draws))
    reach = math.sqrt(groups / (groups - 1)) * stats.t.ppf(0.975, groups - 1)
    tails = bias - reach, bias + reach
    shares = stats.norm.cdf([bias + tail / (1 - acceleration * tail) for tail in tails])
    return Interval(estimate, *np.quantile(drawn, shares).tolist())


def hierarchical(folds: Sequence[Sequence], statistic: Callable, draws: int = 2000, seed: int = 0) -> Interval:
    """The spread of a mean over folds and seeds: 95 % of a bootstrap of folds, of seeds in them, of groups in those.

    folds      for each fold a list of its seeds, each counts [G, K] of the groups of the test part
    statistic  as in `bca`

    It does not know that training parts overlap, so it is no interval to infer from: `corrected_t` gives that.
    """
    rng, folds = np.random.default_rng(seed), [[numbers(counts, 2) for counts in seeds] for seeds in folds]
    if not folds or not all(folds):
        raise UserError("a bootstrap needs folds, and seeds in each of them")

    def mean(chosen):
        return float(np.mean([np.mean([statistic(sums) for sums in seeds]) for seeds in chosen]))

    def draw(things):
        return [things[at] for at in rng.integers(len(things), size=len(things))]

    def resum(counts):
        return rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts))) @ counts

    drawn = [mean([[resum(counts) for counts in draw(seeds)] for seeds in draw(folds)]) for _ in range(draws)]
    middle = mean([[counts.sum(axis=0) for counts in seeds] for seeds in folds])
    return Interval(middle, *np.percentile(drawn, [2.5, 97.5]).tolist())


def confusion_counts(gold: Sequence[int], predicted: Sequence[int], classes: int, groups: Sequence | None = None):
    """What `bca` draws from: each group's confusion matrix as a row, [G, C * C]. groups: None: the texts"""
    cells = np.asarray(gold) * classes + np.asarray(predicted)
    of = np.arange(len(cells)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.zeros((of.max() + 1, classes * classes))
    np.add.at(counts, (of, cells), 1)
    return counts


def f1_of(classes: int, positive: int | None = None) -> Callable:
    """A statistic for `bca`: summed confusion counts -> F1 of the class `positive`, or macro F1; 0 where undefined."""

    def f1(sums):
        matrix = np.asarray(sums).reshape(*np.shape(sums)[:-1], classes, classes)
        right = np.diagonal(matrix, axis1=-2, axis2=-1)
        both = matrix.sum(axis=-1) + matrix.sum(axis=-2)
        scores = np.divide(2 * right, both, out=np.zeros_like(both, float), where=both > 0)
        return scores.mean(axis=-1) if positive is None else scores[..., positive]

    return f1


def numbers(values, dimensions: int):
    """Values as an array of so many dimensions. Raises UserError if they are not, or not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or not array.size or not np.isfinite(array).all():
        raise UserError(f"needed: finite numbers in {dimensions} dimensions, at least one; shape {array.shape}")
    return array
