"""How good predictions are: computed by scikit-learn, formatted as text for people."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Scores:
    """accuracy and macro_f1 in [0, 1]; the rest twice, as text (report, confusion) and as data (table, matrix)."""

    accuracy: float
    macro_f1: float
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
        table=table,
        matrix=matrix,
        report=metrics.classification_report(gold, predicted, digits=4, **options).rstrip(),
        confusion=format_confusion(matrix, names),
    )


def format_confusion(matrix: list[list[int]], names: Sequence[str]) -> str:
    """A confusion matrix as text: a row for each gold label, a column for each predicted one."""
    width = max([len(str(name)) for name in names] + [len(str(count)) for row in matrix for count in row])
    lines = [" " * (width + 7) + "  ".join(str(name).rjust(width) for name in names) + "   <- predicted"]
    for name, row in zip(names, matrix):
        lines.append(" gold " + str(name).rjust(width) + " " + "  ".join(str(count).rjust(width) for count in row))
    return "\n".join(lines)
