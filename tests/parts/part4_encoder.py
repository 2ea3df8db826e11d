"""Part 4: the encoder layer (minbert/encoder.py). Its attention answers with the right output.

python -m pytest tests/parts/part4_encoder.py
"""

import pytest
import torch

from minbert.course import mistakes
from minbert.course.diagnosis import check
from minbert.encoder import Encoder, EncoderLayer, gelu

pytestmark = pytest.mark.part4

each_layer = pytest.mark.parametrize("layer", [0, 1])


class GoldenAttention(torch.nn.Module):
    """Answers with what the reference's attention answered there; for any other input, with the same times the input's
    mean square, so that a layer that normalises first is seen too."""

    def __init__(self, golden, layer):
        super().__init__()
        self.x = layer_input(golden, layer)
        self.output = golden.stage(f"{layer}.attention")
        self.probabilities = golden.stage(f"{layer}.probabilities")

    def answer(self, x):
        return self.output * ((x**2).mean() / (self.x**2).mean())

    def forward(self, x, mask):
        return self.answer(x), self.probabilities


def layer_input(golden, layer):
    return golden.stage("embeddings" if layer == 0 else f"{layer - 1}.feed_forward_norm")


def build(golden, layer):
    module = EncoderLayer(golden.config)
    module.load_state_dict(golden.weights(f"encoder.layers.{layer}."))
    module.attention = GoldenAttention(golden, layer)
    return module.eval()


def known(golden, layer):
    state, attention = golden.weights(f"encoder.layers.{layer}."), GoldenAttention(golden, layer).answer
    return mistakes.layers(state, layer_input(golden, layer), attention, golden.config.layer_norm_eps)


@each_layer
def test_it_equals_the_reference(golden, layer):
    output, probabilities = build(golden, layer)(layer_input(golden, layer), golden.mask)
    right = golden.stage(f"{layer}.feed_forward_norm")
    check(f"layer {layer}, output", output, right, golden.real, known(golden, layer))
    check(f"layer {layer}, probabilities", probabilities, golden.stage(f"{layer}.probabilities"))


@each_layer
def test_both_norms_and_the_feed_forward_equal_the_reference(golden, layer):
    module, inside = build(golden, layer), {}
    for stage in ("attention_norm", "feed_forward", "feed_forward_norm"):
        part = getattr(module, stage)
        part.register_forward_hook(lambda m, i, out, stage=stage: inside.update({stage: out}))
    output, _ = module(layer_input(golden, layer), golden.mask)
    right = golden.stage(f"{layer}.feed_forward_norm")
    check(f"layer {layer}, output", output, right, golden.real, known(golden, layer))
    for stage, found in inside.items():
        tolerance = 2e-5 if stage == "feed_forward" else 1e-5  # its values go up to 11
        check(f"layer {layer}, {stage}", found, golden.stage(f"{layer}.{stage}"), golden.real, tolerance=tolerance)


def test_the_encoder_applies_its_layers_in_order(golden):
    encoder = Encoder(golden.config)
    for layer in (0, 1):
        encoder.layers[layer] = build(golden, layer)
    hidden_states, attentions = [golden.stage("embeddings")], []
    x = encoder(golden.stage("embeddings"), golden.mask, hidden_states, attentions)
    first, last = (golden.stage(f"{layer}.feed_forward_norm") for layer in (0, 1))
    check("first layer's hidden state", hidden_states[1], first, golden.real, known(golden, 0))
    check("last hidden state", x, last, golden.real)
    assert [len(hidden_states), len(attentions)] == [3, 2]


def test_gelu_by_hand():
    """x P(Z <= x): 0 at 0, about x for large x, about 0 for small; at 1 it is 0.8413447 = P(Z <= 1)."""
    x = torch.tensor([-10.0, 0.0, 1.0, 10.0])
    wrong = {
        "the GELU is the tanh approximation": torch.nn.functional.gelu(x, approximate="tanh"),
        "the activation is ReLU, not GELU": x.relu(),
    }
    check("GELU of -10, 0, 1, 10", gelu(x), torch.tensor([0.0, 0.0, 0.8413447, 10.0]), mistakes=wrong, tolerance=1e-6)


def test_dropout_is_on_in_training_only(golden):
    module = EncoderLayer(golden.config.change(hidden_dropout_prob=0.5))
    module.attention = GoldenAttention(golden, 0)
    x = layer_input(golden, 0)
    assert torch.equal(module.eval()(x, None)[0], module(x, None)[0]), "layer: dropout in evaluation"
    module.train()
    assert not torch.equal(module(x, None)[0], module(x, None)[0]), "layer: no dropout in training"
