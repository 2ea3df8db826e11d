"""The two libraries multiply the same."""

import pytest
import torch
from torch import nn

from minbert.fast import linear
from minbert.fast.linear import KERNEL, Linear

pytestmark = pytest.mark.skipif("onednn" not in linear.kernels(), reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def onednn(monkeypatch):
    monkeypatch.setattr(KERNEL, "chosen", "onednn")


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)])
def test_the_other_library_multiplies_the_same(shape):
    torch.manual_seed(0)
    layer, x = Linear(5, 7), torch.randn(shape, requires_grad=True)
    found, expected = layer(x), nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.allclose(found, expected, atol=1e-6)
    inputs = (x, layer.weight, layer.bias)
    for ours, theirs in zip(*(torch.autograd.grad(y.sin().sum(), inputs) for y in (found, expected)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    layer.weight.requires_grad_(False)
    assert torch.autograd.grad(layer(x).sum(), layer.bias)[0].tolist() == [x[..., 0].numel()] * 7


def test_gradients_of_gradients_are_refused_rather_than_wrong():
    layer, x = Linear(3, 2), torch.ones(4, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_what_is_timed_is_what_training_computes():
    """Forward, and its gradients by the input and by the weight: each kernel gives the same."""
    ways = linear.kernels()
    for ours, theirs in zip(ways["onednn"](), ways["torch"](), strict=True):
        assert ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)
