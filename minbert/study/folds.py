"""folds.csv: which text is in which test part. Made once, read by every system, by R and by people.

    id,group,repeat,fold
    17,4,1,3

In repeat 1, text 17 is in the test part of fold 3 and in the training parts of the others. A group is never divided.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minbert.atomic import atomic_write
from minbert.errors import UserError

COLUMNS = ["id", "group", "repeat", "fold"]


@dataclass(frozen=True)
class Folds:
    """The test part of each of N texts in each of R repeats."""

    groups: np.ndarray  # [N]
    parts: np.ndarray  # [R, N], folds from 1

    @property
    def repeats(self) -> int:
        return len(self.parts)

    @property
    def count(self) -> int:
        """The number of folds in a repeat."""
        return int(self.parts.max())

    def splits(self) -> Iterator[tuple]:
        """(repeat, fold, rows to train on, rows to test on), repeat after repeat; repeats and folds from 1."""
        for repeat, part in enumerate(self.parts, start=1):
            for fold in range(1, self.count + 1):
                yield repeat, fold, np.flatnonzero(part != fold), np.flatnonzero(part == fold)


def seed_of(seed: int, *names) -> int:
    """A seed for the thing of these names, below 2^32: it depends neither on an order nor on what else is run."""
    digest = hashlib.sha256("\0".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def divide(labels, groups, folds: int, seed: int) -> np.ndarray:
    """The fold of each text, from 1: [N]. Groups stay whole, and classes are as equal in all folds as these allow.

    Raises UserError if there are fewer groups than folds, of all texts or of a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels, groups = np.asarray(labels), np.asarray(groups)
    for label in np.unique(labels):
        there = len(np.unique(groups[labels == label]))
        if there < folds:
            texts = f"{(labels == label).sum()} texts in {there} groups"
            raise UserError(f"{folds} folds need as many groups of each class; one class has {texts}")
    alone = len(np.unique(groups)) == len(groups)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    found = np.zeros(len(labels), dtype=np.int64)
    splits = kind(folds, shuffle=True, random_state=seed).split(labels, labels, None if alone else groups)
    for fold, (_, test) in enumerate(splits, start=1):
        found[test] = fold
    return found


def make_folds(labels, groups, folds: int, repeats: int, seed: int) -> Folds:
    """Folds of these texts. Raises UserError as `divide` does, and if a test part lacks a class."""
    parts = [divide(labels, groups, folds, seed_of(seed, "folds", repeat)) for repeat in range(1, repeats + 1)]
    made = Folds(np.asarray(groups), np.array(parts))
    check_classes(made, labels)
    return made


def check_classes(folds: Folds, labels) -> None:
    """Raise UserError if a test part lacks a class: it cannot be scored there."""
    classes = np.unique(labels)
    for repeat, fold, _, test in folds.splits():
        if len(np.unique(np.asarray(labels)[test])) < len(classes):
            raise UserError(
                f"the test part of repeat {repeat}, fold {fold} lacks a class: take fewer folds, or smaller groups"
            )


def divided(folds: Folds, groups) -> int:
    """How many of these groups have texts in two folds of one repeat."""
    return max(len({*zip(groups, part)}) - len({*groups}) for part in folds.parts.tolist())


def inner_part(labels, groups, share: int, seed: int) -> np.ndarray:
    """Which of the texts of a training part are held out to choose by: bool [N], one of `share`, groups whole.

    With fewer groups of a class than that, a larger part is held out. Raises UserError if a class has one group only.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    rarest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    return divide(labels, groups, max(2, min(share, rarest)), seed) == 1


def write_folds(path: str | Path, ids: list[str], folds: Folds) -> None:
    with atomic_write(path) as new:
        new.write_bytes(as_text(ids, folds).encode("utf-8"))


def as_text(ids: list[str], folds: Folds) -> str:
    """What the file holds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for repeat, part in enumerate(folds.parts.tolist(), start=1):
        writer.writerows(zip(ids, folds.groups.tolist(), [repeat] * len(ids), part))
    return text.getvalue()


def digest(ids: list[str], folds: Folds) -> str:
    """The first eight digits of the file's SHA-256."""
    return hashlib.sha256(as_text(ids, folds).encode("utf-8")).hexdigest()[:8]


def read_folds(path: str | Path, ids: list[str], labels) -> Folds:
    """What `write_folds` wrote, or another program, for the texts with these ids.

    Raises UserError for a file that is no such table, is not of these texts, or divides a group.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file, strict=True)
        if header != COLUMNS:
            raise UserError(f"{path}: the columns are {','.join(header)}, but must be {','.join(COLUMNS)}")
        cells = {(int(repeat), id): (group, int(fold)) for id, group, repeat, fold in lines}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, csv.Error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: holds no folds: {error}") from None
    repeats = sorted({repeat for repeat, _ in cells})
    if len(cells) < len(lines) or cells.keys() != {(repeat, id) for repeat in repeats for id in ids}:
        raise UserError(f"{path}: its ids are not those of the data, once in each repeat: make the folds again")
    names = list(dict.fromkeys(cells[repeats[0], id][0] for id in ids))
    numbers = {name: number for number, name in enumerate(names)}
    groups = np.array([[numbers.get(cells[repeat, id][0], -1) for id in ids] for repeat in repeats])
    parts = np.array([[cells[repeat, id][1] for id in ids] for repeat in repeats])
    if repeats != list(range(1, len(repeats) + 1)) or (groups != groups[0]).any() or parts.min() < 1:
        raise UserError(f"{path}: repeats and folds count from 1, and a text has the same group in all repeats")
    found = Folds(groups[0], parts)
    for repeat, part in enumerate(parts, start=1):
        if len(np.unique(part)) != found.count or found.count < 2:
            raise UserError(f"{path}: repeat {repeat} does not have the folds 1 to {max(2, found.count)}")
        if divided(Folds(groups[0], parts[repeat - 1 : repeat]), groups[0].tolist()):
            raise UserError(f"{path}: repeat {repeat} divides a group between two folds")
    check_classes(found, labels)
    return found
