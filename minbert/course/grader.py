"""Grade a folder of submissions: one after the other, with a row on the disk for each part before the next begins.

A run that was stopped goes on where it was: rows are kept by the zip's hash, the kit's hash and the seed.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.course import kit, naming, oracle, reports, seal, similarity
from minbert.course.judge import Judge, Row, name_row, observe, unpack_trace
from minbert.course.parts import Part
from minbert.course.place import describe_seal, opened
from minbert.course.reports import Graded
from minbert.course.submission import Submission, read
from minbert.errors import UserError


@dataclass(frozen=True)
class Settings:
    """How a class is graded.

    level    the seal below which nothing is run
    shares   {name of a known mistake: the share of its part's points that it earns}
    detail   how much a student is told of the hidden probes: reports.DETAILS
    handout  the hash of the handout's kit, if it is known: submissions made with another are noted
    also     earlier submissions, with which these are compared and nothing else
    wall     seconds for a part, and for a submission
    """

    parts: list[Part]
    level: str = "sealed"
    seed: int | None = None
    shares: dict[str, float] = field(default_factory=dict)
    detail: str = "stage"
    handout: str = ""
    also: tuple[Path, ...] = ()
    megabytes: int = 400
    wall: int = 60
    whole: int = 300


class Results:
    """The folder of results, and what a run that was stopped has left in it."""

    def __init__(self, folder: Path, settings: Settings, level: str):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.path, self.level = folder, folder / "rows.jsonl", level
        self.rows, self.interrupted = {}, []
        numbers = [part.number for part in settings.parts]
        versions = {"python": platform.python_version()} | {name: version(name) for name in ("torch", "numpy")}
        self.about = {"parts": numbers, "kit": kit_hash(), "seal": level, "versions": versions}
        old = self.read_run()
        if old and (old["parts"], old["kit"]) != (numbers, self.about["kit"]):
            what = "parts" if old["parts"] != numbers else "version of minbert"
            raise UserError(f"{folder} has a run of other {what}: give another --out, or remove it")
        kept = int(old["seed"]) if old.get("seed") else None
        if settings.seed is not None and kept is not None and settings.seed != kept:
            raise UserError(f"{folder} has a run with another seed: give another --out, or leave out --seed")
        self.resumed = bool(old)
        self.seed = next(seed for seed in (kept, settings.seed, oracle.draw_seed()) if seed is not None)
        self.seed_hash = hashlib.sha256(str(self.seed).encode()).hexdigest()[:12]
        self.write_run(with_seed=level == seal.LEVELS[-1])
        self.read_rows()

    def read_run(self) -> dict:
        path = self.folder / "run.json"
        if not path.exists():
            return {}
        try:
            old = json.loads(path.read_text("utf-8"))
            return {"parts": list(old["parts"]), "kit": str(old["kit"]), "seed": old.get("seed")}
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} is damaged: give another --out, or remove it") from None

    def write_run(self, with_seed: bool) -> None:
        """Below the highest level a student's code might read this file, so that the seed is written at the end."""
        about = self.about | ({"seed": str(self.seed)} if with_seed else {})
        with atomic_write(self.folder / "run.json") as path:
            path.touch(0o600)
            path.write_text(json.dumps(about, indent=1) + "\n", "utf-8")

    def read_rows(self) -> None:
        """Of the last run: whole lines only. A line that was cut is removed."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with open(self.path, "r+b") as file:
                file.truncate(whole)
        begun = None
        for text in content[:whole].decode("utf-8").splitlines():
            entry = json.loads(text)
            if "begin" in entry:
                begun = entry["begin"]
            elif "end" in entry:
                begun = None
            else:
                self.rows.setdefault(key(entry), {})[entry["part"]] = entry
        if begun is not None:
            self.interrupted.append(f"grading was stopped while {reports.plain(begun)} was running")

    @contextmanager
    def submission(self, name: str):
        """Say which submission is running, for a run that is killed."""
        self.append({"begin": name})
        yield
        self.append({"end": name})

    def append(self, entry: dict) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def add(self, submission: Submission, row: Row) -> None:
        entry = {"student": submission.name, "zip": submission.sha256, "seed": self.seed_hash, "seal": self.level}
        entry |= asdict(row)
        self.append(entry)
        self.rows.setdefault(key(entry), {})[row.part] = entry

    def of(self, submission: Submission) -> dict:
        """{part: row} of a submission. Below the highest level an earlier seed's rows count, too."""
        found = {}
        for (name, sha256, seed), rows in self.rows.items():
            valid = seed == self.seed_hash or self.level != seal.LEVELS[-1]
            if valid and (name, sha256) == (submission.name, submission.sha256):
                found |= rows
        return found

    def write(self, name: str, text: str) -> None:
        with atomic_write(self.folder / name) as path:
            path.write_text(text, "utf-8", newline="")


def key(entry):
    return entry["student"], entry["zip"], entry["seed"]


def kit_hash() -> str:
    """Of the package with the blanks: another version of minbert, another hash."""
    content = json.dumps(kit.sources(), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def grade(paths: list[Path], out: Path, settings: Settings, tell: Callable[[str], None] = print) -> list[Graded]:
    """Grade submissions, and write what reports.py describes into `out`. Returns all that were graded.

    tell  called with each line that a teacher should see. Raises UserError.
    """
    with opened(settings) as (nursery, rooms, steps):
        tell(describe_seal(nursery.level, steps, settings))
        if seal.LEVELS.index(nursery.level) < seal.LEVELS.index(settings.level):
            raise UserError(
                f"the seal is {nursery.level} here, not {settings.level}: students' code could do more than answer. "
                f"Grade on Linux 5.13 or newer, or pass --seal {nursery.level} if you trust these students"
            )
        results = Results(out, settings, nursery.level)
        kept = "goes on with the seed in" if results.resumed else "drawn for this run, and kept in"
        tell(f"seed       {results.seed_hash} (hash), {kept} {out}/run.json")
        numbers = [part.number for part in settings.parts]
        exam = oracle.examine(numbers, results.seed)  # before any submission is opened
        judge = Judge(nursery, exam, settings.parts, rooms, settings.whole)
        reader, class_ = Reader(judge, settings.parts), []
        for at, path in enumerate(paths, 1):
            graded = grade_one(path, judge, results, settings, reader)
            class_.append(graded)
            tell(reports.line(at, len(paths), graded))
        for path in settings.also:
            earlier = read(path, reader.wanted)
            reader.read(f"{path.parent.name}/{earlier.name}", earlier.files)
    csv, text = reports.likeness(similarity.pairs(reader.marks))
    results.write("similarity.csv", csv)
    results.write("similarity.txt", text)
    groups = name_mistakes(class_, exam, results, settings)
    report(class_, groups, results, settings)
    return class_


class Reader:
    """Reads what students wrote for likeness and for unusual names, beside the handout and the reference."""

    def __init__(self, judge: Judge, parts: list[Part]):
        self.judge, self.marks = judge, {}
        self.wanted = {name for part in parts for name in part.files}
        blanks = {name: source.encode() for name, source in kit.sources().items() if name in self.wanted}
        scanned = judge.scan(blanks)
        self.given = {int(value) for found in scanned.values() for value, _ in found["grams"]}
        originals = {name: source.encode() for name, source in kit.originals().items() if name in self.wanted}
        self.usual = {}
        for found in (scanned, self.scan("the reference", originals)):
            for name, values in found.items():
                self.usual.setdefault(name, set()).update(use.split()[0] for use in values["uses"])
        self.anywhere = set().union(*self.usual.values())  # of the parts' files: what a file of one's own may use

    def scan(self, student: str, files: dict[str, bytes]) -> dict:
        found = self.judge.scan(files)
        self.marks[student] = {
            value: (name, line)
            for name, values in found.items()
            for value, line in similarity.winnow(values["grams"].tolist()).items()
            if value not in self.given
        }
        return found

    def read(self, student: str, files: dict[str, bytes]) -> list[str]:
        """Keep a submission's hashes; returns the names that the handout does not use: "attention.py:3 has socket"."""
        found = self.scan(student, files)
        return [
            f"{name}:{line} has {use}"
            for name, values in found.items()
            for use, line in map(str.split, values["uses"])
            if use not in self.usual.get(name, self.anywhere)
        ]


def grade_one(path: Path, judge: Judge, results: Results, settings: Settings, reader: Reader) -> Graded:
    """Read one submission and judge the parts that have no row yet."""
    submission = read(path, reader.wanted)
    faults = dict.fromkeys(reader.wanted, submission.refused) if submission.refused else submission.faults
    with results.submission(submission.name):
        for row in judge.submission(submission.files, results.of(submission), faults):
            results.add(submission, row)
    notes, about = list(submission.notes), submission.about
    if settings.handout and about and about["kit"] != settings.handout:
        notes.append(f"it was made with another handout: {about['name']}, kit {about['kit'][:12]}")
    rows = results.of(submission)
    rows = [dict(rows[part.number]) for part in settings.parts]
    unusual = reader.read(submission.name, submission.files)
    return Graded(submission.name, submission.sha256, rows, notes, submission.refused, unusual)


def name_mistakes(class_: list[Graded], exam: dict, results: Results, settings: Settings) -> list[list]:
    """Give each wrong row its mistake, where one explains it; returns the others in groups of equal answers.

    What the mistakes compute is asked of the oracle only now: no student's code runs any more.
    """
    rows = [(graded.student, row) for graded in class_ for row in graded.rows]
    rows = [(student, row) for student, row in rows if row["trace"] and row["seed"] == results.seed_hash]
    failing = [part.number for part in settings.parts if part.number in {row["part"] for _, row in rows}]
    wrong = oracle.known_mistakes(failing, results.seed) if failing else {}
    groups = []
    for student, row in rows:
        found = name_row(row["trace"], exam[row["part"]], wrong[row["part"]])
        if found.kind != "not known":
            row["name"] = str(found)
            share = min((settings.shares.get(name, 0.0) for name in found.mistakes), default=0.0)
            row["points"] = max(row["points"], round(share * row["possible"], 2))
            continue
        row["facts"] = observe(row["part"], row["trace"], exam[row["part"]])
        for group in groups:
            if group[0][1]["part"] == row["part"] and alike(group[0][1]["trace"], row["trace"]):
                group.append((student, row))
                break
        else:
            groups.append([(student, row)])
    return sorted(groups, key=len, reverse=True)


def alike(one: str, other: str) -> bool:
    """True if two traces hold the same answers, but for rounding."""
    one, other = unpack_trace(one), unpack_trace(other)
    return one.keys() == other.keys() and all(
        one[probe].keys() == other[probe].keys()
        and all(naming.same(value, other[probe][stage]) for stage, value in one[probe].items())
        for probe in one
    )


def report(class_: list[Graded], groups: list[list], results: Results, settings: Settings) -> None:
    """Write the files that people read."""
    results.write("results.csv", reports.table(class_))
    results.write("incidents.txt", reports.incidents(class_, results.interrupted))
    results.write("unnamed.txt", reports.unnamed(groups))
    names = set()
    for graded in class_:
        name = reports.file_name(graded.student)
        while name in names:
            name += "_"
        names.add(name)
        results.write(f"feedback/{name}.txt", reports.feedback(graded, settings.detail))
    if len(class_) == 1:
        run = {"kit": results.about["kit"], "seed": results.seed_hash, "seal": results.level}
        results.write("gradescope/results.json", reports.gradescope(class_[0], settings.detail, run))
    results.write_run(with_seed=True)
