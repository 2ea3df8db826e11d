"""'support ~ ideology + party' and the columns of a file -> the numbers of a regression. N texts, p columns."""

from collections.abc import Sequence

import numpy as np

from minbert.errors import UserError

LEVELS = 20  # of a column that holds words


def parse_model(model: str) -> tuple[str, list[str]]:
    """'support ~ ideology + party' -> ('support', ['ideology', 'party']); '~ 1' has no terms."""
    outcome, tilde, right = model.partition("~")
    terms = [term.strip() for term in right.split("+")]
    if not tilde or not outcome.strip() or not all(terms) or len(set(terms)) < len(terms):
        raise UserError(f"{model!r} in --model is not of the form: CLASS ~ COLUMN + COLUMN, or CLASS ~ 1")
    return outcome.strip(), [term for term in terms if term != "1"]


def design(columns: dict[str, Sequence[str]], rows: int) -> tuple[list[str], np.ndarray]:
    """Names and values [N, p] of the terms, after a column of ones. A column of words becomes a column of 0 and 1 for
    each of them but the first in the alphabet."""
    names, found = ["intercept"], []
    for term, cells in columns.items():
        for at, cell in enumerate(cells, start=1):
            if not cell:
                raise UserError(f"{term} is empty in row {at}: leave such rows out of all files, or fill it")
        try:
            values = np.array([float(cell) for cell in cells])
        except ValueError:
            levels = sorted(set(cells))
            if len(levels) > LEVELS:
                raise UserError(f"{term} has {len(levels)} different words; up to {LEVELS} can be groups") from None
            names += [f"{term}[{level}]" for level in levels[1:]]
            found += [np.array([cell == level for cell in cells], float) for level in levels[1:]]
            continue
        if not np.isfinite(values).all():
            raise UserError(f"{term} has a value that is no finite number")
        names, found = [*names, term], [*found, values]
    return names, np.column_stack([np.ones(rows), *found])
