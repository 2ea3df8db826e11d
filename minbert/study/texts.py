"""The texts of a file, with or without labels, and columns beside them. N texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from minbert.errors import UserError
from minbert.files import stream


@dataclass(frozen=True)
class Texts:
    """The rows of the data. beside: {column: its cells}; lines: where the rows begin"""

    path: str
    texts: list[str]
    beside: dict[str, tuple[str, ...]]
    lines: list[int]
    pairs: list[str] | None = None  # the second text of each row
    text_column: str | None = None  # as the user names it, or None
    id_column: str | None = None

    def __len__(self):
        return len(self.texts)

    @property
    def header(self) -> list[str]:
        """The columns of a table for `cells`."""
        return ["text", "pair"] if self.pairs else ["text"]

    def cells(self, at: int) -> list[str]:
        """The text of a row, and its second one."""
        return [self.texts[at], self.pairs[at]] if self.pairs else [self.texts[at]]

    def places(self, ids: Sequence[str]) -> list[int]:
        """The rows with these ids, which are lines, as Dataset.ids has them. Raises UserError if they are not there."""
        lines = [*map(str, self.lines)]
        if len(set(lines)) < len(lines):  # several rows on a line: ids count the rows
            if len(set(ids)) < len(lines):
                raise UserError(f"{self.path}: several rows are on one line, and some were left out: write one a line")
            lines = [str(number) for number in range(1, len(self) + 1)]
        found = {line: at for at, line in enumerate(lines)}
        if missing := [id for id in ids if id not in found]:
            raise UserError(f"{self.path}: no text begins in line {missing[0]}: the study was about another file")
        return [found[id] for id in ids]


def read_texts(path, asked: dict[str, str], skip: bool = False, **how) -> Texts:
    """All rows of the data, and columns beside the text. Raises UserError for a bad row, or leaves it out.

    asked  {the word of the flag: the column}; "id" is that of ids, "model_1" a term of --model
    skip   leave bad rows out
    how    as in stream.read_rows
    """
    names = list(dict.fromkeys(asked.values()))
    beside = {next(word for word, name in asked.items() if name == wanted): wanted for wanted in names}
    try:
        _, rows = stream.read_rows(path, beside=beside, **how)
    except UserError as error:
        raise UserError(re.sub(r"--model_\d+_column", "--model", str(error))) from None
    texts, cells, lines, pairs = [], [], [], []
    for row in rows:
        if row.problem and skip:
            continue
        if row.problem:
            raise UserError(f"{path}:{row.line}: {row.problem}")
        texts.append(row.text)
        cells.append(row.beside[: len(names)])
        pairs += row.beside[len(names) :]
        lines.append(row.line)
    columns = dict(zip(names, zip(*cells)))
    return Texts(str(path), texts, columns, lines, pairs or None, how.get("text_column"), asked.get("id"))
