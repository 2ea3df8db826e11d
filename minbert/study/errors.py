"""What a model gets wrong, what a second one fixes and breaks, and in which texts: from files of predictions alone."""

import re
from collections.abc import Callable, Sequence

from minbert.files.predictions import Predictions, Row
from minbert.metrics import wilson

CASES = ("wrong", "unsure", "right")  # of one model
AGAINST = ("broken", "fixed", "both wrong", "both right")  # by a second one
NEGATION = re.compile(
    r"\b(no|not|never|none|nobody|nothing|neither|nor|without|cannot|hardly)\b|n[’']t\b", re.IGNORECASE
)
SHOUT = re.compile(r"\b[^\W\d_]*[A-Z][^\W\d_]*[A-Z]\w*\b")
FEW = 30  # a share of fewer rows says little


def cases(predictions: Predictions) -> dict[str, list[Row]]:
    """The labelled rows by CASES; the wrong ones and the right ones with the surest first, the unsure ones last.

    "wrong" are all wrong rows, also the unsure ones; "unsure" are those of all rows; "right" are all right rows.
    """
    rows = sorted(predictions.labelled, key=lambda row: -row.sureness)
    return {
        "wrong": [row for row in rows if not row.right],
        "unsure": [row for row in reversed(rows) if row.unsure],
        "right": [row for row in rows if row.right],
    }


def against(first: Predictions, second: Predictions) -> dict[str, list[tuple[Row, Row]]]:
    """Pairs of rows of two models on the same texts by AGAINST: "fixed" is what the first has wrong, the second right.

    Where the second is surest comes first; of "both right", where it is least sure.
    """
    found = {case: [] for case in AGAINST}
    for one, two in zip(first.rows, second.rows):
        if one.gold:
            case = {(True, True): "both right", (True, False): "broken", (False, True): "fixed"}
            found[case.get((one.right, two.right), "both wrong")].append((one, two))
    for case, pairs in found.items():
        pairs.sort(key=lambda pair: pair[1].sureness * (1 if case == "both right" else -1))
    return found


def slices(rows: Sequence[Row]) -> dict[str, list[bool]]:
    """{name: whether each row is in it}: the quarters by length, and what the texts hold. Empty slices are left out."""
    lengths = sorted(len(row.text.split()) for row in rows)
    edges = [lengths[len(lengths) * quarter // 4] for quarter in (1, 2, 3)]  # a word count begins each later quarter
    quarter = [sum(len(row.text.split()) >= edge for edge in edges) for row in rows]
    found = {}
    for number in range(4):
        inside = [len(row.text.split()) for row, own in zip(rows, quarter) if own == number]
        if inside:
            found[f"{min(inside)} to {max(inside)} words"] = [own == number for own in quarter]
    holds: dict[str, Callable[[str], bool]] = {
        "a negation": lambda text: bool(NEGATION.search(text)),
        "a question mark": lambda text: "?" in text,
        "an exclamation mark": lambda text: "!" in text,
        "a word in capitals": lambda text: bool(SHOUT.search(text)),
        "a digit": lambda text: any(char.isdigit() for char in text),
    }
    for name, holds_it in holds.items():
        inside = [holds_it(f"{row.text} {row.pair}") for row in rows]
        if any(inside) and not all(inside):
            found |= {f"with {name}": inside, f"without {name}": [not each for each in inside]}
    return found


def accuracy(rows: Sequence[Row], inside: Sequence[bool]) -> tuple[int, float, float, float]:
    """(rows, accuracy, low, high) of a slice, with Wilson's 95 % interval"""
    chosen = [row.right for row, own in zip(rows, inside, strict=True) if own]
    return len(chosen), sum(chosen) / len(chosen), *wilson(sum(chosen), len(chosen))


def confusions(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """(label, predicted, how often) of the wrong rows, the commonest first"""
    counts = {}
    for row in rows:
        if not row.right:
            counts[row.gold, row.predicted] = counts.get((row.gold, row.predicted), 0) + 1
    return sorted(((*pair, count) for pair, count in counts.items()), key=lambda each: (-each[2], each[:2]))
