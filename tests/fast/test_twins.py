"""A swapped model computes what the plain one computes, in its values and in its gradients."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from minbert import BertForMaskedLM, BertForPreTraining, BertModel, BertSentClassifier, attention, encoder, fast
from minbert.fast import swap_in, swap_out
from tests.fast import MASKS, every_mask

TESTS = Path(__file__).parents[1]


class Case:
    """A model, and what it is asked."""

    def __init__(self, model_class, changes=None, **asked):
        self.model_class, self.changes, self.asked = model_class, changes or {}, asked

    def build(self, config):
        """A plain model with large random weights, so that every mistake shows."""
        torch.manual_seed(0)
        model = self.model_class(config.change(initializer_range=0.5, **self.changes))
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                nn.init.normal_(parameter.data, 1.0 if name.endswith("norm.weight") else 0.0, 0.3)
        return model

    def ask(self, model, mask):
        """What the model answers to a made-up batch, {name: tensor}, without what belongs to padding."""
        generator, (batch, length) = torch.Generator().manual_seed(1), mask.shape
        ids = torch.randint(0, 37, mask.shape, generator=generator)
        segments = torch.randint(0, 2, mask.shape, generator=generator)
        asked = dict(self.asked)
        if asked.pop("labels", False):
            asked["labels"] = ids.where((torch.arange(length) % 2 == 0) & mask.bool(), -100)
        if asked.pop("next_sentence_label", False):
            asked["next_sentence_label"] = torch.arange(batch) % 2
        output = model(ids, mask, segments, **asked)
        if isinstance(model, BertSentClassifier):
            return {"logits": output if model.config.pooling == "mean" else output[mask[:, 0].bool()]}
        if not isinstance(model, BertModel):
            names = ("logits", "next sentence", "loss") if len(output) == 3 else ("logits", "loss")
            answers = {name: x for name, x in zip(names, output) if x is not None}
            if "next sentence" in answers:
                answers["next sentence"] = answers["next sentence"][mask[:, 0].bool()]
            if "labels" not in asked:
                answers["logits"] = answers["logits"][mask.bool()]
            return answers
        answers = {"last hidden state": output["last_hidden_state"][mask.bool()]}
        answers["pooler output"] = output["pooler_output"][mask[:, 0].bool()]
        for number, x in enumerate(output.get("hidden_states", ())):
            answers[f"hidden state {number}"] = x[mask.bool()]
        for number, x in enumerate(output.get("attentions", ())):
            answers[f"attentions {number}"] = x.transpose(1, 2)[mask.bool()]
        return answers


CASES = {
    "encoder": Case(BertModel),
    "encoder, causal": Case(BertModel, causal=True),
    "encoder, hidden states": Case(BertModel, output_hidden_states=True),
    "encoder, attentions": Case(BertModel, output_attentions=True),
    "encoder, all": Case(BertModel, causal=True, output_hidden_states=True, output_attentions=True),
    "encoder, sinusoidal positions": Case(BertModel, {"sinusoidal_positions": True}),
    **{
        f"classifier, {pooling}, {option}": Case(BertSentClassifier, {"pooling": pooling, "option": option})
        for pooling in ("pooler", "cls", "mean")
        for option in ("flexible", "pretrain")
    },
    "classifier, tanh GELU": Case(BertSentClassifier, {"hidden_act": "gelu_new"}),
    "classifier, ReLU": Case(BertSentClassifier, {"hidden_act": "relu"}),
    "masked LM": Case(BertForMaskedLM, labels=True),
    "masked LM, every place": Case(BertForMaskedLM),
    "masked LM, causal": Case(BertForMaskedLM, labels=True, causal=True),
    "masked LM, untied, tanh GELU": Case(
        BertForMaskedLM, {"tie_word_embeddings": False, "hidden_act": "gelu_new"}, labels=True
    ),
    "pretraining": Case(BertForPreTraining, labels=True),
    "pretraining, both losses": Case(BertForPreTraining, labels=True, next_sentence_label=True),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def gradients(answers, model):
    """Of a sum that weighs each number differently: {name: gradient or None}"""
    total = sum((x * torch.arange(x.numel(), dtype=x.dtype).view(x.shape).sin()).sum() for x in answers.values())
    learning = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return dict(zip(learning, torch.autograd.grad(total, learning.values(), allow_unused=True)))


def assert_near(ours, theirs, tolerance):
    """Both the same names; each tensor within the tolerance, measured in its own largest number if that is above 1."""
    assert ours.keys() == theirs.keys()
    for name, x in theirs.items():
        assert (x is None) == (ours[name] is None), name
        if x is not None and x.numel():
            assert ours[name].shape == x.shape, name
            assert (ours[name] - x).abs().max() <= tolerance * max(1, x.abs().max()), name


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
@every_mask
@every_case
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-5), (torch.float64, 1e-12)], ids=["fp32", "fp64"])
def test_a_swapped_model_equals_the_plain_one(golden, case, mask, dtype, tolerance):
    mask = torch.tensor(mask)
    if "next_sentence_label" in case.asked and not mask[:, 0].all():
        pytest.skip("the loss reads what stands at padding")
    plain = case.build(golden.config).to(dtype)
    swapped = swap_in(copy.deepcopy(plain))
    theirs, ours = case.ask(plain, mask), case.ask(swapped, mask)
    assert_near(ours, theirs, tolerance)
    assert_near(gradients(ours, swapped), gradients(theirs, plain), tolerance)


def test_the_cases_meet_every_twin(golden):
    met = {type(module) for case in CASES.values() for module in swap_in(case.build(golden.config)).modules()}
    here = {twin for twin in fast.TWINS.values() if twin.__module__ != "minbert.fast.decoder"}  # see test_decoder.py
    assert met >= {twin for twin in here if issubclass(twin, nn.Module)}


@every_case
def test_a_swapped_model_is_the_same_model(golden, case):
    """The names of its weights, the weights themselves, and the names of its classes."""
    model = case.build(golden.config)
    names, weights = list(model.state_dict()), list(map(id, model.parameters()))
    shown, types = repr(model), [type(module) for module in model.modules()]
    assert swap_in(model) is model
    assert [type(module) for module in model.modules()] != types
    assert list(model.state_dict()) == names and list(map(id, model.parameters())) == weights
    assert repr(model) == shown
    swapped = [type(module) for module in model.modules()]
    assert [type(module) for module in swap_in(model).modules()] == swapped  # twice is once
    assert [type(module) for module in copy.deepcopy(model).modules()] == swapped
    assert [type(module) for module in swap_out(model).modules()] == types


@every_case
def test_swapped_out_a_model_gives_the_same_bits_as_before(golden, case):
    model, mask = case.build(golden.config), torch.tensor(MASKS["padding"])
    before = case.ask(model, mask)
    after = case.ask(swap_out(swap_in(model)), mask)
    assert all(torch.equal(after[name], x) for name, x in before.items())


def test_a_model_is_plain_until_it_is_swapped(tiny_folder):
    model = BertSentClassifier.from_pretrained(tiny_folder)
    assert not {type(module) for module in model.modules()} & set(fast.TWINS.values())


def test_what_a_swapped_model_saves_is_read_by_a_plain_one(tiny_folder, tmp_path):
    model = swap_in(BertSentClassifier.from_pretrained(tiny_folder))
    model.save_pretrained(tmp_path / "again")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (tiny_folder / file).read_bytes()


def test_the_linear_layers_of_a_head_stay(golden):
    model = swap_in(BertSentClassifier(golden.config))
    assert type(model.classifier) is nn.Linear and type(model.dropout) is nn.Dropout


def test_an_optimizer_and_a_hook_from_before_the_swap_still_work(golden):
    model = BertSentClassifier(golden.config)
    optimizer, calls = torch.optim.SGD(model.parameters(), lr=1.0), []
    model.bert.encoder.layers[0].attention.register_forward_hook(lambda *_: calls.append(1))
    before = model.bert.encoder.layers[0].attention.query.weight.detach().clone()
    swap_in(model)(golden.batch.input_ids).sum().backward()
    optimizer.step()
    assert calls and not torch.equal(model.bert.encoder.layers[0].attention.query.weight, before)


# Classes of a user's own


class Uniform(attention.MultiHeadAttention):
    """Each token looks at all that it may look at alike."""

    def forward(self, x, mask):
        probabilities = mask.expand(-1, self.heads, x.size(1), -1).double().softmax(-1).to(x.dtype)
        return self.output(self.merge(probabilities @ self.split(self.value(x)))), probabilities


class Shifted(encoder.FeedForward):
    """Thinks about the token before."""

    def forward(self, x):
        return super().forward(x.roll(1, dims=1))


class Reversed(encoder.EncoderLayer):
    def forward(self, x, mask):
        return super().forward(x.flip(1), mask.flip(-1))


class First(BertModel):
    """Only the first layer counts."""

    def forward(self, *inputs, **asked):
        output = super().forward(*inputs, **asked, output_hidden_states=True)
        return {"last_hidden_state": output["hidden_states"][1], "pooler_output": self.pool(output["hidden_states"][1])}


def own_attention(model):
    model.bert.encoder.layers[1].attention.__class__ = Uniform


def own_feed_forward(model):
    model.bert.encoder.layers[0].feed_forward.__class__ = Shifted


def own_layer(model):
    model.bert.encoder.layers[0].__class__ = Reversed


def own_model(model):
    model.bert.__class__ = First


def stranger(model):
    """A module that this package has never seen, in the place of an attention."""

    class Stranger(nn.Module):
        def forward(self, x, mask):
            return x.cumsum(1), None

    model.bert.encoder.layers[0].attention = Stranger()


@every_mask
@pytest.mark.parametrize("own", [own_attention, own_feed_forward, own_layer, own_model, stranger])
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_a_class_of_your_own_stays_and_still_gets_a_padded_batch(golden, own, mask, pooling):
    case, mask = Case(BertSentClassifier, {"pooling": pooling}), torch.tensor(mask)
    plain = case.build(golden.config)
    own(plain)
    yours = {name: type(module) for name, module in plain.named_modules() if "test_twins" in type(module).__module__}
    assert len(yours) == 1
    swapped = swap_in(copy.deepcopy(plain))
    assert {name: type(swapped.get_submodule(name)) for name in yours} == yours
    assert_near(case.ask(swapped, mask), case.ask(plain, mask), 2e-5)


# Padding


def test_no_token_at_all_and_a_mask_of_another_shape(golden):
    model, ids = BertModel(golden.config), torch.ones(2, 4, dtype=torch.int64)
    for change in (swap_out, swap_in):
        change(model)
        assert model(ids[0:0])["last_hidden_state"].shape[:2] == (0, 4)
        with pytest.raises(RuntimeError, match="must match the existing size"):
            model(ids, torch.ones(2, 3))
    assert not model(ids, torch.zeros_like(ids))["last_hidden_state"].any()


def test_the_vectors_of_padding_are_0_in_a_swapped_model_only(golden):
    """Whoever hides [SEP] from the others may still want to read what stands there: the plain model says it."""
    batch, model = golden.batch, BertModel(golden.config)
    hidden = ~batch.attention_mask.bool()
    assert model(*batch[:3])["last_hidden_state"][hidden].abs().sum(-1).all()
    assert not swap_in(model)(*batch[:3])["last_hidden_state"][hidden].any()


@every_mask
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_in_training_dropout_is_on_and_the_same_seed_drops_the_same(golden, mask, rate):
    changes = {"hidden_dropout_prob": rate, "attention_probs_dropout_prob": rate, "pooling": "mean"}
    case, mask = Case(BertSentClassifier, changes), torch.tensor(mask)
    model = swap_in(case.build(golden.config)).train()
    first, second = (case.ask(model, mask)["logits"] for _ in range(2))
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    first = case.ask(model, mask)["logits"]
    torch.manual_seed(3)
    assert torch.equal(case.ask(model, mask)["logits"], first)


# Who knows of the twins


PLAIN = ["config", "tokenizer", "encoding", "batch", "embeddings", "attention", "encoder", "heads", "golden"]


@pytest.mark.parametrize("file", [*(f"test_{name}.py" for name in PLAIN), "parts", "course"])
def test_tests_of_the_plain_model_do_not_import_fast(file):
    files = [TESTS / file] if file.endswith(".py") else (TESTS / file).glob("*.py")
    assert not [path.name for path in files if "minbert.fast" in path.read_text() or "import fast" in path.read_text()]
