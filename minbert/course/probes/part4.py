"""Part 4: the encoder layer and the stack. Attention is a stand-in that mixes the tokens that the mask shows."""

import numpy as np
import torch
from torch import nn

from minbert.course.probes import Probe, fill, lengths, linears, normal, norms, real

B, T, D, INNER, L = 2, 5, 6, 11, 3
SIZES = {"hidden_size": D, "num_attention_heads": 2, "intermediate_size": INNER, "vocab_size": 13}
SIZES |= {"num_hidden_layers": L, "layer_norm_eps": 0.03}


class Attention(nn.Module):
    """Adds up what the mask shows, and is no linear function: attention of other input is another answer."""

    def __init__(self, mix):
        super().__init__()
        self.mix = mix

    def forward(self, x, mask):
        weights = mask.to(x.dtype).expand(x.size(0), 1, x.size(1), x.size(1))
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1)  # [B, 1, T, T]
        return torch.tanh(weights[:, 0] @ x @ self.mix) + 0.3 * x.square(), weights * x.mean()


def layer(rng, prefix=""):
    sizes = {"feed_forward.expand": (INNER, D), "feed_forward.contract": (D, INNER)}
    found = linears(rng, **sizes) | norms(rng, D, "attention_norm", "feed_forward_norm")
    return {prefix + name: value for name, value in found.items()}


def inputs(rng, **more):
    values = {"mix": normal(rng, D, D), "x": normal(rng, B, T, D), "mask": lengths(T, T - 2)}
    return layer(rng) | values | more


def stack(rng, **more):
    layers = [layer(rng, f"layers.{number}.") for number in range(L)]
    return inputs(rng) | {name: value for one in layers for name, value in one.items()} | more


def build(code, cls, mixes, weights, **changes):
    config = code.config.Config(**SIZES, hidden_dropout_prob=0.4, **changes)
    module = getattr(code.encoder, cls)(config)
    for one, mix in zip(module.layers if cls == "Encoder" else [module], mixes):
        one.attention = Attention(mix)
    return fill(module, weights)


def ask_layer(code, mix, x, mask, training=False, **weights):
    module = build(code, "EncoderLayer", [mix], weights).train(training)
    output, probabilities = module(x, mask.bool()[:, None, None, :])
    yield "probabilities", probabilities
    yield "output", real(output, mask)


def ask_feed_forward(code, mix, x, mask, training=False, activation="gelu", **weights):
    prefix = "feed_forward."
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    config = code.config.Config(**SIZES, hidden_dropout_prob=0.4, hidden_act=activation)
    yield "output", fill(code.encoder.FeedForward(config), weights).train(training)(x)


def ask_stack(code, mix, x, mask, training=False, **weights):
    weights = {name: value for name, value in weights.items() if name.startswith("layers.")}
    module = build(code, "Encoder", [mix, mix.T, -mix], weights).train(training)
    hidden_states, attentions = [x], []
    output = module(x, mask.bool()[:, None, None, :], hidden_states, attentions)
    yield "output", real(output, mask)
    yield "hidden states", torch.stack([real(state, mask) for state in hidden_states])
    yield "how many attentions are collected", torch.tensor(float(len(attentions)))
    yield "attentions", torch.stack(attentions) if attentions else torch.zeros(())
    yield "output, nothing else asked for", real(module(x, mask.bool()[:, None, None, :]), mask)


def ask_gelu(code, x):
    yield "gelu below 0", code.encoder.gelu(-x.abs())
    yield "gelu", code.encoder.gelu(x)


def ask_gelu_tanh(code, x):
    yield "gelu_tanh below 0", code.encoder.gelu_tanh(-x.abs())
    yield "gelu_tanh", code.encoder.gelu_tanh(x)


def numbers(rng):
    return {"x": np.concatenate([[-6.0, -1.0, 0.0, 1.0, 6.0], 1.5 * rng.standard_normal(60)]).astype(np.float32)}


PROBES = (
    Probe("gelu", numbers, ask_gelu),
    Probe("gelu_tanh", numbers, ask_gelu_tanh),
    Probe("FeedForward", lambda rng: inputs(rng), ask_feed_forward),
    Probe("FeedForward, training", lambda rng: inputs(rng, training=True), ask_feed_forward),
    Probe("EncoderLayer", inputs, ask_layer),
    Probe("EncoderLayer, training", lambda rng: inputs(rng, training=True), ask_layer),
    Probe("Encoder", stack, ask_stack),
    Probe("Encoder, training", lambda rng: stack(rng, training=True), ask_stack),
    Probe("option: FeedForward, ReLU", lambda rng: inputs(rng, activation="relu"), ask_feed_forward),
)
