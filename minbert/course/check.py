"""python check.py: each part of a student's work beside the right answers, in seconds, in the student's own folder.

The student's code runs in a process of its own, so that an endless loop is a line and not a dead terminal. Each part
is judged with its own files of the student's and with the handout's files for the rest, as the grader does it.

    python check.py                 all parts
    python check.py 3               one part
    python check.py 3 --hint        the next hint for it
    python check.py 3 --repro       write repro_part3.py, which runs what fails and nothing else
    python check.py --json          for programs: pass, fail or error for each part

In a notebook: `from check import check`, then `check(3, attend=attend)` judges functions of a cell.
"""

import argparse
import contextlib
import faulthandler
import importlib
import io
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from minbert.course import frames, probes
from minbert.course.compare import Stage, compare
from minbert.course.naming import Name, name
from minbert.course.parts import PARTS, WHOLE, Part
from minbert.course.public import Public, load

KIT = Path(__file__).parents[2]  # the folder kit/ of a handout
WIDTH = 36  # of a title


@dataclass
class Result:
    """What became of a part.

    status   "ok", "wrong", "not written yet", "too slow" or "crashed"
    first    the first stage that differs
    name     the known mistake, if there is one
    facts    true observations about the difference, where there is no name
    why      a sentence, where the student's process ended
    """

    part: Part
    status: str = "ok"
    first: Stage | None = None
    name: Name = field(default_factory=lambda: Name("right"))
    facts: list[str] = field(default_factory=list)
    why: str = ""
    probes: int = 0

    def lines(self) -> list[str]:
        """As a person sees it."""
        begin = f"part {self.part.number!s:<6}{self.part.title:<{WIDTH}.{WIDTH}}  "
        if self.status == "ok":
            return [f"{begin}ok        {self.probes} probes"]
        if self.status == "not written yet":
            return [f"{begin}not written yet"]
        if self.status != "wrong":
            return [f"{begin}{self.status.upper():<10}{self.why}"]
        found = [f"{begin}WRONG     in `{self.first.title}`: {self.first.problem}"]
        margin = " " * len(begin)
        kinds = {"known": "KNOWN", "one of": "ONE OF", "two": "TWO"}
        if self.name.kind in kinds:
            return [*found, f"{margin}{kinds[self.name.kind]:<10}{self.name}"]
        return [*found, *(f"{margin}{'NOT KNOWN' if at == 0 else '':<10}{fact}" for at, fact in enumerate(self.facts))]

    def to_dict(self) -> dict:
        """In Exercism's words."""
        status = {"ok": "pass", "wrong": "fail"}.get(self.status, "error")
        return {
            "name": self.part.title,
            "task_id": self.part.number,
            "status": status,
            "message": "\n".join(self.lines()),
        }


def chosen(kit: Path = KIT) -> tuple[list[Part], dict]:
    """The parts that a handout has, and what it says of itself."""
    about = json.loads((kit / "handout.json").read_text("utf-8"))
    return [part for part in (*PARTS, WHOLE) if part.number in about["parts"]], about


# The student's side


def child() -> None:
    """The process that runs a student's code: orders come in, a line each; "done" goes out when one is answered."""
    orders, out = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the student prints is for the terminal
    import torch

    import minbert

    torch.set_num_threads(1)
    path = list(minbert.__path__)
    print("ready", file=out, flush=True)
    for line in orders:
        order = json.loads(line)
        forget()
        minbert.__path__[:] = [str(Path(order["room"]) / "minbert"), *path]
        with open(Path(order["room"]) / "where", "w") as where:
            faulthandler.dump_traceback_later(max(0.1, order["seconds"] - 0.5), file=where)
            with open(Path(order["room"]) / "answers", "wb") as answers:
                for probe, arguments in load(KIT / "public.bin")[order["part"]].inputs.items():
                    found = probes.call(order["part"], probe, probes.Code(), arguments)
                    answers.write(frames.pack_record(0, {"": probe} | found))
                    answers.flush()
            faulthandler.cancel_dump_traceback_later()
        print("done", file=out, flush=True)


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
    """That process, seen from here.

    patience  a part may take so many times the seconds that it is given
    text      a file for what is printed there; None: the terminal
    """

    def __init__(self, kit: Path, patience: int = 1, text=None):
        self.kit, self.patience, self.text, self.process = kit.resolve(), patience, text, None

    def start(self):
        program = "import sys; sys.path.insert(0, sys.argv[1]); from minbert.course.check import child; child()"
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

    def ask(self, part: Part, folder: Path) -> tuple[dict, str, str]:
        """{probe: {stage: array}} of a part, with the student's files in folder/minbert; how it ended, and why."""
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.start()
        with tempfile.TemporaryDirectory(prefix="check-") as room:
            (Path(room) / "minbert").mkdir()
            for file in part.files:
                if (folder / "minbert" / file).is_file():
                    shutil.copy(folder / "minbert" / file, Path(room) / "minbert" / file)
            seconds = self.patience * part.seconds
            order = {"part": part.number, "room": room, "seconds": seconds}
            ended = why = ""
            try:
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()
                word = self.wait(seconds)
            except OSError:
                word = ""
            if word is None:
                ended, why = "too slow", f"no answer in {seconds} s{still_running(Path(room) / 'where')}"
            elif word != "done":
                ended, why = "crashed", f"Python ended with exit code {self.process.wait(10)} before the part was done"
            if ended:
                self.stop()
            return answers(Path(room) / "answers"), ended, why


def terminal():
    """Where a child's text goes: where ours goes, or nowhere if that is no file, as in a notebook."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL


def answers(path: Path) -> dict:
    """What the child wrote of its answers: {probe: {stage: array}}"""
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


# The verdict


def judge(part: Part, public: Public, outputs: dict, ended: str = "", why: str = "") -> Result:
    """Outputs of a part -> what is said about them."""
    from minbert.course.facts import facts

    stages = compare(outputs, public.expected)
    wrong = [stage for stage in stages if not stage.ok]
    result = Result(part, probes=len(public.expected))
    if ended:
        result.status, result.why = ended, why
    elif wrong:
        result.status, result.first = "wrong", wrong[0]
        if all("NotImplementedError" in stage.problem for stage in wrong):
            result.status = "not written yet"
        else:
            result.name = name(outputs, public.expected, public.wrong)
            if result.name.kind == "not known":
                result.facts = facts(part.number, outputs, public.inputs, public.expected)
    return result


def check_folder(folder: Path, parts: list[Part], kit: Path = KIT):
    """Yields the Result of each part of the work in folder/minbert."""
    public, pupil = load(kit / "public.bin"), Child(kit)
    try:
        for part in parts:
            absent = [file for file in part.files if not (folder / "minbert" / file).is_file()]
            if absent:
                yield Result(part, "crashed", why=f"there is no file minbert/{absent[0]}")
            else:
                yield judge(part, public[part.number], *pupil.ask(part, folder))
    finally:
        pupil.stop()


def check(number: int, **functions) -> bool:
    """Judge functions of a notebook's cells, in this process: check(3, attend=attend). Prints what was found.

    functions  by the names that the part's page gives; "MultiHeadAttention.split" is written MultiHeadAttention_split
    An endless loop is not ended here: interrupt the kernel.
    """
    parts, _ = chosen()
    part = next((part for part in parts if part.number == number), None)
    if part is None:
        raise ValueError(f"there is no part {number}; there are {', '.join(str(part.number) for part in parts)}")
    known = {full.replace(".", "_"): (file, full) for file, names in part.blank.items() for full in names}
    for given in functions:
        if given not in known:
            raise ValueError(f"part {number} has no function {given}; it has {', '.join(known)}")
    forget()
    for given, function in functions.items():
        file, full = known[given]
        owner = importlib.import_module(f"minbert.{file.removesuffix('.py')}")
        *owners, last = full.split(".")
        for step in owners:
            owner = getattr(owner, step)
        setattr(owner, last, function)
    public = load(KIT / "public.bin")[part.number]
    result = judge(part, public, probes.run(part.number, public.inputs))
    print("\n".join(result.lines()))
    return result.status == "ok"


# The command


def hint(part: Part, kit: Path = KIT) -> str:
    """The next hint of a part; after the last, the first again."""
    page = (kit.parent / f"part{part.number}.md").read_text("utf-8") if isinstance(part.number, int) else ""
    hints = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\Z)", page.partition("## Hints")[2], re.DOTALL | re.MULTILINE)
    if not hints:
        return "this part has no hints: look at the first of the other parts that is wrong"
    seen = kit.parent / ".hints.json"
    try:
        shown = json.loads(seen.read_text())
    except (OSError, ValueError):
        shown = {}
    at = shown.get(str(part.number), 0) % len(hints)
    with contextlib.suppress(OSError):
        seen.write_text(json.dumps(shown | {str(part.number): at + 1}))
    more = "   (again for the next)" if at + 1 < len(hints) else ""
    return f"{at + 1} of {len(hints)}: {' '.join(hints[at].split())}{more}"


REPRO = '''"""Part {number}, `{probe}`: runs what fails, and nothing else. Set a breakpoint in minbert/."""

import sys

sys.path.insert(0, {kit!r})
from minbert.course.check import reproduce

reproduce({number!r}, {probe!r})
'''


def reproduce(number: int | str, probe: str) -> None:
    """Run one public probe in this process, on the files that are found first; prints each stage beside the right."""
    public = load(KIT / "public.bin")[number]
    import minbert

    minbert.__path__.insert(0, str(KIT.parent / "minbert"))
    found = probes.call(number, probe, probes.Code(), public.inputs[probe])
    for stage in compare({probe: found}, {probe: public.expected[probe]}):
        print(f"{'ok   ' if stage.ok else 'WRONG'} {stage.name}: {stage.problem or 'equal'}")
        if not stage.ok and stage.name in found:
            print(f"yours\n{found[stage.name]}\nshould be\n{public.expected[probe][stage.name]}")


def main(arguments=None) -> int:
    """The program. Returns 0 only if all parts that were asked for are right."""
    try:
        parts, _ = chosen()
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {KIT / 'handout.json'} cannot be read ({error}): unpack the handout again", file=sys.stderr)
        return 2
    numbers = [str(part.number) for part in parts]
    parser = argparse.ArgumentParser("check.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", nargs="*", help=f"one or more of {', '.join(numbers)}; default: all")
    parser.add_argument("--hint", action="store_true", help="print the part's next hint")
    parser.add_argument("--repro", action="store_true", help="write a short program that runs what fails")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(arguments)
    if unknown := [number for number in args.part if number not in numbers]:
        print(f"error: there is no part {unknown[0]}; there are {', '.join(numbers)}", file=sys.stderr)
        return 2
    if (args.hint or args.repro) and len(args.part) != 1:
        print("error: name one part: python check.py 3 --hint", file=sys.stderr)
        return 2
    asked = [part for part in parts if not args.part or str(part.number) in args.part]
    if args.hint:
        print(hint(asked[0]))
        return 0
    began, results = time.monotonic(), []
    for result in check_folder(KIT.parent, asked):
        results.append(result)
        if not args.json:
            print("\n".join(result.lines()), flush=True)
    right = sum(result.status == "ok" for result in results)
    if args.json:
        told = {"version": 2, "status": "pass" if right == len(asked) else "fail"}
        print(json.dumps(told | {"tests": [result.to_dict() for result in results]}, indent=2))
        return 0 if right == len(asked) else 1
    if args.repro:
        repro(results[0])
    after = next((result.part.number for result in results if result.status not in ("ok", "not written yet")), None)
    todo = f"   next: python check.py {after} --hint" if after else ""
    public = f"public tests: {right} of {len(asked)} {'part' if len(asked) == 1 else 'parts'}"
    print(f"{public}. The grader draws other inputs.   {time.monotonic() - began:.1f} s{todo}")
    return 0 if right == len(asked) else 1


def repro(result: Result) -> None:
    if result.first is None:
        print("nothing to reproduce: no stage differs")
        return
    path = KIT.parent / f"repro_part{result.part.number}.py"
    values = {"number": result.part.number, "probe": result.first.probe, "kit": str(KIT)}
    path.write_text(REPRO.format(**values), "utf-8")
    print(f"wrote {path.name}: python {path.name}")
