"""Mistakes that were written after the library of known ones, in other people's styles, and that it was not fitted to.

A bug is an edit of the reference, or a function written anew. `right` holds the names that would be true of it; none
if the library has no name for it.
"""

import ast
import textwrap
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import minbert
from minbert.course.mistakes import FILES, files_of, mutant
from minbert.course.naming import name, wrong_parts
from minbert.course.probes import run
from tests.parts import record

FOLDER = Path(minbert.__file__).parent


@dataclass(frozen=True)
class Bug:
    part: int
    file: str
    what: str
    old: str  # a text of the file, or the full name of a function
    new: str
    right: tuple[str, ...] = ()

    def source(self) -> str:
        """The file with the bug in it. Raises ValueError if the file has changed so that the bug has no place."""
        source = (FOLDER / f"{self.file}.py").read_text("utf-8")
        if self.new.lstrip().startswith("def "):
            return replaced(source, self.old, textwrap.dedent(self.new).strip("\n"))
        if self.old not in source:
            raise ValueError(f"{self.file}.py no longer holds {self.old!r}")
        return source.replace(self.old, self.new, 1)


def replaced(source, function, new):
    """The source with a function, "attend" or "BertModel.pool", in another version; its decorators go, too."""
    body = ast.parse(source).body
    *owners, name = function.split(".")
    for owner in owners:
        body = next(node for node in body if getattr(node, "name", "") == owner).body
    node = next(node for node in body if getattr(node, "name", "") == name)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = source.splitlines()
    lines[first - 1 : node.end_lineno] = textwrap.indent(new, " " * node.col_offset).splitlines()
    return "\n".join(lines) + "\n"


def bugs() -> list[Bug]:
    files = sorted(Path(__file__).parent.glob("part*.py"))
    return [bug for file in files for bug in import_module(f"{__name__}.{file.stem}").BUGS]


def what_part_says(bug: Bug, part: int):
    """(True if a part notices the bug, the name that it gives)"""
    known = record()[part]
    files = [name for name in FILES if name in (bug.file, *files_of(part))]
    found = run(part, known.inputs, mutant({}, tuple(files), {bug.file: bug.source()}))
    return bool(wrong_parts(found, known.expected)), name(found, known.expected, known.wrong)


def outcome(bug: Bug) -> str:
    """What becomes of a bug in its own part: "not noticed", "named right", "named wrong", "no name"."""
    noticed, named = what_part_says(bug, bug.part)
    if not named.mistakes:
        return "no name" if noticed else "not noticed"
    return "named right" if set(named.mistakes) & set(bug.right) else f"named wrong: {named}"
