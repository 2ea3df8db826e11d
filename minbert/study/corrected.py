"""Regressions on predicted labels, corrected by a random sample of true ones: arrays in, coefficients out.

N rows, of which n are labelled; p columns of the model. Row i was drawn for labelling with the known probability pi_i;
R_i says whether it was, and W_i = R_i / pi_i. The outcome y is known where R_i = 1, the prediction f everywhere.
The coefficients b solve

    sum_i x_i [ W_i (y_i - mu(x_i b)) + lambda (1 - W_i) (f_i - mu(x_i b)) ] = 0,    mu: identity (lm), logistic (logit)

The second term has the mean 0 whatever f is, so every lambda gives a right answer; lambda decides how wide it is.
lambda = 1: design-based supervised learning. N. Egami, M. Hinck, B. Stewart and H. Wei (2023), Using imperfect
    surrogates for downstream inference, NeurIPS 36.
lambda = 0: the labels alone.
tuned: the lambda of the smallest variance, as in PPI++. A. Angelopoulos, J. Duchi and T. Zrnic (2023), arXiv
    2311.01453. With equal pi, this is their estimator with their lambda times (1 + n / (N - n)).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from minbert.errors import UserError

FAMILIES = ("lm", "logit")
STEPS, TINY = 100, 1e-30
MOST = 0.9  # leverage that is believed


@dataclass(frozen=True)
class Fit:
    """Coefficients [p], their sandwich covariance [p, p], and what their intervals need.

    se        [p] standard errors: those of the covariance, but each labelled row's residual is widened for its own part
              in the fit, by sqrt(1 - leverage), and for its part in lambda
    df        [p] degrees of freedom of t: of labels less parameters, or fewer where a few rows make up the variance,
              2 n / (kurtosis - 1), as of a variance that is itself estimated
    lam       the lambda that was used
    clusters  the number of independent units: labelled rows, or groups with a labelled row
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    se: np.ndarray
    df: np.ndarray
    lam: float
    clusters: int

    def intervals(self):
        """[p, 2]: the 95 % intervals."""
        half = stats.t.ppf(0.975, self.df) * self.se
        return np.c_[self.coefficients - half, self.coefficients + half]


def naive(x, f, family="lm", groups=None) -> Fit:
    """Predictions taken as truth: the regression of f on x. Its interval does not know that predictions are wrong."""
    nothing = np.zeros(len(x))
    return estimate(x, nothing, f, nothing, family, 1.0, groups)


def estimate(x, y, f, weights, family="lm", lam=None, groups=None) -> Fit:
    """The corrected regression.

    x        [N, p], with a column of ones if there is to be an intercept
    y        [N], read only where the weight is not 0
    f        [N], predictions of a model that has not seen the labels used here
    weights  [N], W: 1 / pi of labelled rows, 0 of others
    lam      None: tuned
    groups   [N], of rows that depend on each other, such as an author; None: none do

    Raises UserError where the equation has no solution, as where a column separates the classes.
    """
    x, f, weights = (np.asarray(values, np.float64) for values in (x, f, weights))
    y = np.where(weights > 0, y, 0.0).astype(np.float64)
    if np.linalg.matrix_rank(x / np.maximum(np.abs(x).max(axis=0), TINY)) < x.shape[1]:
        raise UserError("a column of the model follows from the others: leave one out")
    labels = moved = None
    if lam is None:
        labels = solve(x, weights, x.T @ (weights * y), family)
        lam, moved = tune(x, y, f, weights, family, labels, groups)
    fixed = 1 - weights if lam else 0 * weights
    total = weights + lam * fixed
    b = solve(x, total, x.T @ (weights * y + lam * fixed * f), family, start=labels)
    mu, slope = means(x, b, family)
    bread = np.linalg.inv((x * (total * slope)[:, None]).T @ x)
    influence = x * (weights * (y - mu) + lam * fixed * (f - mu))[:, None] @ bread  # [N, p], of each row on b
    influence = centred(influence, weights)
    summed = by_group(influence, groups)
    units = weights > 0 if (weights > 0).any() else np.ones(len(x), bool)
    leverage = np.clip(total * slope * (x @ bread * x).sum(axis=1), 0, MOST)
    left = np.sqrt(1 - leverage) * (1 if moved is None else 1 - np.clip(moved, 0, MOST))
    wide = by_group(influence / np.where(units, left, 1)[:, None], groups)
    clusters = int(units.sum()) if groups is None else len(np.unique(np.asarray(groups)[units]))
    df = clusters - x.shape[1] - (moved is not None)
    if df < 1:
        raise UserError(f"{clusters} labelled texts or groups are too few for {x.shape[1]} coefficients")
    squares = (wide**2).sum(axis=0)
    kurtosis = clusters * (wide**4).sum(axis=0) / np.maximum(squares**2, TINY**4)
    df = np.minimum(df, 2 * clusters / np.maximum(kurtosis - 1, TINY))
    return Fit(b, summed.T @ summed, np.sqrt(squares), df, float(lam), clusters)


def tune(x, y, f, weights, family, b, groups) -> tuple:
    """The lambda with the smallest trace of the covariance, for columns of unit spread, at coefficients b.

    It is the slope of a regression, cut so that no row has a negative weight in the equation. Also returned: each row's
    leverage in that regression, [N], or None where the slope was cut.
    """
    mu, slope = means(x, b, family)
    bread = np.linalg.inv((x * (weights * slope)[:, None]).T @ x) * np.sqrt((x**2).mean(axis=0))
    fixed = centred(x * (weights * (y - mu))[:, None] @ bread, weights)
    moved = centred(x * ((1 - weights) * (f - mu))[:, None] @ bread, weights)
    one, other = by_group(fixed, groups), by_group(moved, groups)
    whole = (other**2).sum()
    lam = -(one * other).sum() / max(whole, TINY)
    leverage = (moved**2).sum(axis=1) / max(whole, TINY)
    drawn = weights[weights > 1]
    most = float((drawn / (drawn - 1)).min()) if len(drawn) else 1.0
    return (float(lam), leverage) if 0 < lam < most else (most if lam > 0 else 0.0, None)


def centred(influence, weights):
    """Influences [N, p], without what a sample of fixed size cannot vary in: their means over its rows, and the others.

    A simple random sample shows in its weights: they are equal, and their sum is N.
    """
    drawn = weights > 0
    if not drawn.any() or np.ptp(weights[drawn]) > 1e-9 or abs(weights.sum() / len(weights) - 1) > 1e-9:
        return influence
    influence = influence.copy()
    for rows in (drawn, ~drawn):
        if rows.any():
            influence[rows] -= influence[rows].mean(axis=0)
    return influence


def means(x, b, family):
    """mu(x b) and its derivative: [N], [N]"""
    if family == "lm":
        return x @ b, np.ones(len(x))
    mu = 1 / (1 + np.exp(-np.clip(x @ b, -500, 500)))
    return mu, mu * (1 - mu)


def solve(x, weights, target, family, start=None):
    """The b [p] with sum_i weights_i x_i mu(x_i b) = target [p], by Newton's method with steps of bounded length."""
    b = np.zeros(x.shape[1]) if start is None else start
    for _ in range(STEPS):
        mu, slope = means(x, b, family)
        try:
            step = np.linalg.solve((x * (weights * slope)[:, None]).T @ x, target - x.T @ (weights * mu))
        except np.linalg.LinAlgError:
            break
        if family == "lm":
            return b + step
        b = b + step / max(1.0, np.abs(x @ step).max() / 5)
        if np.abs(step).max() <= 1e-13 * max(1.0, np.abs(b).max()):
            return b
    raise UserError("no coefficients fit: a column separates the classes, or there are too few labels of one")


def by_group(values, groups):
    """Sums over each group's rows: [N, p] -> [G, p]"""
    if groups is None:
        return values
    _, of = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((of.max() + 1, values.shape[1]))
    np.add.at(sums, of, values)
    return sums
