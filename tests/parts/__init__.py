"""The eight parts for students: `python -m pytest -m part3`. Each asks the probes of minbert/course and names mistakes.

What the probes should answer is in tests/golden/course.xz, so that a part is not compared with itself.
`python -m tests.course --write` writes that file, from code that equals the reference library in tests/test_golden.py.
"""

import functools
import lzma
import tempfile
from pathlib import Path

import pytest

from minbert.course.compare import compare
from minbert.course.facts import facts
from minbert.course.naming import name
from minbert.course.probes import run
from minbert.course.public import Public, load
from tests.golden import TOLERANCE, check

RECORD = Path(__file__).parent.parent / "golden" / "course.xz"


@functools.cache
def record() -> dict[int | str, Public]:
    """{part: inputs, right answers, and what known mistakes compute}"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "course.bin")
        path.write_bytes(lzma.decompress(RECORD.read_bytes()))
        return load(path)


@functools.cache
def outputs(part: int) -> dict:
    """What the code under test answers to the probes of a part: {probe: {stage: array}}"""
    return run(part, record()[part].inputs)


def each_probe(part: int):
    """The mark that runs a test for each probe of a part."""
    return pytest.mark.parametrize("probe", list(record()[part].expected))


def check_probe(part: int, probe: str) -> None:
    """Assert that a probe is answered right. The message has the first wrong stage, and the mistake or facts."""
    __tracebackhide__ = True  # pytest shows the line that called this
    expected, found = record()[part].expected, outputs(part)
    wrong = [stage for stage in compare({probe: found[probe]}, {probe: expected[probe]}) if not stage.ok]
    if wrong:
        raise AssertionError(f"{wrong[0].title}: {wrong[0].problem}{hint(part)}")


def hint(part: int) -> str:
    """'. Likely mistake: ...', or facts: about all that a part answers, not about one probe."""
    public, found = record()[part], outputs(part)
    known = name(found, public.expected, public.wrong)
    if known.mistakes:
        return f". Likely mistake: {known}"
    return "".join(f". {fact[0].upper()}{fact[1:]}" for fact in facts(part, found, public.inputs, public.expected))


def agree(part: int, stage: str, ours, golden, real=None, tolerance: float = TOLERANCE) -> None:
    """As tests.golden.check; the message says what is known of the part."""
    __tracebackhide__ = True
    check(stage, ours, golden, real, tolerance, lambda: hint(part))
