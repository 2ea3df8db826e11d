"""Ids -> every number on the way through a BERT, computed by the model's own parts, one stage at a time.

`keep` is what each stage does to its result before the next one reads it: nothing, or rounding for a model that one can
compute by hand. The shapes are the model's: B is 1, T tokens, D numbers for a token, H heads, K = D / H.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F

from minbert.attention import padding_mask
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM, BertSentClassifier
from minbert.losses import NUMBER, ONE, SEVERAL, probabilities

CLOSE = 1e-6  # how far a stage may be from the model's own number


def exact(x: Tensor) -> Tensor:
    """A stage's result as it is."""
    return x


def norm(x: Tensor, layer, keep: Callable) -> SimpleNamespace:
    """x [1, T, D], an nn.LayerNorm -> mean, std [1, T, 1], normal, out [1, T, D] (Ba et al. 2016, section 3)"""
    mean = keep(x.mean(-1, keepdim=True))
    std = keep(torch.sqrt((x - mean).square().mean(-1, keepdim=True) + layer.eps))
    normal = keep((x - mean) / std)
    return SimpleNamespace(x=x, mean=mean, std=std, normal=normal, out=keep(normal * layer.weight + layer.bias))


def softmax(scores: Tensor, keep: Callable) -> SimpleNamespace:
    """scores [..., n] -> exp [..., n], total [..., 1], p [..., n]"""
    exp = keep(scores.exp())
    total = keep(exp.sum(-1, keepdim=True))
    return SimpleNamespace(exp=exp, total=total, p=keep(exp / total))


def embed(embeddings, ids: Tensor, keep: Callable) -> SimpleNamespace:
    """ids [1, T] -> token, position, segment [1, T, D], their sum, and its norm; out is what the first layer reads"""
    token, segment = embeddings.token(ids), embeddings.segment(torch.zeros_like(ids))
    position = embeddings.position(embeddings.positions(ids))[None]
    normed = norm(keep(token + position + segment), embeddings.norm, keep)
    return SimpleNamespace(token=token, position=position, segment=segment, norm=normed, out=normed.out)


def run_layer(layer, x: Tensor, mask: Tensor, keep: Callable) -> SimpleNamespace:
    """x [1, T, D] -> each stage of an EncoderLayer; out is what the next layer reads"""
    attention, network = layer.attention, layer.feed_forward
    query, key, value = (keep(attention.split(part(x))) for part in (attention.query, attention.key, attention.value))
    root = keep(torch.tensor(math.sqrt(query.size(-1)), dtype=x.dtype))
    scores = keep(query @ key.transpose(-2, -1) / root)  # [1, H, T, T]
    masked = scores.masked_fill(~mask, -math.inf)
    weights = softmax(masked, keep)
    mixed = keep(weights.p @ value)  # [1, H, T, K]
    merged = attention.merge(mixed)  # [1, T, D]
    looked = keep(attention.output(merged))
    first = norm(keep(x + looked), layer.attention_norm, keep)
    wide = keep(network.expand(first.out))
    active = keep(network.activation(wide))
    thought = keep(network.contract(active))
    second = norm(keep(first.out + thought), layer.feed_forward_norm, keep)
    return SimpleNamespace(
        x=x, query=query, key=key, value=value, root=root, scores=scores, masked=masked, weights=weights, mixed=mixed,
        merged=merged, looked=looked, first=first, wide=wide, active=active, thought=thought, second=second,
        out=second.out,
    )  # fmt: skip


def classify(model: BertSentClassifier, x: Tensor, attention_mask: Tensor, keep: Callable) -> SimpleNamespace:
    """The last hidden states [1, T, D] -> pooled [1, D], logits and p [1, C]; linear: the pooler's, before its tanh

    p is None for a number, which has no probability.
    """
    first = x[:, 0]
    linear = keep(model.bert.pooler(first))
    pooled = keep(model.pool({"last_hidden_state": x, "pooler_output": linear.tanh()}, attention_mask))
    logits = keep(model.classifier(pooled))
    weights, p = softmax(logits, keep), None
    if model.config.problem_type != NUMBER:
        p = weights.p if model.config.problem_type == ONE else keep(probabilities(logits, SEVERAL))
    return SimpleNamespace(
        x=first, linear=linear, pooled=pooled, logits=logits, exp=weights.exp, total=weights.total, p=p
    )


def guess(model: BertForMaskedLM, x: Tensor, keep: Callable) -> SimpleNamespace:
    """The last hidden states [1, T, D] -> the masked-LM head's stages; logits and p [1, T, V]"""
    head = model.predictions
    dense = keep(head.dense(x))
    active = keep(head.activation(dense))
    normed = norm(active, head.norm, keep)
    decoder = head.decoder.weight if head.decoder else model.bert.embeddings.token.weight
    logits = keep(F.linear(normed.out, decoder, head.bias))
    return SimpleNamespace(
        dense=dense, active=active, norm=normed, decoder=decoder, logits=logits, p=logits.softmax(-1)
    )


def run(
    model: BertForMaskedLM | BertSentClassifier, ids: Tensor, attention_mask: Tensor, keep: Callable = exact
) -> SimpleNamespace:
    """ids and attention_mask [1, T] -> embedded, layers (a list) and head: every stage of a model in evaluation mode"""
    bert, mask = model.bert, padding_mask(attention_mask)
    embedded, layers = embed(bert.embeddings, ids, keep), []
    x = embedded.out
    for layer in bert.encoder.layers:
        layers.append(run_layer(layer, x, mask, keep))
        x = layers[-1].out
    masked = isinstance(model, BertForMaskedLM)
    head = guess(model, x, keep) if masked else classify(model, x, attention_mask, keep)
    return SimpleNamespace(embedded=embedded, layers=layers, head=head)


def check(model: BertForMaskedLM | BertSentClassifier, ids: Tensor, attention_mask: Tensor, found) -> float:
    """The largest difference between the stages that `run` found and what the model computes by itself.

    Compared are all hidden states, all attention probabilities and the logits. Raises UserError above CLOSE.
    """
    own = model.bert(ids, attention_mask, output_hidden_states=True, output_attentions=True)
    logits = model(ids, attention_mask)
    pairs = [
        *zip([found.embedded.out, *(layer.out for layer in found.layers)], own["hidden_states"], strict=True),
        *zip([layer.weights.p for layer in found.layers], own["attentions"], strict=True),
        (found.head.logits, logits[0] if isinstance(logits, tuple) else logits),
    ]
    largest = max((ours - theirs).abs().max().item() for ours, theirs in pairs)
    if not largest <= CLOSE:  # also if it is not a number
        raise UserError(f"no page: its numbers differ from the model's own by {largest:.1e}, and may by {CLOSE}")
    return largest
