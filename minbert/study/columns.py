"""Tables of numbers: what minbert predict wrote, features of texts, errors of a learning curve. N texts, C classes."""

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from minbert.errors import UserError
from minbert.files import table
from minbert.files.lines import decode, load


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
