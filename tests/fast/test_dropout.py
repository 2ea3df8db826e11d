"""The cheaper dropout drops as much as torch's, independently, and the same with the same seed."""

import pytest
import torch

from minbert.fast.dropout import Dropout, keep_mask


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_what_is_dropped(rate):
    torch.manual_seed(0)
    kept = keep_mask((500, 2001), rate)
    assert kept.shape == (500, 2001)
    share = 1 - kept.double().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / kept.numel()) ** 0.5 + 1 / 65536)
    for shift in range(1, 5):  # neighbours, which share 64 random bits, are independent
        both = 1 - (kept[:, shift:] | kept[:, :-shift]).double().mean().item()
        assert both == pytest.approx(rate**2, abs=0.003)
    torch.manual_seed(0)
    assert torch.equal(keep_mask((500, 2001), rate), kept)
    assert not torch.equal(keep_mask((500, 2001), rate), kept)


def test_dropout_scales_what_it_keeps_and_does_nothing_in_evaluation():
    x = torch.ones(1000, 30, requires_grad=True)
    layer = Dropout(0.25)
    y = layer(x)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y)
    assert layer.eval()(x) is x
    assert not Dropout(1.0)(x).any()
