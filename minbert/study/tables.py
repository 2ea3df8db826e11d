"""Rows -> the table of a paper: CSV for programs, Markdown and LaTeX for people, and the note that belongs under it.

A figure is a mean over folds. Seeds are averaged within a fold before the spread between folds is taken; so the mean F1
is not the F1 of the mean precision and recall (`audit`). No time, host or date is written: the same rows give the same
bytes.
"""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from minbert.study.rows import Rows
from minbert.study.scores import MEASURES, Score
from minbert.study.statistics import corrected_t, holm

SHOWN = ("precision", "recall", "f1")
TITLES = {"precision": "Precision", "recall": "Recall", "f1": "F1", "accuracy": "Accuracy"}


@dataclass
class Line:
    """A system in the table."""

    system: str
    values: dict  # {measure: [J], the mean over the seeds in each fold of each repeat}
    seeds: int
    ratio: float  # texts in a test part over texts in its training part
    interval: tuple  # of F1, 95 %
    p: float | None = None  # against the best system, by Holm; None for the best
    difference: tuple | None = None  # best - this one: mean, low, high
    variance: tuple | None = None  # the shares of F1's variance: between folds, between seeds; None with one seed

    def mean(self, measure):
        return float(np.mean(self.values[measure]))

    def sd(self, measure):
        return float(np.std(self.values[measure], ddof=1)) if len(self.values[measure]) > 1 else float("nan")


@dataclass
class Table:
    """lines in the order of the rows; note: sentences under the table."""

    lines: list
    note: list = field(default_factory=list)


def figures(rows: Rows, score: Score) -> dict[str, dict]:
    """{system: {(repeat, fold): [figures of each seed]}}"""
    number = {name: at for at, name in enumerate(rows.names)}
    parts = defaultdict(lambda: ([], []))
    for key in zip(rows.system, rows.repeat, rows.fold, rows.seed, rows.gold, rows.predicted):
        *unit, gold, predicted = key
        golds, guesses = parts[tuple(unit)]
        golds.append(number[gold])
        guesses.append(number[predicted])
    found = defaultdict(lambda: defaultdict(list))
    for (system, repeat, fold, _), pair in sorted(parts.items(), key=lambda item: item[0][1:]):
        found[system][repeat, fold].append(score.figures(*pair))
    return {system: dict(found[system]) for system in rows.systems()}


def summarise(rows: Rows, score: Score) -> Table:
    """The lines of the table, with intervals and tests of Nadeau and Bengio and p values of Holm."""
    lines = []
    for system, folds in figures(rows, score).items():
        values = {
            name: [float(np.mean([each[name] for each in seeds])) for seeds in folds.values()] for name in MEASURES
        }
        ratio = share(folds)
        f1 = [[each["f1"] for each in seeds] for seeds in folds.values()]
        lines.append(Line(system, values, len(f1[0]), ratio, corrected(values["f1"], ratio)[1:], variance=shares(f1)))
    best = max(lines, key=lambda line: line.mean("f1"))
    others = [line for line in lines if line is not best]
    tests = [corrected_t(np.subtract(best.values["f1"], line.values["f1"]), ratio) for line in others]
    for line, test, p in zip(others, tests, holm([test.p for test in tests]) if tests else []):
        line.p, line.difference = p, (test.estimate, test.low, test.high)
    return Table(lines)


def share(folds: dict) -> float:
    """Texts in a test part over texts in its training part: 1 / (K - 1) of K folds."""
    return 1 / (max(fold for _, fold in folds) - 1)


def corrected(values, ratio) -> tuple:
    """mean, low, high: the corrected interval; without spread, the mean alone."""
    test = corrected_t(values, ratio)
    return (test.estimate, test.estimate, test.estimate) if np.isnan(test.low) else (test.estimate, test.low, test.high)


def shares(values: list[list[float]]) -> tuple | None:
    """How the variance of a score divides between folds and seeds, by an analysis of variance: [J][S] -> two shares."""
    array = np.array(values)
    if array.shape[1] < 2:
        return None
    within = array.var(axis=1, ddof=1).mean()
    between = max(0.0, array.mean(axis=1).var(ddof=1) - within / array.shape[1])
    return (between / (between + within), within / (between + within)) if between + within else None


def audit(precision: float, recall: float, f1: float, digits: int = 4) -> str:
    """Is a printed F1 that of the printed precision and recall? "" if so, else what it may be instead.

    A mean of the folds' F1 is close to it, but not the same; F1 of one confusion matrix is the same to rounding.
    """
    of_means = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    if abs(of_means - f1) <= 1.5 * 10**-digits:
        return ""
    if abs(of_means - f1) <= 0.02:
        return f"F1 of these means is {of_means:.{digits}f}: the printed one may be the mean of the folds' F1"
    return f"F1 of these means is {of_means:.{digits}f}: the printed one does not go with them"


def header(table: Table) -> list[str]:
    return ["", *(TITLES[name] for name in SHOWN), "95 % interval of F1", "p (Holm)"]


def cells(line: Line) -> list[str]:
    """The cells of a line as people read them."""
    low, high = np.clip(line.interval, 0, 1)  # no F1 is outside
    figures = [f"{line.mean(name):.4f} ({line.sd(name):.4f})" for name in SHOWN]
    return [
        line.system,
        *figures,
        f"{low:.3f} to {high:.3f}" if low < high else "-",
        "best" if line.p is None else p_value(line.p),
    ]


def p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def as_csv(table: Table) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = [column for name in TITLES for column in (name, f"{name}_sd")]
    ends = ("f1_low", "f1_high", "behind_best", "behind_low", "behind_high", "p_holm", "folds", "seeds")
    writer.writerow(["system", *names, *ends])
    for line in table.lines:
        numbers = [value for name in TITLES for value in (line.mean(name), line.sd(name))]
        numbers += [*line.interval, *(line.difference or (None,) * 3), line.p]
        written = ["" if value is None or np.isnan(value) else f"{value:.9g}" for value in numbers]
        writer.writerow([line.system, *written, len(line.values["f1"]), line.seeds])
    return text.getvalue()


def as_markdown(table: Table) -> str:
    return markdown(header(table), list(map(cells, table.lines)), table.note)


def as_latex(table: Table) -> str:
    return latex(header(table), list(map(cells, table.lines)), table.note, "Performance of classifiers", "tab:systems")


def markdown(header: list, rows: list, note: list) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n" + " ".join(note) + "\n"


def latex(header: list, rows: list, note: list, caption: str, label: str) -> str:
    """A table for the package booktabs, its note under it."""
    head, *body = (" & ".join(map(escape, row)) + r" \\" for row in (header, *rows))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}\label{{{label}}}"]
    lines += [rf"\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}", r"\toprule", head, r"\midrule", *body]
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\smallskip\raggedright\footnotesize", escape(" ".join(note))]
    return "\n".join(["% needs \\usepackage{booktabs}", *lines, r"\end{table}", ""])


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    special = {
        "\\": r"\textbackslash{}",
        "<": r"$<$",
        ">": r"$>$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    special |= {letter: "\\" + letter for letter in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in text)
