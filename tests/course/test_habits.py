"""Right work in odd clothes gets all its points."""

import pytest

from tests.course.conftest import ALL, REFERENCE
from tests.course.habits import HABITS

SOURCE = REFERENCE["attention.py"].decode()
CHOSEN = list(HABITS)[:: 1 if ALL else 3]


@pytest.mark.parametrize("habit", CHOSEN)
def test_right_work_passes(grader, habit):
    changed = HABITS[habit](SOURCE)
    assert changed != SOURCE
    row = grader.grade(attention=changed.encode())[3]
    assert (row.status, row.points) == ("ok", 15), (row.why, row.first, row.text[-500:])
