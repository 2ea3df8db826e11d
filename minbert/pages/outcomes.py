"""Rows of predictions -> what a page counts and shows of them, within a budget of bytes. No torch, no scikit-learn."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from minbert.files.predictions import Predictions, Row
from minbert.metrics import macro_f1_interval, wilson
from minbert.pages.pack import pack
from minbert.runs.outcomes import BINS

BUDGET = 3_000_000  # bytes of packed rows
LONG, SHORT = 2000, 280  # characters that are kept of a text: of one that is wrong or unsure, and of any other
CLASSES = 8  # with more, a row keeps the TOP likeliest ones
TOP = 3
UNIT = 10_000  # probabilities travel as whole numbers of 1 / UNIT


@dataclass(frozen=True)
class Recount:
    """Scores counted again from rows. C classes; a score of nothing is 0, as in `metrics.score`."""

    rows: int
    right: int
    matrix: list  # [C, C], matrix[gold][predicted]
    classes: list  # of each class (precision, recall, F1, support)

    @property
    def accuracy(self) -> float:
        return self.right / self.rows

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.rows)

    @property
    def macro(self) -> list[float]:
        """The means of precision, recall and F1 over the classes"""
        return np.mean([scores[:3] for scores in self.classes], axis=0).tolist()

    @property
    def weighted(self) -> list[float]:
        """The same, each class with the weight of its support"""
        return np.average(
            [scores[:3] for scores in self.classes], axis=0, weights=[c[3] for c in self.classes]
        ).tolist()

    @property
    def macro_interval(self) -> tuple[float, float]:
        return macro_f1_interval(self.matrix)


def recount(rows: Sequence[Row], names: Sequence[str]) -> Recount:
    """Count labelled rows. names: of the classes"""
    ids = {name: id for id, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), int)
    np.add.at(matrix, ([ids[row.gold] for row in rows], [ids[row.predicted] for row in rows]), 1)
    right, gold, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = right / np.maximum(1, predicted), right / np.maximum(1, gold)
    f1 = 2 * right / np.maximum(1, gold + predicted)
    classes = [*zip(precision.tolist(), recall.tolist(), f1.tolist(), gold.tolist())]
    return Recount(len(rows), int(right.sum()), matrix.tolist(), classes)


def sureness(rows: Sequence[Row], count: int = BINS) -> list[tuple[float, float, int, int]]:
    """(from, to, right, wrong) of each bin of the top probability, as `runs.outcomes.bins` cuts them, empty ones too"""
    of = np.clip(np.ceil(np.array([row.sureness for row in rows]) * count).astype(int) - 1, 0, count - 1)
    right = np.bincount(of, [row.right for row in rows], count).astype(int).tolist()
    every = np.bincount(of, minlength=count).tolist()
    return [(at / count, (at + 1) / count, right[at], every[at] - right[at]) for at in range(count)]


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The wrong rows, the surest first; then the others, the least sure first: those that are unsure lead."""
    wrong = [row for row in rows if row.gold and not row.right]
    others = [row for row in rows if not row.gold or row.right]
    return sorted(wrong, key=lambda row: -row.sureness) + sorted(others, key=lambda row: (not row.unsure, row.sureness))


@dataclass
class Shown:
    """The rows that a page holds, as bytes for its script, and what was cut to fit."""

    rows: list[Row]  # in their order, the texts whole
    data: bytes
    longest: int  # characters that are kept of a wrong or unsure text
    shortened: int  # texts
    left_out: int  # right rows
    slices: list[str] = field(default_factory=list)


def show(
    first: Predictions, second: Predictions | None, evidence: dict, inside: dict, texts: bool, budget: int = BUDGET
) -> Shown:
    """Rows -> Shown: columns, deflated to at most `budget` bytes if leaving out right rows can do that.

    second    of another run on the same texts
    evidence  {number of a row: its record in the file of evidence}
    inside    {slice: whether each labelled row is in it}
    texts     whether the page holds the texts at all

    First long texts are cut; then right rows are drawn (seed 0), and the others keep fewer characters. Wrong and unsure
    rows are never left out.
    """
    rows = in_order(first.rows)
    members = {name: dict(zip((row.number for row in first.labelled), each)) for name, each in inside.items()}
    kept = [row for row in rows if important(row)]
    spare = [row for row in rows if not important(row)]
    draw, longest = random.Random(0), LONG
    while True:
        chosen = in_order(kept + spare)
        table = columns(chosen, first, second, evidence, members, longest if texts else None)
        data = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
        if (size := len(pack(data))) <= budget or (not spare and longest == SHORT):
            break
        if spare:
            spare = draw.sample(spare, int(len(spare) * min(0.8, budget / size)))
        else:
            longest = SHORT
    shortened = sum(len(cut(row.text, row, longest)) < len(row.text) for row in chosen) if texts else 0
    return Shown(chosen, data, longest, shortened, len(rows) - len(chosen), list(members))


def important(row: Row) -> bool:
    """Whether a row always stays: it is wrong or unsure."""
    return row.unsure or (bool(row.gold) and not row.right)


def cut(text: str, row: Row, longest: int) -> str:
    return text[: longest if important(row) else SHORT]


def columns(rows, first, second, evidence, members, longest) -> dict[str, list]:
    """What a page's script reads: lists of equal length, an entry for each row.

    gold       the class's number, -1 if nobody knows it
    p          of each class, in 1 / UNIT; with more than CLASSES of them [class, p] of the likeliest TOP
    slices     a bit for each slice that the row is in
    words      of a row with evidence [from, to, weight] in UTF-16 units, as JavaScript counts
    deletion   of a row with evidence its deletion curve
    """
    ids = {"": -1} | {name: id for id, name in enumerate(first.names)}
    table = {
        "row": [row.number for row in rows],
        "gold": [ids[row.gold] for row in rows],
        "predicted": [ids[row.predicted] for row in rows],
        "unsure": [int(row.unsure) for row in rows],
        "p": [probabilities(row) for row in rows],
        "slices": [
            sum(inside.get(row.number, 0) << bit for bit, inside in enumerate(members.values())) for row in rows
        ],
    }
    if longest is not None:
        table["text"] = [cut(row.text, row, longest) for row in rows]
        table["length"] = [len(row.text) for row in rows]
        if any(row.pair for row in first.rows):
            table["pair"] = [cut(row.pair, row, longest) for row in rows]
        if evidence:
            table["words"] = [
                words(text, evidence[row.number]["words"]) if row.number in evidence else 0
                for row, text in zip(rows, table["text"])
            ]
            table["deletion"] = [evidence.get(row.number, {}).get("deletion", 0) for row in rows]
    if second:
        others = {row.number: row for row in second.rows}
        table["other"] = [ids[others[row.number].predicted] for row in rows]
        table["other_p"] = [probabilities(others[row.number]) for row in rows]
    return table


def probabilities(row: Row) -> list:
    whole = [round(p * UNIT) for p in row.p]
    if len(whole) <= CLASSES:
        return whole
    return [[id, whole[id]] for id in sorted(range(len(whole)), key=lambda id: -row.p[id])[:TOP]]


def probability(packed: list, id: int) -> float:
    """What `probabilities` holds of a class; 0 where it is not among the likeliest"""
    return (packed[id] if type(packed[0]) is int else dict(packed).get(id, 0)) / UNIT


def words(text: str, found: Sequence) -> list:
    """Places in characters -> in UTF-16 units; words beyond the end of the text are left out."""
    units = [0]
    for char in text:
        units.append(units[-1] + 1 + (char > "\uffff"))
    return [[units[begin], units[end], weight] for begin, end, weight in found if end <= len(text)]
