"""Numbers -> tables and written-out sums, as the walk shows them: the text of every cell is made here."""

from dataclasses import dataclass, field

from torch import Tensor

FIRST, ALL = 4, 6  # of more than ALL numbers of a token, a table shows the first FIRST
LONG = 12  # a sum of more terms shows its first three
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass
class Table:
    """A table of the page.

    corner   what its rows are
    columns  their names
    rows     [(name, [text of each cell])]
    more     how many further numbers each row has, that are not shown
    asked    whether it is a result: hidden, asked for and left empty where the reader is to find it
    row, column  the one that the walk follows; None: none
    shades   [row][column] -> 0 to 10, how dark a cell is; []: all alike
    """

    corner: str
    columns: list
    rows: list
    more: int = 0
    asked: bool = True
    row: int | None = None
    column: int | None = None
    shades: list = field(default_factory=list)


def names(tokens: list[str]) -> list[str]:
    """Tokens by which no two places are confused: the second of ["cat", "a", "cat"] is "a", the last one "cat₂"."""
    return [
        token + str(at).translate(SUBSCRIPTS) if tokens.count(token) > 1 else token for at, token in enumerate(tokens)
    ]


class Writer:
    """Writes the numbers of one walk.

    labels    the names of the tokens
    row       the token that the walk follows; column: the one that it looks at, where one cell is written out
    decimals  of each number; weight_decimals: of the model's own weights
    """

    def __init__(self, labels: list[str], row: int, column: int, decimals: int, weight_decimals: int):
        self.labels, self.row, self.column = labels, row, column
        self.decimals, self.weight_decimals = decimals, weight_decimals

    def number(self, x, weight: bool = False) -> str:
        """A number as text: 0.619, and 0.000 without a sign."""
        text = f"{float(x):.{self.weight_decimals if weight else self.decimals}f}"
        return text.removeprefix("-") if not text.strip("-0.") else text

    def cells(self, x: Tensor, weight: bool = False) -> list[str]:
        return [self.number(value, weight) for value in x.tolist()]

    # Tables

    def vectors(self, x: Tensor, *before: tuple[str, Tensor], weight: bool = False, asked: bool = True) -> Table:
        """x [T, n]: a row for each token; before: columns in front, each with its name and its numbers [T, 1]"""
        shown = x.size(1) if x.size(1) <= ALL else FIRST
        columns = [*(name for name, _ in before), *map(str, range(1, shown + 1))]
        rows = [
            (label, [*(self.number(more[at, 0]) for _, more in before), *self.cells(x[at, :shown], weight)])
            for at, label in enumerate(self.labels)
        ]
        return Table("token", columns, rows, x.size(1) - shown, asked, self.row)

    def pairs(self, x: Tensor, total: Tensor | None = None, asked: bool = True, shaded: bool = False) -> Table:
        """x [T, T]: a row for each token that looks, a column for each that is looked at; total [T, 1]: one more"""
        rows = [(label, self.cells(x[at])) for at, label in enumerate(self.labels)]
        shades = [[round(10 * p) for p in row] for row in x.tolist()] if shaded else []
        if total is not None:
            rows = [(label, [*cells, self.number(total[at, 0])]) for at, (label, cells) in enumerate(rows)]
        columns = [*self.labels, *["Σ"] * (total is not None)]
        return Table("looks at", columns, rows, asked=asked, row=self.row, column=self.column, shades=shades)

    def weights(self, weight: Tensor, bias: Tensor) -> Table:
        """A linear layer's weight [out, in] and bias [out]: a row for each number that it reads"""
        rows = [(str(at), self.cells(row, weight=True)) for at, row in enumerate(weight.T, 1)]
        rows.append(("b", self.cells(bias, weight=True)))
        return Table("reads", [*map(str, range(1, weight.size(0) + 1))], rows, asked=False)

    def listed(self, corner: str, rows: list, columns: list, asked: bool = True) -> Table:
        """Rows of (name, numbers [n]), with the names of their n columns; of long ones, the first are shown."""
        shown = len(columns)
        written = [(name, self.cells(x[:shown])) for name, x in rows]
        return Table(corner, columns, written, max(0, len(rows[0][1]) - shown), asked)

    # Written-out sums: (what to type, what comes out)

    def term(self, x, weight: bool = False) -> str:
        text = self.number(x, weight)
        return f"({text})" if text.startswith("-") else text

    def sum(self, x: Tensor, weight: bool = False) -> str:
        """x [n] -> 0.12 + (-0.30) + ..."""
        terms = [self.term(value, weight) for value in x.tolist()]
        if len(terms) > LONG:
            terms[3:] = [f"{self.term(x[3:].sum())} for the other {len(terms) - 3}"]
        return " + ".join(terms)

    def dot(self, left: Tensor, right: Tensor, bias=None, weight: bool = False) -> str:
        """left, right [n] -> 0.12 × (-0.30) + ... + bias; weight: right and bias are the model's own numbers"""
        terms = [f"{self.term(a)} × {self.term(b, weight)}" for a, b in zip(left.tolist(), right.tolist())]
        if len(terms) > LONG:
            terms[3:] = [f"{self.term(left[3:] @ right[3:])} for the other {len(terms) - 3}"]
        return " + ".join([*terms, *([] if bias is None else [self.term(bias, weight)])])
