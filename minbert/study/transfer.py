"""Two labels of the same texts: what a system that learnt one of them knows of the other. The square of A and B."""

import csv
import io
from dataclasses import dataclass, replace

import numpy as np

from minbert.errors import UserError
from minbert.files.labels import plain_label
from minbert.study.data import Dataset
from minbert.study.rows import Rows
from minbert.study.scores import Score
from minbert.study.statistics import corrected_t
from minbert.study.tables import latex, markdown
from minbert.wording import nearest


@dataclass(frozen=True)
class Cell:
    """F1 over folds: mean, standard error as papers print it (SD / sqrt(folds)), the values themselves."""

    mean: float
    se: float
    values: list


@dataclass(frozen=True)
class Square:
    """What one system reaches. cells: {(learnt, tested): Cell} of the two columns"""

    system: str
    cells: dict
    gap: object  # statistics.Test: learnt and tested on B, less learnt on A and tested on B


def matched(first, second, same: list[str] | None, columns) -> tuple[dict, dict]:
    """{label of the first column: class}, {label of the second: class}, for labels that mean the same.

    same  ["negative=against", ...]; None: the labels have the same names
    Raises UserError if neither says which labels belong together.
    """
    sides = [list(dict.fromkeys(map(plain_label, side))) for side in (first, second)]
    if same:
        pairs = [entry.partition("=") for entry in same]
        if wrong := next((entry for entry, (a, _, b) in zip(same, pairs) if not a or not b), None):
            raise UserError(f"--same {wrong}: write A=B, a label of {columns[0]} and one of {columns[1]}")
        mine, theirs = ({plain_label(pair[at]): id for id, pair in enumerate(pairs)} for at in (0, 2))
        for side, names, column in ((mine, sides[0], columns[0]), (theirs, sides[1], columns[1])):
            there = f"the labels of {column} are {', '.join(sorted(names))}"
            if unknown := next((name for name in side if name not in names), None):
                raise UserError(f"--same: {column} has no label {unknown}; {there}{nearest(unknown, names)}")
            if len(side) < len(pairs) or len(pairs) < 2:
                raise UserError(f"--same: two or more pairs A=B, each label in one of them; {there}")
        return mine, theirs
    if set(sides[0]) != set(sides[1]):
        labels = [", ".join(sorted(side)) for side in sides]
        raise UserError(
            f"{columns[0]} has the labels {labels[0]}, and {columns[1]} {labels[1]}: say which mean the same, "
            "--same negative=against positive=support"
        )
    ids = {name: id for id, name in enumerate(sorted(sides[0]))}
    return ids, ids


def two_labels(data: Dataset, other: list[str], same, columns) -> tuple[Dataset, Dataset, int]:
    """A Dataset labelled by the first column and by the second one, with the same class names; texts left out.

    data   labelled by the first column; other: the second column's value for each text
    A text whose label in either column means no class of the other is left out.
    """
    if not any(other):
        raise UserError("no text has a label in both columns")
    first = [data.names[label] for label in data.labels.tolist()]
    mine, theirs = matched(first, filter(None, other), same, columns)
    pairs = [(mine.get(plain_label(a)), theirs.get(plain_label(b))) for a, b in zip(first, other)]
    kept = [at for at, pair in enumerate(pairs) if None not in pair]
    if not kept:
        raise UserError("no text has a label in both columns")
    names = tuple(mine)
    cut = replace(
        data,
        ids=[data.ids[at] for at in kept],
        texts=[data.texts[at] for at in kept],
        authors=data.authors and [data.authors[at] for at in kept],
        names=names,
    )
    both = [replace(cut, labels=np.array([pairs[at][side] for at in kept])) for side in (0, 1)]
    for made, column in zip(both, columns):
        if len(np.unique(made.labels)) < len(names):
            raise UserError(f"no text with {column} is left of each class: {', '.join(names)}")
    return *both, len(data) - len(kept)


def squares(learnt: dict[str, Rows], gold: dict[str, dict], score: Score) -> list[Square]:
    """learnt: {column: rows of the systems that learnt it}; gold: {column: {id: class}}"""
    first, second = learnt
    found = []
    for system in learnt[first].systems():
        cells = {(a, b): cell(learnt[a].of(system), gold[b], score) for a in learnt for b in learnt}
        folds = max(learnt[first].of(system).fold)
        away, home = cells[first, second].values, cells[second, second].values
        gap = corrected_t(np.subtract(home, away), 1 / (folds - 1))
        found.append(Square(system, cells, gap))
    return found


def cell(rows: Rows, gold: dict, score: Score) -> Cell:
    """The score against other labels than the rows': in each fold, over seeds, then over folds."""
    number = {name: at for at, name in enumerate(rows.names)}
    units = {}
    for text, predicted, *unit in zip(rows.text, rows.predicted, rows.repeat, rows.fold, rows.seed):
        golds, guesses = units.setdefault(tuple(unit), ([], []))
        golds.append(gold[text])
        guesses.append(number[predicted])
    folds = {}
    for (repeat, fold, _), pair in sorted(units.items()):
        folds.setdefault((repeat, fold), []).append(score(*pair))
    values = [float(np.mean(each)) for each in folds.values()]
    return Cell(float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5), values)


def warning(square: Square, columns, agreement: float, kappa: float) -> str:
    """What to say where a system that learnt the first label is no measure of the second one; "" where it may be."""
    first, second = columns
    if not square.gap.low > 0:
        return ""
    away, home = (square.cells[learnt, second].mean for learnt in columns)
    return (
        f"warning: {square.system} trained on {first} is no measure of {second} here: {away:.2f} against {home:.2f} "
        f"(difference {square.gap.estimate:.2f} [{square.gap.low:.2f}, {square.gap.high:.2f}]); the labels agree in "
        f"{agreement:.0%} of the texts (kappa {kappa:.2f}). Do not use its predictions as {second}; train on {second}"
    )


def printed(found: list[Square], columns) -> tuple[list, list]:
    """Header and rows for people: a line for each system and what it learnt."""
    rows = [
        [
            f"{square.system} ({learnt})",
            *(f"{c.mean:.3f} ({c.se:.3f})" for c in (square.cells[learnt, t] for t in columns)),
        ]
        for learnt in columns
        for square in found
    ]
    return ["trained on", *(f"F1 on {column}" for column in columns)], rows


def note(sides, divided, digest: str, positive: str | None) -> str:
    """What stands under the table."""
    folds, of = divided.count * divided.repeats, f"of class {positive}" if positive else "a macro mean"
    wider = (1 + folds / (divided.count - 1)) ** 0.5
    return (
        f"Mean (SE) of F1, {of}, over {folds} folds of {divided.repeats} x {divided.count}-fold cross-validation of "
        f"{len(sides[0]):,} texts. SE = SD / sqrt(folds), as papers print it; training parts overlap, and the "
        f"corrected interval (Nadeau and Bengio 2003) that the warnings use is {wider:.2f} times as wide. "
        f"Folds: SHA-256 {digest}."
    )


def texts(found: list[Square], columns, said: str) -> dict[str, str]:
    """The table as files: {"csv", "md", "tex": what they hold}"""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "trained_on", "tested_on", "f1", "f1_se", "folds"])
    for square in found:
        for (learnt, tested), c in square.cells.items():
            writer.writerow([square.system, learnt, tested, f"{c.mean:.9g}", f"{c.se:.9g}", len(c.values)])
    header, rows = printed(found, columns)
    return {
        "csv": text.getvalue(),
        "md": markdown(header, rows, [said]),
        "tex": latex(header, rows, [said], "F1 of classifiers trained on one label and tested on both", "tab:transfer"),
    }
