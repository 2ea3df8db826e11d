"""How good predictions are, and how far chance can move that: numbers, and text for people."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NORMAL = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations of its mean
DRAWS = 1000  # of a bootstrap


@dataclass
class Scores:
    """accuracy and macro_f1 in [0, 1], with their 95 % intervals; the rest as text (report, confusion) and as data."""

    accuracy: float
    macro_f1: float
    accuracy_interval: tuple  # (low, high), by `wilson`
    macro_f1_interval: tuple  # (low, high), by `macro_f1_interval`
    table: dict  # per class, macro and weighted: precision, recall, f1-score, support
    matrix: list  # matrix[gold][predicted]
    report: str
    confusion: str


def score(gold: Sequence[int], predicted: Sequence[int], names: Sequence[str]) -> Scores:
    """Compare predicted with gold class ids; `names` lists all classes in the order of their ids.

    The macro mean runs over all named classes. A class that occurs in neither list has F1 = 0.
    """
    from sklearn import metrics  # here: importing it takes as long as torch, and plain prediction does not need it

    ids = range(len(names))
    options = {"labels": list(ids), "target_names": list(names), "zero_division": 0}
    table = metrics.classification_report(gold, predicted, output_dict=True, **options)
    matrix = metrics.confusion_matrix(gold, predicted, labels=list(ids)).tolist()
    return Scores(
        accuracy=metrics.accuracy_score(gold, predicted),
        macro_f1=table["macro avg"]["f1-score"],
        accuracy_interval=wilson(sum(matrix[id][id] for id in ids), len(gold)),
        macro_f1_interval=macro_f1_interval(matrix),
        table=table,
        matrix=matrix,
        report=metrics.classification_report(gold, predicted, digits=4, **options).rstrip(),
        confusion=format_confusion(matrix, names),
    )


def matthews(gold: Sequence[int], predicted: Sequence[int]) -> float:
    """The correlation of gold with predicted classes, from -1 to 1; 0 where one side has a single class. CoLA's score.

    B. W. Matthews (1975), Biochimica et Biophysica Acta 405, 442-451; of more than two classes: J. Gorodkin (2004),
    Computational Biology and Chemistry 28, 367-374. Raises ValueError if the lengths differ or are 0.
    """
    paired(gold, predicted)
    ids = np.unique([*gold, *predicted])
    golds, guesses = (np.asarray(side)[:, None] == ids for side in (gold, predicted))  # [N, C]
    rows, right = len(golds), int((golds & guesses).sum())
    golds, guesses = golds.sum(axis=0), guesses.sum(axis=0)  # [C], how often each class occurs
    shared = right * rows - int(golds @ guesses)
    spread = (rows**2 - int(golds @ golds)) * (rows**2 - int(guesses @ guesses))
    return shared / spread**0.5 if spread else 0.0


def f1(gold: Sequence[int], predicted: Sequence[int], positive: int = 1) -> float:
    """The F1 of one class alone, in [0, 1]; 0 where it is on neither side. MRPC's and QQP's score.

    Raises ValueError if the lengths differ or are 0.
    """
    paired(gold, predicted)
    both = sum(one == two == positive for one, two in zip(gold, predicted))
    either = sum(label == positive for side in (gold, predicted) for label in side)
    return 2 * both / either if either else 0.0


def pearson(gold: Sequence[float], predicted: Sequence[float]) -> float | None:
    """The linear correlation of two lists of numbers, from -1 to 1; None if all numbers of one side are the same.

    Raises ValueError if the lengths differ or are 0.
    """
    paired(gold, predicted)
    sides = [np.asarray(side, dtype=np.float64) for side in (gold, predicted)]
    if any((side == side[0]).all() for side in sides):
        return None
    one, two = (side - side.mean() for side in sides)
    # Each side is divided by its own length first: the squares of large numbers may be infinite.
    one, two = (side / np.abs(side).max() for side in (one, two))
    return float(np.clip(one / np.linalg.norm(one) @ (two / np.linalg.norm(two)), -1.0, 1.0))


def spearman(gold: Sequence[float], predicted: Sequence[float]) -> float | None:
    """The correlation of the ranks of two lists of numbers; equal numbers share the mean of their ranks.

    As `pearson`: from -1 to 1, or None. Raises ValueError if the lengths differ or are 0.
    """
    return pearson(ranks(gold), ranks(predicted))


def ranks(numbers: Sequence[float]) -> list[float]:
    """The place of each number in their order, from 1; equal numbers get the mean of their places."""
    _, at, counts = np.unique(np.asarray(numbers, dtype=np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[at.ravel()].tolist()


def root_mean_square(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """The root of the mean squared error, in the unit of the numbers. Raises ValueError as `pearson` does."""
    paired(gold, predicted)
    return float(np.sqrt(np.mean((np.asarray(gold, np.float64) - np.asarray(predicted, np.float64)) ** 2)))


def several(gold: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]]) -> dict[str, float]:
    """Scores of texts that have any number of labels: {"micro_f1", "macro_f1", "exact"}, each in [0, 1].

    gold, predicted  [N, C] of 0 and 1
    micro_f1         all cells together; macro_f1: the mean over the C labels, 0 for one that is on neither side
    exact            the share of texts whose labels are all right
    Raises ValueError if the lengths differ or are 0.
    """
    paired(gold, predicted)
    golds, guesses = (np.asarray(side, dtype=bool) for side in (gold, predicted))
    both, either = (golds & guesses).sum(axis=0), golds.sum(axis=0) + guesses.sum(axis=0)  # [C]
    return {
        "micro_f1": float(2 * both.sum() / max(1, either.sum())),
        "macro_f1": float((2 * both / np.maximum(1, either)).mean()),
        "exact": float((golds == guesses).all(axis=1).mean()),
    }


def paired(gold: Sequence, predicted: Sequence) -> None:
    """Raise ValueError unless there are as many predictions as gold answers, and at least one."""
    if len(gold) != len(predicted) or not len(gold):
        raise ValueError(f"{len(gold)} gold and {len(predicted)} predicted rows are no pairs")


def wilson(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share, right / rows: Wilson's score interval, without a correction for continuity.

    It lies within [0, 1], also where all or none are right. Raises ValueError if there are no rows.

    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of the American
    Statistical Association 22, 209-212.
    """
    if not 0 <= right <= rows or not rows:
        raise ValueError(f"{right} of {rows} is no share")
    share, square = right / rows, NORMAL**2
    middle = share + square / (2 * rows)
    half = NORMAL * (share * (1 - share) / rows + square / (4 * rows**2)) ** 0.5
    low, high = ((middle + sign * half) / (1 + square / rows) for sign in (-1, 1))
    return (0.0 if right == 0 else low), (1.0 if right == rows else high)


def macro_f1_interval(matrix: Sequence[Sequence[int]], draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of macro F1: the percentiles of a bootstrap over the rows of the file.

    matrix  [C, C], matrix[gold][predicted]: how many rows there are of each kind
    draws   how often as many rows are drawn with replacement; seed: of the random numbers

    To draw rows with replacement is to draw the counts of the matrix from a multinomial distribution, so this needs no
    rows. B. Efron and R. J. Tibshirani (1993), An introduction to the bootstrap, chapter 13.
    """
    counts = np.asarray(matrix)
    gold, predicted = counts.nonzero()
    drawn = resample(counts[gold, predicted], draws, seed)  # [draws, cells]
    classes = np.eye(len(counts))
    right = drawn @ (classes[gold] * (gold == predicted)[:, None])  # [draws, C]
    both = drawn @ (classes[gold] + classes[predicted])  # gold rows + predicted rows
    return percentiles((2 * right / np.maximum(both, 1)).mean(axis=1))


def difference_interval(
    first: Sequence[bool], second: Sequence[bool], draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the difference in accuracy, first - second: the percentiles of a paired bootstrap.

    first, second  whether each system is right in each row of the same file
    draws, seed    as in `macro_f1_interval`

    P. Koehn (2004), Statistical significance tests for machine translation evaluation, EMNLP, 388-395.
    Raises ValueError if the lengths differ or are 0.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} rows are no pairs")
    values, counts = np.unique(np.asarray(first, int) - np.asarray(second, int), return_counts=True)  # of -1, 0, 1
    return percentiles(resample(counts, draws, seed) @ values / len(first))


def resample(counts, draws: int, seed: int):
    """How often each kind of row comes up when all rows are drawn with replacement: int64 [draws, kinds].

    counts  of rows of each kind
    """
    total = counts.sum()
    return np.random.default_rng(seed).multinomial(total, counts / total, size=draws)


def percentiles(values) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5]).tolist()
    return low, high


def places(text: str) -> int:
    """How many places a text takes in a terminal: 2 for a wide character, 0 for a mark and a character without form."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)


def format_confusion(matrix: list[list[int]], names: Sequence[str]) -> str:
    """A confusion matrix as text: a row for each gold label, a column for each predicted one."""
    rows = [[str(name), *map(str, row)] for name, row in zip(names, matrix)]
    width = max(places(cell) for row in rows for cell in row)

    def line(cells):
        return "  ".join(" " * (width - places(cell)) + cell for cell in cells)

    lines = [" " * (width + 7) + line(map(str, names)) + "   <- predicted"]
    return "\n".join([*lines, *(f" gold {line([name])} {line(cells)}" for name, *cells in rows)])
