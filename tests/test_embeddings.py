"""Embeddings: texts that are too long, and positions that need no learning; tests/parts/part2 has the rest."""

import math

import pytest
import torch

from minbert import UserError
from minbert.embeddings import Embeddings, sinusoids


def test_a_text_longer_than_the_model_is_refused_in_words(golden):
    with pytest.raises(UserError, match=r"14 tokens, but the model has 13 positions.*max_length=13"):
        Embeddings(golden.config)(torch.ones(1, 14, dtype=torch.long))


def test_sinusoids_by_hand():
    table = sinusoids(3, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    expected = [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]
    assert table[2].tolist() == pytest.approx(expected, abs=1e-6)


def test_sinusoids_of_an_odd_size():
    assert torch.equal(sinusoids(6, 5), sinusoids(6, 5)[:, :5])
    assert sinusoids(6, 5)[3, 4] == pytest.approx(math.sin(3 / 10000 ** (4 / 5)), abs=1e-6)
