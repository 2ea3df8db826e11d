"""Part 4: the encoder layer, with attention replaced by its golden output, so that only this file's code is judged."""

import pytest
import torch

from minbert.encoder import ACTIVATIONS, Encoder, EncoderLayer, gelu, gelu_tanh
from tests.diagnosis import check, wrong_layers

pytestmark = pytest.mark.part4

LAYERS = [0, 1]


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


def build(golden, number):
    layer = EncoderLayer(golden.config)
    layer.load_state_dict(golden.weights(f"encoder.layers.{number}."))
    layer.attention = GoldenAttention(golden, number)
    return layer.eval()


@pytest.mark.parametrize("number", LAYERS)
def test_equals_the_reference(golden, number):
    layer, x = build(golden, number), layer_input(golden, number)
    output, probabilities = layer(x, golden.mask)
    state, attention = golden.weights(f"encoder.layers.{number}."), GoldenAttention(golden, number).answer
    mistakes = wrong_layers(state, x, attention, golden.config.layer_norm_eps)
    name = f"layer {number}, output"
    check(name, output, golden.stage(f"{number}.feed_forward_norm"), golden.real, mistakes)
    assert torch.equal(probabilities, golden.stage(f"{number}.probabilities"))


@pytest.mark.parametrize("number", LAYERS)
def test_both_norms_and_the_feed_forward_equal_the_reference(golden, number):
    layer, inside = build(golden, number), {}
    layer.attention_norm.register_forward_hook(lambda m, i, out: inside.update(attention_norm=out))
    layer.feed_forward.register_forward_hook(lambda m, i, out: inside.update(feed_forward=out))
    layer.feed_forward_norm.register_forward_hook(lambda m, i, out: inside.update(feed_forward_norm=out))
    layer(layer_input(golden, number), golden.mask)
    for stage in ("attention_norm", "feed_forward", "feed_forward_norm"):
        tolerance = 2e-5 if stage == "feed_forward" else 1e-5  # its values go up to 11
        check(
            f"layer {number}, {stage}",
            inside[stage],
            golden.stage(f"{number}.{stage}"),
            golden.real,
            tolerance=tolerance,
        )


def test_the_encoder_applies_its_layers_in_order(golden):
    encoder = Encoder(golden.config)
    for number in LAYERS:
        encoder.layers[number] = build(golden, number)
    hidden_states, attentions = [golden.stage("embeddings")], []
    x = encoder(golden.stage("embeddings"), golden.mask, hidden_states, attentions)
    check("last hidden state", x, golden.stage("1.feed_forward_norm"), golden.real)
    check("first layer's hidden state", hidden_states[1], golden.stage("0.feed_forward_norm"), golden.real)
    assert [len(hidden_states), len(attentions)] == [3, 2]


def test_gelu_by_hand():
    """x P(Z <= x): 0 at 0, about x for large x, about 0 for small; at 1 it is 0.8413447 = P(Z <= 1)."""
    x = torch.tensor([-10.0, 0.0, 1.0, 10.0])
    assert gelu(x).tolist() == pytest.approx([0.0, 0.0, 0.8413447, 10.0], abs=1e-6)


def test_what_a_model_uses_equals_what_is_written_out():
    x = torch.linspace(-8, 8, 1001)
    for name, written in (("gelu", gelu), ("gelu_new", gelu_tanh)):
        assert torch.allclose(ACTIVATIONS[name](x), written(x), atol=1e-6), name


def test_the_two_gelus_differ_by_what_is_known():
    x = torch.linspace(-6, 6, 2001)
    assert torch.allclose(gelu(x), torch.nn.functional.gelu(x), atol=1e-6)
    assert torch.allclose(gelu_tanh(x), torch.nn.functional.gelu(x, approximate="tanh"), atol=1e-6)
    assert 4e-4 < (gelu(x) - gelu_tanh(x)).abs().max() < 5e-4


class Neighbour(torch.nn.Module):
    """Attention for the tests below: each token looks at the one before it."""

    def forward(self, x, mask):
        return x.roll(1, dims=1), None


def plain_layer(config):
    layer = EncoderLayer(config)
    layer.attention = Neighbour()
    return layer


def test_dropout_is_on_in_training_only(golden):
    layer = plain_layer(golden.config.change(hidden_dropout_prob=0.5))
    x = torch.randn(2, 6, golden.config.hidden_size)
    assert torch.equal(layer.eval()(x, None)[0], layer(x, None)[0])
    layer.train()
    assert not torch.equal(layer(x, None)[0], layer(x, None)[0])


def test_the_norms_normalise(golden):
    x = plain_layer(golden.config)(100 * torch.randn(2, 6, golden.config.hidden_size), None)[0]
    assert x.mean(-1).abs().max() < 1e-5
    assert (x.var(-1, unbiased=False) - 1).abs().max() < 0.02
