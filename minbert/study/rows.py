"""rows.csv.gz: each prediction for a text that its system had not seen. Read and written here alone.

    system,text,repeat,fold,seed,gold,predicted,p_against,p_support
    svm+tfidf,17,1,3,1,against,against,0.71,0.29

text is the id of a row of the data. repeat, fold and seed count from 1. The columns p_NAME, in the order of the labels,
are the probabilities; numbers have nine digits.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minbert.atomic import atomic_write
from minbert.errors import UserError

COLUMNS = ("system", "text", "repeat", "fold", "seed", "gold", "predicted")
PREFIX = "p_"


@dataclass
class Rows:
    """Predictions, one a row: lists and arrays of N rows, C classes."""

    names: tuple  # of the classes, in the order of the columns of `probabilities`
    system: list = field(default_factory=list)
    text: list = field(default_factory=list)  # ids, strings
    repeat: list = field(default_factory=list)  # repeat, fold and seed: whole numbers from 1
    fold: list = field(default_factory=list)
    seed: list = field(default_factory=list)
    gold: list = field(default_factory=list)  # names of classes; "" where it is not known
    predicted: list = field(default_factory=list)
    probabilities: np.ndarray = None  # [N, C]

    def __len__(self):
        return len(self.text)

    def select(self, wanted: Iterable[int]) -> "Rows":
        """Only these rows, by their numbers from 0."""
        wanted = list(wanted)
        kept = {name: [getattr(self, name)[at] for at in wanted] for name in COLUMNS}
        return Rows(self.names, **kept, probabilities=self.probabilities[wanted])

    def of(self, system: str) -> "Rows":
        """The rows of one system. Raises UserError, with those that there are, if there are none."""
        found = self.select(at for at, name in enumerate(self.system) if name == system)
        if not len(found):
            raise UserError(f"there are no rows of {system}; there are: {', '.join(self.systems())}")
        return found

    def systems(self) -> list[str]:
        """The names of the systems, in the order of the file."""
        return list(dict.fromkeys(self.system))

    def lines(self) -> Iterator[tuple]:
        """The rows of the file, without its header."""
        columns = (getattr(self, name) for name in COLUMNS)
        for *cells, probabilities in zip(*columns, self.probabilities.tolist()):
            yield *cells, *(f"{value:.9g}" for value in probabilities)


def write_rows(path: str | Path, rows: Rows) -> None:
    """The same rows give the same bytes: the packed file holds no time and no name."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(PREFIX + name for name in rows.names)])
    writer.writerows(rows.lines())
    with atomic_write(path) as new, open(new, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.getvalue().encode("utf-8"))


def read_rows(path: str | Path) -> Rows:
    """What `write_rows` wrote, or the same as plain CSV.

    Raises UserError for a file that is absent, damaged or holds something else.
    """
    try:
        data = Path(path).read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise UserError(f"{path}: no rows can be read ({getattr(error, 'strerror', None) or error})") from None
    width = len(COLUMNS)
    if tuple(header[:width]) != COLUMNS or not all(name.startswith(PREFIX) for name in header[width:]):
        raise UserError(f"{path}: holds no predictions of minbert study: the columns are not {','.join(COLUMNS)},p_...")
    rows, found = Rows(tuple(name.removeprefix(PREFIX) for name in header[width:])), []
    for number, cells in enumerate(lines, start=2):
        try:
            system, text, repeat, fold, seed, gold, predicted = cells[:width]
            for name, value in zip(COLUMNS, (system, text, int(repeat), int(fold), int(seed), gold, predicted)):
                getattr(rows, name).append(value)
            found.append([float(cell) for cell in cells[width:]])
            known = predicted in rows.names and gold in (*rows.names, "")
            if not known or len(cells) != len(header) or not np.isfinite(found[-1]).all():
                raise ValueError
        except ValueError:
            raise UserError(f"{path}: row {number} is no prediction") from None
    rows.probabilities = np.array(found).reshape(len(found), len(rows.names))
    return rows


def join(parts: Iterable[Rows]) -> Rows:
    """Several Rows of the same classes as one, in their order."""
    parts = list(parts)
    columns = {name: [value for part in parts for value in getattr(part, name)] for name in COLUMNS}
    return Rows(parts[0].names, **columns, probabilities=np.concatenate([part.probabilities for part in parts]))


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
