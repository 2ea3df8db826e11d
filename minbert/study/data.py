"""A file of labelled texts -> the data of a study. Read as every command reads files, and refused as there."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from minbert.errors import UserError
from minbert.files.checks import refuse_bad_rows
from minbert.files.examples import Examples, read_examples
from minbert.files.labels import LabelSet, plain_label
from minbert.runs import slices
from minbert.wording import nearest


@dataclass(frozen=True)
class Dataset:
    """N labelled texts."""

    path: str
    sha256: str  # of the file
    ids: list  # strings, no two alike: the lines where the rows begin
    texts: list  # N strings, or N pairs of strings
    labels: np.ndarray  # [N], classes as numbers
    names: tuple  # of the classes
    authors: list | None  # the value of the group column for each row; None without one
    left_out: str = ""  # a list of the bad rows that were left out

    def __len__(self):
        return len(self.ids)

    def counts(self) -> dict[str, int]:
        """How many texts each class has."""
        found = Counter(self.labels.tolist())
        return {name: found[id] for id, name in enumerate(self.names)}


def read_dataset(
    path,
    label_column=None,
    group_column=None,
    labels=None,
    skip_bad_rows=False,
    limit=None,
    **how,
) -> Dataset:
    """The labelled rows of a file.

    group_column   whose values, authors say, must not be in a training and a test part at once
    labels         as LabelSet.declare has them; None: those of the file
    skip_bad_rows  leave out rows that are no examples, instead of refusing the file
    limit          only the first rows
    how            format, text_column, pair_column, no_header, encoding, quoting: as in read_examples

    Raises UserError for a file that read_examples refuses, with bad rows, or with one class alone.
    """
    examples = read_examples(path, label_column=label_column, labels_required=True, pairs=True, **how)
    there = sorted({*map(plain_label, examples.labels)})
    known = LabelSet.declare(labels) if labels else LabelSet.collect(examples)
    classes = known.ids(examples)
    if labels:
        refuse_misspelt(known, classes, there)
    left_out = refuse(examples, skip_bad_rows)
    authors = None
    if group_column is not None:
        authors = column(examples, group_column, "--group_column", **how)
    if limit:
        examples.select(range(min(limit, len(examples.texts))))
        classes, authors = classes[:limit], authors and authors[:limit]
    texts = list(zip(examples.texts, examples.pairs)) if examples.pairs else examples.texts
    lines = examples.lines if len(set(examples.lines)) == len(examples.lines) else range(1, len(texts) + 1)
    used = sorted(set(classes))
    if len(used) < 2:
        said = f"{path}: every row is labelled {known.names[used[0]]}" if used else f"{path}: no row is left"
        line, why = (examples.problems or [(0, "")])[0]
        bad = f", but for {len(examples.problems)} bad ones, the first in line {line}: {why}" if line else ""
        raise UserError(f"{said}{bad or ': there is nothing to compare'}")
    labels = np.searchsorted(used, classes)  # classes that no row has are left out
    names = tuple(known.names[id] for id in used)
    return Dataset(str(path), examples.sha256, list(map(str, lines)), texts, labels, names, authors, left_out)


def refuse_misspelt(known: LabelSet, classes, there: list[str]) -> None:
    """Raise UserError for a declared label that no row has, if rows have others that may have been meant."""
    for id, (value, name) in enumerate(zip(known.values, known.names)):
        others = [label for label in there if label not in map(plain_label, (*known.values, *known.names))]
        if id not in classes and others:
            meant = nearest(value, others) or nearest(name, others)
            raise UserError(f"--labels {value}: no row has this label{meant or ';'} There are {', '.join(there[:20])}")


def refuse(examples: Examples, skip: bool) -> str:
    try:
        return refuse_bad_rows(examples, skip)
    except UserError as error:
        raise UserError(str(error).replace("Nothing was trained. ", "")) from None


def column(examples: Examples, name: str, flag: str, text_column=None, pair_column=None, **how) -> list[str]:
    """A further column's value for each example. Raises UserError, naming the flag, where there is none."""
    how = {key: how.get(key) for key in ("no_header", "encoding", "quoting")}
    try:
        return slices.read(examples, [name], text_column, pair_column=pair_column, **how)[name]
    except UserError as error:
        raise UserError(str(error).replace("--slices", flag)) from None


def further_column(path, name, label_column, labels, limit, **how) -> list[str]:
    """A column's value for each row that `read_dataset` takes. Raises UserError if there is no such column."""
    examples = read_examples(path, label_column=label_column, labels_required=True, pairs=True, **how)
    (LabelSet.declare(labels) if labels else LabelSet.collect(examples)).ids(examples)
    return column(examples, name, "--group_column", **how)[:limit]


def first_text(text: str | tuple[str, str]) -> str:
    """A text, or the first one of a pair."""
    return text if isinstance(text, str) else text[0]


def as_one(text: str | tuple[str, str]) -> str:
    """A text, or both of a pair, for systems that know no pairs."""
    return text if isinstance(text, str) else " ".join(text)
