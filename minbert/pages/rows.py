"""Rows of predictions as the page of a run shows them without scripts, and how many there are of each case."""

from minbert.files.predictions import Row
from minbert.pages.outcomes import cut
from minbert.pages.record import Run
from minbert.pages.record import cut as cut_name
from minbert.runs.outcomes import decisive


def cases(rows, second: Run | None) -> list[tuple[str, int]]:
    """(case, rows of it) for the buttons above the table; of the rows that the page holds"""
    wrong = [row for row in rows if row.gold and not row.right]
    right = [row for row in rows if row.gold and row.right]
    found = [("all", len(rows)), ("unsure", sum(row.unsure for row in rows))]
    if wrong or right:
        found[1:1] = [("wrong", len(wrong))]
        found.append(("right", len(right)))
    if second and (wrong or right):
        others = {row.number: row.right for row in second.predictions.rows}
        fixed = sum(others[row.number] for row in wrong)
        broken = sum(not others[row.number] for row in right)
        found += [("fixed", fixed), ("broken", broken), ("both wrong", len(wrong) - fixed)]
    return found


def static_row(row, evidence: dict, texts: bool, other: Row | None, longest: int) -> dict:
    """A row of the table as it is without scripts, beside that of a second run"""
    text = cut(row.text, row, longest)
    return {
        "number": row.number,
        "case": ", ".join(case_of(row, other)),
        "gold": cut_name(row.gold),
        "predicted": cut_name(row.predicted),
        "p": f"{row.sureness:.3f}",
        "other": cut_name(other.predicted) if other else "",
        "pieces": marked(text, evidence.get(row.number, {}).get("words", ())) if texts else [],
        "length": len(row.text) if len(text) < len(row.text) else 0,
        "pair": cut(row.pair, row, longest) if texts else "",
    }


def case_of(row, other) -> list[str]:
    """The words for a row: wrong, unsure, right; with a second run fixed or broken"""
    found = [] if not row.gold else ["right" if row.right else "wrong"]
    if row.unsure:
        found.append("unsure")
    if row.gold and other and other.right != row.right:
        found.append("fixed" if other.right else "broken")
    return found


def marked(text: str, words) -> list[tuple[str, bool]]:
    """(a part of the text, whether it is a word that spoke most for the prediction)"""
    found, end = [], 0
    for begin, stop, _ in decisive(words):
        if end <= begin and stop <= len(text):
            found += [(text[end:begin], False), (text[begin:stop], True)]
            end = stop
    return [*found, (text[end:], False)]
