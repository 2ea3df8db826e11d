"""A file of predictions, as training writes it (dev_predictions.csv) -> its rows; which are wrong, and which unsure."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from minbert.errors import UserError
from minbert.files.table import MAX_FIELD

UNSURE = 0.6  # of two classes, a prediction with a lower probability
MARGIN = 0.2  # of more classes, one whose probability is less than so much above the next
RUN = ("test_predictions.csv", "dev_predictions.csv")  # where a run's predictions lie, the first one that is there


class Row(NamedTuple):
    """A text, or a pair of them, with its label, "" if nobody knows it, and what a model said."""

    number: int  # in the file, from 1
    text: str
    pair: str
    gold: str
    predicted: str
    p: tuple[float, ...]  # of each class, in the order of Predictions.names

    @property
    def right(self) -> bool:
        return self.gold == self.predicted

    @property
    def sureness(self) -> float:
        return max(self.p)

    @property
    def unsure(self) -> bool:
        """Below UNSURE, or with more than two classes below MARGIN"""
        first, second = sorted(self.p, reverse=True)[:2]
        return first < UNSURE if len(self.p) == 2 else first - second < MARGIN


@dataclass(frozen=True)
class Predictions:
    path: Path
    names: tuple[str, ...]  # of the classes
    rows: list[Row]

    @property
    def labelled(self) -> list[Row]:
        return [row for row in self.rows if row.gold]


def read_predictions(path: str | Path) -> Predictions:
    """The predictions in a file, or in a run's folder: those of the test part, or else of dev.

    Raises UserError if there are none, or if the file is no table of classes as training writes it.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in RUN if (path / name).is_file()]
        if not found:
            raise UserError(f"{path} holds no {' and no '.join(RUN)}: name the folder of a run with --dev or --test")
        path = found[0]
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream, strict=True))
    except FileNotFoundError:
        raise UserError(f"there is no file or folder {path}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as predictions: {error}") from None
    finally:
        csv.field_size_limit(limit)  # it is the whole process's
    header = rows[0] if rows else []
    texts = 2 if header[1:2] == ["pair"] else 1
    names = tuple(cell.removeprefix("p_") for cell in header[texts + 2 :])
    wanted = [*["text", "pair"][:texts], "gold", "predicted", *(f"p_{name}" for name in names)]
    if header != wanted or len(names) < 2:
        columns = ", ".join(header)[:80] or "no header"
        raise UserError(
            f"{path}: columns text, gold, predicted, p_... of two classes or more are needed, not {columns}"
        )
    found = [read_row(path, number, row, texts, names) for number, row in enumerate(rows[1:], 1)]
    if not found:
        raise UserError(f"{path} holds no row")
    return Predictions(path, names, found)


def read_row(path: Path, number: int, cells: Sequence[str], texts: int, names: tuple) -> Row:
    """Cells of the table -> Row. Raises UserError with the row's number."""
    if len(cells) != texts + 2 + len(names):
        raise UserError(f"{path}: row {number} has {len(cells)} cells, the header {texts + 2 + len(names)}")
    gold, predicted = cells[texts : texts + 2]
    for label in {gold, predicted} - {""} - {*names}:
        raise UserError(f"{path}: row {number} has the label {label!r:.40}, but there is no column p_{label:.40}")
    try:
        p = tuple(map(float, cells[texts + 2 :]))
    except ValueError:
        p = (-1.0,)
    if not all(0 <= each <= 1 for each in p) or abs(sum(p) - 1) > 1e-3:
        raise UserError(f"{path}: the probabilities of row {number} are no numbers from 0 to 1 that sum to 1")
    return Row(number, cells[0], cells[1] if texts == 2 else "", gold, predicted, p)


def paired(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions, str]:
    """Both with the same texts in the same order, and how that was reached, "" where they were so.

    Files in another order, or with other rows besides, are joined by their texts. Raises UserError for other classes,
    other labels, and texts that cannot be told apart.
    """
    if first.names != second.names:
        raise UserError(
            f"{first.path} has the classes {', '.join(first.names)}, but {second.path} has {', '.join(second.names)}"
        )
    said, sides = "", [first.rows, second.rows]
    if [row[1:3] for row in first.rows] != [row[1:3] for row in second.rows]:
        own, other = by_text(first), by_text(second)
        shared = [key for key in own if key in other]
        if not shared:
            raise UserError(f"{first.path} and {second.path} have no text in common")
        sides = [[own[key] for key in shared], [other[key] for key in shared]]
        said = f"joined by text: {len(shared):,} of {len(own):,} rows, and of {len(other):,}"
    for one, two in zip(*sides):
        if one.gold != two.gold:
            labels = f"{one.gold or 'none'!r} in row {one.number}, and {two.gold or 'none'!r} in row {two.number}"
            raise UserError(f"{first.path} and {second.path} have another label of the same text: {labels}")
    return replace(first, rows=sides[0]), replace(second, rows=sides[1]), said


def by_text(predictions: Predictions) -> dict[tuple, Row]:
    """{(text, pair): its row}. Raises UserError for two rows of the same text."""
    found = {}
    for row in predictions.rows:
        if (other := found.setdefault(row[1:3], row)) is not row:
            both = f"rows {other.number} and {row.number} of {predictions.path} have the same text"
            raise UserError(f"{both}, and the other file has its rows in another order: nobody can tell them apart")
    return found
