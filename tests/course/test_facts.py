"""Facts are true, and say what helps."""

import numpy as np

from minbert.course.facts import facts

RIGHT = {"p": {"x": np.array([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]])}, "q": {"y": np.ones(2)}}


def told(x, **inputs):
    return facts(3, {"p": {"x": x}, "q": RIGHT["q"]}, {"p": inputs}, RIGHT)


def test_right_work_has_no_facts():
    assert told(RIGHT["p"]["x"]) == []


def test_a_constant_factor_is_named_as_a_root():
    assert "every number is 2.2361 = sqrt(5) times what it should be" in told(RIGHT["p"]["x"] * 5**0.5)


def test_rows_that_are_right_and_whether_padding_tells_them():
    x = RIGHT["p"]["x"].copy()
    x[1] += 0.1
    mask = np.array([[1, 1], [1, 0], [1, 1]])
    found = told(x, mask=mask)
    assert "all is right but in: p" in found
    assert "right at 0, 2 of axis 0, wrong at 1" in found
    assert "that is: wrong in rows with padding, right in rows without" in found
    assert not [fact for fact in told(x, mask=mask[::-1] * 0 + 1) if "padding" in fact]


def test_sums_an_input_and_numbers_that_are_none():
    x = RIGHT["p"]["x"]
    assert "rows should sum to 1, but the first sums to 2" in told(x * 2)
    assert "what came out is the input value" in told(x + 1, value=x + 1)
    assert "1 of 6 numbers are NaN or infinite, the first at [0, 1]" in told(np.array([[0.25, np.nan], *x[1:]]))
    assert "the axes are in another order" in told(x.T)
