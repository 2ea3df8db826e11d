"""The public questions of a handout, in one file: inputs, right answers, and what known mistakes compute.

Mistakes travel as arrays, since their code would nearly be the solution. Needs numpy only.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

from minbert.course import frames

LINE = "\n"  # between the parts of a name


@dataclass
class Public:
    """What a student's folder knows of one part.

    inputs    {probe: {argument: value}}
    expected  {probe: {stage: array}}
    wrong     {mistake: {probe: {stage: array}}}, what it computes otherwise
    hints     {mistake: a sentence that helps to find it}
    """

    inputs: dict = field(default_factory=dict)
    expected: dict = field(default_factory=dict)
    wrong: dict = field(default_factory=dict)
    hints: dict = field(default_factory=dict)


def save(path: Path, parts: dict[int | str, Public]) -> None:
    """Write the questions of all parts."""
    out = bytearray()
    for number, public in parts.items():
        wrong = {mistake + LINE + probe: stages for mistake, of in public.wrong.items() for probe, stages in of.items()}
        for values in (public.inputs, public.expected, wrong):
            flat = {outer + LINE + inner: value for outer, more in values.items() for inner, value in more.items()}
            out += frames.pack_record(0, {"part": str(number)} | flat)
        out += frames.pack_record(0, {"part": str(number)} | public.hints)
    path.write_bytes(bytes(out))


def load(path: Path) -> dict[int | str, Public]:
    """Read what `save` wrote: {part: Public}"""
    read, found = io.BytesIO(path.read_bytes()).read, {}
    while (record := frames.read_record(read)) is not None:
        records = [record[1], *(frames.read_record(read)[1] for _ in range(3))]
        number = {values.pop("part") for values in records}.pop()
        inputs, expected, wrong, hints = records
        public = Public(nested(inputs), nested(expected), hints=hints)
        for name, stages in nested(wrong, 2).items():
            mistake, _, probe = name.partition(LINE)
            public.wrong.setdefault(mistake, {})[probe] = stages
        found[int(number) if number.isdigit() else number] = public
    return found


def nested(flat: dict, names: int = 1) -> dict:
    """{"probe LINE stage": value} -> {probe: {stage: value}}; with names=2 the outer name has two parts."""
    found = {}
    for name, value in flat.items():
        *outer, inner = name.split(LINE, names)
        found.setdefault(LINE.join(outer), {})[inner] = value
    return found
