"""Masks that every test without padding runs with."""

import pytest

MASKS = {
    "no padding": [[1, 1, 1], [1, 1, 1]],
    "padding": [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]],
    "padding in front": [[0, 0, 1, 1], [1, 1, 1, 1]],
    "holes": [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]],
    "a row of padding alone": [[1, 1, 1], [0, 0, 0], [1, 1, 0]],
}
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
