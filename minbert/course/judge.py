"""One submission -> a row for each part: what came out is compared with what should, and points are counted.

Needs numpy only: expected values, inputs and verdicts are in this process and in no other.
"""

import base64
import io
import shutil
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from minbert.course import adapter, frames
from minbert.course.asking import Answer, Nursery
from minbert.course.compare import UNWRITTEN, Stage, compare, unwritten
from minbert.course.facts import facts
from minbert.course.frames import LINE, flatten, unflatten
from minbert.course.naming import Name, name
from minbert.course.oracle import SETS, Question
from minbert.course.parts import Part

FOUL = ("out of order", "not an array", "too much")  # what no honest work does: the part gets no points


@dataclass
class Row:
    """What became of one part of one submission. In words, and in what a table needs.

    status   "ok", "wrong", "not written yet", "missing", or how the talk with the pupil ended: see asking.Answer
    why      one line about it; nothing of the hidden inputs is in it
    first    the first stage that differs: its set, title and problem
    wrong    the titles of all stages that differ
    text     what the student's code printed
    trace    what it answered to the questions that it got wrong, as `pack_trace` makes it: for names
    """

    part: int | str
    title: str
    points: float
    possible: float
    status: str
    why: str = ""
    first: dict = field(default_factory=dict)
    wrong: list = field(default_factory=list)
    right: int = 0
    stages: int = 0
    notes: list = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0
    printed: int = 0
    text: str = ""
    trace: str = ""


class Judge:
    """Judges submissions with one exam.

    exam    {part: questions}, from oracle.examine
    rooms   a folder that a pupil may enter; each part gets a room in it, and it is gone afterwards
    whole   seconds for a submission
    """

    def __init__(self, nursery: Nursery, exam: dict, parts: list[Part], rooms: Path, whole: int = 300):
        self.nursery, self.exam, self.parts, self.rooms, self.whole = nursery, exam, parts, Path(rooms), whole
        self.free = {}
        kit = {path.name: path.read_bytes() for path in (nursery.kit / "minbert").glob("*.py")}
        for part in parts:  # what the handout gets right as it is, earns nothing
            answer = self.ask(part, kit, whole)
            self.free[part.number] = {
                (stage.probe, at)
                for stages in compared(exam[part.number], answer)
                for at, stage in enumerate(stages)
                if stage.ok
            }

    def submission(self, files: dict[str, bytes], done=(), faults: dict[str, str] | None = None):
        """{"attention.py": its bytes, ...} -> a Row for each part, one after the other, but for those that are done.

        faults  {file: why it was not taken}: parts with such a file are not judged
        """
        began = time.monotonic()
        for part in self.parts:
            if part.number in done:
                continue
            why = next((why for name, why in (faults or {}).items() if concerns(name, part)), "")
            if why:
                yield Row(part.number, part.title, 0.0, part.points, "refused", why)
            else:
                yield self.part(part, files, self.whole - (time.monotonic() - began))

    def part(self, part: Part, files: dict[str, bytes], seconds: float) -> Row:
        absent = [name for name in part.files if name not in files]
        most = len(part.files) - 1 if isinstance(part.number, int) else 0
        if len(absent) > most and adapter.OWN + adapter.FILE not in files:
            why = f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not in the submission"
            return Row(part.number, part.title, 0.0, part.points, "missing", why)
        if seconds <= 0:
            why = f"the {self.whole} s of the whole submission are used up"
            return Row(part.number, part.title, 0.0, part.points, "timed out", why)
        row = self.row(part, self.ask(part, files, seconds))
        row.notes += [f"{name} is not in the submission; the one of the handout was used" for name in absent]
        return row

    def ask(self, part: Part, files: dict[str, bytes], seconds: float) -> Answer:
        """Put the part's questions to a pupil in a room with the part's files."""
        questions = [(question.probe, question.arguments, question.right) for question in self.exam[part.number]]
        with self.room({name: content for name, content in files.items() if concerns(name, part)}) as room:
            return self.nursery.ask(part, room, questions, seconds)

    def scan(self, files: dict[str, bytes]) -> dict[str, dict]:
        """What similarity.py reads of files, without running them: {file: {"grams": [n, 2], "uses": [...]}}"""
        with self.room(files) as room:
            return self.nursery.scan(room, list(files))

    @contextmanager
    def room(self, files: dict[str, bytes]):
        """A folder with these files, each at its spot, which a pupil may read and nobody may change."""
        room = self.rooms / "room"
        shutil.rmtree(room, ignore_errors=True)
        try:
            adapter.lay_out(room, files)
            for path in (room, *room.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def row(self, part: Part, answer: Answer) -> Row:
        questions = self.exam[part.number]
        stages = compared(questions, answer)
        row = Row(part.number, part.title, self.points(part, stages, answer), part.points, "ok")
        row.seconds, row.memory, row.printed = answer.seconds, answer.memory, answer.printed
        row.text = answer.text.decode("utf-8", "replace")
        row.stages, row.right = sum(map(len, stages)), sum(stage.ok for judged in stages for stage in judged)
        wrong = [(question, stage) for question, judged in zip(questions, stages) for stage in judged if not stage.ok]
        row.wrong = sorted({stage.title for _, stage in wrong})
        if answer.ended:
            row.status, row.why = answer.ended, answer.why
        elif wrong:
            row.status, row.why = "wrong", ""
        if wrong:
            question, stage = min(wrong, key=lambda pair: SETS.index(pair[0].set))  # public first: it can be shown
            row.first = {"set": question.set, "stage": stage.title, "problem": stage.problem}
            if not answer.ended and unwritten([stage for _, stage in wrong]):
                row.status = UNWRITTEN
            elif not answer.ended and isinstance(part.number, int):  # the whole has no known mistakes
                row.trace = pack_trace(questions, stages, answer)
        return row

    def points(self, part: Part, stages: list[list[Stage]], answer: Answer) -> float:
        """Each probe has the same share, and each of its stages the same share of that. A stage is right if it is
        right on the public and on the hidden inputs."""
        if answer.ended in FOUL:
            return 0.0
        right = {}
        for judged in stages:
            for at, stage in enumerate(judged):  # by number: a stage's name may hold a number of the inputs
                if (stage.probe, at) not in self.free[part.number]:
                    shares = right.setdefault(stage.probe, {})
                    shares[at] = shares.get(at, True) and stage.ok
        shares = [sum(shares.values()) / len(shares) for shares in right.values()]
        return round(part.points * sum(shares) / len(shares), 2) if shares else 0.0


def concerns(name: str, part: Part) -> bool:
    """True if a part is judged with this file: adapter.py may supply functions of any."""
    return name in part.files or name.startswith(adapter.OWN)


def compared(questions: list[Question], answer: Answer) -> list[list[Stage]]:
    """The stages of each question, judged; those of a question that was not answered are wrong."""
    outputs = answer.outputs + [{}] * (len(questions) - len(answer.outputs))
    return [
        compare({question.probe: output}, {question.probe: question.right})
        for question, output in zip(questions, outputs)
    ]


def pack_trace(questions: list[Question], stages: list[list[Stage]], answer: Answer) -> str:
    """All that was answered to each question with a wrong stage, as text."""
    wrong = {
        question.set + LINE + question.probe: output
        for question, judged, output in zip(questions, stages, answer.outputs)
        if not all(stage.ok for stage in judged)
    }
    return base64.b64encode(zlib.compress(frames.pack_record(0, flatten(wrong)))).decode()


def unpack_trace(trace: str) -> dict[str, dict]:
    """{set and probe: {stage: array}}"""
    content = zlib.decompress(base64.b64decode(trace))
    return unflatten(frames.read_record(io.BytesIO(content).read)[1], 2)


def name_row(trace: str, questions: list[Question], wrong: dict) -> Name:
    """The known mistake behind a row's trace: naming.name over public and hidden probes together."""
    expected = {question.set + LINE + question.probe: question.right for question in questions}
    return name(expected | unpack_trace(trace), expected, wrong)


def observe(part: int, trace: str, questions: list[Question]) -> list[str]:
    """True sentences about what is wrong with the public inputs: see facts.py. Nothing if they are right."""
    asked, answers = [question for question in questions if question.set == "public"], unpack_trace(trace)
    expected = {question.probe: question.right for question in asked}
    outputs = {probe: answers.get("public" + LINE + probe, right) for probe, right in expected.items()}
    return facts(part, outputs, {question.probe: question.arguments for question in asked}, expected)
