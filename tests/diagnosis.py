"""Compare a stage with its golden tensor, and if it differs say by how much and which known mistake gives just that.

Each mistake is written out here with plain tensor operations, apart from the code under test.
"""

import math

import torch
from torch.nn import functional as F

TOLERANCE = 1e-5  # absolute; correct code differs from the reference by rounding, about 1e-6


def check(stage, ours, golden, real=None, mistakes=None, tolerance=TOLERANCE):
    """Assert that ours equals golden within the tolerance, where real is True (None: everywhere).

    mistakes  {name: what would come out}; named in the failure if it is what came out
    """
    if ours.shape != golden.shape:
        hint = named(ours, mistakes, None)
        raise AssertionError(f"{stage}: the shape is {list(ours.shape)}, but should be {list(golden.shape)}{hint}")
    difference = (ours - golden).abs()
    if real is not None:
        difference = difference.masked_fill(~real.expand_as(difference), 0.0)
    if difference.max() <= tolerance:  # False for NaN too
        return
    nan = " (NaN or Inf)" if not ours.isfinite().all() else ""
    raise AssertionError(
        f"{stage}: the largest difference is {difference.max():.2e}{nan}, allowed are {tolerance:.0e}"
        f"{named(ours, mistakes, real)}"
    )


def named(ours, mistakes, real):
    """'; this is what comes out if ...' for the mistake that gives these very numbers."""
    for name, wrong in (mistakes or {}).items():
        if wrong.shape == ours.shape:
            difference = (ours - wrong).abs()
            if real is not None:
                difference = difference.masked_fill(~real.expand_as(difference), 0.0)
            if difference.max() <= 2 * TOLERANCE:
                return f"; this is what comes out if {name}"
    return ""


def norm(x, state, name, eps):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def weigh(query, key, mask, scale=None, ignore_mask=False):
    """Probabilities from query, key [B, H, T, K]."""
    scores = query @ key.transpose(-2, -1) / (scale or math.sqrt(query.size(-1)))
    return (scores if ignore_mask else scores.masked_fill(~mask, -1e9)).softmax(-1)


def wrong_probabilities(query, key, mask):
    """query, key [B, H, T, K], mask [B, 1, 1, T] -> {mistake: probabilities}"""
    heads, size = query.size(1), query.size(-1)
    return {
        "the scores are not scaled by sqrt(K)": weigh(query, key, mask, scale=1.0),
        "the scores are divided by sqrt(D), not sqrt(K)": weigh(query, key, mask, scale=math.sqrt(heads * size)),
        "the scores are divided by K, not sqrt(K)": weigh(query, key, mask, scale=size),
        "the mask is ignored": weigh(query, key, mask, ignore_mask=True),
        "the mask hides rows, not columns": weigh(query, key, mask.transpose(-2, -1)),
        "query and key are swapped": weigh(key, query, mask),
        "the softmax runs over the queries": (query @ key.transpose(-2, -1) / math.sqrt(size))
        .masked_fill(~mask, -1e9)
        .softmax(-2),
    }


def wrong_mixes(query, key, value, mask):
    """{mistake: mixed values [B, H, T, K]}"""
    wrong = {name: probabilities @ value for name, probabilities in wrong_probabilities(query, key, mask).items()}
    return wrong | {"the values are not weighed at all": value}


def wrong_merges(mixed):
    """mixed [B, H, T, K] -> {mistake: merged [B, T, D]}"""
    batch, heads, length, size = mixed.shape
    return {
        "the heads are merged without the transpose": mixed.reshape(batch, length, heads * size),
        "the heads are interleaved": mixed.permute(0, 2, 3, 1).flatten(2),
    }


def embed(state, ids, segments, eps, leave_out=(), normalise=True):
    x = state["token.weight"][ids]
    if "positions" not in leave_out:
        x = x + state["position.weight"][: ids.size(1)]
    if "segments" not in leave_out:
        x = x + state["segment.weight"][segments]
    return norm(x, state, "norm", eps) if normalise else x


def wrong_embeddings(state, ids, segments, eps):
    """{mistake: embeddings [B, T, D]}"""
    return {
        "the segments are forgotten": embed(state, ids, segments, eps, leave_out=["segments"]),
        "the segments are all 0": embed(state, ids, torch.zeros_like(segments), eps),
        "the positions are forgotten": embed(state, ids, segments, eps, leave_out=["positions"]),
        "the norm is forgotten": embed(state, ids, segments, eps, normalise=False),
        "the norm's eps is torch's 1e-5, not the config's": embed(state, ids, segments, 1e-5),
        "the norm's eps is 1e-12, not the config's": embed(state, ids, segments, 1e-12),
    }


def layer(state, x, attention, eps, gelu="none", order="post", residual=True):
    """An encoder layer around a function attention(x)."""
    if order == "pre":
        x = x + attention(norm(x, state, "attention_norm", eps))
        return x + feed_forward(norm(x, state, "feed_forward_norm", eps), state, gelu)
    x = norm((x if residual else 0) + attention(x), state, "attention_norm", eps)
    return norm((x if residual else 0) + feed_forward(x, state, gelu), state, "feed_forward_norm", eps)


def feed_forward(x, state, gelu="none"):
    hidden = linear(x, state, "feed_forward.expand")
    hidden = F.relu(hidden) if gelu == "relu" else F.gelu(hidden, approximate=gelu)
    return linear(hidden, state, "feed_forward.contract")


def wrong_layers(state, x, attention, eps):
    """state of one layer, attention: a function of x -> {mistake: the layer's output [B, T, D]}"""
    return {
        "the GELU is the tanh approximation": layer(state, x, attention, eps, gelu="tanh"),
        "the activation is ReLU, not GELU": layer(state, x, attention, eps, gelu="relu"),
        "the norms' eps is torch's 1e-5, not the config's": layer(state, x, attention, 1e-5),
        "the norms' eps is 1e-12, not the config's": layer(state, x, attention, 1e-12),
        "the norms come first (pre-norm)": layer(state, x, attention, eps, order="pre"),
        "the residual connections are forgotten": layer(state, x, attention, eps, residual=False),
    }


def wrong_logits(state, hidden, pooler_output):
    """state of the classifier's linear layer -> {mistake: logits [B, C]}"""
    logits = linear(pooler_output, state, "classifier")
    return {
        "the first token's vector is read, not the pooler's": linear(hidden[:, 0], state, "classifier"),
        "the mean of the tokens is read, not the pooler's output": linear(hidden.mean(1), state, "classifier"),
        "the logits are log-probabilities": logits.log_softmax(-1),
        "the logits are probabilities": logits.softmax(-1),
    }


def wrong_poolers(state, hidden):
    """{mistake: pooler output [B, D]}"""
    return {
        "the pooler's tanh is forgotten": linear(hidden[:, 0], state, "pooler"),
        "the pooler reads the last token": torch.tanh(linear(hidden[:, -1], state, "pooler")),
        "the pooler reads the mean of the tokens": torch.tanh(linear(hidden.mean(1), state, "pooler")),
    }


def wrong_steps(weight, grad, lr, betas, eps, weight_decay):
    """{mistake: the weight after its first step of AdamW}"""
    step = grad / (grad.abs() + eps)  # m^ / (sqrt(v^) + eps) at t = 1
    raw = (1 - betas[0]) * grad / (((1 - betas[1]) * grad**2).sqrt() + eps)
    mixed = grad + weight_decay * weight
    return {
        "the weight does not decay": weight - lr * step,
        "decay is part of the gradient (L2), not apart from it": weight - lr * mixed / (mixed.abs() + eps),
        "the bias is not corrected": weight * (1 - lr * weight_decay) - lr * raw,
        "decay is not multiplied by the learning rate": weight * (1 - weight_decay) - lr * step,
        "the step goes uphill": weight * (1 - lr * weight_decay) + lr * step,
        "it is plain gradient descent": weight * (1 - lr * weight_decay) - lr * grad,
    }
