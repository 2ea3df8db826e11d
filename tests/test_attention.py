"""Attention where there is nothing to look at; tests/parts/part3 has the rest."""

import pytest
import torch

from minbert.attention import attend


@pytest.mark.parametrize("hidden", [[[False]], [[False, False], [False, True]]])
def test_a_row_with_nothing_to_look_at_gives_zeros_and_finite_gradients(hidden):
    mask = torch.tensor(hidden)[None, None]
    x = torch.randn(1, 2, len(hidden), 5, requires_grad=True)
    mixed, probabilities = attend(x, x, x, mask)
    assert (mixed[:, :, 0] == 0).all() and (probabilities[:, :, 0] == 0).all()
    mixed.sum().backward()
    assert x.grad.isfinite().all()
