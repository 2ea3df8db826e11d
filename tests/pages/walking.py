"""A walk's page read back: its tables and its written-out sums, as a reader finds them."""

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from math import exp, sqrt, tanh

VOID = {"meta", "input", "br", "img", "link"}


@dataclass
class Read:
    """A table: its caption, the names of its columns, and its rows as {name: [cells]}."""

    step: str
    asked: bool
    caption: str = ""
    columns: list = field(default_factory=list)
    rows: dict = field(default_factory=dict)

    def numbers(self):
        """{row: [Decimal]}"""
        return {name: [Decimal(cell) for cell in cells] for name, cells in self.rows.items()}

    def matrix(self):
        return list(self.numbers().values())


class Walk(HTMLParser):
    """tables: {(step, caption): Read}; sums: {step: [(what to type, what comes out)]}; steps: their ids in order"""

    def __init__(self, text):
        super().__init__()
        self.open, self.step, self.table, self.text = [], None, None, ""
        self.tables, self.sums, self.steps = {}, {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        name = attributes.get("class") or ""
        if tag not in VOID:
            self.open.append((tag, name))
        if tag == "section" and "id" in attributes:
            self.step = attributes["id"]
            self.steps.append(self.step)
        if tag == "table":
            self.table = Read(self.step, "data-asked" in attributes)
        if tag == "tr":
            self.row = []
        self.text = ""
        if name == "how":
            self.sums.setdefault(self.step, []).append([])

    def handle_data(self, data):
        self.text += data

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass
        parent = next((name for name, _ in reversed(self.open) if name in ("thead", "table", "tbody")), None)
        text = self.text.strip()
        if tag == "caption":
            self.table.caption = text
        if tag in ("td", "th"):
            self.row.append(text)
        if tag == "tr" and self.row:
            first, *cells = [text for text in self.row if not text.startswith("…")]
            if parent == "thead":
                self.table.columns = cells
            else:
                self.table.rows[first] = cells
        if tag == "table":
            self.tables[self.step, self.table.caption] = self.table
        if tag in ("span", "strong") and self.sums.get(self.step) and len(self.sums[self.step][-1]) < 2 and text:
            self.sums[self.step][-1].append(text)
        if tag == "section":
            self.step = None
        self.text = ""

    def table_of(self, step, beginning):
        """The one table of a step whose caption begins so."""
        (found,) = [
            table for (at, caption), table in self.tables.items() if at == step and caption.startswith(beginning)
        ]
        return found


def rounded(x):
    """A Decimal with three decimals, halves away from zero."""
    return x.quantize(Decimal("0.001"), ROUND_HALF_UP) + 0  # + 0: no -0.000


def what(how):
    """A written-out sum -> its value. Python reads it once × is * and √ is sqrt."""
    how = re.sub(r"the larger of (\S+) and (\S+)", r"max(\1, \2)", how)
    how = re.sub(r"(\S+) for the other \d+", r"\1", how.replace("×", "*").replace("²", "**2").replace("√", "sqrt"))
    return eval(how, {"exp": exp, "sqrt": sqrt, "tanh": tanh, "max": max})
