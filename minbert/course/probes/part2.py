"""Part 2: embeddings. Rows are pairs, one row is as long as the model has positions, the norm's eps is large."""

import numpy as np

from minbert.course.probes import Probe, fill, normal, norms, refusal

B, T, D, V = 3, 6, 10, 17
SIZES = {"hidden_size": D, "num_attention_heads": 2, "vocab_size": V, "layer_norm_eps": 0.02}


def weights(rng):
    tables = {"token": V, "position": T + 3, "segment": 2}
    return {f"{name}.weight": normal(rng, rows, D, scale=0.4) for name, rows in tables.items()} | norms(rng, D, "norm")


def rows(rng, length=T, **more):
    return weights(rng) | {"input_ids": rng.integers(1, V, (B, length))} | more


def pairs(rng, length=T, **more):
    segments = np.array([[int(at >= row + 2) for at in range(length)] for row in range(B)])
    return rows(rng, length, token_type_ids=segments) | more


def small(rng):
    """Numbers so small that eps decides."""
    found = pairs(rng)
    tables = [f"{name}.weight" for name in ("token", "position", "segment")]
    return found | {name: found[name] * np.float32(0.003) for name in tables}


def placed(rng):
    return pairs(rng) | {"positions": rng.permuted(np.tile(np.arange(T), (B, 1)), axis=1)}


def build(code, weights, **changes):
    config = code.config.Config(**SIZES, max_position_embeddings=T + 3, **changes)
    return fill(code.embeddings.Embeddings(config), weights)


def ask(code, input_ids, token_type_ids=None, positions=None, training=False, **weights):
    module = build(code, weights, hidden_dropout_prob=0.4).train(training)
    given = {} if positions is None else {"positions": positions}
    yield "embeddings", module(input_ids, token_type_ids, **given)


def ask_too_long(code, input_ids, **weights):
    module = build(code, weights)
    yield "a text of more tokens than there are positions", [refusal(module, input_ids)]
    yield "a text of as many tokens as there are positions", [refusal(module, input_ids[:, : T + 3])]


def ask_sinusoids(code, length, size):
    yield "table", code.embeddings.sinusoids(length, size)


PROBES = (
    Probe("pairs", pairs, ask),
    Probe("option: no segments given", rows, ask),
    Probe("one token", lambda rng: pairs(rng, 1), ask),
    Probe("as long as the model has positions", lambda rng: pairs(rng, T + 3), ask),
    Probe("option: positions given", placed, ask),
    Probe("small vectors", small, ask),
    Probe("training", lambda rng: pairs(rng, training=True), ask),
    Probe("too long", lambda rng: rows(rng, T + 4), ask_too_long),
    Probe("sinusoids", lambda rng: {"length": int(rng.integers(9, 14)), "size": 8}, ask_sinusoids),
    Probe("sinusoids, odd size", lambda rng: {"length": int(rng.integers(9, 14)), "size": 7}, ask_sinusoids),
)
