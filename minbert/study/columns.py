"""Tables of any columns: what minbert predict wrote, labels, features of texts, errors of a curve. N texts, M rows."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minbert.errors import UserError
from minbert.files import objects, table
from minbert.files.lines import PARQUET, decode, load
from minbert.wording import nearest


@dataclass(frozen=True)
class Columns:
    """A file as its columns. cells: {column: [M] strings}; lines: [M], where the rows begin"""

    path: str | Path
    cells: dict[str, list[str]]
    lines: list[int]

    def __len__(self):
        return len(self.lines)

    def find(self, name: str | None) -> str | None:
        """The column of this name as it is written there, or None."""
        same = [each for each in self.cells if name and each.lower() == name.strip().lower()]
        return name if name in same else same[0] if same else None

    def __getitem__(self, name: str) -> list[str]:
        """The cells of a column. Raises UserError, with the columns that there are, if there is none of that name."""
        if (found := self.find(name)) is None:
            there = f"the columns are {', '.join(map(repr, self.cells))}{nearest(name, self.cells)}"
            raise UserError(f"{self.path}: no column {name}; {there}")
        return self.cells[found]

    def numbers(self, name: str) -> np.ndarray:
        """Cells as finite numbers [M]. Raises UserError, naming the first that is none."""
        found = np.full(len(self), np.nan)
        for at, cell in enumerate(self[name]):
            with suppress(ValueError):
                found[at] = float(cell)
            if not np.isfinite(found[at]):
                raise UserError(f"{self.path}:{self.lines[at]}: {name} is {cell!r}, not a number")
        return found


def read_columns(path, needed: Sequence[str] = (), encoding: str | None = None) -> Columns:
    """Of a table, JSON or Parquet. Raises UserError for a bad row, no row at all, or a needed column that is absent.

    encoding  of a file that is not UTF-8
    """
    data = load(path)
    header, rows = parquet(path) if data.startswith(PARQUET) else of_text(path, *decode(as_utf8(path, data, encoding)))
    lines, records = [], []
    for line, cells, problem in rows:
        if problem:
            raise UserError(f"{path}:{line}: {problem}")
        lines.append(line)
        records.append([cell.strip() for cell in cells])
    if len(set(header)) < len(header):
        twice = next(name for at, name in enumerate(header) if name in header[:at])
        raise UserError(f"{path}: two columns are called {twice}")
    if not lines or not {*needed} <= {*header}:
        raise UserError(f"{path}: needs the columns {', '.join(needed)}, and rows; it has {', '.join(header)}")
    return Columns(path, dict(zip(header, map(list, zip(*records)))), lines)


def as_utf8(path, data: bytes, encoding: str | None) -> bytes:
    """The bytes of a file, which may be of another encoding than the data: programs save tables in their own."""
    try:
        data.decode()
    except UnicodeDecodeError:
        if not encoding:
            raise UserError(f"{path}: is not UTF-8: save it again as UTF-8 (in Excel, as CSV UTF-8)") from None
        data = load(path, encoding)
    return data


def parquet(path):
    """The names of the columns, and (number, cells, problem) of each row. So does `of_text`."""
    names, rows, _ = objects.parquet(path)
    return names, of_fields(names, rows(names))


def of_text(path, lines: list[str], bad: dict[int, str]):
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: the file is empty")
    first = next(line for line in lines if line.strip()).lstrip()
    if first.startswith(("{", "[")):
        array = first.startswith("[")
        pairs = ((line, bad.get(number)) for number, line in enumerate(lines, start=1))
        names, rows = objects.field_names(
            path, objects.json_array(path, "\n".join(lines)) if array else objects.json_lines(pairs)
        )
        return names, of_fields(names, rows)
    delimiter = table.sep_line(lines) or table.delimiter_of(first)
    (number, _, header, reason), *rows = table.records(lines, bad, delimiter)
    if reason:
        raise UserError(f"{path}:{number}: the header cannot be read: {reason}")
    header = [cell.strip() for cell in header]
    return header, ((line, cells, why or table.row_problem(line, n, cells, header)) for line, n, cells, why in rows)


def of_fields(names, rows):
    for line, fields, problem in rows:
        yield line, [] if problem else [objects.label_field(fields, name) for name in names], problem


def classes(columns: Columns) -> list[str]:
    """The classes that predictions have probabilities of. Raises UserError if they are not two or more."""
    names = [name.removeprefix("p_") for name in columns.cells if name.startswith("p_")]
    if len(names) < 2:
        raise UserError(f"{columns.path}: needs the columns predicted and a probability of each class")
    return names


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
    columns = read_columns(path, ["n", "fold", "error"])
    found = {}
    for n, fold, error in zip(columns.numbers("n").tolist(), columns["fold"], columns.numbers("error").tolist()):
        if found.setdefault((n, fold), error) is not error:
            raise UserError(f"{path}: fold {fold} is there twice with {n:g} labels")
    ordered, folds = sorted({n for n, _ in found}), list(dict.fromkeys(columns["fold"]))
    for n in ordered:
        for fold in folds:
            if (n, fold) not in found:
                raise UserError(f"{path}: fold {fold} has no error with {n:g} labels")
    return np.array(ordered), np.array([[found[n, fold] for n in ordered] for fold in folds])
