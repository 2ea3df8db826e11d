"""Do probabilities mean what they say? Calibration error, temperature, thresholds. N texts, C classes."""

import math

import numpy as np
from scipy import optimize

from minbert.errors import UserError
from minbert.runs.outcomes import bins as bins  # these two are among its names
from minbert.runs.outcomes import checked
from minbert.runs.outcomes import ece as ece

BOUND = 3.0  # of log T, either way
LEAST = 1e-12  # a probability is at least this before its logarithm is taken


def brier(probabilities, labels) -> float:
    """The mean squared distance to the right answer, summed over classes: 0 to 2. G. Brier (1950)."""
    p, labels = checked(probabilities, labels)
    return float(((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1).mean())


def log_loss(probabilities, labels) -> float:
    """The mean of -log p of the right class."""
    p, labels = checked(probabilities, labels)
    return float(-np.log(np.maximum(p[np.arange(len(p)), labels], LEAST)).mean())


def softmax(logits, temperature: float = 1.0):
    """Logits [N, C] -> probabilities [N, C]"""
    scaled = np.asarray(logits, np.float64) / temperature
    grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def fit_temperature(logits, labels) -> float:
    """The T with the smallest log loss of softmax(logits / T), e^-3 <= T <= e^3. Guo et al. (2017), equation 9.

    logits  [N, C], or logarithms of probabilities, of texts that were not trained on
    """
    logits = np.asarray(logits, np.float64)
    _, labels = checked(softmax(logits), labels)

    def loss(log):
        scaled = logits / math.exp(log)
        top = scaled.max(axis=1)
        whole = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((whole - scaled[np.arange(len(labels)), labels]).mean())

    found = optimize.minimize_scalar(loss, bounds=(-BOUND, BOUND), method="bounded", options={"xatol": 1e-12})
    return math.exp(found.x)


def scale(probabilities, temperature: float):
    """Probabilities [N, C] at another temperature. The likeliest class stays."""
    return softmax(np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST)), temperature)


def by_fold(probabilities, labels, folds):
    """(probabilities at a temperature fitted to the other folds, [N, C]; {fold: its temperature})

    So no text helps to choose the temperature that its own probability is judged by.
    """
    p, labels = checked(probabilities, labels)
    folds, found, scaled = np.asarray(folds), {}, p.copy()
    for fold in np.unique(folds):
        here = folds == fold
        if here.all():
            raise UserError("temperature needs 2 or more folds: it is fitted to some and judged on the others")
        found[fold.item()] = fit_temperature(np.log(np.maximum(p[~here], LEAST)), labels[~here])
        scaled[here] = scale(p[here], found[fold.item()])
    return scaled, found


def best_threshold(probability, positive) -> tuple[float, float]:
    """(threshold, F1): the probability of a class from which a text is called positive, for the largest F1.

    probability, positive  [N], of texts that were not trained on; choose on some texts, report on others

    Of equally good thresholds the one nearest to a half. Raises UserError if there are no positive texts.
    """
    probability, positive = np.asarray(probability, np.float64), np.asarray(positive, bool)
    if not positive.any():
        raise UserError("a threshold needs texts of the class")
    order = np.argsort(-probability, kind="stable")
    ranked, hits = probability[order], np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + positive.sum())
    ends = np.append(ranked[1:] < ranked[:-1], True)  # equal probabilities are on the same side
    below = np.append(ranked[1:], 0.0)
    best = np.flatnonzero(ends & (f1 >= f1[ends].max() - 1e-12))
    limits = (ranked[best] + below[best]) / 2
    at = int(np.abs(limits - 0.5).argmin())
    return float(limits[at]), float(f1[best[at]])
