"""What a graded class looks like in files: a table, a text for each student, Gradescope's results, incidents, groups.

What a student wrote appears in these files as text only: control characters are escaped, and a table's cell never
begins like a formula.
"""

import csv
import io
import json
import re
import unicodedata
from dataclasses import dataclass, field

WIDTH = 100  # characters of one line of a student's text
DETAILS = ("part", "stage", "numbers")  # how much a student is told of the hidden probes


@dataclass
class Graded:
    """A submission and its rows. incidents: what it has that the handout has not, a line each."""

    student: str
    sha256: str
    rows: list[dict]
    notes: list[str] = field(default_factory=list)
    refused: str = ""
    incidents: list[str] = field(default_factory=list)

    @property
    def points(self) -> float:
        return round(sum(row["points"] for row in self.rows), 2)

    @property
    def possible(self) -> float:
        return sum(row["possible"] for row in self.rows)


def plain(text: str, width: int = WIDTH) -> str:
    """One line that only shows: no control, format or surrogate characters, and not too long."""
    text = str(text)[: 4 * width]
    shown = "".join(
        char if unicodedata.category(char)[0] != "C" else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )
    return shown if len(shown) <= width else shown[: width - 3] + "..."


def cell(value) -> str:
    """For a table: spreadsheets run what begins with one of these signs."""
    text = plain(value, 500)
    return "'" + text if text[:1] in tuple("=+-@") and not isinstance(value, (int, float)) else text


def spreadsheet(rows: list[list]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def file_name(student: str) -> str:
    """A name for a student's text that is a name on every system."""
    return re.sub(r"[^\w.-]", "_", student).lstrip(".")[:100] or "_"


def amount(points: float) -> str:
    return f"{points:g}"


def verdict(row: dict) -> str:
    """ "masks and attention: wrong, 10 of 15: the mask is ignored" """
    status = "ok" if row["status"] == "ok" else f"{row['status']}, {amount(row['points'])} of {amount(row['possible'])}"
    name = f": {row['name']}" if row.get("name") else ""
    return f"part {row['part']}: {status}{name}"


def line(at: int, count: int, graded: Graded) -> str:
    """What the teacher sees while the class is graded."""
    score = f"{amount(graded.points)}/{amount(graded.possible)}"
    begin = f"{at:>3} of {count}  {plain(graded.student, 24):<24} {score:>9}"
    if graded.refused:
        return f"{begin}  refused: {plain(graded.refused)}"
    return "  ".join([begin, " · ".join(verdict(row) for row in graded.rows if row["status"] != "ok")]).rstrip()


def table(class_: list[Graded]) -> str:
    """results.csv: a line for each submission."""
    numbers = list(dict.fromkeys(row["part"] for graded in class_ for row in graded.rows))
    head = ["student", "zip", "points", "possible"]
    for number in numbers:
        head += [f"part {number}", f"part {number} status", f"part {number} mistake"]
    lines = [[*head, "seal", "judged by", "notes"]]
    for graded in class_:
        rows = {row["part"]: row for row in graded.rows}
        cells = [graded.student, graded.sha256, amount(graded.points), amount(graded.possible)]
        for number in numbers:
            row = rows.get(number)
            cells += [amount(row["points"]), row["status"], row.get("name", "")] if row else ["", "", ""]
        seals = sorted({row["seal"] for row in graded.rows})
        seeds = sorted({row["seed"] for row in graded.rows})
        notes = [note for note in (graded.refused, *graded.notes) if note]
        lines.append([*cells, " ".join(seals), " ".join(seeds), "; ".join(notes)])
    return spreadsheet(lines)


def describe(row: dict, detail: str) -> list[str]:
    """A part, for its student. detail: of DETAILS, for the hidden probes; of public ones everything may be said."""
    begin = f"part {row['part']!s:<6}{row['title']}"
    found = [f"{begin}: {row['status']}, {amount(row['points'])} of {amount(row['possible'])} points"]
    if row.get("why"):
        found.append(plain(row["why"]))
    first = row.get("first") or {}
    if first.get("set") == "public":
        found.append(f"in `{plain(first['stage'])}`, public inputs: {plain(first['problem'], 300)}")
    elif first and detail != "part":
        what = f": {plain(first['problem'], 300)}" if detail == "numbers" else ""
        found.append(f"the public inputs are right; in `{plain(first['stage'])}` other inputs are not{what}")
    elif first:
        found.append("the public inputs are right; other inputs are not")
    if row.get("name"):
        found.append(f"known mistake: {row['name']}")
    elif row.get("facts"):
        found.append(f"no known mistake; facts: {'; '.join(plain(fact) for fact in row['facts'])}")
    found += [plain(note) for note in row.get("notes", ())]
    return [found[0], *(f"            {text}" for text in found[1:])]


def feedback(graded: Graded, detail: str = "stage") -> str:
    """The text for a student."""
    lines = [
        f"{plain(graded.student)}: {amount(graded.points)} of {amount(graded.possible)} points",
        f"zip {graded.sha256} (SHA-256)",
        *(plain(note) for note in graded.notes),
        "",
    ]
    if graded.refused:
        lines.append(f"refused: {plain(graded.refused, 300)}")
    for row in graded.rows if not graded.refused else ():
        lines += describe(row, detail)
    return "\n".join(lines) + "\n"


def gradescope(graded: Graded, detail: str = "stage", run: dict | None = None) -> str:
    """Gradescope's results.json."""
    tests = [
        {
            "name": f"part {row['part']}: {row['title']}",
            "score": row["points"],
            "max_score": row["possible"],
            "status": "passed" if row["status"] == "ok" else "failed",
            "output": (graded.refused and plain(graded.refused, 300)) or "\n".join(describe(row, detail)),
            "output_format": "text",
            "visibility": "visible",
        }
        for row in graded.rows
    ]
    results = {
        "score": graded.points,
        "output": "\n".join([f"zip {graded.sha256} (SHA-256)", *map(plain, graded.notes)]),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": run or {},
    }
    return json.dumps(results, indent=1) + "\n"


def incidents(class_: list[Graded], more: list[str] = ()) -> str:
    """incidents.txt: what looked like an attempt. It never takes points off by itself."""
    lines = [*more]
    for graded in class_:
        found = [f"refused: {graded.refused}"] if graded.refused else []
        found += [note for note in graded.notes if note.startswith("not taken")] + graded.incidents
        for row in graded.rows:
            if row["status"] in ("out of order", "not an array", "too much", "memory"):
                found.append(f"part {row['part']}: {row['status']}: {row['why']}")
            elif row["status"] == "no answer" and "exit code 0" in row["why"]:
                found.append(f"part {row['part']}: {row['why']}")
        lines += [f"{plain(graded.student)}: {plain(text, 300)}" for text in found]
    return "".join(f"{text}\n" for text in lines)


def unnamed(groups: list[list[tuple[str, dict]]]) -> str:
    """unnamed.txt: failures that no known mistake explains, those of equal answers together."""
    lines = ["Failures that no known mistake explains. Those of one group gave the same answers.", ""]
    for number, group in enumerate(groups, 1):
        _, row = group[0]
        lines.append(f"group {number}: part {row['part']}, {len(group)} students, in `{plain(row['first']['stage'])}`")
        lines += [f"    {plain(student)}" for student, _ in group]
    return "\n".join(lines) + "\n"


def likeness(pairs: list) -> tuple[str, str]:
    """similarity.csv and similarity.txt, of similarity.Pair."""
    rows = [["one", "other", "share", "common"]]
    lines = ["Work that is alike: a likeness is no proof. Look at the lines, and at who could not have copied.", ""]
    for pair in pairs:
        rows.append([pair.one, pair.other, pair.share, pair.common])
        lines.append(
            f"{plain(pair.one)} and {plain(pair.other)}: {100 * pair.share:.0f} % of what the smaller one wrote"
        )
        for file, places in pair.lines.items():
            where = ", ".join(f"{line} ~ {there}:{other}" for line, there, other in places[:20])
            lines.append(f"    {file} {where}{' ...' if len(places) > 20 else ''}")
    return spreadsheet(rows), "\n".join(lines) + "\n"
