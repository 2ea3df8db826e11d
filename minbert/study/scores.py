"""Precision, recall and F1 of a class, or their means over all classes; accuracy."""

from dataclasses import dataclass

import numpy as np

from minbert.errors import UserError
from minbert.wording import nearest

MEASURES = ("precision", "recall", "f1", "accuracy", "mean_recall")


@dataclass(frozen=True)
class Score:
    """F1 of one class, or with positive=None, macro F1. Called with gold and predicted classes."""

    classes: int
    positive: int | None = None

    def __call__(self, gold, predicted) -> float:
        return self.figures(gold, predicted)["f1"]

    def figures(self, gold, predicted) -> dict[str, float]:
        """{measure: its value}; where nothing is predicted as a class, its precision is 0."""
        cells = np.asarray(gold) * self.classes + np.asarray(predicted)
        matrix = np.bincount(cells, minlength=self.classes**2).reshape(self.classes, -1)  # [gold, predicted]
        right, golds, guesses = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
        found = {
            "precision": right / np.maximum(1, guesses),
            "recall": right / np.maximum(1, golds),
            "f1": 2 * right / np.maximum(1, golds + guesses),
        }
        chosen = slice(None) if self.positive is None else slice(self.positive, self.positive + 1)
        figures = {name: float(values[chosen].mean()) for name, values in found.items()}
        return figures | {"accuracy": float(right.sum() / matrix.sum()), "mean_recall": float(found["recall"].mean())}


def class_number(name: str, names) -> int:
    """The number of the class that --positive names. Raises UserError, with the nearest name, if there is none."""
    if name not in names:
        raise UserError(f"--positive {name}: the classes are {', '.join(names)}{nearest(name, names)}")
    return list(names).index(name)
