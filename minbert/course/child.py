"""A process of its own for a student's code while it is checked, so that an endless loop is a line in the answer.

`main` is that process; `Child` is what the checking one sees of it.
"""

import contextlib
import faulthandler
import importlib
import io
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from minbert.course import adapter, frames, probes
from minbert.course.parts import Part
from minbert.course.public import load

KIT = Path(__file__).parents[2]  # the folder kit/ of a handout


def main() -> None:
    """Run a student's code: orders come in, a line each; "done" goes out when one is answered."""
    orders, out = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the student prints is for the terminal
    import torch

    import minbert

    torch.set_num_threads(1)
    path, questions = list(minbert.__path__), load(KIT / "public.bin")
    tell(out, "ready")
    for line in orders:
        order = json.loads(line)
        room = Path(order["room"])
        forget()
        minbert.__path__[:] = [str(room / "minbert"), *path]
        with open(room / "where", "w") as where, open(room / "answers", "wb") as answers:
            faulthandler.dump_traceback_later(max(0.1, order["seconds"] - 0.5), file=where)
            with adapter.adapted(room / "own" / "minbert", order["names"]) as code:
                for probe, arguments in questions[order["part"]].inputs.items():
                    found = probes.call(order["part"], probe, code, arguments)
                    answers.write(frames.pack_record(0, {"": probe} | found))
                    answers.flush()
            faulthandler.cancel_dump_traceback_later()
        tell(out, "done")


def tell(out, word: str) -> None:
    out.write(word + "\n")
    out.flush()


def forget() -> None:
    """Let the package's files be imported again: those of the next part are in another folder."""
    import minbert

    for module in [each for each in sys.modules if each.startswith("minbert.")]:
        if not module.startswith("minbert.course"):
            del sys.modules[module]
            vars(minbert).pop(module.partition(".")[2], None)
    for public in getattr(minbert, "__all__", ()):
        vars(minbert).pop(public, None)
    importlib.invalidate_caches()


class Child:
    """The process, which starts when it is first asked, and anew after one that had to be ended.

    patience  a part may take so many times the seconds that it is given
    text      a file for what is printed there; None: the terminal
    """

    def __init__(self, kit: Path, patience: int = 1, text=None):
        self.kit, self.patience, self.text, self.process = kit.resolve(), patience, text, None

    def start(self):
        program = "import sys; sys.path.insert(0, sys.argv[1]); from minbert.course.child import main; main()"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.kit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.text or terminal(),
            text=True,
            env=environment,
            cwd=self.kit,
        )
        self.said = queue.Queue()
        threading.Thread(target=self.listen, args=(self.process, self.said), daemon=True).start()
        self.wait(120)

    @staticmethod
    def listen(process, said):
        for line in process.stdout:
            said.put(line)
        said.put("")  # it has ended

    def wait(self, seconds):
        """Its next word: "ready", "done", "" if it has ended, None if it says nothing in time."""
        try:
            return self.said.get(timeout=seconds).strip()
        except queue.Empty:
            return None

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def ask(self, part: Part, files: dict[str, bytes]) -> tuple[dict, str, str]:
        """{probe: {stage: array}} of a part, with a student's files as in Submission; how it ended, and why."""
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.start()
        with tempfile.TemporaryDirectory(prefix="check-") as room:
            room = Path(room)
            adapter.lay_out(room, files)
            seconds = self.patience * part.seconds
            order = {"part": part.number, "names": part.names, "room": str(room), "seconds": seconds}
            ended = why = ""
            try:
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()
                word = self.wait(seconds)
            except OSError:
                word = ""
            if word is None:
                ended, why = "too slow", f"no answer in {seconds} s{still_running(room / 'where')}"
            elif word != "done":
                ended, why = "crashed", f"Python ended with exit code {self.process.wait(10)} before the part was done"
            if ended:
                self.stop()
            return answers(room / "answers"), ended, why


def terminal():
    """Where a child's text goes: where ours goes, or nowhere if that is no file, as in a notebook."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


def answers(path: Path) -> dict:
    """What the process wrote of its answers: {probe: {stage: array}}"""
    found, read = {}, io.BytesIO(path.read_bytes() if path.exists() else b"").read
    with contextlib.suppress(frames.FrameError):  # the last may be cut
        while (record := frames.read_record(read)) is not None:
            stages = record[1]
            found[stages.pop("")] = stages
    return found


def still_running(path: Path) -> str:
    """ "; `attend` was still running at attention.py:31", from what faulthandler wrote"""
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    for line in lines:
        match = re.search(r'File ".*[/\\]minbert[/\\](\w+\.py)", line (\d+) in (\w+)', line)
        if match:
            return f"; `{match[3]}` was still running at {match[1]}:{match[2]}"
    return ""
