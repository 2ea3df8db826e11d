"""A class is graded: each gets a row, a run that was stopped goes on, and what people read is safe to read."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from minbert.course import asking, oracle, place
from minbert.course import grader as grading
from minbert.course.grader import Settings
from minbert.course.submission import find
from minbert.errors import UserError
from tests.conftest import ROOT
from tests.course.attacks import ATTACKS
from tests.course.conftest import ALL, REFERENCE
from tests.course.habits import spread

UNSCALED = REFERENCE["attention.py"].replace(b" / math.sqrt(query.size(-1))", b"")
ODD = REFERENCE["attention.py"].replace(b"math.sqrt(query.size(-1))", b"1.2345")
FILES = ("attention.py", "embeddings.py")


def hand_in(folder, **work):
    """{student: {file: content}}: the reference, but for these files"""
    for student, files in work.items():
        (folder / student / "minbert").mkdir(parents=True)
        for name in FILES:
            (folder / student / "minbert" / name).write_bytes(files.get(name, REFERENCE[name]))
    return folder


@pytest.fixture(scope="module")
def class_folder(tmp_path_factory):
    hand_in(
        tmp_path_factory.mktemp("class"),
        ada={},
        bob={"attention.py": UNSCALED},
        cyd={"attention.py": ODD},
        dan={"attention.py": ODD + b"\n# the same\n"},
        eve={"attention.py": b"import os\nos._exit(0)\n"},
    )
    folder = tmp_path_factory.getbasetemp() / "class0"
    (folder / "zip.zip").write_bytes(b"PK\3\4 no zip at all")
    return folder


@pytest.fixture(scope="module")
def wrong(grader):
    """What the oracle would say of known mistakes: of one."""
    return {2: {}, 3: {"the scores are not scaled by sqrt(K)": wrong_scores(grader.exam[3])}}


@pytest.fixture
def warm(grader, wrong, monkeypatch):
    """grade(paths, out, ...) with the nursery and the exam that are there already."""

    @contextmanager
    def opened(settings):
        yield grader.nursery, grader.rooms, grader.steps

    monkeypatch.setattr(grading, "opened", opened)
    monkeypatch.setattr(oracle, "examine", lambda numbers, seed: grader.exam)
    monkeypatch.setattr(oracle, "known_mistakes", lambda numbers, seed: wrong)

    def grade(folder, out, **settings):
        said = []
        settings = {"parts": grader.parts, "level": grader.nursery.level, "seed": 1} | settings
        paths = find(folder) if folder.is_dir() else [folder]
        return grading.grade(paths, out, Settings(**settings), said.append), said

    return grade


def wrong_scores(questions):
    """What the mistake UNSCALED gives in all probes: right answers where it does not show."""
    import torch

    from minbert.course import mistakes, probes

    (mistake,) = [each for each in mistakes.mistakes(3) if each.name == "the scores are not scaled by sqrt(K)"]
    found = {}
    for name in oracle.SETS:
        asked = [question for question in questions if question.set == name]
        inputs = {question.probe: question.arguments for question in asked}
        right = {question.probe: question.right for question in asked}
        with torch.no_grad():
            outputs = probes.run(3, inputs, mistakes.mutant(mistake.wrong, mistakes.files_of(3)))
        for probe, stages in mistakes.wrong_parts(outputs, right).items():
            found[name + oracle.LINE + probe] = stages
    return found


def table(out):
    lines = (out / "results.csv").read_text("utf-8").splitlines()
    return {row["student"]: row for row in csv.DictReader(lines)}


def test_a_class_is_graded(warm, class_folder, tmp_path):
    out = tmp_path / "results"
    class_, said = warm(class_folder, out)
    rows = table(out)
    assert [graded.student for graded in class_] == ["ada", "bob", "cyd", "dan", "eve", "zip"]
    assert [rows[name]["part 3 status"] for name in rows] == ["ok", "wrong", "wrong", "wrong", "no answer", "refused"]
    assert [float(rows[name]["part 2"]) for name in rows] == [10, 10, 10, 10, 10, 0]
    assert [float(rows[name]["part 3"]) > 0 for name in rows] == [True, True, True, True, False, False]
    assert rows["ada"]["points"] == rows["ada"]["possible"] == "25"
    assert rows["bob"]["part 3 mistake"] == "the scores are not scaled by sqrt(K)"
    assert rows["cyd"]["part 3 mistake"] == ""
    assert "damaged" in rows["zip"]["notes"]
    assert said[-1].startswith("  6 of 6  zip") and "refused" in said[-1]
    unnamed = (out / "unnamed.txt").read_text()
    assert "2 students" in unnamed and "cyd" in unnamed and "dan" in unnamed and "bob" not in unnamed
    incidents = (out / "incidents.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in incidents] == ["eve", "eve", "zip"]
    assert incidents[0] == "eve: attention.py:2 has _exit"
    assert incidents[1] == "eve: part 3: ended by exit code 0 before any answer"
    alike = [line.split(",")[:2] for line in (out / "similarity.csv").read_text().splitlines()[1:]]
    assert alike == [["ada", "the reference"], ["cyd", "dan"]]
    assert sorted(path.name for path in (out / "feedback").iterdir()) == [f"{name}.txt" for name in sorted(rows)]
    text = (out / "feedback" / "bob.txt").read_text()
    assert "known mistake: the scores are not scaled by sqrt(K)" in text
    assert "no known mistake; facts: " in (out / "feedback" / "cyd.txt").read_text()
    assert oct((out / "run.json").stat().st_mode & 0o077) == "0o0"


@pytest.mark.fault("grading: the grader is stopped in the middle of a class")
def test_a_run_that_was_stopped_goes_on(warm, class_folder, tmp_path, monkeypatch):
    whole, part = tmp_path / "whole", tmp_path / "part"
    warm(class_folder, whole)
    right = (whole / "results.csv").read_bytes()
    lines = (whole / "rows.jsonl").read_bytes().splitlines(keepends=True)
    judged = []
    monkeypatch.setattr(grading.Judge, "ask", count(grading.Judge.ask, judged))
    for cut in (0, 1, 3, len(lines) // 2, len(lines)) if ALL else (1, len(lines) // 2 + 1):
        part.mkdir(exist_ok=True)
        (part / "run.json").write_bytes((whole / "run.json").read_bytes())
        torn = lines[cut][:-5] if cut < len(lines) else b'{"stu'
        (part / "rows.jsonl").write_bytes(b"".join(lines[:cut]) + torn)
        judged.clear()
        _, said = warm(class_folder, part)
        assert (part / "results.csv").read_bytes() == right
        left = sum(b'"begin"' not in line and b'"end"' not in line for line in lines[cut:])
        assert len(judged) <= left + 2, "the two parts of the calibration, and what had no row"
        assert ("goes on" in said[1]) is True
        begun = sum(b'"begin"' in line for line in lines[:cut]) - sum(b'"end"' in line for line in lines[:cut])
        assert ("was running" in (part / "incidents.txt").read_text()) is (begun == 1)


def count(method, calls):
    def counted(self, part, *arguments):
        calls.append(part.number)
        return method(self, part, *arguments)

    return counted


def test_a_new_zip_of_a_student_is_graded_anew(warm, tmp_path):
    folder = hand_in(tmp_path / "class", ada={"attention.py": UNSCALED})
    warm(folder, tmp_path / "out")
    (folder / "ada" / "minbert" / "attention.py").write_bytes(REFERENCE["attention.py"])
    warm(folder, tmp_path / "out")
    assert table(tmp_path / "out")["ada"]["points"] == "25"


def test_work_in_files_of_other_names_is_graded_and_compared(warm, tmp_path):
    """By the files that adapter.py names, which are looked at as those of the parts are."""
    folder, (source, own) = hand_in(tmp_path / "class", ada={}, bob={}), spread(REFERENCE["attention.py"].decode())
    for student, more in (("ada", {}), ("bob", {"heads.py": "\xff", "looking.py": "\xff"})):
        (folder / student / "minbert" / "attention.py").write_text(source)
        for name, content in (own | more).items():
            (folder / student / name).write_text(content, "latin-1")
    (folder / "ada" / "heads.py").write_text(own["heads.py"] + "import socket\n")
    warm(folder, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert rows["ada"]["points"] == "25"
    assert [rows["bob"][f"part {number} status"] for number in (2, 3)] == ["refused", "refused"]
    assert "looking.py is not UTF-8" in (tmp_path / "out" / "feedback" / "bob.txt").read_text()
    assert "ada: own/heads.py:" in (tmp_path / "out" / "incidents.txt").read_text()
    text = (tmp_path / "out" / "similarity.txt").read_text()
    assert "ada and the reference" in text and "own/looking.py" in text


def test_results_of_another_run_are_not_mixed_in(warm, class_folder, tmp_path, grader):
    warm(class_folder / "ada", tmp_path, seed=None)
    with pytest.raises(UserError, match="a run with another seed"):
        warm(class_folder / "ada", tmp_path, seed=5)
    with pytest.raises(UserError, match="a run of other parts"):
        warm(class_folder / "ada", tmp_path, parts=grader.parts[:1])
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        warm(class_folder / "ada", tmp_path)


def test_a_share_for_a_known_mistake(warm, tmp_path):
    folder = hand_in(tmp_path / "class", bob={"attention.py": UNSCALED})
    warm(folder, tmp_path / "out", shares={"the scores are not scaled by sqrt(K)": 0.7})
    assert table(tmp_path / "out")["bob"]["part 3"] == "10.5"


def test_a_seal_that_is_not_reached_is_refused(warm, class_folder, tmp_path, grader, monkeypatch):
    monkeypatch.setattr(grader.nursery, "level", "separated")
    with pytest.raises(UserError, match="the seal is separated here, not sealed"):
        warm(class_folder, tmp_path, level="sealed")
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.fault("grading: control characters, HTML and formulas in what a student wrote")
def test_what_students_wrote_is_shown_and_never_run(warm, tmp_path):
    """Attack 58: a class name and a message with escapes; the student's name begins like a formula."""
    (attack,) = (attack for attack in ATTACKS if attack.number == 58)
    folder = hand_in(tmp_path / "class", **{"=cmd()\x1b[2J": {"attention.py": attack.source().encode()}})
    warm(folder, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.name != "rows.jsonl":
            text = path.read_text("utf-8")
            assert not set(text) & {"\x1b", "\x07", "\x00", "\u202e", "\r"}, path
    row = next(csv.reader((tmp_path / "out" / "results.csv").read_text().splitlines()[1:]))
    assert row[0] == "'=cmd()\\x1b[2J"
    results = json.loads((tmp_path / "out" / "gradescope" / "results.json").read_text())
    assert {test["output_format"] for test in results["tests"]} == {"text"}
    assert results["score"] == 10


KILLED = """
import pickle, sys
from pathlib import Path
from dataclasses import replace
from minbert.course import grader, oracle
from minbert.course.parts import part
from minbert.course.submission import find
folder, out, exam = map(Path, sys.argv[1:])
exam = pickle.loads(exam.read_bytes())
oracle.examine = lambda numbers, seed: exam
oracle.known_mistakes = lambda numbers, seed: {number: {} for number in numbers}
settings = grader.Settings([part(2), part(3)], level="open", seed=1)
grader.grade(find(folder), out, settings, lambda line: print(line, flush=True))
"""


@pytest.mark.fault("grading: the grader is killed")
def test_a_grader_that_is_killed_loses_nothing(grader, class_folder, tmp_path):
    """Killed at random moments and started again, it writes the table of a run that nobody stopped."""
    import pickle
    import random
    import time

    (tmp_path / "places").mkdir()
    (tmp_path / "exam").write_bytes(pickle.dumps(grader.exam))

    def start(out):
        command = [sys.executable, "-c", KILLED, class_folder, out, tmp_path / "exam"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "places")}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        assert process.stdout.readline().startswith(b"seal"), process.stdout.read()
        return process

    process = start(tmp_path / "whole")
    began = time.monotonic()
    process.communicate()
    lasted = time.monotonic() - began
    right = (tmp_path / "whole" / "results.csv").read_bytes()
    draw, out, finished = random.Random(0), tmp_path / "killed", 0
    for _ in range(100 if ALL else 1):
        process = start(out)
        time.sleep(draw.random() * lasted * 0.4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (out / "results.csv").exists():  # it had ended, or nearly
            assert (out / "results.csv").read_bytes() == right
            shutil.rmtree(out)
            finished += 1
    process = start(out)
    process.communicate()
    assert process.returncode == 0
    assert (out / "results.csv").read_bytes() == right
    assert finished < 90
    assert list((tmp_path / "places").iterdir()) == [], "the next run removes what a killed one left"


@pytest.mark.skipif(not ALL, reason="make course-test starts a process of its own for this")
def test_without_landlock_the_level_is_lower_and_says_what_is_not_refused(grader, tmp_path):
    kit_folder = tmp_path / "kit"
    shutil.copytree(grader.kit, kit_folder)
    source = (kit_folder / "minbert" / "course" / "seal.py").read_text()
    source += "\ndef restrict_files(readable):\n    raise OSError(0, 'no Landlock')\n"
    (kit_folder / "minbert" / "course" / "seal.py").write_text(source)
    with asking.Nursery(kit_folder) as nursery:
        steps = nursery.try_seal(grader.rooms, grader.results / "run.json")
        assert nursery.level == "separated"
    assert steps["files"] == "not possible here (no Landlock)"
    said = place.describe_seal("separated", steps, Settings(grader.parts))
    assert "read a file" in said.splitlines()[1] and "import the reference" in said.splitlines()[1]
    assert "open a socket" not in said
