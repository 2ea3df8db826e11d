"""Predicted labels and a random sample of true ones -> prevalence and coefficients, answered in three ways."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from minbert.errors import UserError
from minbert.files import stream
from minbert.files.checks import normalise
from minbert.metrics import wilson
from minbert.study import corrected
from minbert.study.corrected import Fit

STRANGE = 1e-4  # the probability below which a sample is not believed to be random
TRUTH, LABELS, CORRECTED = "predictions as truth", "labels alone", "corrected"


@dataclass(frozen=True)
class Answer:
    """One estimate of one number."""

    way: str
    term: str  # of the model, or "" for the prevalence
    estimate: float
    se: float
    low: float
    high: float
    lam: float | None = None


def refuse_seen(texts: Sequence[str], weights, paths: Sequence[str], text_column: str | None = None) -> None:
    """Raise UserError if a labelled text is among those that the model was trained on: it has seen that label."""
    labelled = {normalise(text) for text, weight in zip(texts, weights) if weight > 0}
    for path in paths:
        _, rows = stream.read_rows(path, text_column)
        if both := labelled & {normalise(row.text) for row in rows if not row.problem}:
            raise UserError(
                f"{len(both)} of the labelled texts are in {path}: the model has seen their labels, and makes fewer "
                "mistakes there than elsewhere. Label other texts, or predict each with a model of other folds"
            )


def refuse_strange(weights, columns: dict[str, np.ndarray]) -> None:
    """Raise UserError if the labelled texts differ from all texts by more than a random sample does."""
    for name, values in columns.items():
        part = (weights - 1) * (values - values.mean())
        spread = math.sqrt((part**2).sum())
        p = 2 * stats.norm.sf(abs(part.sum()) / spread) if spread else 1.0
        if p * len(columns) < STRANGE:
            raise UserError(
                f"the labelled texts are no random sample: their {name} is too far from that of all texts "
                f"(p = {p:.1g}). Only labels drawn at random, with known probabilities, can correct predictions"
            )


def combine(fits: Sequence[Fit]) -> Fit:
    """Fits of several splits of cross-fitting as one: the median, and the median of se^2 + (its distance)^2."""
    if len(fits) == 1:
        return fits[0]
    points = np.array([fit.coefficients for fit in fits])
    middle = np.median(points, axis=0)
    se = np.sqrt(np.median(np.array([fit.se for fit in fits]) ** 2 + (points - middle) ** 2, axis=0))
    df, lam = np.min([fit.df for fit in fits], axis=0), float(np.median([fit.lam for fit in fits]))
    return Fit(middle, np.diag(se**2), se, df, lam, fits[0].clusters)


def answers(x, names: Sequence[str], y, weights, splits, hard, family: str, groups=None) -> list[Answer]:
    """Three answers for the prevalence and, if there are terms, for each of them.

    x, y, weights, groups  as in corrected.estimate; splits: f [N] of each split of cross-fitting; hard: [N] of 0 and 1
    """
    ones, found = np.ones((len(y), 1)), []
    simple = groups is None and len(set(weights[weights > 0])) == 1
    shares = {TRUTH: (int(hard.sum()), len(hard)), LABELS: (int(np.nansum(y)), int((weights > 0).sum()))}
    for columns, terms, form in ((ones, [""], "lm"), (x, names, family)):
        if len(terms) == 1 and terms != [""]:
            break  # an intercept alone is the prevalence again
        fits = {
            TRUTH: corrected.naive(columns, hard, form, groups),
            LABELS: corrected.estimate(columns, y, splits[0], weights, form, 0.0, groups),
            CORRECTED: combine([corrected.estimate(columns, y, f, weights, form, None, groups) for f in splits]),
        }
        for way, fit in fits.items():
            intervals = fit.intervals()
            if terms == [""]:
                exact = simple and way in shares
                intervals = [wilson(*shares[way]) if exact else np.clip(intervals[0], 0, 1)]
            lam = fit.lam if way == CORRECTED else None
            for term, point, se, (low, high) in zip(terms, fit.coefficients, fit.se, intervals):
                found.append(Answer(way, term, float(point), float(se), float(low), float(high), lam))
    return found
