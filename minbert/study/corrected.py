"""Regressions on predicted labels, corrected by a random sample of true ones: arrays in, coefficients out.

N rows, of which n are labelled; p columns of the model. Row i was drawn for labelling with the known probability pi_i;
R_i says whether it was, and W_i = R_i / pi_i. The outcome y is known where R_i = 1, the prediction f everywhere.
The coefficients b solve

    sum_i x_i [ W_i (y_i - mu(x_i b)) + lambda (1 - W_i) (f_i - mu(x_i b)) ] = 0,    mu identity (lm) or logistic (logit)

The second term has the mean 0 whatever f is, so every lambda gives a right answer; lambda decides how wide it is.
lambda = 1: design-based supervised learning. N. Egami, M. Hinck, B. Stewart and H. Wei (2023), Using imperfect surrogates
    for downstream inference, NeurIPS 36.
lambda = 0: the labels alone.
tuned: the lambda of the smallest variance, as in PPI++. A. Angelopoulos, J. Duchi and T. Zrnic (2023), arXiv 2311.01453.
    With equal pi, this is their estimator with their lambda times (1 + n / (N - n)).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from minbert.errors import UserError

FAMILIES = ("lm", "logit")
STEPS, TINY = 100, 1e-12


@dataclass(frozen=True)
class Fit:
    """Coefficients [p], their sandwich covariance [p, p], and what their intervals need.

    se        [p] standard errors: those of the covariance, widened for the number of labels and parameters
    df        [p] degrees of freedom of t
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
    labels = solve(x, weights, x.T @ (weights * y), family) if lam is None else None
    if lam is None:
        lam = tune(x, y, f, weights, family, labels, groups)
    total = weights + lam * (1 - weights)
    b = solve(x, total, x.T @ (weights * y + lam * (1 - weights) * f), family, start=labels)
    mu, slope = means(x, b, family)
    bread = np.linalg.inv((x * (total * slope)[:, None]).T @ x)
    units = weights > 0 if (weights > 0).any() else np.ones(len(x), bool)
    moments = x * (weights * (y - mu) + lam * (1 - weights) * (f - mu))[:, None]
    influence = by_group(moments @ bread, groups)  # [G, p]; their sum is 0, the sum of their squares the variance
    covariance = influence.T @ influence
    leverage = np.where(units, total * slope * np.einsum("ij,jk,ik->i", x, bread, x), 0)
    wide = by_group(moments @ bread / (1 - np.clip(leverage, 0, 0.9))[:, None] ** HC, groups)
    clusters = int(units.sum()) if groups is None else len(np.unique(np.asarray(groups)[units]))
    lost = x.shape[1] + (0 < lam < 1)
    if clusters <= lost + 1:
        raise UserError(f"{clusters} labelled texts or groups are too few for {x.shape[1]} coefficients")
    se = np.sqrt((wide**2).sum(axis=0))
    kurtosis = clusters * (wide**4).sum(axis=0) / (wide**2).sum(axis=0) ** 2
    df = np.minimum(clusters - lost, 2 * clusters / np.maximum(kurtosis - 1, TINY))
    return Fit(b, covariance, se, df, float(lam), clusters)


HC = 0.5


def tune(x, y, f, weights, family, labels, groups):
    """The lambda in [0, 1] with the smallest trace of the covariance, for columns of unit spread."""
    mu, slope = means(x, labels, family)
    scale = np.sqrt((x**2).mean(axis=0))
    bread = np.linalg.inv((x * slope[:, None]).T @ x) * scale
    fixed = by_group(x * (weights * (y - mu))[:, None] @ bread, groups)
    moved = by_group(x * ((1 - weights) * (f - mu))[:, None] @ bread, groups)
    return float(np.clip(-(fixed * moved).sum() / max((moved**2).sum(), TINY), 0, 1))


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
    raise UserError("no coefficients fit")


def by_group(values, groups):
    """Sums over each group's rows: [N, p] -> [G, p]"""
    if groups is None:
        return values
    _, of = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((of.max() + 1, values.shape[1]))
    np.add.at(sums, of, values)
    return sums
