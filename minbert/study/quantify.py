"""The shares of classes among many texts, from predicted classes and what is known of the predictions' mistakes.

These methods take the rates of mistakes for the same in all texts. Where they change with what is studied, use `infer`,
which needs a random sample of labels and assumes nothing else. N texts, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np

from minbert.errors import UserError
from minbert.metrics import NORMAL

LEAST = 0.1  # sensitivity + specificity - 1 of a classifier that says something
STEPS = 10_000  # of EM


@dataclass(frozen=True)
class Prevalence:
    """A share: as the formula gives it, cut to [0, 1], its standard error and 95 % interval."""

    raw: float
    estimate: float
    se: float
    low: float
    high: float

    @property
    def fits(self) -> bool:
        """False if the raw share is no share: sensitivity and specificity are not those of these texts."""
        return self.raw == self.estimate


def rogan_gladen(apparent, sensitivity, specificity, n, n_positive, n_negative) -> Prevalence:
    """The share of a class, from the share of texts that are predicted to be of it.

    apparent     share of the n texts that are predicted positive
    sensitivity  share of n_positive other texts, known to be positive, that are predicted so
    specificity  share of n_negative other texts, known to be negative, that are predicted so

    The estimate and its standard error are W. Rogan and B. Gladen's (1978), American Journal of Epidemiology 107,
    71-76. The interval adds pseudo-counts to all three shares, z^2 / 2 to each side of the first and 1 to each side of
    the others, as Z. Lang and J. Reiczigel (2014), Preventive Veterinary Medicine 113, 13-22, do, so that it is not
    empty where a share is 0 or 1. Raises UserError for a classifier that is hardly better than chance.
    """
    for name, share, rows in (
        ("apparent prevalence", apparent, n),
        ("sensitivity", sensitivity, n_positive),
        ("specificity", specificity, n_negative),
    ):
        if not 0 <= share <= 1 or rows < 1:
            raise UserError(f"a {name} of {share} in {rows} texts is no share")
    if sensitivity + specificity - 1 < LEAST:
        better = f"sensitivity {sensitivity:.2f} + specificity {specificity:.2f} - 1 is under {LEAST}"
        raise UserError(f"the classifier is hardly better than chance: {better}")

    def solve(apparent, sensitivity, specificity, n, n_positive, n_negative):
        gain = sensitivity + specificity - 1
        share = (apparent + specificity - 1) / gain
        misses, alarms = sensitivity * (1 - sensitivity) / n_positive, specificity * (1 - specificity) / n_negative
        variance = (apparent * (1 - apparent) / n + share**2 * misses + (1 - share) ** 2 * alarms) / gain**2
        return share, math.sqrt(variance), misses, alarms

    raw, se, *_ = solve(apparent, sensitivity, specificity, n, n_positive, n_negative)
    square = NORMAL**2
    middle, wide, misses, alarms = solve(
        (n * apparent + square / 2) / (n + square),
        (n_positive * sensitivity + 1) / (n_positive + 2),
        (n_negative * specificity + 1) / (n_negative + 2),
        n + square,
        n_positive + 2,
        n_negative + 2,
    )
    middle += 2 * square * (middle * misses - (1 - middle) * alarms)
    low, high = (min(1.0, max(0.0, middle + side * NORMAL * wide)) for side in (-1, 1))
    return Prevalence(raw, min(1.0, max(0.0, raw)), se, low, high)


def adjusted_count(confusion, shares) -> np.ndarray:
    """The shares [C] of classes that explain the shares of predictions: the nearest point to the solution of M x = q.

    confusion  M [C, C], M[i, j] = P(predicted i | true j); its columns sum to 1
    shares     q [C], of predicted classes

    Raises UserError if two classes are predicted alike, so that no shares explain the predictions.
    """
    matrix, shares = np.asarray(confusion, np.float64), np.asarray(shares, np.float64)
    if not np.allclose(matrix.sum(axis=0), 1) or not np.isclose(shares.sum(), 1):
        raise UserError("the columns of the confusion matrix, and the shares, must sum to 1")
    if np.linalg.cond(matrix) > 1e6:
        raise UserError("two classes are predicted alike: their shares cannot be told apart")
    return to_simplex(np.linalg.solve(matrix, shares))


def to_simplex(values) -> np.ndarray:
    """The nearest shares, not negative and with the sum 1. J. Duchi et al. (2008), ICML, 272-279."""
    values = np.asarray(values, np.float64)
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(values) + 1)
    return np.maximum(values - excess[ordered > excess][-1], 0)


def em(posterior, prior, steps: int = STEPS, tolerance: float = 1e-12) -> np.ndarray:
    """The shares [C] of classes where they are not those of the training texts, from probabilities [N, C].

    prior  [C], shares in training

    It needs calibrated probabilities, and texts of which only the shares of classes have changed: if what is said about
    a class has changed, the answer is wrong and nothing shows it. M. Saerens, P. Latinne and C. Decaestecker (2002),
    Neural Computation 14, 21-41, equation 2.9.
    """
    posterior, prior = np.asarray(posterior, np.float64), np.asarray(prior, np.float64)
    if posterior.ndim != 2 or posterior.shape[1] != len(prior) or (prior <= 0).any():
        raise UserError("EM needs probabilities [N, C] and the share of each class in training, above 0")
    shares = prior
    for _ in range(steps):
        weights = posterior * (shares / prior)
        new = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(new - shares).max() < tolerance:
            return new
        shares = new
    return shares
