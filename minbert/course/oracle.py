"""Inputs and right answers: a process with torch and the reference draws and computes them, says them, and ends.

It ends before any submission is opened, so that what it knows is in the memory of the judge and nowhere else.
"""

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass

from minbert.course import frames
from minbert.course.parts import PARTS, WHOLE, Part
from minbert.errors import UserError

SETS = ("public", "hidden")
LINE = "\n"  # between the parts of a name


@dataclass(frozen=True)
class Question:
    """Of a part: one probe with public or hidden inputs, and the right answer, {stage: array}."""

    set: str
    probe: str
    arguments: dict
    right: dict


def draw_seed() -> int:
    return secrets.randbits(62)


def examine(numbers: list, seed: int) -> dict:
    """{part: its questions, each probe with public and with hidden inputs}. Needs no torch: it is computed elsewhere.

    Which of the two comes first is drawn for each probe: a student's code cannot tell which one counts.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; from minbert.course.oracle import main; main()"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=frames.pack_record(0, {"seed": str(seed), "parts": [str(number) for number in numbers]}),
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise UserError(f"the right answers cannot be computed: {last}")
    return gather(numbers, done.stdout, seed)


def gather(numbers, content, seed):
    import io
    import random

    read, order = io.BytesIO(content).read, random.Random(seed)
    exam = {}
    for number in numbers:
        sets = {}
        for name in SETS:
            arguments, right = (unflatten(frames.read_record(read)[1]) for _ in range(2))
            sets[name] = {probe: Question(name, probe, arguments.get(probe, {}), right[probe]) for probe in right}
        exam[number] = []
        for probe in sets["public"]:
            pair = [sets[name][probe] for name in SETS]
            exam[number] += order.sample(pair, len(pair))
    return exam


def main():
    """The process: seed and parts come in, inputs and right answers go out."""
    import torch

    from minbert.course import probes

    torch.set_num_threads(1)
    _, asked = frames.read_record(sys.stdin.buffer.read)
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    for part in selected(asked["parts"]):
        for seed in (probes.PUBLIC_SEED, int(asked["seed"])):
            inputs = probes.draw(part.number, seed)
            right = probes.run(part.number, inputs)
            for probe, stages in right.items():
                if probes.RAISED in stages:
                    raise UserError(f"part {part.number}, {probe}: {stages[probes.RAISED][1]}")
            out.write(frames.pack_record(0, flatten(inputs)) + frames.pack_record(0, flatten(right)))
    out.flush()


def selected(numbers) -> list[Part]:
    return [part for part in (*PARTS, WHOLE) if str(part.number) in map(str, numbers)]


def flatten(values: dict[str, dict]) -> dict:
    return {outer + LINE + inner: value for outer, more in values.items() for inner, value in more.items()}


def unflatten(values: dict) -> dict[str, dict]:
    found = {}
    for name, value in values.items():
        outer, _, inner = name.partition(LINE)
        found.setdefault(outer, {})[inner] = value
    return found
