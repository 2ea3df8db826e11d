"""The note under a table: what was divided, repeated, tuned and tested, so that nobody has to guess."""

import numpy as np

from minbert.study.crossval import INNER, Study
from minbert.study.folds import digest
from minbert.study.systems import choices
from minbert.study.tables import Table
from minbert.wording import counted

FEW_GROUPS = 30


def note(study: Study, table: Table) -> list[str]:
    """Sentences for Table.note."""
    folds, names = study.folds, study.data.names
    of = "macro means over the classes" if study.score.positive is None else f"of class {names[study.score.positive]}"
    total = folds.count * folds.repeats
    groups = len(np.unique(folds.groups))
    said = [
        f"Mean (SD) over {total} folds of {folds.repeats} x {folds.count}-fold cross-validation of {len(study.data):,} "
        f"texts in {groups:,} groups; precision, recall and F1 {of}.",
        *seeds(study),
        *tuning(study),
        f"Intervals: corrected resampled t (Nadeau and Bengio 2003), {total - 1} degrees of freedom.",
    ]
    if len(table.lines) > 1:
        pairs = counted(len(table.lines) - 1, "pair")
        said.append(f"p: the same test against the system with the best F1, adjusted by Holm (1979) for {pairs}.")
    for line in table.lines:
        if line.variance:
            between, within = line.variance
            said.append(f"Variance of F1, {line.system}: folds {between:.0%}, seeds {within:.0%}.")
    if groups < FEW_GROUPS:
        said.append(f"There are only {groups} groups: the intervals rest on few independent observations.")
    if study.facts.get("permute"):
        said.append("The labels were shuffled: this checks the study, and says nothing about the texts.")
    said.append(f"Folds: SHA-256 {digest(study.data.ids, folds)}. No system has seen the labels of a test part.")
    return said


def seeds(study: Study):
    drawn = [name for name, system in study.systems.items() if system.random]
    if drawn:
        means = "averaged within a fold before the SD" if study.seeds > 1 else "one run of each fold"
        yield f"{counted(study.seeds, 'seed')} of {', '.join(drawn)}, {means}."


def tuning(study: Study):
    """Who was tuned, and how; who was not."""
    tried = {name: len(choices(system, study.tries, 0)) for name, system in study.systems.items()}
    tuned = [f"{name} ({count})" for name, count in tried.items() if count > 1]
    if tuned:
        yield f"Settings tried on {INNER} inner folds of each training part: {', '.join(tuned)}."
    lexicons = [name for name, system in study.systems.items() if not system.space]
    fixed = [name for name, count in tried.items() if count < 2 and name not in lexicons]
    if fixed:
        yield f"Defaults, not tuned: {', '.join(fixed)}."
    if lexicons:
        given = all(study.systems[name].given for name in lexicons)
        cuts = "cut-points given" if given else "cut-points chosen on each training part"
        yield f"Word lists, {cuts}: {', '.join(lexicons)}."
