"""The trusted side: start the process of nursery.py, measure its seal, and put a part's questions to a pupil.

Needs numpy only; a student's code never runs here.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from minbert.course import frames, kit, seal
from minbert.course.talk import Broken, Talk, reply
from minbert.errors import UserError

PACKAGES = ("torch", "numpy", "safetensors")  # which a student's code may import, with what they need
START = """
import json, sys
kit, folders, *more = json.loads(sys.argv[1])
sys.path[:] = [kit, *sys.path, *folders]
from minbert.course.nursery import main
main(*more)
"""


@dataclass
class Answer:
    """What came of a part's questions.

    outputs  for each question that was answered: {stage: array}
    ended    "" if all were, else "timed out", "memory", "too much", "not an array", "out of order" or "no answer"
    why      a sentence about it
    text     what the pupil printed, its first 64 kB
    """

    outputs: list[dict] = field(default_factory=list)
    ended: str = ""
    why: str = ""
    seconds: float = 0.0
    memory: int = 0
    text: bytes = b""
    printed: int = 0


class Nursery:
    """The process that forks pupils, and the level of the seal that it reaches.

    folder     of the package that has the blanks: see kit.py
    megabytes  what a pupil may take beyond the nursery's own memory
    wall       seconds for a part
    """

    def __init__(self, folder: Path, megabytes: int = 400, wall: int = 60):
        self.kit, self.megabytes, self.wall = Path(folder), megabytes, wall
        packages = kit.packages(*PACKAGES)
        self.folders = sorted({os.path.dirname(path) for path in packages})
        self.readable = [*kit.standard_library(), *packages, str(folder)]
        self.level, self.process, self.line, self.log = seal.LEVELS[0], None, None, None
        self.start()

    def start(self):
        """Start the process, anew if it has ended."""
        self.close()
        ours, theirs = socket.socketpair()
        told = json.dumps([str(self.kit), self.folders, theirs.fileno(), self.readable])
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", START, told],
            env={"PATH": os.defpath, "LANG": "C.UTF-8", **threads},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=[theirs.fileno()],
            cwd=self.kit,
        )
        theirs.close()
        self.line = ours
        self.memory = self.receive()["memory"]

    def close(self):
        if self.process is not None:
            self.line.close()  # it ends when it sees this, its pupil first
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.log.close()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def receive(self):
        """The nursery's next message. Raises UserError, with the last line it wrote, if it has ended."""
        content = b""
        while not content.endswith(b"\n"):
            more = self.line.recv(1 << 16)
            if not more:
                self.log.seek(0)
                raise UserError(f"the process that runs the students' code ended: {last_line(self.log.read())}")
            content += more
        return json.loads(content)

    def try_seal(self, room: Path, secret: Path) -> dict[str, str]:
        """Seal a pupil without a student's code and let it try what must be refused: {step or attempt: result}

        From then on no student's code runs below the level that was reached, `self.level`.
        """
        reference = Path(__file__).parents[1] / "attention.py"
        order = {"room": str(room), "seconds": 5, "secret": str(secret), "reference": str(reference)}
        steps = {}
        with contextlib.suppress(Broken), self.pupil(order) as talk:
            steps = talk.record(time.monotonic() + 60)
        if not steps:
            raise UserError(f"no pupil could be started: {last_line(bytes(talk.text))}")
        tried = {name for name, result in steps.items() if result == "possible"}
        level = seal.level(steps)
        self.level = "separated" if tried and level == "sealed" else level
        return steps

    def pupil(self, order):
        return Talk(self, {"megabytes": self.megabytes, "level": self.level, **order})

    def ask(self, part, room: Path, questions: list, wall: float | None = None) -> Answer:
        """Put questions, each (probe, arguments, the right answer {stage: array}), to a new pupil with a part's files.

        room  a folder with the student's files of this part and nothing else
        wall  seconds, where less than this nursery's are left
        """
        wall = min(self.wall, wall or self.wall)
        order = {"room": str(room), "seconds": part.seconds, "part": part.number, "names": part.names}
        answer, began = Answer(), time.monotonic()
        with self.pupil(order) as talk:
            try:
                steps = talk.record(began + wall)
                if seal.LEVELS.index(seal.level(steps)) < seal.LEVELS.index(self.level):
                    raise UserError(f"a pupil could not be sealed as the first one was: {steps}")
                for number, (probe, arguments, right) in enumerate(questions):
                    frame = frames.pack_record(number, {"": probe, **arguments})
                    answer.outputs.append(talk.exchange(frame, reply(number, right), began + wall))
            except Broken as error:
                answer.ended, answer.why = error.args
        usage = talk.usage
        answer.seconds = round(time.monotonic() - began, 2)
        answer.memory = max(talk.largest, usage["memory"])
        answer.text, answer.printed = bytes(talk.text), talk.printed
        if answer.ended == "no answer":
            answer.ended, answer.why = explain(usage, part.seconds, answer)
        return answer

    def scan(self, room: Path, files: list[str]) -> dict[str, dict]:
        """Read a room's files in a pupil, without running them: {file: {"grams": [n, 2], "uses": [...]}}

        Empty from the first one on that cannot be read.
        """
        found, deadline = {}, time.monotonic() + self.wall
        order = {"room": str(room), "seconds": self.wall, "scan": files}
        with self.pupil(order) as talk, contextlib.suppress(Broken):
            talk.record(deadline)
            for name in files:
                found[name] = talk.record(deadline)
        return found


def last_line(text: bytes) -> str:
    return (text.decode(errors="replace").strip().splitlines() or ["no message"])[-1]


def explain(usage, seconds, answer):
    """What ended a pupil that was not ended by the judge: (status, why)."""
    status, answered = usage["status"], len(answer.outputs)
    if -status in (signal.SIGKILL, signal.SIGXCPU) and answer.seconds >= 0.9 * seconds:
        return "timed out", f"no answer in {seconds} s of processor time"
    how = f"by signal {-status}" if status < 0 else f"by exit code {status}"
    return "no answer", f"ended {how} {'before any answer' if not answered else f'after {answered} answers'}"
