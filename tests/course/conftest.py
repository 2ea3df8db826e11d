"""A grader in small, for the tests of the sandbox: the kit, an exam of parts 2 and 3, and a nursery."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minbert.course import adapter, asking, kit, oracle
from minbert.course.judge import Judge
from minbert.course.parts import part
from tests.conftest import ROOT

ALL = os.environ.get("MINBERT_COURSE_TEST") == "all"  # make course-test: everything; else a third of the attacks
SECONDS, WALL = 2, 6  # of processor time, and by the clock, for a part
REFERENCE = {path.name: path.read_bytes() for path in (ROOT / "minbert").glob("*.py")}


class Grader:
    """A judge of parts 2 and 3, and the folders around it, with what an attack would like to reach."""

    def __init__(self, folder: Path):
        folder.chmod(0o755)
        self.results, self.rooms, self.neighbour = (folder / name for name in ("results", "rooms", "neighbour"))
        for path in (self.results, self.rooms, self.neighbour):
            path.mkdir()
        (self.results / "run.json").write_text('{"seed": "BREACH"}')
        (self.results / "rows.jsonl").write_text("{}\n")
        (self.neighbour / "attention.py").write_bytes(REFERENCE["attention.py"])
        self.kit = kit.build(folder / "kit")
        self.parts = [replace(part(number), seconds=SECONDS) for number in (2, 3)]
        self.exam = oracle.examine([2, 3], 1)
        os.environ["MINBERT_TEST_TOKEN"] = "BREACH"
        self.nursery = asking.Nursery(self.kit, megabytes=200, wall=WALL)
        self.steps = self.nursery.try_seal(self.rooms, self.results / "run.json")
        self.judge = Judge(self.nursery, self.exam, self.parts, self.rooms)

    def grade(self, own=None, **files) -> dict:
        """Files, in place of the reference's, -> {part: row}.  own  {"adapter.py": source, ...}"""
        files = {f"{name}.py": content for name, content in files.items()}
        files |= {adapter.OWN + name: source.encode() for name, source in (own or {}).items()}
        rows = self.judge.submission(REFERENCE | files)
        return {row.part: row for row in rows}

    def snapshot(self) -> dict:
        """All files that an attack might change: {path: mode, size, time}"""
        paths = [path for folder in (self.kit, self.results, self.neighbour) for path in folder.rglob("*")]
        return {path: (path.stat().st_mode, path.stat().st_size, path.stat().st_mtime_ns) for path in paths}

    def strangers(self) -> list[str]:
        """Processes of pupils that are still there."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes()
            except OSError:
                continue
            if str(self.kit).encode() in command and int(path.parent.name) != self.nursery.process.pid:
                found.append(path.parent.name)
        return found


@pytest.fixture(scope="session")
def grader(tmp_path_factory):
    if sys.platform == "win32":
        pytest.skip("students' code is run on Linux and macOS")
    folder = tmp_path_factory.mktemp("grader")
    for parent in folder.parents:  # of pytest's own folders, which nobody else may enter
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    grader = Grader(folder)
    yield grader
    grader.nursery.close()
