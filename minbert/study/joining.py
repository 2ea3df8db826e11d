"""Which row of the data does a prediction belong to, and which a label that somebody gave? N texts, M rows of a file.

The texts stand in the data, with the columns of the model; a file of predictions has a row for each, as minbert predict
writes it; a file of labels has the rows that were drawn at random and labelled by people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minbert.errors import UserError
from minbert.study.columns import Columns
from minbert.study.texts import Texts

SIMPLE = "simple"  # how labels were drawn: each text with the same probability


@dataclass(frozen=True)
class Joined:
    """A file whose rows belong to rows of the data."""

    file: Columns
    at: np.ndarray  # [M], rows of the data from 0; -1: the data do not have it
    by: str  # how that was found, for people

    def spread(self, values: Sequence) -> np.ndarray:
        """[M, ...] -> [N, ...], in the order of the data, if each of its rows is there."""
        rows = np.flatnonzero(self.at >= 0)
        return np.asarray(values)[rows[np.argsort(self.at[rows])]]


def join(file: Columns, data: Texts, every: bool) -> Joined:
    """Find the row of the data for each row of a file: by the ids of a column, by the column row, or by the text.

    A row with a text is believed only if all texts are those of the data; if not, the texts alone say what belongs
    together. every: the file has a row for each row of the data, and may have more, unless `row` counts them.

    Raises UserError for rows that the data do not have, or that two rows of the file or of the data could be.
    """
    text = file.find(data.text_column) or file.find("text")
    if data.id_column and file.find(data.id_column):
        keys, own, by = file[data.id_column], data.beside[data.id_column], data.id_column
    elif file.find("row") and (text is None or agree(file, text, data)):
        keys, own, by = [plain(cell) for cell in file["row"]], map(str, range(1, len(data) + 1)), "row"
    elif text:
        keys, own, by = map(folded, file[text]), map(folded, data.texts), "text"
    else:
        several = " or ".join(filter(None, ("row", "text", data.id_column)))
        ids = "" if data.id_column else ": name a column of ids that both have with --id_column"
        raise UserError(f"{file.path}: no column {several} says which row of {data.path} is meant{ids}")
    at = match(file, list(keys), list(own), by, data, every and by != "row")
    missing = np.setdiff1d(np.arange(len(data)), at)
    if every and len(missing):
        of = "" if by == "row" else f" (joined by {by})"
        raise UserError(f"{file.path}: row {missing[0] + 1} of the data has no prediction{of}")
    why = ", as its rows are not those of the data" if by == "text" and file.find("row") else ""
    left_out = int((at < 0).sum())
    return Joined(file, at, by + why + (f"; {left_out:,} that the data do not have are left out" if left_out else ""))


def match(file: Columns, keys, own, by: str, data: Texts, others: bool) -> np.ndarray:
    """Where each key stands among the data's own, [M]; -1 where it does not, if there may be others."""
    place, several, found, seen = {}, {}, [], set()
    for at, key in enumerate(own):
        if place.setdefault(key, at) != at:
            several.setdefault(key, at)
    for line, key in zip(file.lines, keys):
        where = f"{file.path}:{line}"
        if key in several:
            remedy = ": name a column of ids with --id_column" if by == "text" else ""
            rows = f"rows {place[key] + 1} and {several[key] + 1} of the data have the same {by}"
            raise UserError(f"{where}: {rows}, so it cannot say which is meant{remedy}")
        if key not in place and not others:
            if by == "row":
                hint = "; texts are joined if the file has a column text" if file.find("predicted") else ""
                raise UserError(f"{where}: the data have no row {key}; their rows count from 1 to {len(own):,}{hint}")
            raise UserError(f"{where}: {data.path} has no row with the {by} {key!r:.60}")
        if key in seen and key in place:
            raise UserError(f"{where}: {by} {key:.60} is there twice")
        seen.add(key)
        found.append(place.get(key, -1))
    return np.array(found)


def agree(file: Columns, text: str, data: Texts) -> bool:
    """Whether each row of a file has the text that it has in the data."""
    known = {str(number): folded(own) for number, own in enumerate(data.texts, start=1)}
    return all(known.get(plain(row)) == folded(cell) for row, cell in zip(file["row"], file[text]))


def plain(number: str) -> str:
    """'007' -> '7'; what is no whole number, as it is."""
    return str(int(number)) if number.isascii() and number.isdigit() else number


def folded(text: str) -> str:
    """A text whose spaces do not matter: programs change them."""
    return " ".join(text.split())


def read_predictions(joined: Joined, outcome: str) -> tuple[np.ndarray, np.ndarray]:
    """(probability of the class [N], whether it is the predicted one [N]) in the order of the data."""
    probability = joined.spread(joined.file.numbers(f"p_{outcome}"))
    if probability.min() < 0 or probability.max() > 1:
        raise UserError(f"{joined.file.path}: the column p_{outcome} holds no probabilities")
    return probability, joined.spread([name == outcome for name in joined.file["predicted"]]).astype(float)


def read_labels(
    joined: Joined, outcome: str, rows: int, drawn: str, classes: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """(whether the label is the class, NaN without a label [N]; W, 1 / the probability of being drawn, or 0 [N]).

    drawn  SIMPLE, or the column with each label's probability; where that is empty, the text was not drawn at random,
           and its label is not used
    classes  what a label may be; (): anything
    """
    file, path = joined.file, joined.file.path
    y, weights, seen = np.full(rows, np.nan), np.zeros(rows), set()
    chances = ["1"] * len(file) if drawn == SIMPLE else file[drawn]
    for at, label, chance in zip(joined.at.tolist(), file["label"], chances):
        if chance == "":
            continue
        if not label:
            raise UserError(f"{path}: row {at + 1} was drawn but has no label: a random sample with holes is none")
        if classes and label not in classes:
            raise UserError(f"{path}: row {at + 1} is labelled {label!r}, but the classes are {', '.join(classes)}")
        try:
            pi = float(chance)
        except ValueError:
            pi = 0.0
        if not 0 < pi <= 1:
            raise UserError(f"{path}: {chance!r} is no probability of being drawn (row {at + 1})")
        y[at], weights[at] = label == outcome, 1 / pi
        seen.add(label)
    if not seen:
        raise UserError(f"{path}: no label of a text that was drawn at random")
    if outcome not in seen:
        raise UserError(f"{path}: no text is labelled {outcome}; the labels are {', '.join(sorted(seen))}")
    if drawn == SIMPLE:
        weights *= rows / (weights > 0).sum()
    return y, weights
