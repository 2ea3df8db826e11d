"""What a model gets wrong, what a second one fixes and breaks, in which texts, and how sure it was.

From files of predictions alone, without torch: `minbert study` and the pages count by the same functions.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minbert.errors import UserError
from minbert.files.predictions import Predictions, Row
from minbert.metrics import wilson
from minbert.wording import counted

CASES = ("wrong", "unsure", "right")  # of one model
AGAINST = ("broken", "fixed", "both wrong", "both right")  # by a second one
NEGATION = re.compile(
    r"\b(no|not|never|none|nobody|nothing|neither|nor|without|cannot|hardly)\b|n[’']t\b", re.IGNORECASE
)
SHOUT = re.compile(r"\b[^\W\d_]*[A-Z][^\W\d_]*[A-Z]\w*\b")
FEW = 30  # a share of fewer rows says little
BINS = 10  # of the top probability
BOLD, SHARE = 5, 4  # words of a text that are marked: up to BOLD, and up to one in SHARE


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
            low, high = min(inside), max(inside)
            found[f"{low} to {high} words" if low < high else counted(low, "word")] = [own == number for own in quarter]
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


def mcnemar(first: Sequence[bool], second: Sequence[bool], folds: int = 1) -> dict[str, float]:
    """Two systems on the same test texts: {"b", "c", "exact", "mid_p"}; b texts only the first has right, c the second.

    first, second  whether each system is right in each text
    folds          from how many test parts the texts come

    Raises UserError for predictions of cross-validation: there the test rejects too often. M. Fagerland, S. Lydersen
    and P. Laake (2013), The McNemar test for binary matched-pairs data, BMC Medical Research Methodology 13:91.
    """
    if folds != 1:
        raise UserError(f"McNemar's test is for one fixed test set, not for {folds} folds: use the corrected t test")
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != two.shape or not one.size:
        raise UserError(f"{one.size} and {two.size} predictions are no pairs")
    b, c = int((one & ~two).sum()), int((two & ~one).sum())
    ways, total = 1, 1  # to choose so many of b + c: the binomial distribution in whole numbers, exactly
    for taken in range(min(b, c)):
        ways = ways * (b + c - taken) // (taken + 1)
        total += ways
    at, exact = ways / 2 ** (b + c), 2 * total / 2 ** (b + c)
    mid = exact - at if b != c else 1 - at / 2
    return {"b": b, "c": c, "exact": min(1.0, exact), "mid_p": min(1.0, mid)}


def decisive(words: Sequence[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Of words (from, to, weight) of a text those that spoke most for a class, in the order of the text"""
    best = sorted(words, key=lambda word: -word[2])[: min(BOLD, -(-len(words) // SHARE))]
    return sorted(word for word in best if word[2] > 0)


@dataclass(frozen=True)
class Bin:
    """Texts of similar confidence: how many, the mean of the top probability, and the share that is right."""

    count: int
    confidence: float
    accuracy: float


def bins(probabilities, labels, count: int = BINS, equal: str = "width") -> list[Bin]:
    """A reliability diagram in numbers; bins without texts are left out.

    probabilities  [N, C]; labels: classes as numbers [N]
    equal          width: (0, .1], (.1, .2], ... of the top probability; count: as many texts in each

    Raises UserError for probabilities that are none.
    """
    p, labels = checked(probabilities, labels)
    top, right = p.max(axis=1), p.argmax(axis=1) == labels
    if equal == "width":
        of = np.clip(np.ceil(top * count).astype(int) - 1, 0, count - 1)
        parts = [np.flatnonzero(of == at) for at in range(count)]
    else:
        parts = np.array_split(np.argsort(top, kind="stable"), count)
    return [Bin(len(part), float(top[part].mean()), float(right[part].mean())) for part in parts if len(part)]


def ece(probabilities, labels, count: int = BINS, equal: str = "width") -> float:
    """Expected calibration error: the mean distance between confidence and accuracy, over the texts of all bins.

    C. Guo et al. (2017), On calibration of modern neural networks, ICML, equation 3. It is above 0 also by chance, the
    more so with few texts.
    """
    parts = bins(probabilities, labels, count, equal)
    whole = sum(part.count for part in parts)
    return sum(part.count / whole * abs(part.accuracy - part.confidence) for part in parts)


def checked(probabilities, labels):
    p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or not len(p) or len(p) != len(labels):
        raise UserError(f"{len(p)} rows of probabilities and {len(labels)} labels do not go together")
    if not np.isfinite(p).all() or (p < 0).any() or np.abs(p.sum(axis=1) - 1).max() > 1e-4:
        raise UserError("the probabilities of a text must sum to 1")
    return p, labels
