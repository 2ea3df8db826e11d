"""A model prepared by `for_reading` predicts what the plain one predicts, whatever has happened to it in between."""

import copy
import pickle

import pytest
import torch
from torch import nn

from minbert import BertModel, encoder
from minbert.batch import make_batch
from minbert.fast import for_reading, reading, swap_in, swap_out
from minbert.fast.int8 import quantize
from tests.fast import MASKS, every_mask
from tests.fast.test_twins import CASES, Case, assert_near, every_case, gradients

pytestmark = pytest.mark.skipif("packed" not in reading.ways(), reason="this torch has no oneDNN")
PADDING = torch.tensor(MASKS["padding"])


@pytest.fixture(autouse=True)
def packed(monkeypatch):
    monkeypatch.setattr(reading.KERNEL, "chosen", "packed")


def prepared(plain):
    return for_reading(swap_in(copy.deepcopy(plain)))


def layers(model):
    return [module for module in model.modules() if isinstance(module, encoder.EncoderLayer)]


def packs(model):
    """Whether the layers hold copies of their weights: all or none of them."""
    (found,) = {getattr(layer, "products", None) is not None for layer in layers(model)}
    return found


@pytest.fixture
def pair(golden):
    """A plain classifier, and the same one prepared, which has read a batch."""
    plain = CASES["classifier, pooler, flexible"].build(golden.config)
    model = prepared(plain)
    assert_same(model, plain)
    assert packs(model)
    return plain, model


@torch.no_grad()
def assert_same(model, plain, mask=PADDING):
    ask = CASES["classifier, pooler, flexible"].ask
    assert_near(ask(model, mask), ask(plain, mask), 2e-5)


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
@every_mask
@every_case
@torch.no_grad()
def test_it_predicts_what_the_plain_model_predicts(golden, case, mask):
    mask, plain = torch.tensor(mask), case.build(golden.config)
    if "next_sentence_label" in case.asked and not mask[:, 0].all():
        pytest.skip("the loss reads what stands at padding")
    model = prepared(plain)
    assert_near(case.ask(model, mask), case.ask(plain, mask), 2e-5)
    assert packs(model) == (not case.asked.get("causal") and not case.asked.get("output_attentions"))


@pytest.mark.parametrize("case", [CASES["classifier, mean, flexible"], CASES["masked LM"]], ids=["classifier", "LM"])
def test_gradients_are_those_of_the_plain_model(golden, case):
    plain = case.build(golden.config)
    model = prepared(plain)
    answers = (gradients(case.ask(each, PADDING), each) for each in (model, plain))
    assert_near(*answers, 2e-5)
    assert not packs(model)


def an_optimizer(model):
    model.bert.encoder.layers[1].feed_forward.expand.bias.add_(1.0)


def a_file(model):
    model.load_state_dict({name: 0.9 * x for name, x in model.state_dict().items()})


def training(model):
    model.train()
    for weight in model.parameters():
        weight.data.mul_(0.9)
    model.eval()


def another_tensor(model):
    attention = model.bert.encoder.layers[0].attention
    attention.key.weight = nn.Parameter(attention.query.weight.clone())


@pytest.mark.fault("weights: an answer of weights that have changed since")
@pytest.mark.parametrize("change", [an_optimizer, a_file, training, another_tensor])
def test_weights_that_change_are_noticed(pair, change):
    plain, model = pair
    before = copy.deepcopy(plain)
    with torch.no_grad():
        for each in pair:
            change(each)
    assert_same(model, plain)
    with pytest.raises(AssertionError):
        assert_same(before, plain)


def test_training_drops_the_copies(pair):
    _, model = pair
    model.train()
    assert not packs(model)


@pytest.mark.parametrize("part", ["attention", "attention.value", "feed_forward", "feed_forward.contract", "dropout"])
def test_a_hook_is_called_and_may_change_the_answer(pair, part):
    for model in pair:
        model.bert.encoder.layers[0].get_submodule(part).register_forward_hook(doubled)
    assert_same(*reversed(pair))
    unhooked = swap_in(copy.deepcopy(pair[0]))
    for layer in layers(unhooked):
        layer.get_submodule(part)._forward_hooks.clear()
    with pytest.raises(AssertionError):
        assert_same(unhooked, pair[0])


def doubled(module, inputs, output):
    return (2 * output[0], None) if isinstance(output, tuple) else 2 * output


@pytest.mark.parametrize("part", ["dropout", "attention.dropout"])
@torch.no_grad()
def test_dropout_alone_may_stay_on(golden, part):
    rates = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}
    case = Case(BertModel, rates)
    model = prepared(case.build(golden.config))
    for layer in layers(model):
        layer.get_submodule(part).train()
    first, second = (case.ask(model, PADDING)["last hidden state"] for _ in range(2))
    assert not torch.equal(first, second)


def test_other_numbers_take_the_other_way(pair):
    plain, model = pair
    for each in pair:
        each.double()
    assert_same(model, plain)
    for layer in layers(model.float()):
        layer.forget()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(torch.ones_like(PADDING))
    assert not packs(model)


def test_a_layer_in_8_bits_stays_so(golden):
    case = CASES["classifier, mean, flexible"]
    small = quantize(swap_in(case.build(golden.config)))
    with torch.no_grad():
        assert_near(case.ask(for_reading(copy.deepcopy(small)), PADDING), case.ask(small, PADDING), 0)


def test_a_linear_layer_of_your_own_is_asked(golden):
    plain = CASES["classifier, pooler, flexible"].build(golden.config)
    plain.bert.encoder.layers[1].attention.query.__class__ = Own
    model = prepared(plain)
    assert_same(model, plain)
    assert [hasattr(layer, "products") for layer in layers(model)] == [True, False]


class Own(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_it_is_the_same_model_and_copies_hold_no_copies(pair):
    plain, model = pair
    assert list(model.state_dict()) == list(plain.state_dict()) and repr(model) == repr(swap_in(copy.deepcopy(plain)))
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not packs(copied)
        assert_same(copied, plain)


def test_swapped_out_it_is_plain_again(pair):
    plain, model = pair
    assert [type(x) for x in swap_out(model).modules()] == [type(x) for x in plain.modules()]
    assert not any("products" in vars(layer) or "stamp" in vars(layer) for layer in layers(model))


def test_a_plain_model_and_a_machine_where_it_is_not_faster_stay(golden, monkeypatch):
    plain = CASES["encoder"].build(golden.config)
    assert {type(layer) for layer in layers(for_reading(plain))} == {encoder.EncoderLayer}
    monkeypatch.setattr(reading.KERNEL, "chosen", "plain")
    assert {type(layer) for layer in layers(for_reading(swap_in(plain)))} == {encoder.EncoderLayer}


def test_another_activation_is_noticed(pair):
    plain, model = pair
    for layer in [*layers(plain), *layers(model)]:
        layer.feed_forward.activation = torch.relu
    assert_same(model, plain)


def test_vectors_of_all_tokens_and_of_the_first_ones_in_turn(pair):
    """The last layer then has queries in two products."""
    plain, model = pair
    for _ in range(2):
        with torch.no_grad():
            of_all = [x.bert(torch.ones_like(PADDING), PADDING)["last_hidden_state"] for x in (plain, model)]
        assert torch.allclose(*(x[PADDING.bool()] for x in of_all), atol=2e-5)
        assert_same(model, plain)


def test_an_activation_that_onednn_does_not_have(golden):
    plain = CASES["classifier, pooler, flexible"].build(golden.config)
    for layer in layers(plain):
        layer.feed_forward.activation = torch.sigmoid
    assert_same(prepared(plain), plain)


def test_what_is_timed_is_the_same(golden):
    (plain,), (packed) = (way() for way in (reading.ways()["plain"], reading.ways()["packed"]))
    assert torch.allclose(plain, packed[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_batch_of_one_token_and_of_none(pair):
    plain, model = pair
    rows = {name: [[1]] for name in ("input_ids", "attention_mask", "token_type_ids")}
    *inputs, _ = make_batch(rows, None, [0])
    assert torch.allclose(model(*inputs), plain(*inputs), atol=2e-5)
    assert model.bert(inputs[0][:0])["last_hidden_state"].shape == (0, 1, plain.config.hidden_size)
