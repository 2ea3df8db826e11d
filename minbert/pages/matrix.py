"""A confusion matrix that shows itself in a notebook: a table of HTML with its own colours, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from minbert.pages.html import visible

RIGHT, WRONG = "#2f6fc4", "#c2610c"  # mixed with the notebook's ground, light or dark
CELL = Markup('<td style="background: color-mix(in srgb, {} {}%, transparent)" title="{} taken for {}">{}</td>')


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often each label was predicted as which one.

    names   of the C classes
    counts  [C, C], counts[label][predicted]
    """

    names: tuple[str, ...]
    counts: list[list[int]]

    def _repr_html_(self) -> str:
        head = Markup("").join(Markup('<th scope="col">{}</th>').format(visible(name)) for name in self.names)
        body = Markup("").join(self.row(at) for at in range(len(self.names)))
        whole = "<table><caption>Rows: labels; columns: what was predicted</caption><thead><tr><td></td>{}</tr></thead>"
        return str(Markup(whole + "<tbody>{}</tbody></table>").format(head, body))

    def row(self, label: int) -> Markup:
        counts, name = self.counts[label], self.names[label]
        cells = Markup("").join(
            CELL.format(RIGHT if at == label else WRONG, round(40 * n / max(1, sum(counts))), name, self.names[at], n)
            for at, n in enumerate(counts)
        )
        return Markup('<tr><th scope="row">{}</th>{}</tr>').format(visible(name), cells)


def confusion_matrix(
    labels: Sequence[str], predicted: Sequence[str], names: Sequence[str] | None = None
) -> ConfusionMatrix:
    """Labels [N] and predicted labels [N] -> the matrix. names: of the classes in their order; None: the alphabet's

    Raises ValueError if the lengths differ, or if a label is not among the names.
    """
    names = tuple(sorted({*labels, *predicted})) if names is None else tuple(names)
    counts = [[0] * len(names) for _ in names]
    for label, said in zip(labels, predicted, strict=True):
        counts[names.index(label)][names.index(said)] += 1
    return ConfusionMatrix(names, counts)
