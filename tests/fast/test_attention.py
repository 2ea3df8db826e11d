"""Attention on real tokens only equals attention.attend, in its values and in its gradients."""

import pytest
import torch
from torch import nn

from minbert.attention import attend as plain_attend
from minbert.attention import padding_mask
from minbert.fast import attention
from minbert.fast.attention import attend, attend_first
from minbert.fast.packing import Packing, group
from tests.fast import every_mask

HEADS = 2


@pytest.fixture(params=["one group", "a group each"])
def cache(request, monkeypatch):
    if request.param == "a group each":
        monkeypatch.setattr(group, "__defaults__", (1,))


def plain(query, key, value, mask, kept=None, rate=0.0):
    """attention.attend on padded [B, T, D], with dropout at chosen places."""
    q, k, v = (x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in (query, key, value))
    drop = (lambda p: p) if kept is None else (lambda p: p * kept / (1 - rate))
    return plain_attend(q, k, v, padding_mask(mask), drop)[0].transpose(1, 2).flatten(2)


def vectors(mask, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(*mask.shape, 6, requires_grad=True) for _ in range(3)]


def gradients(output, mask, inputs):
    """Of a sum over the real tokens that weighs each number differently."""
    weight = torch.arange(output.numel()).view(output.shape).sin() * mask[:, :, None]
    return torch.autograd.grad((output * weight).sum(), inputs)


@every_mask
def test_attention_without_padding_equals_attend(mask, cache):
    mask = torch.tensor(mask)
    inputs = vectors(mask)
    expected = plain(*inputs, mask)
    packing = Packing(mask)
    found = packing.pad(attend(*map(packing.unpad, inputs), HEADS, packing, nn.Dropout(0.5).eval()))
    assert torch.allclose(found, expected * mask[:, :, None], atol=1e-6)
    for ours, theirs in zip(gradients(found, mask, inputs), gradients(expected, mask, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@every_mask
@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_attention_with_dropout_equals_attend_where_the_same_is_dropped(mask, rate, monkeypatch):
    """In one group; what is dropped is fixed for places (text, head, from, to), whatever the order of the texts."""
    mask = torch.tensor(mask)
    inputs, packing = vectors(mask), Packing(mask)
    assert len(packing.groups) == 1
    kept = torch.rand(len(mask), HEADS, mask.size(1), mask.size(1)) >= rate
    texts = mask.sum(1).argsort(descending=True, stable=True)

    def chosen(shape, asked):
        """The dropped places in the order of the group: the longest text first, each text's real tokens first."""
        assert asked == rate
        places = torch.ones(shape, dtype=torch.bool)
        for row, text in enumerate(texts[: shape[0]].tolist()):
            real = mask[text].nonzero().squeeze(1)
            places[row, :, : len(real), : len(real)] = kept[text][:, real][:, :, real]
        return places

    monkeypatch.setattr(attention, "keep_mask", chosen)
    found = packing.pad(attend(*map(packing.unpad, inputs), HEADS, packing, nn.Dropout(rate)))
    expected = plain(*inputs, mask, kept, rate)
    assert torch.allclose(found, expected * mask[:, :, None], atol=1e-6)
    for ours, theirs in zip(gradients(found, mask, inputs), gradients(expected, mask, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_where_only_the_first_token_looks_dropout_keeps_the_mean(rate):
    mask = torch.ones(64, 50)
    mask[::2, 30:] = 0
    packing, ones = Packing(mask), torch.ones(int(mask.sum()), 8)
    torch.manual_seed(0)
    found = attend_first(torch.zeros(64, 8), ones, ones, HEADS, packing, nn.Dropout(rate))
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert (found.std().item() > 0.05) == bool(rate)
