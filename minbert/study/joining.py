"""What `infer`, `label` and `calibrate` read: texts, predictions and labels that people gave. N texts, p columns.

The texts stand in the data, with the columns of the model; a file of predictions has a row for each, as minbert predict
writes it; a file of labels has the rows that were drawn at random and labelled by people.
"""

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from minbert.errors import UserError
from minbert.files import stream, table
from minbert.files.lines import decode, load
from minbert.study.rows import Rows, read_rows

SIMPLE = "simple"  # how labels were drawn: each text with the same probability
LEVELS = 20  # of a column that holds words


def parse_model(model: str) -> tuple[str, list[str]]:
    """'support ~ ideology + party' -> ('support', ['ideology', 'party']); '~ 1' has no terms."""
    outcome, tilde, right = model.partition("~")
    terms = [term.strip() for term in right.split("+")]
    if not tilde or not outcome.strip() or not all(terms) or len(set(terms)) < len(terms):
        raise UserError(f"{model!r} in --model is not of the form: CLASS ~ COLUMN + COLUMN, or CLASS ~ 1")
    return outcome.strip(), [term for term in terms if term != "1"]


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


def design(columns: dict[str, Sequence[str]], rows: int) -> tuple[list[str], np.ndarray]:
    """Names and values [N, p] of the terms, after a column of ones. A column of words becomes a column of 0 and 1 for
    each of them but the first in the alphabet."""
    names, found = ["intercept"], []
    for term, cells in columns.items():
        for at, cell in enumerate(cells, start=1):
            if not cell:
                raise UserError(f"{term} is empty in row {at}: leave such rows out of all files, or fill it")
        try:
            values = np.array([float(cell) for cell in cells])
        except ValueError:
            levels = sorted(set(cells))
            if len(levels) > LEVELS:
                raise UserError(f"{term} has {len(levels)} different words; up to {LEVELS} can be groups") from None
            names += [f"{term}[{level}]" for level in levels[1:]]
            found += [np.array([cell == level for cell in cells], float) for level in levels[1:]]
            continue
        if not np.isfinite(values).all():
            raise UserError(f"{term} has a value that is no finite number")
        names, found = [*names, term], [*found, values]
    return names, np.column_stack([np.ones(rows), *found])


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


def read_table(path, needed: Sequence[str]) -> dict[str, list[str]]:
    """{column: its cells} of a table of numbers. Raises UserError if a needed column is not there."""
    path = Path(path)
    lines, bad = decode(load(path))
    for number, reason in bad.items():
        raise UserError(f"{path}:{number}: {reason}")
    delimiter = table.delimiter_of(next((line for line in lines if line.strip()), ""))
    header, *rows = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter)
    header = [name.strip() for name in header]
    missing = [name for name in needed if name not in header]
    if missing or not rows:
        raise UserError(f"{path}: needs the columns {', '.join(needed)}, and rows; it has {', '.join(header)}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UserError(f"{path}: row {number} has {len(row)} cells, not {len(header)}")
    return {name: [cell.strip() for cell in cells] for name, cells in zip(header, zip(*rows))}


def numbers_of(path, name: str, cells: Sequence[str]) -> np.ndarray:
    """Cells as finite numbers. Raises UserError, naming the first that is none."""
    found = np.full(len(cells), np.nan)
    for at, cell in enumerate(cells):
        with suppress(ValueError):
            found[at] = float(cell)
        if not np.isfinite(found[at]):
            raise UserError(f"{path}: {name} in row {at + 1} is {cell!r}, not a number")
    return found


def read_classes(path) -> tuple[list[str], list[str], np.ndarray]:
    """What minbert predict wrote: names of classes, the predicted ones [N], and probabilities [N, C]."""
    columns = read_table(path, ["row", "predicted"])
    if columns["row"] != [str(at) for at in range(1, len(columns["row"]) + 1)]:
        raise UserError(f"{path}: row does not count from 1 to {len(columns['row']):,}: a text has no prediction")
    names = [name.removeprefix("p_") for name in columns if name.startswith("p_")]
    if len(names) < 2:
        raise UserError(f"{path}: needs the columns row, predicted and a probability of each class")
    return (
        names,
        columns["predicted"],
        np.column_stack([numbers_of(path, f"p_{name}", columns[f"p_{name}"]) for name in names]),
    )


def read_features(path, rows: int) -> np.ndarray:
    """[N, D] of a file of numpy. Raises UserError if it holds something else, or another number of rows."""
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no array of numbers can be read ({error})") from None
    if features.ndim != 2 or len(features) != rows or not np.isfinite(features).all():
        raise UserError(f"{path}: needs a row of finite numbers for each of {rows:,} texts; it is {features.shape}")
    return features


def read_curve(path) -> tuple[np.ndarray, np.ndarray]:
    """(n [S], errors [J, S]) of a table with the columns n, fold, error: each fold once for each n."""
    columns = read_table(path, ["n", "fold", "error"])
    sizes, errors = (numbers_of(path, name, columns[name]) for name in ("n", "error"))
    found = {}
    for n, fold, error in zip(sizes.tolist(), columns["fold"], errors.tolist()):
        if found.setdefault((n, fold), error) is not error:
            raise UserError(f"{path}: fold {fold} is there twice with {n:g} labels")
    ordered, folds = sorted({n for n, _ in found}), list(dict.fromkeys(columns["fold"]))
    for n in ordered:
        for fold in folds:
            if (n, fold) not in found:
                raise UserError(f"{path}: fold {fold} has no error with {n:g} labels")
    return np.array(ordered), np.array([[found[n, fold] for n in ordered] for fold in folds])


def known(rows: Rows, path) -> np.ndarray:
    """The gold classes as numbers [N]. Raises UserError for rows without one."""
    if "" in rows.gold:
        raise UserError(f"{path}: row {rows.gold.index('') + 1} of {rows.system[0]} has no gold label")
    return np.array([rows.names.index(name) for name in rows.gold])


def read_out_of_fold(path, system: str | None) -> tuple[list[str], tuple, np.ndarray, np.ndarray]:
    """(ids of texts, names of classes, gold [N], probabilities [N, C]) of a system: the mean over repeats and seeds."""
    rows = read_rows(path)
    if system is None and len(rows.systems()) != 1:
        raise UserError(f"{path}: has several systems: name one with --system: {', '.join(rows.systems())}")
    rows = rows.of(system or rows.systems()[0])
    gold = known(rows, path)
    texts = list(dict.fromkeys(rows.text))
    place = {text: at for at, text in enumerate(texts)}
    of = np.array([place[text] for text in rows.text])
    sums, labels = np.zeros((len(texts), len(rows.names))), np.zeros(len(texts), int)
    np.add.at(sums, of, rows.probabilities)
    labels[of] = gold
    return texts, rows.names, labels, sums / np.bincount(of)[:, None]
