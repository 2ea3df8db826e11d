"""The long tests of the parts, with counts: python -m tests.course [--write]

Each known mistake and each bug that is held out, in its own part and in all others. --write first writes
tests/golden/course.xz anew.
"""

import lzma
import sys
import tempfile
from collections import Counter
from pathlib import Path

from minbert.course.handout import public
from minbert.course.mistakes import mistakes, mutant
from minbert.course.naming import name, wrong_parts
from minbert.course.parts import PARTS
from minbert.course.probes import run
from minbert.course.public import save
from tests.course.held_out import bugs, outcome, what_part_says
from tests.parts import RECORD, record


def write():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "course.bin")
        save(path, {part.number: public(part.number) for part in PARTS})
        RECORD.write_bytes(lzma.compress(path.read_bytes(), preset=9))
    print(f"{RECORD}: {RECORD.stat().st_size / 1024:.0f} KiB")


def known_mistakes() -> list[str]:
    """Plant each mistake in the whole package and ask every part. Returns what is wrong, a line each."""
    problems, counts = [], Counter()
    for part in PARTS:
        for mistake in mistakes(part.number):
            code = mutant(mistake.wrong)
            for other in PARTS:
                known = record()[other.number]
                found = run(other.number, known.inputs, code)
                if other is part:
                    named = name(found, known.expected, known.wrong)
                    counts[named.kind] += 1
                    if mistake.name not in named.mistakes:
                        problems.append(f"part {part.number}: {mistake.name!r} is {named.kind} {named}")
                elif probes := list(wrong_parts(found, known.expected)):
                    problems.append(f"part {other.number} fails for {mistake.name!r} of part {part.number}: {probes}")
    print(f"known mistakes: {dict(counts)}")
    return problems


def held_out() -> list[str]:
    """The same for the bugs that are held out."""
    problems, counts = [], Counter()
    for bug in bugs():
        result = outcome(bug)
        counts[result.partition(":")[0] + (", of those with a name" if bug.right else "")] += 1
        if result.startswith(("not noticed", "named wrong")):
            problems.append(f"held out, part {bug.part}, {bug.what}: {result}")
        others = [part.number for part in PARTS if part.number != bug.part and what_part_says(bug, part.number)[0]]
        problems += [f"held out, part {bug.part}, {bug.what}: noticed by part {number}" for number in others]
    print(f"held out: {dict(counts)}")
    return problems


def main():
    if "--write" in sys.argv[1:]:
        write()
    problems = held_out() + known_mistakes()
    print("\n".join(problems) or "each mistake fails its own part and no other, and none is named wrong")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
