"""The folder of a run -> what a page can say of it: predictions, run.json, word evidence. Anybody may have made it."""

import json
import math
import ntpath
from dataclasses import dataclass, field
from pathlib import Path

from minbert.errors import UserError
from minbert.files.predictions import Predictions, read_predictions
from minbert.jsonfile import read_json
from minbert.wording import counted

LARGEST = 2**26  # bytes of run.json: it holds the matrices of all classes
LONGEST = 80  # characters of a name that is shown
NEAR = 0.02  # evidence belongs to a prediction if its probability is as near as this
OTHERS = {"number": "numbers", "several": "any number of labels", "tags": "tags", "spans": "answers in passages"}
EVIDENCE = "evidence.jsonl"
OWN = "this run"


@dataclass(frozen=True)
class Run:
    name: str  # of the folder, or of the file of predictions
    predictions: Predictions | None  # None: they are no classes
    facts: dict  # run.json; {} if there is none
    evidence: dict = field(default_factory=dict)  # {number of a row: its line in the file of evidence}
    notes: list[str] = field(default_factory=list)  # what the page says of it besides

    @property
    def part(self) -> str:
        """test or dev, or how the file of predictions is called otherwise"""
        return self.predictions.path.stem.removesuffix("_predictions") if self.predictions else ""


def read_run(path: str | Path) -> Run:
    """A run's folder, or a file of predictions -> Run.

    Raises UserError if there are no predictions, or if a file is not as training writes it.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    facts = read_json(folder / "run.json", limit=LARGEST) if (folder / "run.json").is_file() else {}
    kind = find(facts, "arguments", "label_kind")
    name = (path if path.is_dir() else path.with_suffix("")).resolve().name or "run"
    if path.is_dir() and kind in OTHERS:
        note = f"This run predicts {OTHERS[kind]}: the page shows its scores. The predictions are in its folder."
        return Run(name, None, facts, notes=[note])
    predictions = read_predictions(path)
    evidence, notes = read_evidence(predictions)
    return Run(name, predictions, facts, evidence, notes)


def evidence_file(predictions: Predictions) -> Path:
    """Where `minbert study errors --evidence` writes the words that spoke for these predictions."""
    path = predictions.path
    return path.with_name(path.name.replace("_predictions.csv", "") + "_" + EVIDENCE)


def read_evidence(predictions: Predictions) -> tuple[dict, list[str]]:
    """({number of a row: {"words": [[from, to, weight], ...], "deletion": {...}, "method"}}, notes)

    Lines that belong to other predictions, an earlier run's say, are left out, and a note counts them.
    Raises UserError for a line that is none.
    """
    path, found, strangers = evidence_file(predictions), {}, 0
    if not path.is_file():
        return {}, []
    rows = {row.number: row for row in predictions.rows}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            record = json.loads(line)
            row, p = rows.get(record["row"]), float(record["p"])
            words = [[int(begin), int(end), float(weight)] for begin, end, weight in record["words"]]
            curve = {name: [*map(float, record["deletion"][name])] for name in ("own", "random")}
            curve["hidden"] = [*map(int, record["deletion"]["hidden"])]
            if len({*map(len, curve.values())}) > 1 or len(curve["own"]) < 2:
                raise ValueError
            if not all(0 <= begin <= end and math.isfinite(weight) for begin, end, weight in words):
                raise ValueError
            if not all(math.isfinite(p) for name in ("own", "random") for p in curve[name]):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f"{path}: line {number} is no evidence as minbert study errors writes it") from None
        fits = row and record.get("class") == row.predicted and abs(p - row.sureness) <= NEAR
        if not fits or any(end > len(row.text) for _, end, _ in words):
            strangers += 1
            continue
        found[row.number] = {"words": words, "deletion": curve, "method": shown(record.get("method"))}
    if strangers:
        return found, [f"{path.name}: {counted(strangers, 'line')} of other predictions, left out."]
    return found, []


def find(facts, *names):
    """facts[name][name]..., or None where there is none"""
    for name in names:
        facts = facts.get(name) if isinstance(facts, dict) else None
    return facts


def number(value) -> float | None:
    """A finite number, or None for anything else"""
    return value if type(value) in (int, float) and math.isfinite(value) else None


def shown(value) -> str:
    """A value of run.json as a page shows it: a path without its folders, nothing long."""
    if isinstance(value, dict):
        return cut(", ".join(f"{cut(str(name))} {shown(each)}" for name, each in value.items()))
    if isinstance(value, list):
        return cut(", ".join(map(shown, value[:100])))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return cut(ntpath.basename(str(value).rstrip("/\\")) or str(value))


def cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def settings(facts: dict) -> list[tuple[str, str]]:
    """The flags of the run that were given or filled in"""
    given = find(facts, "arguments")
    items = given.items() if isinstance(given, dict) else ()
    return [(cut(name), shown(value)) for name, value in items if value not in (None, False, [], "")]


def versions(facts: dict) -> list[tuple[str, str]]:
    found = find(facts, "versions")
    more = [("device", shown(facts["device"]))] if find(facts, "device") else []
    return [(cut(name), shown(value)) for name, value in found.items()] + more if isinstance(found, dict) else more


def data(facts: dict) -> list[tuple[str, str, str, str]]:
    """(part, file, rows, SHA-256) of each file that the run has read"""
    found = find(facts, "data")
    parts = found.items() if isinstance(found, dict) else ()
    return [
        (cut(part), *(shown(find(each, name) or "") for name in ("path", "rows", "sha256"))) for part, each in parts
    ]


def epochs(facts: dict) -> list[dict]:
    """Of each epoch its number, the loss, and the scores on dev by their names"""
    found, kept = find(facts, "epochs"), []
    for each in found if isinstance(found, list) else ():
        epoch, loss = number(find(each, "epoch")), number(find(each, "loss"))
        if epoch is not None and loss is not None:
            others = {name: number(value) for name, value in each.items() if name not in ("epoch", "loss")}
            figures = {
                name.replace("_", " ").replace("f1", "F1"): value
                for name, value in others.items()
                if value is not None and not name.endswith("seconds")
            }
            kept.append({"epoch": epoch, "loss": loss, "scores": figures})
    return kept


def rivals(facts: dict, part: str) -> list[tuple[str, float]]:
    """(name, accuracy) of the simple systems that were scored on the same part"""
    found = scores(facts)
    return [(each[0], each[3]) for each in found if each[1:3] == (part, "accuracy") and each[0] != OWN]


def scores(facts: dict) -> list[tuple[str, str, str, float]]:
    """(system, part, name of the score, value) of everything that the run has scored, simple systems too"""
    rivals = find(facts, "baselines")
    systems = {OWN: find(facts, "scores")}
    for rival in rivals.values() if isinstance(rivals, dict) else ():
        systems[shown(find(rival, "name"))] = find(rival, "scores")
    found = []
    for system, parts in systems.items():
        for part, figures in parts.items() if isinstance(parts, dict) else ():
            for name, value in figures.items() if isinstance(figures, dict) else ():
                if number(value) is not None:
                    found.append((system, cut(part), cut(name), value))
    return found
