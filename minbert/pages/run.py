"""A run of training -> a page: scores, mistakes, and how one run differs from another. No torch, no model."""

from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from minbert.errors import UserError
from minbert.files.predictions import paired
from minbert.metrics import difference_interval
from minbert.pages import record, svg
from minbert.pages.html import Page
from minbert.pages.outcomes import BUDGET, Recount, recount, show, sureness
from minbert.pages.record import Run, read_run
from minbert.pages.rows import cases, static_row
from minbert.runs import outcomes

STATIC = 50  # rows that are there without scripts
LARGEST_MATRIX = 40  # classes; with more, the page lists confusions alone
SMALL_MATRIX = 12  # with more classes, it lists them too
CONFUSIONS = 30
SHADES = 6


def run_page(run: str | Path, against: str | Path | None = None, texts: bool = True, budget: int = BUDGET) -> Page:
    """The page of a run. It shows itself in a notebook, and `.write(path)` writes it.

    run      the folder of a run of training, or a file of its predictions
    against  a second run on the same texts: what it fixed, and what it broke
    texts    whether the page may hold the texts
    budget   bytes for the rows, see `outcomes.show`
    Raises UserError if there are no predictions, if a file is not as training writes it, or if the two share no text.
    """
    first, second = read_run(run), read_run(against) if against else None
    if second and not (first.predictions and second.predictions):
        raise UserError("two runs are compared by their predictions of classes; these predict something else")
    rows = first.predictions and len(first.predictions.rows)
    if second:
        first, second = joined(first, second)
    history = record.epochs(first.facts)
    values = {
        "name": first.name,
        "part": first.part,
        "other": other_name(first, second) if second else "",
        "notes": [*first.notes, *(second.notes if second else ())],
        "complaints": [],
        "epochs": history,
        "curves": curves(history),
        "scores": record.scores(first.facts),
        "settings": record.settings(first.facts),
        "versions": record.versions(first.facts),
        "data": record.data(first.facts),
        "texts": texts,
        **dict.fromkeys(("counted", "table", "change", "matrix", "confusions", "sure", "slices")),
    }
    if not first.predictions:
        return Page("run", f"{first.name}", **values)
    values["whole"] = len(first.predictions.rows) == rows
    return classes_page(first, second, texts, budget, values)


def joined(first: Run, second: Run) -> tuple[Run, Run]:
    """Both with the rows that they share, in the order and with the numbers of the first"""
    one, two, said = paired(first.predictions, second.predictions)
    numbered = [other._replace(number=row.number) for row, other in zip(one.rows, two.rows)]
    notes = [*first.notes, f"The two runs are {said}: the page shows these."] if said else first.notes
    return replace(first, predictions=one, notes=notes), replace(second, predictions=replace(two, rows=numbered))


def other_name(first: Run, second: Run) -> str:
    return second.name if second.name != first.name else f"{second.name} (second)"


def classes_page(first: Run, second: Run | None, texts: bool, budget: int, values: dict) -> Page:
    """The page of a run that predicts classes."""
    predictions, labelled = first.predictions, first.predictions.labelled
    names = [record.cut(name) for name in predictions.names]
    evidence = first.evidence if texts else {}
    inside = outcomes.slices(labelled) if labelled else {}
    others = {row.number: row for row in second.predictions.rows} if second else {}
    held = show(predictions, second and second.predictions, evidence, inside, texts, budget)
    counted = recount(labelled, predictions.names) if labelled else None
    values |= {
        "names": names,
        "file": predictions.path.name,
        "rows": len(predictions.rows),
        "counted": counted,
        "unsure": sum(row.unsure for row in predictions.rows),
        "matrix": matrix(counted) if counted and len(names) <= LARGEST_MATRIX else None,
        "confusions": confusions(labelled) if len(names) > SMALL_MATRIX else [],
        "sure": sure(labelled, predictions.names) if labelled else None,
        "slices": slices(first, second, inside),
        "complaints": complaints(first, counted) if counted and values["whole"] else [],
        "change": change(first, second) if second and labelled else None,
        "table": [static_row(row, evidence, texts, others.get(row.number), held.longest) for row in held.rows[:STATIC]],
        "held": held,
        "cases": cases(held.rows, second),
        "evidence": len(evidence),
        "methods": sorted({each["method"] for each in evidence.values()}),
    }
    values["rivals"] = record.rivals(first.facts, first.part) if values["whole"] else []
    said = record.find(first.facts, "scores", first.part)
    values["agrees"] = bool(said) and values["whole"] and not values["complaints"]
    values["parts"] = [(place, title) for place, title, there in parts(values) if there]
    about = {"names": names, "other": values["other"], "slices": held.slices, "order": order_in_words(counted)}
    title = f"{first.name}: {first.part}" + (f", against {values['other']}" if second else "")
    return Page("run", title, about, {"rows": held.data}, **values)


def parts(values: dict) -> list[tuple]:
    """(place, title, whether it is there) of the parts of the page, for its links"""
    return [
        ("change", f"Against {values['other']}", values["change"]),
        ("mistakes", "Where it goes wrong", values["matrix"] or values["confusions"]),
        ("sure", "How sure, how right", values["sure"]),
        ("slices", "For which texts", values["slices"]),
        ("training", "Training", values["epochs"]),
        ("predictions", "Predictions", True),
        ("settings", "What was run", True),
    ]


def order_in_words(counted) -> str:
    return "mistakes first, the surest at the top" if counted else "the least sure first"


def complaints(run: Run, counted: Recount) -> list[str]:
    """Where run.json tells another story than the rows."""
    found = []
    for name, value in (("accuracy", counted.accuracy), ("macro_f1", counted.macro[2])):
        said = record.number(record.find(run.facts, "scores", run.part, name))
        if said is not None and abs(said - value) > 1e-6:
            title = name.replace("macro_f1", "macro F1")
            found.append(
                f"run.json says {title} {said:.4f}, but the rows give {value:.4f}: one file is not of this run."
            )
    return found


def curves(history: list[dict]) -> list[Markup]:
    """Pictures of the loss and of the scores on dev, over the epochs; none for a single epoch."""
    if len(history) < 2:
        return []
    epochs = [each["epoch"] for each in history]
    losses = [each["loss"] for each in history]
    found = [svg.curve("training loss", epochs, {"training loss": losses}, max(*losses, 1e-9), 2)]
    lines = {name: [each["scores"].get(name) for each in history] for name in ("accuracy", "macro F1")}
    if all(value is not None for values in lines.values() for value in values):
        found.append(svg.curve("scores on dev", epochs, lines, 1.0, 2))
    return found


def matrix(counted: Recount) -> list[list[tuple[int, int]]]:
    """(rows, shade from 0 to SHADES) of each cell: the share of its gold label"""
    return [[(count, round(SHADES * count / max(1, sum(row)))) for count in row] for row in counted.matrix]


def confusions(rows) -> list[tuple[str, str, int]]:
    return [(record.cut(gold), record.cut(said), n) for gold, said, n in outcomes.confusions(rows)[:CONFUSIONS]]


def sure(rows, names) -> dict:
    """Whether probabilities mean what they say: the histogram, the dots, and the table that says the same."""
    p = [[each / sum(row.p) for each in row.p] for row in rows]
    gold = [names.index(row.gold) for row in rows]
    bins = sureness(rows)
    dots = []
    for found in outcomes.bins(p, gold):
        right = round(found.accuracy * found.count)
        dots.append((found.confidence, found.accuracy, *outcomes.wilson(right, found.count)))
    return {
        "histogram": svg.histogram("how sure, how right", bins),
        "reliability": svg.reliability("does the probability mean what it says", dots),
        "bins": [each for each in bins if each[2] + each[3]],
        "ece": outcomes.ece(p, gold),
    }


def slices(first: Run, second: Run | None, inside: dict) -> list[tuple]:
    """(name, rows, [(accuracy, low, high, picture) of each run]) of each slice of the labelled rows"""
    runs = [run.predictions.labelled for run in (first, second) if run]
    wholes = [sum(row.right for row in rows) / max(1, len(rows)) for rows in runs]
    found = []
    for name, members in inside.items():
        cells = [outcomes.accuracy(rows, members) for rows in runs]
        shares = [(*cell[1:], svg.interval(*cell[1:], whole)) for cell, whole in zip(cells, wholes)]
        found.append((name, cells[0][0], shares))
    return found


def change(first: Run, second: Run) -> dict:
    """The square of right and wrong of two runs, and whether it can be chance."""
    pairs = outcomes.against(first.predictions, second.predictions)
    rights = [[row.right for row in run.predictions.labelled] for run in (first, second)]
    counts = {case.replace(" ", "_"): len(found) for case, found in pairs.items()}
    low, high = difference_interval(rights[1], rights[0])
    shares = [sum(right) / len(right) for right in rights]
    return counts | {
        "p": outcomes.mcnemar(*rights)["exact"],
        "accuracies": shares,
        "difference": (shares[1] - shares[0], low, high),
    }
