"""The other library multiplies the same."""

import pytest
import torch
from torch import nn

from minbert.fast import linear
from minbert.fast.linear import Linear


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN")
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)])
def test_the_other_library_multiplies_the_same(shape, monkeypatch):
    monkeypatch.setattr(linear, "ONEDNN", True)
    torch.manual_seed(0)
    layer, x = Linear(5, 7), torch.randn(shape, requires_grad=True)
    found, expected = layer(x), nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.allclose(found, expected, atol=1e-6)
    inputs = (x, layer.weight, layer.bias)
    for ours, theirs in zip(*(torch.autograd.grad(y.sin().sum(), inputs) for y in (found, expected)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    layer.weight.requires_grad_(False)
    assert torch.autograd.grad(layer(x).sum(), layer.bias)[0].tolist() == [x[..., 0].numel()] * 7


def test_gradients_of_gradients_are_refused_rather_than_wrong(monkeypatch):
    monkeypatch.setattr(linear, "ONEDNN", hasattr(torch.ops.mkldnn, "_linear_pointwise"))
    layer, x = Linear(3, 2), torch.ones(4, 3, requires_grad=True)
    if not linear.ONEDNN:
        pytest.skip("this torch has no oneDNN")
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
