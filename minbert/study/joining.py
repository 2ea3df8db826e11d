"""What `infer` reads: texts, predictions and labels that people gave. N texts.

The texts stand in the data, with the columns of the model; a file of predictions has a row for each, as minbert predict
writes it; a file of labels has the rows that were drawn at random and labelled by people.
"""

import csv
import re
from collections.abc import Sequence

import numpy as np

from minbert.errors import UserError
from minbert.files import stream

SIMPLE = "simple"  # how labels were drawn: each text with the same probability


def read_data(path, terms: Sequence[str], group: str | None, **how):
    """(texts, {term: its values}, groups or None) of all rows. how: as in stream.read_rows. Raises UserError."""
    wanted = {f"model_{at}": term for at, term in enumerate(terms, start=1)}
    extra = {"group": group} if group and group not in terms else {}
    try:
        _, rows = stream.read_rows(path, beside=wanted | extra, **how)
    except UserError as error:
        raise UserError(re.sub(r"--model_\d+_column", "--model", str(error))) from None
    texts, cells = [], []
    for row in rows:
        if row.problem:
            raise UserError(f"{path}:{row.line}: {row.problem}")
        texts.append(row.text)
        cells.append(row.beside)
    columns = dict(zip([*terms, *extra.values()], zip(*cells)))
    return texts, {term: columns[term] for term in terms}, columns[group] if group else None


def read_predictions(path, outcome: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(probability of the class [N], whether it is the predicted one [N]) in the order of the data."""
    beside = {"predicted": "predicted", "class": f"p_{outcome}"}
    probability, hard = np.full(rows, np.nan), np.zeros(rows)
    for number, (predicted, p) in numbered(path, rows, beside).items():
        try:
            probability[number - 1] = float(p)
        except ValueError:
            raise UserError(f"{path}: the probability of {outcome} in row {number} is {p!r}") from None
        hard[number - 1] = predicted == outcome
    if np.isnan(probability).any():
        raise UserError(f"{path}: row {int(np.isnan(probability).argmax()) + 1} of the data has no prediction")
    if probability.min() < 0 or probability.max() > 1:
        raise UserError(f"{path}: the column p_{outcome} holds no probabilities")
    return probability, hard


def classes_of(path) -> list[str]:
    """The classes that a file of predictions has probabilities of."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    return [name.removeprefix("p_") for name in header if name.startswith("p_")]


def read_labels(
    path, outcome: str, rows: int, drawn: str, classes: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """(whether the label is the class, NaN without a label [N]; W, 1 / the probability of being drawn, or 0 [N]).

    drawn  SIMPLE, or the column with each label's probability; where that is empty, the text was not drawn at random,
           and its label is not used
    classes  what a label may be; (): anything
    """
    beside = {"label": "label"} | ({} if drawn == SIMPLE else {"drawn": drawn})
    y, weights, seen = np.full(rows, np.nan), np.zeros(rows), set()
    for number, (label, *chance) in numbered(path, rows, beside).items():
        if chance == [""]:
            continue
        if not label:
            raise UserError(f"{path}: row {number} was drawn but has no label: a random sample with holes is none")
        if classes and label not in classes:
            raise UserError(f"{path}: row {number} is labelled {label!r}, but the classes are {', '.join(classes)}")
        try:
            pi = float(chance[0]) if chance else 1.0
        except ValueError:
            pi = 0.0
        if not 0 < pi <= 1:
            raise UserError(f"{path}: {chance[0]!r} is no probability of being drawn (row {number})")
        y[number - 1], weights[number - 1] = label == outcome, 1 / pi
        seen.add(label)
    if not seen:
        raise UserError(f"{path}: no label of a text that was drawn at random")
    if outcome not in seen:
        raise UserError(f"{path}: no text is labelled {outcome}; the labels are {', '.join(sorted(seen))}")
    if drawn == SIMPLE:
        weights *= rows / (weights > 0).sum()
    return y, weights


def numbered(path, rows: int, beside: dict) -> dict[int, tuple]:
    """{row of the data: cells} of a table with the column row. Raises UserError for rows that the data do not have."""
    found = {}
    try:
        _, lines = stream.read_rows(path, text_column="row", beside=beside)
    except UserError as error:
        raise UserError(re.sub(r"\. Name it with --\w+$", "", str(error))) from None
    for row in lines:
        if row.problem:
            raise UserError(f"{path}:{row.line}: {row.problem}")
        if not row.text.isascii() or not row.text.isdigit() or not 1 <= int(row.text) <= rows:
            raise UserError(f"{path}:{row.line}: the data have no row {row.text}; their rows count from 1 to {rows:,}")
        if int(row.text) in found:
            raise UserError(f"{path}:{row.line}: row {row.text} is there twice")
        found[int(row.text)] = row.beside
    return found
