"""The long tests of the course, with counts: python -m tests.course [--write]

Each known mistake, in its own part and in all others; --write writes tests/golden/course.xz anew first.
"""

import lzma
import sys
import tempfile
from pathlib import Path

from minbert.course.handout import public
from minbert.course.mistakes import mistakes, mutant
from minbert.course.naming import name, wrong_parts
from minbert.course.parts import PARTS
from minbert.course.probes import run
from minbert.course.public import save
from tests.parts import RECORD, record


def write():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "course.bin")
        save(path, {part.number: public(part.number) for part in PARTS})
        RECORD.write_bytes(lzma.compress(path.read_bytes(), preset=9))
    print(f"{RECORD}: {RECORD.stat().st_size / 1024:.0f} KiB")


def table() -> list[str]:
    """Plant each mistake in the whole package and ask every part. Returns what is wrong, a line each."""
    problems, counts = [], {}
    for part in PARTS:
        for mistake in mistakes(part.number):
            code = mutant(mistake.wrong)
            for other in PARTS:
                known = record()[other.number]
                found = run(other.number, known.inputs, code)
                if other is not part:
                    if parts := wrong_parts(found, known.expected):
                        problems.append(f"part {other.number} fails for {mistake.name!r} of part {part.number}: {list(parts)}")
                    continue
                named = name(found, known.expected, known.wrong)
                counts[named.kind] = counts.get(named.kind, 0) + 1
                if mistake.name not in named.mistakes:
                    problems.append(f"part {part.number}: {mistake.name!r} is {named.kind} {named}")
    print(f"known mistakes, named: {counts}")
    return problems


def main():
    if "--write" in sys.argv[1:]:
        write()
    problems = table()
    print("\n".join(problems) or "each known mistake fails its own part and no other")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
