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
import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from minbert.course import adapter, probes
from minbert.course.child import KIT, Child, forget
from minbert.course.compare import UNWRITTEN, Stage, compare, unwritten
from minbert.course.naming import Name, name
from minbert.course.parts import PARTS, WHOLE, Part
from minbert.course.public import Public, load
from minbert.errors import UserError

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
        if self.status == UNWRITTEN:
            return [begin + self.first.problem]
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


def chosen() -> tuple[list[Part], dict]:
    """The parts that a handout has, and what it says of itself."""
    about = json.loads((KIT / "handout.json").read_text("utf-8"))
    return [part for part in (*PARTS, WHOLE) if part.number in about["parts"]], about


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
        if unwritten(wrong):
            result.status = UNWRITTEN
        else:
            result.name = name(outputs, public.expected, public.wrong)
            if result.name.kind == "not known":
                result.facts = facts(part.number, outputs, public.inputs, public.expected)
    return result


def check_folder(folder: Path, parts: list[Part], kit: Path = KIT):
    """Yields the Result of each part of the work in folder/minbert, or that folder/adapter.py has elsewhere."""
    public, pupil = load(kit / "public.bin"), Child(kit)
    try:
        own = adapter.own_files(folder)
        for part in parts:
            paths = {file: folder / "minbert" / file for file in part.files}
            files = {file: path.read_bytes() for file, path in paths.items() if path.is_file()}
            absent = [file for file in part.files if file not in files]
            if absent and not own:
                yield Result(part, "crashed", why=f"there is no file minbert/{absent[0]}")
            else:
                yield judge(part, public[part.number], *pupil.ask(part, files | own))
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
    names = [(file, full, full.replace(".", "_")) for file, full, _ in part.names]
    known = [given for _, _, given in names]
    for given in functions:
        if given not in known:
            raise ValueError(f"part {number} has no function {given}; it has {', '.join(known)}")
    forget()
    adapter.supply(functions, names)
    public = load(KIT / "public.bin")[part.number]
    result = judge(part, public, probes.run(part.number, public.inputs))
    print("\n".join(result.lines()))
    return result.status == "ok"


# The command


def hint(part: Part) -> str:
    """The next hint of a part; after the last, the first again."""
    page = (KIT.parent / f"part{part.number}.md").read_text("utf-8") if isinstance(part.number, int) else ""
    hints = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\Z)", page.partition("## Hints")[2], re.DOTALL | re.MULTILINE)
    if not hints:
        return "this part has no hints: look at the first of the other parts that is wrong"
    seen = KIT.parent / ".hints.json"
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

sys.path[0] = {kit!r}
from minbert.course.check import reproduce

reproduce({number!r}, {probe!r})
'''


def reproduce(number: int | str, probe: str) -> None:
    """Run one public probe in this process, on the files that are found first; prints each stage beside the right."""
    public = load(KIT / "public.bin")[number]
    import minbert

    minbert.__path__.insert(0, str(KIT.parent / "minbert"))
    part = next(part for part in chosen()[0] if part.number == number)
    with adapter.adapted(KIT.parent, part.names) as code:
        found = probes.call(number, probe, code, public.inputs[probe])
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
    try:
        for result in check_folder(KIT.parent, asked):
            results.append(result)
            if not args.json:
                print("\n".join(result.lines()), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
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
