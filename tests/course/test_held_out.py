"""Bugs that the library was not fitted to: noticed by their own part, and never named wrong."""

import pytest

from tests.course.held_out import bugs, outcome

BUGS = bugs()


def test_there_are_as_many_as_promised():
    assert len(BUGS) >= 40


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.part}, {bug.what}")
def test_it_is_noticed_and_not_named_wrong(bug):
    assert outcome(bug) == ("named right" if bug.right else "no name")
