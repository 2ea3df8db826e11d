"""A swapped decoder computes what the plain one computes: with padding, with a cache, in its gradients."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minbert import fast
from minbert.decoder import CachedAttention, Decoder
from minbert.families.gpt import OpenAIGPTLMHeadModel, OpenAIGPTModel
from minbert.families.gpt2 import GPT2LMHeadModel, GPT2Model, GPT2SentClassifier
from minbert.fast import decoder as twins
from minbert.fast import linear, measure
from minbert.generation import Cache, generate_all
from tests.test_decoder import SIZES, rows


def pair(model_class, **changes):
    """A plain model with large random weights, and its copy with twins."""
    torch.manual_seed(1)
    plain = model_class(SIZES | changes)
    return plain, fast.swap_in(copy.deepcopy(plain))


PAIRS = [pair(model_class) for model_class in (OpenAIGPTLMHeadModel, GPT2LMHeadModel)]
both = pytest.mark.parametrize("plain, swapped", PAIRS, ids=lambda model: type(model).__name__)


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=3e-5)


def test_the_classes_change_and_come_back():
    plain, swapped = pair(GPT2LMHeadModel)
    assert type(swapped) is not GPT2LMHeadModel and isinstance(swapped, (GPT2LMHeadModel, twins.CausalLM))
    assert isinstance(swapped.decoder, (GPT2Model, twins.Decoder))
    assert type(swapped.decoder.layers[2].attention) is twins.CachedAttention
    assert type(swapped.decoder.layers[0].feed_forward.expand) is linear.Linear
    fast.swap_out(swapped)
    assert [type(module) for module in swapped.modules()] == [type(module) for module in plain.modules()]


@both
@pytest.mark.parametrize("side", ["left", "right", "none"])
def test_hidden_states_logits_and_gradients(plain, swapped, side):
    texts, batches = rows(9, 4, 1)
    ids, mask = batches[side] if side != "none" else (torch.stack([texts[0], texts[0].flip(0)]), None)
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    found = []
    for model in (plain, swapped):
        states = model.decoder(ids, mask, output_hidden_states=True)["hidden_states"]
        model.zero_grad()
        logits, loss = model(ids, mask, ids.masked_fill(~real, -100))
        loss.backward()
        grads = [parameter.grad for parameter in model.parameters()]
        assert not any(grad is None or grad.isnan().any() for grad in grads)
        found.append([*(x[real] for x in states), logits[real], loss, *grads])
    for one, two in zip(*found):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=3e-5)


@both
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=6).filter(lambda parts: sum(parts) <= 13), st.booleans())
@torch.no_grad()
def test_a_text_read_in_parts_with_a_cache(plain, swapped, parts, is_padded):
    length = sum(parts)
    ids, mask = rows(length, max(1, length - 3) if is_padded else length)[1]["left"]
    whole, cache, at = plain.decoder(ids, mask)["last_hidden_state"], Cache(swapped.decoder, 2, length), 0
    for part in parts:
        given_mask = mask[:, : at + part] if is_padded or at else None
        x = swapped.decoder(ids[:, at : at + part], given_mask, cache)["last_hidden_state"]
        real = mask[:, at : at + part].bool()
        close(x[real], whole[:, at : at + part][real])
        at += part


@both
@torch.no_grad()
def test_a_place_that_may_look_at_nothing_makes_no_nan(plain, swapped):
    ids, mask = torch.ones(3, 4).long(), torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
    found, wanted = (model.decoder(ids, mask)["last_hidden_state"] for model in (swapped, plain))
    assert found.isfinite().all()
    close(found[mask.bool()], wanted[mask.bool()])


@both
def test_attentions_are_those_of_the_plain_model(plain, swapped):
    ids, mask = rows(7, 3)[1]["left"]
    found, wanted = (model.decoder(ids, mask, output_attentions=True)["attentions"] for model in (swapped, plain))
    assert len(found) == 3
    for one, two in zip(found, wanted):
        close(one, two)


@both
def test_generation_draws_the_same(plain, swapped):
    """The second prompt is shorter, and the first fills the model before the others end."""
    prompts = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3, 5, 8, 9]]
    for options in ({"temperature": 0}, {"n": 3, "seed": 5, "top_p": 0.9}):
        found, wanted = (generate_all(model, prompts, max_tokens=8, **options) for model in (swapped, plain))
        assert [[made.ids for made in row] for row in found] == [[made.ids for made in row] for row in wanted]


def test_a_readout_that_keeps_gradients_at_the_tied_embeddings_by_either_library(monkeypatch):
    if len(linear.kernels()) < 2:
        pytest.skip("one library here")
    plain, swapped = PAIRS[1]
    ids, found = rows(9)[0][0][None], {}
    for name, model, kernel in (("plain", plain, "torch"), ("torch", swapped, "torch"), ("onednn", swapped, "onednn")):
        monkeypatch.setattr(linear.KERNEL, "chosen", kernel)
        model.zero_grad()
        model(ids, None, ids)[1].backward()
        found[name] = model.decoder.token.weight.grad.clone()
    close(found["torch"], found["plain"])
    close(found["onednn"], found["plain"])


@pytest.mark.parametrize("storage", ["rows", "columns"])
@pytest.mark.parametrize("kernel", linear.kernels())
def test_matrices_in_columns_compute_and_save_the_same(monkeypatch, tmp_path, storage, kernel):
    monkeypatch.setattr(linear.STORAGE, "chosen", storage)
    monkeypatch.setattr(linear.READOUT, "chosen", kernel)
    plain, swapped = pair(GPT2LMHeadModel)
    fast.for_writing(swapped)
    assert all(weight.is_contiguous() for weight in swapped.parameters())  # so small a model stays as it is
    monkeypatch.setattr(twins, "LARGE", 1)
    fast.for_writing(swapped)
    turned = [name for name, weight in swapped.named_parameters() if not weight.is_contiguous()]
    assert len(turned) == (19 if storage == "columns" else 0)
    for number in (1, 4):
        prompts = [[3, 1, 4], [6, 5], [3, 5, 8, 9], [7]][:number]
        found, wanted = (generate_all(model, prompts, max_tokens=6, temperature=0) for model in (swapped, plain))
        assert [row[0].ids for row in found] == [row[0].ids for row in wanted]
    for name, weight in swapped.state_dict().items():
        assert torch.equal(weight, plain.state_dict()[name])
    swapped.save_pretrained(tmp_path)
    again = GPT2LMHeadModel.from_pretrained(tmp_path)
    assert torch.equal(again.decoder.token.weight, plain.decoder.token.weight)
    assert torch.equal(
        again.decoder.layers[1].feed_forward.expand.weight, plain.decoder.layers[1].feed_forward.expand.weight
    )


@pytest.mark.parametrize("choice", [linear.READOUT, linear.STORAGE], ids=lambda choice: choice.name)
def test_what_a_run_does_not_depend_on_is_not_recorded(monkeypatch, choice):
    monkeypatch.setattr(choice, "chosen", None)
    assert choice.get() in choice.known and choice.name not in measure.choices()


def test_dropout_drops_in_training_alone():
    _, swapped = pair(GPT2LMHeadModel, attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0)
    ids = rows(9)[0][0][None]
    attention = swapped.decoder.layers[0].attention
    assert torch.equal(swapped(ids)[0], swapped(ids)[0])
    attention.train()
    assert not torch.equal(swapped(ids)[0], swapped(ids)[0])


def test_a_class_of_one_s_own_stays_and_is_computed_the_plain_way():
    class Own(GPT2Model):
        def forward(self, *arguments, **options):
            return super().forward(*arguments, **options)

    torch.manual_seed(1)
    plain = Own(SIZES)
    swapped = fast.swap_in(copy.deepcopy(plain))
    ids, mask = rows(9, 4)[1]["right"]
    assert type(swapped) is Own
    close(swapped(ids, mask)["last_hidden_state"], plain(ids, mask)["last_hidden_state"])


@pytest.mark.parametrize("model_class", [OpenAIGPTModel, GPT2SentClassifier])
def test_a_decoder_alone_and_in_a_classifier(model_class):
    plain, swapped = pair(model_class)
    assert any(isinstance(module, twins.CachedAttention) for module in swapped.modules())
    assert not any(type(module) in (CachedAttention, Decoder) for module in swapped.modules())
    ids, mask = rows(9, 4)[1]["right"]
    one, two = (model(ids, mask) for model in (plain, swapped))
    if model_class is OpenAIGPTModel:
        one, two = (output["last_hidden_state"][mask.bool()] for output in (one, two))
    close(two, one)
