"""Inputs and right answers: a process with torch and the reference draws and computes them, says them, and ends.

It ends before any submission is opened, so that what it knows is in the memory of the judge and nowhere else.
"""

import io
import os
import random
import secrets
import subprocess
import sys
from dataclasses import dataclass

from minbert.course import frames
from minbert.course.asking import last_line
from minbert.course.frames import LINE, flatten, unflatten
from minbert.course.parts import PARTS, WHOLE, Part
from minbert.errors import UserError

SETS = ("public", "hidden")


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
    read, order, exam = ask("answers", numbers, seed), random.Random(seed), {}
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


def known_mistakes(numbers: list, seed: int) -> dict:
    """{part: {mistake: {set and probe: {stage: array}}}}, what the known mistakes compute otherwise than the reference.

    As naming.name takes it, with "public" or "hidden" and LINE before the name of each probe.
    """
    read, found = ask("mistakes", numbers, seed), {number: {} for number in numbers}
    for number in numbers:
        for name in SETS:
            for path, stages in unflatten(frames.read_record(read)[1], 2).items():
                mistake, _, probe = path.partition(LINE)
                found[number].setdefault(mistake, {})[name + LINE + probe] = stages
    return found


def names() -> list[str]:
    """Of all known mistakes."""
    _, found = frames.read_record(ask("names", [part.number for part in PARTS], 0))
    return list(found)


def ask(what: str, numbers: list, seed: int):
    """Start the process with a question and wait for its end: a function that reads what it said. Raises UserError."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from minbert.course.oracle import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    question = {"what": what, "seed": str(seed), "parts": [str(number) for number in numbers]}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=frames.pack_record(0, question),
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    if done.returncode:
        raise UserError(f"the right answers cannot be computed: {last_line(done.stderr)}")
    return io.BytesIO(done.stdout).read


def main():
    """The process: seed and parts come in, arrays go out."""
    import torch

    from minbert.course import mistakes, probes

    torch.set_num_threads(1)
    _, asked = frames.read_record(sys.stdin.buffer.read)
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    if asked["what"] == "names":
        found = [mistake for part in selected(asked["parts"]) for mistake in mistakes.mistakes(part.number)]
        out.write(frames.pack_record(0, {mistake.name: mistake.hint for mistake in found}))
        asked["parts"] = []
    for part in selected(asked["parts"]):
        for seed in (probes.PUBLIC_SEED, int(asked["seed"])):
            inputs = probes.draw(part.number, seed)
            right = probes.run(part.number, inputs)
            for probe, stages in right.items():
                if probes.RAISED in stages:
                    raise UserError(f"part {part.number}, {probe}: {stages[probes.RAISED][1]}")
            if asked["what"] == "answers":
                out.write(frames.pack_record(0, flatten(inputs)) + frames.pack_record(0, flatten(right)))
            else:
                wrong = mistakes.signatures(part.number, inputs, right) if isinstance(part.number, int) else {}
                out.write(frames.pack_record(0, flatten(flatten(wrong))))
    out.flush()


def selected(numbers) -> list[Part]:
    return [part for part in (*PARTS, WHOLE) if str(part.number) in map(str, numbers)]
