"""The checks themselves: each known mistake, made on purpose in the code, must fail its stage and be named."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from minbert import attention, encoder, heads
from tests import test_attention, test_embeddings, test_encoder, test_heads, test_optimizer


def mistaken_attend(transform):
    """attend with its arguments or its result changed."""

    def attend(query, key, value, mask, dropout=lambda x: x):
        query, key, scale, mask = transform(query, key, mask)
        scores = query @ key.transpose(-2, -1) / scale
        probabilities = scores.masked_fill(~mask, -1e30).softmax(-1)
        return probabilities @ value, probabilities

    return attend


def heads_of(query):
    return query.size(1)


ATTENTION = {
    "the scores are not scaled by sqrt(K)": lambda q, k, m: (q, k, 1.0, m),
    "the scores are divided by sqrt(D), not sqrt(K)": lambda q, k, m: (q, k, math.sqrt(q.size(-1) * heads_of(q)), m),
    "the mask is ignored": lambda q, k, m: (q, k, math.sqrt(q.size(-1)), torch.ones_like(m)),
    "query and key are swapped": lambda q, k, m: (k, q, math.sqrt(q.size(-1)), m),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_mistakes_in_attend_are_named(name, golden, monkeypatch):
    wrong = mistaken_attend(ATTENTION[name])
    monkeypatch.setattr(attention, "attend", wrong)
    monkeypatch.setattr(test_attention, "attend", wrong)
    with pytest.raises(AssertionError, match=f"layer 0, probabilities: the largest difference .*{escape(name)}"):
        test_attention.test_probabilities_and_mixed_values_equal_the_reference(golden, 0)
    with pytest.raises(AssertionError, match=escape(name)):
        test_attention.test_the_module_equals_the_reference_at_each_step(golden, 0)


def test_heads_merged_without_transpose_are_named(golden, monkeypatch):
    monkeypatch.setattr(
        attention.MultiHeadAttention, "merge", lambda self, x: x.reshape(x.size(0), x.size(2), -1), raising=True
    )
    with pytest.raises(AssertionError, match=r"merged heads.*the heads are merged without the transpose"):
        test_attention.test_heads_are_split_and_merged_as_in_the_reference(golden, 0)


def test_swapped_projections_are_named(golden, monkeypatch):
    build = test_attention.module

    def swapped(golden, layer):
        module = build(golden, layer)
        module.query, module.key = module.key, module.query
        return module

    monkeypatch.setattr(test_attention, "module", swapped)
    with pytest.raises(AssertionError, match=r"layer 0, query.*key is used in its place"):
        test_attention.test_the_module_equals_the_reference_at_each_step(golden, 0)


def escape(name):
    return name.replace("(", r"\(").replace(")", r"\)")


def wrong_layer(golden, number, change):
    layer = test_encoder.EncoderLayer(golden.config)
    layer.load_state_dict(golden.weights(f"encoder.layers.{number}."))
    layer.attention = test_encoder.GoldenAttention(golden, number)
    change(layer)
    return layer.eval()


def use_eps(layer):
    layer.attention_norm.eps = layer.feed_forward_norm.eps = 1e-5


def norm_first(layer):
    def forward(x, mask):
        looked, probabilities = layer.attention(layer.attention_norm(x), mask)
        x = x + looked
        return x + layer.feed_forward(layer.feed_forward_norm(x)), probabilities

    layer.forward = forward


LAYER = {
    "the GELU is the tanh approximation": lambda layer: setattr(layer.feed_forward, "activation", encoder.gelu_tanh),
    "the activation is ReLU, not GELU": lambda layer: setattr(layer.feed_forward, "activation", F.relu),
    "the norms' eps is torch's 1e-5, not the config's": use_eps,
    "the norms come first (pre-norm)": norm_first,
}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", LAYER)
def test_mistakes_in_the_layer_are_named(name, number, golden, monkeypatch):
    monkeypatch.setattr(test_encoder, "build", lambda golden, number: wrong_layer(golden, number, LAYER[name]))
    with pytest.raises(AssertionError, match=f"layer {number}, output: the largest difference.*{escape(name)}"):
        test_encoder.test_equals_the_reference(golden, number)


EMBEDDINGS = {
    "the segments are forgotten": lambda module: nn.init.zeros_(module.segment.weight),
    "the positions are forgotten": lambda module: nn.init.zeros_(module.position.weight),
    "the norm is forgotten": lambda module: setattr(module, "norm", nn.Identity()),
    "the norm's eps is torch's 1e-5, not the config's": lambda module: setattr(module.norm, "eps", 1e-5),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_mistakes_in_the_embeddings_are_named(name, golden):
    module = test_embeddings.Embeddings(golden.config)
    module.load_state_dict(golden.weights("embeddings."))
    with torch.no_grad():
        EMBEDDINGS[name](module)
    with pytest.raises(AssertionError, match=f"embeddings: the largest difference.*{name}"):
        test_embeddings.test_equal_the_reference(golden, module.eval())


def test_all_segments_0_are_named(golden):
    module = test_embeddings.Embeddings(golden.config).eval()
    module.load_state_dict(golden.weights("embeddings."))
    with pytest.raises(AssertionError, match="the segments are all 0"):
        test_embeddings.test_equal_the_reference(golden, lambda ids, segments: module(ids))


HEAD = {
    "the first token's vector is read, not the pooler's": lambda self, output, mask=None: output["last_hidden_state"][
        :, 0
    ],
    "the mean of the tokens is read": lambda self, output, mask=None: output["last_hidden_state"].mean(1),
}


@pytest.mark.parametrize("name", HEAD)
def test_mistakes_in_the_classifier_are_named(name, golden, monkeypatch):
    monkeypatch.setattr(heads.BertSentClassifier, "pool", HEAD[name])
    with pytest.raises(AssertionError, match=f"logits: the largest difference.*{name}"):
        test_heads.test_logits_equal_the_reference(golden)


class WrongAdamW(torch.optim.Optimizer):
    """AdamW's first step with a mistake."""

    mistake = ""

    def __init__(self, params, **settings):
        super().__init__(params, settings)

    def step(self):
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    lr, eps, decay, grad = group["lr"], group["eps"], group["weight_decay"], weight.grad
                    if self.mistake == "L2":
                        grad = grad + decay * weight
                        weight -= lr * grad / (grad.abs() + eps)
                    elif self.mistake == "uncorrected":
                        weight *= 1 - lr * decay
                        weight -= lr * 0.1 * grad / ((0.001 * grad**2).sqrt() + eps)
                    else:
                        weight -= lr * grad / (grad.abs() + eps)


@pytest.mark.parametrize(
    "mistake, name",
    [
        ("L2", "decay is part of the gradient"),
        ("uncorrected", "the bias is not corrected"),
        ("none", "the weight does not decay"),
    ],
)
def test_mistakes_in_the_optimizer_are_named(mistake, name, golden, monkeypatch):
    monkeypatch.setattr(WrongAdamW, "mistake", mistake)
    monkeypatch.setattr(test_optimizer, "AdamW", WrongAdamW)
    with pytest.raises(AssertionError, match=name):
        test_optimizer.test_one_step_equals_the_golden_one(golden, "pretrain")


def test_an_unknown_mistake_still_names_stage_and_size(golden, monkeypatch):
    monkeypatch.setattr(test_encoder, "build", lambda golden, number: lambda x, mask: (x + 0.25, x))
    with pytest.raises(
        AssertionError, match=r"^layer 0, output: the largest difference is \d\.\d+e[+-]\d+, allowed are 1e-05$"
    ):
        test_encoder.test_equals_the_reference(golden, 0)


def test_a_wrong_shape_is_told(golden, monkeypatch):
    monkeypatch.setattr(test_encoder, "build", lambda golden, number: lambda x, mask: (x[:, :2], x))
    with pytest.raises(AssertionError, match=r"the shape is \[3, 2, 15\], but should be \[3, 9, 15\]"):
        test_encoder.test_equals_the_reference(golden, 0)


def test_nan_never_passes(golden, monkeypatch):
    monkeypatch.setattr(test_encoder, "build", lambda golden, number: lambda x, mask: (x * float("nan"), x))
    with pytest.raises(AssertionError, match="NaN or Inf"):
        test_encoder.test_equals_the_reference(golden, 0)
