"""The two GELUs, and the norms; tests/parts/part4 has the rest."""

import torch

from minbert.encoder import EncoderLayer, gelu, gelu_tanh


def test_the_two_gelus_differ_by_what_is_known():
    x = torch.linspace(-6, 6, 2001)
    assert torch.allclose(gelu(x), torch.nn.functional.gelu(x), atol=1e-6)
    assert torch.allclose(gelu_tanh(x), torch.nn.functional.gelu(x, approximate="tanh"), atol=1e-6)
    assert 4e-4 < (gelu(x) - gelu_tanh(x)).abs().max() < 5e-4


class Neighbour(torch.nn.Module):
    """Each token looks at the one before it."""

    def forward(self, x, mask):
        return x.roll(1, dims=1), None


def test_the_norms_normalise(golden):
    layer = EncoderLayer(golden.config)
    layer.attention = Neighbour()
    x = layer(100 * torch.randn(2, 6, golden.config.hidden_size), None)[0]
    assert x.mean(-1).abs().max() < 1e-5
    assert (x.var(-1, unbiased=False) - 1).abs().max() < 0.02
