"""Part 3: masks and attention. No two sizes are equal, rows are padded and have gaps, one token may look at nothing."""

import numpy as np

from minbert.course.probes import Probe, fill, keep, lengths, linears, normal, real

B, H, T, K = 2, 3, 7, 5
CONFIG = {"hidden_size": 15, "num_attention_heads": 3, "intermediate_size": 23, "vocab_size": 31}


def heads(rng):
    names = ("query", "key", "value")
    return {name: normal(rng, B, H, T, K, scale=1.3) for name in names} | {"mask": padding()}


def padding():
    return lengths(T, T - 2, gap=(0, 3)).astype(bool)[:, None, None, :]  # [B, 1, 1, T]


def causal(rng):
    return heads(rng) | {"mask": padding() & np.tril(np.ones((T, T), dtype=bool))}


def alone(rng):
    """Token 2 of row 1 may look at nothing."""
    mask = np.broadcast_to(padding(), (B, 1, T, T)).copy()
    mask[1, :, 2] = False
    return heads(rng) | {"mask": mask}


def strong(rng):
    """Hidden keys match by far best: hiding must be complete."""
    query, key = np.abs(normal(rng, 2, B, H, T, K)) + 1.0
    key = np.where(padding().swapaxes(-1, -2), -5 * key, 9 * key)
    return heads(rng) | {"query": query, "key": key.astype(np.float32)}


def ask_padding(code, attention_mask):
    yield "mask", code.attention.padding_mask(attention_mask)


def ask_causal(code, length):
    yield "mask", code.attention.causal_mask(length)


def ask_scores(code, query, key, value, mask):
    yield "scores", code.attention.attention_scores(query, key)


def ask_attend(code, query, key, value, mask):
    mixed, probabilities = code.attention.attend(query, key, value, mask)
    yield "probabilities", probabilities
    yield "mixed values", mixed


def ask_dropout(code, query, key, value, mask):
    mixed, probabilities = code.attention.attend(query, key, value, mask, lambda x: x * keep(x, 0.4))
    yield "probabilities before dropout", probabilities
    yield "mixed values", mixed


def ask_split(code, x):
    yield "split", build(code).split(x)


def ask_merge(code, x):
    yield "merged", build(code).merge(x)


def build(code):
    return code.attention.MultiHeadAttention(code.config.Config(**CONFIG, attention_probs_dropout_prob=0.4))


def module(rng):
    names = ("query", "key", "value", "output")
    mask = lengths(T, T - 3, gap=(0, 2))
    return linears(rng, **dict.fromkeys(names, (H * K, H * K))) | {"x": normal(rng, B, T, H * K), "mask": mask}


def ask_module(code, x, mask, training=False, **weights):
    attention = fill(build(code), weights).train(training)
    output, probabilities = attention(x, mask.bool()[:, None, None, :])
    yield "probabilities", real(probabilities.transpose(1, 2), mask).transpose(1, 2)
    yield "output", real(output, mask)


PROBES = (
    Probe("padding_mask", lambda rng: {"attention_mask": lengths(4, 6, 2, gap=(1, 2))}, ask_padding),
    Probe("causal_mask", lambda rng: {"length": 5}, ask_causal),
    Probe("attention_scores", heads, ask_scores),
    Probe("attend", heads, ask_attend),
    Probe("attend, causal", causal, ask_attend),
    Probe("attend, a token that may look at nothing", alone, ask_attend),
    Probe("attend, hidden keys that match best", strong, ask_attend),
    Probe("attend, dropout", heads, ask_dropout),
    Probe("split", lambda rng: {"x": normal(rng, B, T, H * K)}, ask_split),
    Probe("merge", lambda rng: {"x": normal(rng, B, H, T, K)}, ask_merge),
    Probe("MultiHeadAttention", module, ask_module),
    Probe("MultiHeadAttention, training", lambda rng: module(rng) | {"training": True}, ask_module),
)
