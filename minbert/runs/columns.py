"""Cells in columns, as every table is printed; without torch."""

import re

from minbert.metrics import places

NUMBER = re.compile(r"-?(\d[\d.e+-]*|inf)?")  # or nothing


def table(header, rows, width=100):
    """Print cells in columns, numbers to the right; too wide a table in blocks that repeat the first column."""
    columns = []
    for name, *cells in zip(header, *rows):
        numbers = all(not isinstance(cell, str) or NUMBER.fullmatch(cell) for cell in cells)
        cells = [
            name,
            *("" if cell is None else cell if isinstance(cell, str) else f"{cell:#.3g}".rstrip(".") for cell in cells),
        ]
        wide = max(map(places, cells))
        gaps = [" " * (wide - places(cell)) for cell in cells]
        columns.append([gap + cell if numbers else cell + gap for gap, cell in zip(gaps, cells)])
    first, *rest = columns
    while rest:
        block = [first, rest.pop(0)]
        while rest and sum(places(column[0]) + 2 for column in [*block, rest[0]]) <= width:
            block.append(rest.pop(0))
        print(*("  " + "  ".join(line).rstrip() for line in zip(*block)), sep="\n", end="\n\n" if rest else "\n")
