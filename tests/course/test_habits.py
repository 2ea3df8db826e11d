"""Right work in odd clothes gets all its points."""

import subprocess
import sys

import pytest

from minbert.course import adapter, kit, submission
from minbert.course.parts import PARTS, WHOLE, part
from tests.conftest import ROOT
from tests.course.conftest import ALL, REFERENCE
from tests.course.habits import ANOTHER_KIT, HABITS, LAYOUTS

BLANK = kit.sources()["attention.py"]
SOURCE = REFERENCE["attention.py"].decode()
CHOSEN = list(HABITS)[:: 1 if ALL else 3]


@pytest.mark.parametrize("habit", CHOSEN)
def test_right_work_passes(grader, habit):
    changed = HABITS[habit](SOURCE)
    assert changed != SOURCE
    row = grader.grade(attention=changed.encode())[3]
    assert (row.status, row.points) == ("ok", 15), (row.why, row.first, row.text[-500:])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_right_work_passes_wherever_it_stands(grader, layout):
    source, own = LAYOUTS[layout](SOURCE)
    row = grader.grade(own, attention=source.encode())[3]
    assert (row.status, row.points) == ("ok", 15), (row.why, row.first, row.text[-500:])


HIDE = "def padding_mask(attention_mask):\n    raise ValueError('odd')\n"


@pytest.mark.parametrize(
    "own, status, problem",
    [
        ({"adapter.py": "from my import padding_mask\n", "my.py": HIDE}, "wrong", "my.py:2: ValueError: odd"),
        ({"adapter.py": "from my import padding_mask\n"}, "wrong", "No module named 'my'"),
        ({"adapter.py": "import my\n", "my.py": "def (:\n"}, "wrong", "SyntaxError: invalid syntax (my.py, line 1)"),
        ({"adapter.py": "1 / 0\n"}, "wrong", "adapter.py:1: ZeroDivisionError"),
        (
            {"adapter.py": ""},
            "not written yet",
            "padding_mask is neither in adapter.py nor written in minbert/attention",
        ),
    ],
)
def test_what_an_adapter_lacks_is_said(grader, own, status, problem):
    """The part's own file is the handout's, without the functions."""
    row = grader.grade(own, attention=BLANK.encode())[3]
    assert row.status == status and row.points == 0
    assert problem in row.first["problem"]


def test_a_name_that_two_files_have_needs_its_file():
    with pytest.raises(LookupError, match="update, which is in two files: call this one optimizer_update"):
        adapter.supply({"update": len}, part(6).names)
    assert {name for _, _, name in WHOLE.names if "update" in name} == {"optimizer_update", "training_update"}
    assert len({name for _, _, name in WHOLE.names}) == len(WHOLE.names) == sum(len(one.names) for one in PARTS)


@pytest.mark.parametrize("place, table", [("gelu", True), ("FeedForward", False)])
def test_what_is_supplied_takes_the_place_of_the_handouts_everywhere(place, table):
    """Also in a table to which another file refers."""
    code = f"""
import sys
from minbert import encoder, heads
from minbert.course import adapter
from minbert.course.parts import part
new = type("New", (), {{}}) if {place!r}[0].isupper() else lambda x: x
adapter.supply({{{place!r}: new}}, part(4).names)
assert getattr(encoder, {place!r}) is new
assert (heads.ACTIVATIONS["gelu"] is new) is {table}
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_adapter_for_another_kit_earns_what_the_page_says(grader):
    """The code in docs/teaching.md, on right work and on a mistake; the mistake loses what it touches."""
    page = (ROOT / "docs" / "teaching.md").read_text("utf-8")
    code = page.partition("## Work made for another kit")[2].partition("```python\n")[2].partition("```")[0]
    own = {"adapter.py": code, "bert.py": ANOTHER_KIT}
    row = grader.grade(own, attention=BLANK.encode())[3]
    missing = ("padding_mask", "causal_mask", "attention_scores")
    assert {title.partition(":")[0] for title in row.wrong} == set(missing)
    assert (len(missing), len(part(3).probes), row.points) == (12 - 9, 12, 15 * 3 / 4)
    assert "answers nine of the twelve questions and gets three quarters of the points" in page.replace("\n", " ")
    wrong = grader.grade(own | {"bert.py": ANOTHER_KIT.replace("**-0.5", "**-0.4")}, attention=BLANK.encode())[3]
    assert wrong.points < row.points
    assert {"split: split", "merge: merged"}.isdisjoint(wrong.wrong)


def test_the_students_page_gives_the_limits():
    page = (ROOT / "minbert" / "course" / "text" / "README.md").read_text("utf-8")
    assert f"at most {adapter.MOST} files, {submission.LARGEST // 1000} kB each, {submission.WHOLE // 10**6} MB" in page
    assert all(f"`{name}`" in page for _, full, name in WHOLE.names if name != full.replace(".", "_"))
