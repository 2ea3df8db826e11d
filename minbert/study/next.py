"""What to label next, and how many labels are needed. N texts, C classes, D numbers for a text."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from minbert.errors import UserError

WAYS = ("badge", "margin", "random")
SIZES, BEYOND = 5, 4  # a curve needs so many sizes, and says nothing beyond so many times the largest
GRID, ROUNDS = 41, 8


def choose(probabilities, count: int, way: str = "margin", features=None, seed: int = 0):
    """Texts to label: (their numbers from 0, whether each was drawn at random), the random third first.

    probabilities  [N, C], of texts without labels
    features       [N, D], for badge
    way            of the other two thirds. margin: where the two likeliest classes are closest. badge: texts that would
                   change a classifier most, and in different directions (J. Ash et al. 2020, ICLR). random: all of them

    Only the random third is a sample of the N texts, each drawn with the same probability; the others are not, and no
    estimate for all texts may use them. Raises UserError for more texts than there are, and for badge without features.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or p.shape[1] < 2 or not np.isfinite(p).all():
        raise UserError("choosing texts needs the probabilities of 2 or more classes for each text")
    if not 1 <= count <= len(p):
        raise UserError(f"{count} texts cannot be chosen from {len(p)}")
    if way not in WAYS:
        raise UserError(f"{way} is no way to choose texts: {', '.join(WAYS)}")
    if way == "badge" and (features is None or len(features) != len(p)):
        raise UserError("badge needs a row of features for each text")
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(p))[: count if way == "random" else -(-count // 3)]
    rest = np.setdiff1d(np.arange(len(p)), drawn)
    wanted = count - len(drawn)
    if way == "margin":
        best = np.sort(p[rest], axis=1)
        picked = rest[np.argsort(best[:, -1] - best[:, -2], kind="stable")[:wanted]]
    elif way == "badge":
        picked = rest[spread(p[rest], np.asarray(features, np.float64)[rest], wanted, rng)]
    else:
        picked = rest[:0]
    return np.concatenate([drawn, picked]), np.arange(count) < len(drawn)


def spread(p, features, count: int, rng) -> list[int]:
    """k-means++ among the gradients (p - the likeliest class) x features: far from each other, large ones more often.

    A gradient is an outer product, so squared distances need no [N, C * D]: |a x h - b x g|^2 from inner products.
    """
    error = p - np.eye(p.shape[1])[p.argmax(axis=1)]  # [N, C]
    length = (error**2).sum(axis=1) * (features**2).sum(axis=1)
    chosen, nearest = [], length.copy()  # the first as if the origin had been chosen
    for _ in range(count):
        nearest[chosen] = 0
        if nearest.sum() <= 0:  # only copies are left
            left = np.setdiff1d(np.arange(len(p)), chosen)
            return chosen + left[: count - len(chosen)].tolist()
        at = int(rng.choice(len(p), p=nearest / nearest.sum()))
        inner = (error @ error[at]) * (features @ features[at])
        nearest = np.minimum(nearest, np.maximum(length + length[at] - 2 * inner, 0))
        chosen.append(at)
    return chosen


@dataclass(frozen=True)
class Curve:
    """error(n) = a + b n^-c with a, b >= 0 and 0 <= c <= 2; drawn: the same [draws, 3] from resampled folds."""

    a: float
    b: float
    c: float
    largest: int
    drawn: np.ndarray
    folds: int

    def error(self, n: float) -> float:
        """The expected error with n labels. Raises UserError beyond 4 times the largest n that was seen."""
        self.check(n)
        return self.a + self.b * n**-self.c

    def interval(self, n: float) -> tuple[float, float]:
        """Its 95 % interval: percentiles over folds, widened as those of a t distribution."""
        self.check(n)
        if self.folds < 3:
            raise UserError("an interval of the learning curve needs 3 or more folds")
        a, b, c = self.drawn.T
        reach = np.sqrt(self.folds / (self.folds - 1)) * stats.t.ppf(0.975, self.folds - 1)
        low, high = np.quantile(a + b * n**-c, stats.norm.cdf([-reach, reach])).tolist()
        return low, high

    def labels_for(self, error: float) -> int | None:
        """The number of labels with which the error is expected, or None if it lies beyond what the curve can say."""
        sizes = np.arange(1, BEYOND * self.largest + 1)
        reached = np.flatnonzero(self.a + self.b * sizes**-self.c <= error)
        return int(sizes[reached[0]]) if len(reached) else None

    def check(self, n):
        if not 1 <= n <= BEYOND * self.largest:
            raise UserError(
                f"the learning curve says nothing about {n:,} labels: it was measured up to {self.largest:,}, and "
                f"{BEYOND * self.largest:,} is the limit"
            )


def learning_curve(sizes, errors, draws: int = 1000, seed: int = 0) -> Curve:
    """Fit the curve by least squares to errors of folds, each size weighted by the spread of its folds.

    sizes   [S] numbers of labels, 5 or more different ones
    errors  [J, S], or [S]: for each fold, such as 1 - F1

    Raises UserError for fewer sizes, or errors that do not fit.
    """
    sizes, errors = np.asarray(sizes, np.float64), np.atleast_2d(np.asarray(errors, np.float64))
    if len(np.unique(sizes)) < SIZES:
        raise UserError(f"a learning curve needs {SIZES} or more different numbers of labels, not {len(set(sizes))}")
    if errors.shape[1] != len(sizes) or not np.isfinite(errors).all() or (sizes < 1).any():
        raise UserError("a learning curve needs an error for each fold and number of labels")
    variances = errors.var(axis=0, ddof=1) if len(errors) > 1 else np.ones(len(sizes))
    weights = np.ones(len(sizes))
    if (variances > 0).all():  # few folds tell a variance badly: go half-way to their geometric mean
        weights = 1 / np.sqrt(variances * np.exp(np.log(variances).mean()))
    times = np.random.default_rng(seed).integers(len(errors), size=(draws, len(errors)))
    fits = fit(sizes, np.vstack([errors.mean(axis=0), errors[times].mean(axis=1)]), weights / weights.sum())
    return Curve(*fits[0].tolist(), int(sizes.max()), fits[1:], len(errors))


def fit(sizes, errors, weights):
    """a, b, c for each row of errors [R, S]: [R, 3]. For a given c, a and b are a line; c comes from finer grids."""
    low, high = np.zeros(len(errors)), np.full(len(errors), 2.0)
    for _ in range(ROUNDS):
        c = np.linspace(low, high, GRID, axis=1)  # [R, grid]
        x = sizes ** -c[:, :, None]  # [R, grid, S]
        y = errors[:, None]
        middle_x, middle_y = x @ weights, y @ weights
        slope = ((x - middle_x[:, :, None]) * (y - middle_y[:, :, None])) @ weights
        b = slope / np.maximum(((x - middle_x[:, :, None]) ** 2) @ weights, 1e-30)
        a = middle_y - b * middle_x
        through = np.maximum((x * y) @ weights / (x**2 @ weights), 0)  # with a = 0
        a, b = np.where(a < 0, 0, a), np.where(a < 0, through, b)
        a, b = np.where(b < 0, np.maximum(middle_y, 0), a), np.maximum(b, 0)
        loss = ((y - a[:, :, None] - b[:, :, None] * x) ** 2) @ weights
        best, rows = loss.argmin(axis=1), np.arange(len(errors))
        step = (high - low) / (GRID - 1)
        found = np.column_stack([a[rows, best], b[rows, best], c[rows, best]])
        low, high = np.maximum(found[:, 2] - 2 * step, 0), np.minimum(found[:, 2] + 2 * step, 2)
    return found
