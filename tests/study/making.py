"""Studies made by hand, without a command."""

import numpy as np

from minbert.study import folds, systems
from minbert.study.crossval import Study
from minbert.study.data import Dataset
from minbert.study.duplicates import groups
from minbert.study.scores import Score

KIT = systems.Kit(classes=2, trees=5)


def dataset(rows, names=("against", "support")):
    """A Dataset of rows (text, label, author)."""
    texts, labels, *_ = zip(*rows)
    ids = [str(number) for number in range(2, len(rows) + 2)]
    return Dataset("made.csv", "0" * 64, ids, list(texts), np.array(list(map(names.index, labels))), names, None)


def make_study(folder, data, chosen, count=3, repeats=1, grouped=True, **more):
    """A Study of `chosen`, {name: system} or names of systems."""
    made = groups(data.texts) if grouped else np.arange(len(data))
    divided = folds.make_folds(data.labels, made, count, repeats, 1)
    if not isinstance(chosen, dict):
        chosen = {name: systems.make(name, KIT) for name in chosen}
    return Study(folder, data, divided, chosen, Score(len(data.names)), **more)


def rows_of(study):
    """All predictions of a study."""
    return study.collect(list(study.run(study.units())))


def accuracy(rows):
    return float(np.mean([gold == predicted for gold, predicted in zip(rows.gold, rows.predicted)]))
