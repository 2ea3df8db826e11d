"""The decoder: causality, the cache, padding on either side. Its numbers are compared in tests/families/test_gpt.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minbert.errors import UserError
from minbert.families.gpt import OpenAIGPTLMHeadModel
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.generation import Cache
from tests.conftest import ROOT

SIZES = {"vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3}
SIZES |= {"intermediate_size": 48, "max_position_embeddings": 13, "initializer_range": 0.5}
MODELS = []
for model_class in (OpenAIGPTLMHeadModel, GPT2LMHeadModel):
    torch.manual_seed(1)
    MODELS.append(model_class(SIZES).requires_grad_(False))
both = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def rows(*lengths, seed=0):
    """Texts of these lengths, and a batch of them padded on the left and one padded on the right."""
    texts = [
        torch.randint(1, 31, (length,), generator=torch.Generator().manual_seed(seed + length)) for length in lengths
    ]
    gaps = [max(lengths) - length for length in lengths]
    batches = {}
    for side in ("left", "right"):
        pads = [(gap, 0) if side == "left" else (0, gap) for gap in gaps]
        pad = [torch.nn.functional.pad for _ in pads]
        ids = torch.stack([f(text, p) for f, text, p in zip(pad, texts, pads)])
        mask = torch.stack([f(torch.ones_like(text), p) for f, text, p in zip(pad, texts, pads)])
        batches[side] = ids, mask
    return texts, batches


@both
def test_no_token_looks_at_later_ones(model):
    (text,), _ = rows(9)
    whole = model(text[None])[0]
    changed = text.clone()
    changed[6] = (changed[6] + 1) % 31
    other = model(changed[None])[0]
    assert torch.equal(whole[:, :6], other[:, :6])
    assert (whole[:, 6:] - other[:, 6:]).abs().amax(-1).min() > 1e-2


@both
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_nothing(model, side):
    texts, batches = rows(9, 4, 1)
    ids, mask = batches[side]
    logits, _ = model(ids, mask)
    for text, row, real in zip(texts, logits, mask.bool()):
        assert torch.allclose(row[real], model(text[None])[0][0], rtol=0, atol=1e-5)


@both
def test_what_stands_at_padding_does_not_count(model):
    _, batches = rows(7, 3)
    ids, mask = batches["left"]
    other = ids.masked_fill(mask == 0, 30)
    real = mask.bool()
    assert torch.equal(model(ids, mask)[0][real], model(other, mask)[0][real])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=6).filter(lambda parts: sum(parts) <= 13), st.integers(0, 99))
def test_with_a_cache_a_text_read_in_parts_is_the_text_read_at_once(model, parts, seed):
    length = sum(parts)
    _, batches = rows(length, max(1, length - 3), seed=seed)
    ids, mask = batches["left"]
    whole = model.decoder(ids, mask, output_hidden_states=True)["hidden_states"]
    cache, at = Cache(model.decoder, 2, length), 0
    for part in parts:
        states = model.decoder(ids[:, at : at + part], mask[:, : at + part], cache, True)["hidden_states"]
        for one, two in zip(whole, states):
            real = mask[:, at : at + part].bool()
            assert torch.allclose(one[:, at : at + part][real], two[real], rtol=0, atol=3e-5)
        at += part
    assert cache.length == length


@both
def test_rows_of_a_cache_can_be_chosen(model):
    texts, _ = rows(5, 5)
    first, second = texts[0], (texts[1] + 1) % 31
    cache = Cache(model.decoder, 2, 8)
    model.decoder(torch.stack([first, second]), cache=cache)
    cache.choose([1, 1, 0])
    found = model.decoder(torch.tensor([[3], [4], [3]]), cache=cache)["last_hidden_state"][:, 0]
    for row, (text, new) in zip(found, [(second, 3), (second, 4), (first, 3)]):
        alone = model.decoder(torch.cat([text, torch.tensor([new])])[None])["last_hidden_state"][0, -1]
        assert torch.allclose(row, alone, rtol=0, atol=1e-5)


@both
def test_a_place_that_may_look_at_nothing_makes_no_nan(model):
    output = model.decoder(torch.ones(2, 4).long(), torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]]), output_attentions=True)
    assert output["last_hidden_state"].isfinite().all()
    assert output["attentions"][0][0, :, 0].count_nonzero() == 0
    assert [tuple(one.shape) for one in output["attentions"]] == [(2, 3, 4, 4)] * 3


@both
def test_a_text_that_is_too_long_is_refused_in_words(model):
    with pytest.raises(UserError, match="a text of 14 tokens, but the model has 13 positions"):
        model(torch.ones(1, 14).long())
    ids, mask = torch.ones(1, 20).long(), torch.tensor([[0] * 8 + [1] * 12])
    assert torch.allclose(model(ids, mask)[0][0, -1], model(ids[:, :12])[0][0, -1], rtol=0, atol=1e-5)


@both
def test_the_loss_is_that_of_each_next_token(model):
    texts, batches = rows(6, 4)
    ids, mask = batches["right"]
    logits, loss = model(ids, mask, ids.masked_fill(mask == 0, -100))
    expected = [
        -logits[row, at].log_softmax(-1)[text[at + 1]] for row, text in enumerate(texts) for at in range(len(text) - 1)
    ]
    assert torch.allclose(loss, torch.stack(expected).mean())
    assert model(ids, mask, torch.full_like(ids, -100))[1] == 0
    assert model(ids, mask)[1] is None


def test_the_files_stay_small():
    for name, limit in (("decoder.py", 110), ("families/gpt.py", 120), ("families/gpt2.py", 120)):
        assert len((ROOT / "minbert" / name).read_text("utf-8").splitlines()) <= limit, name
