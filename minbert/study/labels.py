"""Which labels may be wrong, and how far people agree. N texts, C classes, R raters."""

from collections.abc import Callable, Sequence

import numpy as np

from minbert.errors import UserError
from minbert.study.statistics import Interval, bca, confusion_counts


def thresholds(probabilities, labels) -> np.ndarray:
    """[C]: the mean probability of class j among the texts that are labelled j."""
    p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    counts = np.bincount(labels, minlength=p.shape[1])
    if (counts == 0).any():
        raise UserError("each class needs a labelled text, to know how sure the system is of it")
    return np.array([p[labels == at, at].mean() for at in range(p.shape[1])])


def confident(probabilities, labels) -> np.ndarray:
    """[N]: the likeliest of the classes whose threshold a text reaches, or -1 where it reaches none.

    C. Northcutt, L. Jiang and I. Chuang (2021), Confident learning, JAIR 70, 1373-1411, equations 1 and 2.
    probabilities  [N, C], of texts that the system had not seen: out of fold
    """
    p = np.asarray(probabilities, np.float64)
    reached = p >= thresholds(p, labels) - 1e-6
    return np.where(reached.any(axis=1), np.where(reached, p, -1).argmax(axis=1), -1)


def joint(probabilities, labels) -> np.ndarray:
    """[C, C]: texts by their label and the class that the system is confident of; others do not count."""
    other, labels = confident(probabilities, labels), np.asarray(labels)
    classes = np.shape(probabilities)[1]
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels[other >= 0], other[other >= 0]), 1)
    return counts


def suspicious(probabilities, labels) -> np.ndarray:
    """The texts whose label the system is confident is another, by the probability of their label, lowest first."""
    other, labels = confident(probabilities, labels), np.asarray(labels)
    found = np.flatnonzero((other >= 0) & (other != labels))
    return found[np.argsort(np.asarray(probabilities)[found, labels[found]], kind="stable")]


def cohen_kappa(first: Sequence, second: Sequence, groups: Sequence | None = None, seed: int = 0) -> Interval:
    """Agreement of two raters beyond chance, with its bootstrap interval over texts, or groups of texts.

    J. Cohen (1960), Educational and Psychological Measurement 20, 37-46. Raises UserError if both gave the same single
    label to all.
    """
    if len(first) != len(second) or not len(first):
        raise UserError(f"{len(first)} and {len(second)} labels are no pairs")
    names, ids = np.unique([*first, *second], return_inverse=True)
    if len(names) < 2:
        raise UserError(f"both raters gave {names[0]} to every text: there is no agreement beyond chance to measure")
    counts = confusion_counts(ids[: len(first)], ids[len(first) :], len(names), groups)

    def kappa(sums):
        matrix = np.asarray(sums).reshape(*np.shape(sums)[:-1], len(names), len(names))
        whole = matrix.sum(axis=(-1, -2))
        same = np.trace(matrix, axis1=-2, axis2=-1) / whole
        chance = (matrix.sum(axis=-1) * matrix.sum(axis=-2)).sum(axis=-1) / whole**2
        return np.divide(same - chance, 1 - chance, out=np.full(np.shape(same), np.nan), where=chance < 1)

    return bca(counts, kappa, seed=seed)


def nominal(values, totals):
    """Labels without an order: 0 if they are the same, else 1."""
    return 1.0 - np.eye(len(values))


def ordinal(values, totals):
    """Labels in order: the squared number of ratings between two of them, half of each end."""
    between = np.cumsum(totals) - totals / 2
    return (between[:, None] - between) ** 2


def interval(values, totals):
    """Labels that are numbers: their squared difference."""
    return (values[:, None] - values) ** 2


LEVELS: dict[str, Callable] = {"nominal": nominal, "ordinal": ordinal, "interval": interval}


def krippendorff(ratings: Sequence[Sequence], level: str = "nominal") -> float:
    """Agreement of any number of raters, of whom some may have left texts out: 1 - observed / expected disagreement.

    ratings  for each of R raters N labels, None where there is none. ordinal and interval: numbers
    level    one of LEVELS

    K. Krippendorff (2011), Computing Krippendorff's alpha-reliability. Raises UserError if no text has two labels, or
    if all labels are the same.
    """
    if len({len(rater) for rater in ratings}) != 1 or len(ratings) < 2:
        raise UserError("alpha needs 2 or more raters, with a place for each text")
    values = sorted({label for rater in ratings for label in rater if label is not None})
    place = {value: at for at, value in enumerate(values)}
    if level != "nominal" and not all(isinstance(value, int | float) for value in values):
        raise UserError(f"{level} alpha needs labels that are numbers")
    coincidences = np.zeros((len(values), len(values)))
    for labels in zip(*ratings):
        counts = np.bincount([place[label] for label in labels if label is not None], minlength=len(values))
        if (many := counts.sum()) > 1:
            coincidences += (np.outer(counts, counts) - np.diag(counts)) / (many - 1)
    totals = coincidences.sum(axis=1)
    distances = LEVELS[level](np.array(values) if level != "nominal" else values, totals)
    expected = (np.outer(totals, totals) * distances).sum()
    if not expected:
        raise UserError("alpha needs texts with two labels or more, and labels that differ")
    return float(1 - (totals.sum() - 1) * (coincidences * distances).sum() / expected)
