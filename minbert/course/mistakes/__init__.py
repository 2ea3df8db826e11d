"""The known mistakes, a file or two for each part. A mistake is a wrong function in the place of a right one.

They serve as names for what students wrote, and as mutants that test the probes. A student never gets them: what
travels is what they compute on the probes (`signatures`).
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import SimpleNamespace

from minbert.course.adapter import put_into
from minbert.course.naming import wrong_parts
from minbert.course.parts import part as part_of
from minbert.course.probes import Code, run

# The files that parts are in, in the order in which they import each other.
FILES = (
    "encoding",
    "tokenizer",
    "embeddings",
    "attention",
    "encoder",
    "bert",
    "heads",
    "optimizer",
    "training",
    "probing",
)


@dataclass(frozen=True)
class Mistake:
    """What can go wrong in a part.

    name    says how the code acts, in one clause: "the mask is ignored"
    hint    one sentence that helps to find it and does not give it away
    wrong   {"attention.attend": the wrong function}; wrapped in Around, a function of the right one
    within  True if it shows in training only, or over several steps
    """

    name: str
    hint: str
    wrong: dict[str, Callable]
    within: bool = False


class Around:
    """A wrong function that is made from the right one."""

    def __init__(self, make: Callable):
        self.make = make


def mistakes(part: int) -> tuple[Mistake, ...]:
    """The known mistakes of a part. Its files, part3.py or part7_*.py, have KNOWN:

    {(place, hint, True if it shows in training only): {name: a wrong function, or a list of them: its disguises}}
    """
    found = []
    for path in sorted(Path(__file__).parent.glob(f"part{part}*.py")):
        for (place, hint, *within), wrong in import_module(f"{__name__}.{path.stem}").KNOWN.items():
            for name, functions in wrong.items():
                for function in functions if isinstance(functions, list) else [functions]:
                    found.append(Mistake(name, hint, {place: function}, bool(within)))
    return tuple(found)


def mutant(wrong: dict[str, Callable], files: tuple[str, ...] = FILES, sources: dict[str, str] | None = None):
    """The reference with wrong functions in their places: an object for `probes.run`. The reference stays as it is.

    files    those that are wanted as copies; others are the reference's own
    sources  {file: another source of it}, for mistakes that are written as a student would
    """
    saved = {f"minbert.{name}": sys.modules.get(f"minbert.{name}") for name in FILES}
    copies = {}
    try:
        for name in files:
            spec = find_spec(f"minbert.{name}")
            copies[name] = sys.modules[f"minbert.{name}"] = module_from_spec(spec)
            if sources and name in sources:
                exec(compile(sources[name], spec.origin, "exec"), vars(copies[name]))
            else:
                spec.loader.exec_module(copies[name])
            for place, function in wrong.items():
                if place.startswith(f"{name}."):
                    put(copies[name], place.partition(".")[2], function)
    finally:
        for name, module in saved.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    right = Code()
    return SimpleNamespace(config=right.config, **{name: copies.get(name) or getattr(right, name) for name in FILES})


def put(module, place, function):
    """Replace module.place, also where the module already refers to it."""
    *owners, name = place.split(".")
    owner = module
    for step in owners:
        owner = getattr(owner, step)
    right = getattr(owner, name)
    function = function.make(right) if isinstance(function, Around) else function
    setattr(owner, name, function)
    put_into(module, right, function)


def files_of(part: int) -> tuple[str, ...]:
    """The modules of a part's files, in the order in which they import each other."""
    return tuple(name for name in FILES if f"{name}.py" in part_of(part).files)


def signatures(part: int, inputs: dict[str, dict], expected: dict[str, dict]) -> dict[str, dict]:
    """{mistake: what it computes otherwise than the reference on these inputs}, as `naming.name` takes it.

    The second disguise of a mistake is called "NAME | 2", and so on.
    """
    found, seen = {}, Counter()
    for mistake in mistakes(part):
        seen[mistake.name] += 1
        key = mistake.name if seen[mistake.name] == 1 else f"{mistake.name} | {seen[mistake.name]}"
        found[key] = wrong_parts(run(part, inputs, mutant(mistake.wrong, files_of(part))), expected)
    return found


__all__ = ["Around", "Mistake", "mistakes", "mutant", "signatures"]
