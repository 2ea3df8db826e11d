"""The public questions of a handout, in one file: inputs, right answers, and what known mistakes compute.

Mistakes travel as arrays, since their code would nearly be the solution. Needs numpy only.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

from minbert.course import frames
from minbert.course.frames import flatten, unflatten


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
        for values in (flatten(public.inputs), flatten(public.expected), flatten(flatten(public.wrong)), public.hints):
            out += frames.pack_record(0, {"part": str(number)} | values)
    path.write_bytes(bytes(out))


def load(path: Path) -> dict[int | str, Public]:
    """Read what `save` wrote: {part: Public}"""
    read, found = io.BytesIO(path.read_bytes()).read, {}
    while (record := frames.read_record(read)) is not None:
        records = [record[1], *(frames.read_record(read)[1] for _ in range(3))]
        number = {values.pop("part") for values in records}.pop()
        inputs, expected, wrong, hints = records
        public = Public(unflatten(inputs), unflatten(expected), unflatten(unflatten(wrong, 2)), hints)
        found[int(number) if number.isdigit() else number] = public
    return found
