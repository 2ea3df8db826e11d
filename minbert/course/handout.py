"""Build a handout: a folder that a student can start with, made from the package itself, and tested before it is used.

Only what is named is copied. A function that a student writes keeps its signature and its docstring; its body is gone,
here and in everything that is copied (`leaks`).
"""

import ast
import hashlib
import json
import re
import tempfile
import tokenize
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

from minbert.course import kit, probes
from minbert.course.blank import blank, functions
from minbert.course.check import judge
from minbert.course.child import Child
from minbert.course.mistakes import mistakes, signatures
from minbert.course.parts import PARTS, WHOLE, Part
from minbert.course.public import Public, load, save
from minbert.errors import UserError

# Files of the kit beyond those that a grader's pupils see.
MORE = (
    "compare.py",
    "naming.py",
    "facts.py",
    "parts.py",
    "public.py",
    "child.py",
    "check.py",
    "submission.py",
    "submit.py",
)
PAGES = Path(__file__).parent / "text"
RUN = 20  # tokens in a row of a removed body that nothing in a handout may have
DOOR = '''"""{first}"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":  # a file of yours, token.py for one, must not be taken for Python's own
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
sys.path.insert(0, os.path.join(HERE, "kit"))
from minbert.course.{name} import {names}  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
'''
TESTS = '''"""The same as `python check.py`, for those who prefer pytest: `python -m pytest -m part3`."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE / "kit"))
from minbert.course.check import check_folder, chosen  # noqa: E402

PARTS = {f"part{part.number}": part for part in chosen()[0]}
MARKED = [pytest.param(part, id=name, marks=getattr(pytest.mark, name)) for name, part in PARTS.items()]


@pytest.mark.parametrize("part", MARKED)
def test_part(part):
    (result,) = check_folder(HERE, [part])
    assert result.status == "ok", "\\n".join(result.lines())
'''


def build(out: Path, parts: tuple[Part, ...] = PARTS, name: str = "minbert") -> dict:
    """Write the folder. Returns what it says of itself: its name, its parts, the hashes of its files, the kit's hash.

    Raises UserError if the folder exists and is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists: a handout needs a new folder")
    numbers = [part.number for part in parts] + [WHOLE.number] * (parts == PARTS)
    for file, source in kit.sources(parts).items():
        for folder in (out / "kit",) if file.startswith("course/") else (out, out / "kit"):
            write(folder / "minbert" / file, source)
    for file in MORE:
        write(out / "kit" / "minbert" / "course" / file, (PAGES.parent / file).read_text("utf-8"))
    save(out / "kit" / "public.bin", {number: public(number) for number in numbers})
    for part in parts:
        write(out / f"part{part.number}.md", (PAGES / f"part{part.number}.md").read_text("utf-8"))
    write(out / "README.md", (PAGES / "README.md").read_text("utf-8").replace("{table}", table(parts)))
    for script, names in (("check", "check, main"), ("submit", "main")):
        first = ast.get_docstring(ast.parse((PAGES.parent / f"{script}.py").read_text("utf-8"))).partition("\n")[0]
        write(out / f"{script}.py", DOOR.format(first=first, name=script, names=names))
    write(out / "tests" / "test_parts.py", TESTS)
    marks = "".join(f"    part{number}: part {number}\n" for number in numbers)
    write(out / "pytest.ini", f"[pytest]\nmarkers =\n{marks}")
    write(out / "requirements.txt", "torch >= 2.10\nnumpy\nsafetensors\nfilelock\nhuggingface_hub\npytest\n")
    return describe(out, name, numbers)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", newline="\n")


def public(number: int | str) -> Public:
    """A part's public questions, with the right answers and those of all known mistakes."""
    inputs = probes.draw(number, probes.PUBLIC_SEED)
    expected = probes.run(number, inputs)
    if not isinstance(number, int):
        return Public(inputs, expected)
    hints = {mistake.name: mistake.hint for mistake in mistakes(number)}
    return Public(inputs, expected, signatures(number, inputs, expected), hints)


def table(parts: tuple[Part, ...]) -> str:
    """The parts as rows of a Markdown table."""
    rows = ["| part | what | files | points |", "|---|---|---|---|"]
    for part in parts:
        files = ", ".join(f"`minbert/{file}`" for file in part.files)
        rows.append(f"| [{part.number}](part{part.number}.md) | {part.title} | {files} | {part.points} |")
    return "\n".join(rows)


def describe(out: Path, name: str, numbers: list) -> dict:
    """Write kit/handout.json."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    whole = hashlib.sha256("".join(f"{path} {value}\n" for path, value in hashes.items()).encode()).hexdigest()
    about = {"name": name, "parts": numbers, "kit": whole, "files": hashes}
    write(out / "kit" / "handout.json", json.dumps(about, indent=1) + "\n")
    return about


# The self-check


def self_check(out: Path, parts: tuple[Part, ...], tell: Callable[[str], None] = print) -> list[str]:
    """Test a handout that was built. Returns what is wrong, a line each; nothing if it may be used.

    tell  called with a line about each thing that was tested
    """
    problems, sources = [], kit.originals()
    printed = tempfile.TemporaryFile()  # noqa: SIM115
    pupil, known = Child(out / "kit", patience=5, text=printed), load(out / "kit" / "public.bin")

    def verdict(part, files):
        work = {file: source.encode() for file, source in files.items()}
        return judge(part, known[part.number], *pupil.ask(part, work))

    try:
        every = [part for part in (*parts, WHOLE) if part.number in known]
        for part in every:
            result = verdict(part, {file: sources[file] for file in part.files})
            problems += [f"the reference: {line}" for line in result.lines() if result.status != "ok"]
        tell(f"reference  all {len(every)} parts are right")
        for part in every:
            result = verdict(part, {file: (out / "minbert" / file).read_text("utf-8") for file in part.files})
            if result.status not in ("wrong", "not written yet"):
                problems.append(f"part {part.number} is {result.status} although nothing is written")
        tell("as it is   no part is right")
        blanks = 0
        for part in parts:
            for file, full in ((file, full) for file, names in part.blank.items() for full in names):
                blanks += 1
                source = blank(sources[file], [full], part.number)
                for other in parts:
                    if file not in other.files:
                        continue  # it is judged with the handout's file, whatever the student wrote
                    result = verdict(other, {each: sources[each] for each in other.files} | {file: source})
                    if result.status not in (("wrong", "not written yet") if other is part else ("ok",)):
                        problems.append(f"part {other.number} is {result.status} without {full} of part {part.number}")
        tell(f"blanks     {blanks} functions; without each, its own part is wrong and no other")
        tell(caught(parts, known, problems))
    finally:
        pupil.stop()
        printed.seek(0)
        last = printed.read().decode(errors="replace").strip().splitlines()[-1:]
        printed.close()
    if problems and last:
        problems.append(f"the last line that was printed: {last[0]}")
    found = list(leaks(out, parts))
    problems += found
    tell(f"leaks      {len(found) or 'none'}: no {RUN} tokens in a row of a removed body are in the handout")
    return problems


def caught(parts: tuple[Part, ...], known: dict, problems: list[str]) -> str:
    """Whether each known mistake is wrong in its own part, and its name is told from the others'."""
    from minbert.course.naming import name

    total = alone = 0
    for part in parts:
        questions = known[part.number]
        for mistake, wrong in questions.wrong.items():
            total += 1
            if not wrong:
                problems.append(f"part {part.number} does not notice the mistake: {mistake}")
                continue
            outputs = {probe: dict(stages) for probe, stages in questions.expected.items()}
            for probe, stages in wrong.items():
                outputs[probe] = stages if probes.RAISED in stages else outputs[probe] | stages
            found = name(outputs, questions.expected, questions.wrong)
            alone += found.kind == "known"
            if found.kind not in ("known", "one of") or mistake.partition(" | ")[0] not in found.mistakes:
                problems.append(f"part {part.number} names the mistake {mistake!r} {found.kind}: {found}")
    return f"mistakes   {total} known ones are noticed; {alone} are told from all others, {total - alone} act alike"


def leaks(out: Path, parts) -> Iterator[str]:
    """Where a handout holds RUN tokens in a row of a body that was removed."""
    sources = kit.originals()
    removed = {}
    for part in parts:
        for file, names in part.blank.items():
            lines = sources[file].splitlines()
            for full, node in functions(ast.parse(sources[file])):
                if any(full == name or full.startswith(f"{name}.") for name in names):
                    body = node.body[1:] if ast.get_docstring(node) else node.body
                    text = "\n".join(lines[body[0].lineno - 1 : node.end_lineno]) if body else ""
                    removed |= dict.fromkeys(runs(tokens(text)), f"{file}: {full}")
    for path in sorted(path for path in out.rglob("*") if path.is_file() and path.suffix in (".py", ".md", ".txt")):
        found = {removed[run] for run in runs(tokens(path.read_text("utf-8"))) if run in removed}
        for full in sorted(found):
            yield f"{path.relative_to(out)} holds {RUN} tokens in a row of {full}"


def tokens(text: str) -> list[str]:
    """Words, numbers and signs, without comments."""
    return re.findall(r"\w+|[^\w\s]", without_comments(text))


def without_comments(text: str) -> str:
    try:
        found = [each for each in tokenize.generate_tokens(StringIO(text).readline) if each.type == tokenize.COMMENT]
    except (tokenize.TokenError, SyntaxError):
        return text  # a part of a file, or no Python
    lines = text.splitlines()
    for comment in found:
        row, column = comment.start
        lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)


def runs(words: list[str]) -> set[tuple]:
    return {tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)}
