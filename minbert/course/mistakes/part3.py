"""Known mistakes of part 3: masks and attention."""

import math

import torch
from torch.nn import functional as F

from minbert.attention import attend as right_attend
from minbert.attention import attention_scores, causal_mask
from minbert.course.mistakes import Around

HIDDEN = torch.finfo(torch.float32).min


# Scores


def scaled(scale, swapped=False):
    """scale  a function of query [B, H, T, K]: what the scores are divided by"""

    def scores(query, key):
        query, key = (key, query) if swapped else (query, key)
        return query @ key.transpose(-2, -1) / scale(query)

    return scores


SCORES = {
    (
        "attention.attention_scores",
        "Print query.shape inside attention_scores. Which axis is K, and which one would be D?",
    ): {
        "the scores are not scaled by sqrt(K)": scaled(lambda query: 1.0),
        "the scores are divided by sqrt(D), not sqrt(K)": scaled(
            lambda query: math.sqrt(query.size(1) * query.size(-1))
        ),
        "the scores are divided by K, not sqrt(K)": scaled(lambda query: query.size(-1)),
        "the scores are divided by sqrt(T), not sqrt(K)": scaled(lambda query: math.sqrt(query.size(-2))),
        "the scores are divided by sqrt(H), not sqrt(K)": scaled(lambda query: math.sqrt(query.size(1))),
        "the scores are multiplied by sqrt(K), not divided": scaled(lambda query: 1 / math.sqrt(query.size(-1))),
        "query and key are swapped": scaled(lambda query: math.sqrt(query.size(-1)), swapped=True),
        "the scores are cosines: query and key are normalised": lambda query, key: (
            F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        ),
    },
}


# Attention


def hide(scores, mask):
    return scores.masked_fill(~mask, HIDDEN)


def attention(
    scores=attention_scores,
    hide=hide,
    share=lambda scores: scores.softmax(-1),
    finish=lambda p, mask: p.masked_fill(~mask, 0.0),
    mix=lambda p, query, key, value: p @ value,
    drop=("probabilities",),
    after=False,
    returned=None,
    mix_scores=None,
):
    """A wrong `attend`. drop  what dropout falls on; after  the probabilities are returned after dropout"""

    def wrong(query, key, value, mask, dropout=lambda x: x):
        raw = scores(query, key)
        raw = dropout(raw) if "scores" in drop else raw
        hidden = hide(raw, mask)
        weights = finish(share(dropout(hidden) if "hidden scores" in drop else hidden), mask)
        used = mix_scores(raw, hidden) if mix_scores else weights
        dropped = dropout(used) if "probabilities" in drop else used
        mixed = mix(dropped, query, key, dropout(value) if "value" in drop else value)
        mixed = dropout(mixed) if "mixed" in drop else mixed
        return mixed, (returned(raw, hidden) if returned else dropped if after else weights)

    return wrong


def keep(p, mask):
    return p


def fill(number):
    return lambda scores, mask: scores.masked_fill(~mask, number)


def rows(mask, scores):
    """The mask on queries: [B, 1, T, T]"""
    return mask.expand(*mask.shape[:-2], scores.size(-1), scores.size(-1)).transpose(-2, -1)


def hide_rows(scores, mask):
    return scores.masked_fill(~rows(mask, scores), HIDDEN)


def hide_both(scores, mask):
    return scores.masked_fill(~(mask & rows(mask, scores)), HIDDEN)


def zero_both(p, mask):
    return p.masked_fill(~(mask & rows(mask, p)), 0.0)


MASK, DROP = (
    "Set one mask entry to False: what must change?",
    "Which numbers does dropout fall on, and which are returned?",
)
ATTEND = {
    ("attention.attend", MASK): {
        "the mask is ignored": attention(hide=lambda scores, mask: scores, finish=keep),
        "the mask hides rows, not columns": [
            attention(hide=hide_rows, finish=lambda p, mask: p.masked_fill(~rows(mask, p), 0.0)),
            attention(hide=hide_rows, finish=keep),
        ],
        "the mask hides rows and columns": [
            attention(hide=hide_both, finish=zero_both),
            attention(hide=hide_both, finish=keep),
        ],
        "the mask is upside down": attention(
            hide=lambda scores, mask: scores.masked_fill(mask, HIDDEN),
            finish=lambda p, mask: p.masked_fill(mask, 0.0),
        ),
        "the mask is upside down before the softmax": attention(hide=lambda s, mask: s.masked_fill(mask, HIDDEN)),
        "the mask is upside down after the softmax": attention(finish=lambda p, mask: p.masked_fill(mask, 0.0)),
        "the mask hides rows and columns before the softmax": attention(hide=hide_both),
        "the mask hides rows before the softmax": attention(hide=hide_rows),
        "after the softmax, the seen probabilities are scaled to sum to 1, the mask is not applied before": attention(
            hide=lambda scores, mask: scores, finish=lambda p, mask: (p * mask) / (p * mask).sum(-1, keepdim=True)
        ),
        "the mask comes after the softmax only": attention(hide=lambda scores, mask: scores),
        "the mask sets scores to 0, not to minus infinity": attention(hide=fill(0.0), finish=keep),
        "the mask sets scores to 0 before the softmax, and probabilities to 0 after it": attention(hide=fill(0.0)),
        "hidden scores get only 100 taken off": attention(
            hide=lambda scores, mask: scores - 100.0 * ~mask, finish=keep
        ),
        "hidden scores get only 10 taken off": attention(hide=lambda scores, mask: scores - 10.0 * ~mask, finish=keep),
        "the mask is added to the scores as 0 and 1": attention(
            hide=lambda scores, mask: scores + mask.to(scores.dtype), finish=keep
        ),
        "a token that may look at nothing looks everywhere": [
            attention(finish=keep),
            attention(hide=lambda s, mask: s - 1e4 * ~mask, finish=keep),
        ],
        "a token that may look at nothing gets NaN": attention(hide=fill(-math.inf), finish=keep),
        "the softmax runs over the queries": attention(share=lambda scores: scores.softmax(-2)),
        "the softmax runs over the heads": attention(share=lambda scores: scores.softmax(1)),
        "the probabilities are sigmoids": attention(share=torch.sigmoid),
        "the probabilities are log-probabilities": attention(share=lambda scores: scores.log_softmax(-1)),
        "the softmax is forgotten": attention(hide=lambda scores, mask: scores, share=lambda scores: scores),
        "the softmax is taken twice": attention(share=lambda scores: scores.softmax(-1).softmax(-1)),
        "the values are returned as they are": attention(mix=lambda p, query, key, value: value),
        "the probabilities are turned before they mix": attention(
            mix=lambda p, query, key, value: p.transpose(-2, -1) @ value
        ),
        "the keys are mixed, not the values": attention(mix=lambda p, query, key, value: p @ key),
        "the queries are mixed, not the values": attention(mix=lambda p, query, key, value: p @ query),
        "the scores are not scaled by sqrt(K) in attend": attention(scores=lambda q, k: q @ k.transpose(-2, -1)),
        "the scores mix the values, not the probabilities": [
            attention(mix_scores=lambda raw, hidden: raw),
            attention(mix_scores=lambda raw, hidden: hidden),
        ],
        "the scores are scaled twice": attention(
            scores=lambda query, key: attention_scores(query, key) / math.sqrt(query.size(-1))
        ),
        "the scores are returned, not the probabilities": [
            attention(returned=lambda raw, weights: raw),
            attention(returned=lambda raw, hidden: hidden),
        ],
    },
    ("attention.attend", DROP, True): {
        "there is no dropout": attention(drop=()),
        "dropout falls on the scores": [attention(drop=("scores",)), attention(drop=("hidden scores",))],
        "dropout falls on the mixed values": attention(drop=("mixed",)),
        "dropout falls on the values before they are mixed": attention(drop=("value",)),
        "dropout falls on the scores as well": [
            attention(drop=("scores", "probabilities")),
            attention(drop=("hidden scores", "probabilities")),
        ],
        "dropout falls on the values as well": attention(drop=("probabilities", "value")),
        "dropout falls on the probabilities and on the mixed values": attention(drop=("probabilities", "mixed")),
        "the probabilities are returned after dropout": attention(after=True),
        "after dropout the probabilities are scaled to sum to 1": attention(
            mix=lambda p, query, key, value: p @ value / p.sum(-1, keepdim=True).clamp(min=1e-09)
        ),
    },
}

# Masks, heads, the module

MASKS = {
    ("attention.padding_mask", MASK): {
        "padding_mask is upside down": lambda mask: ~mask.bool()[:, None, None, :],
        "padding_mask hides queries: its shape is [B, 1, T, 1]": lambda mask: mask.bool()[:, None, :, None],
        "padding_mask holds numbers, not True and False": lambda mask: mask[:, None, None, :],
        "padding_mask has no axis for the heads": lambda mask: mask.bool()[:, None, :],
        "padding_mask has no new axes": lambda mask: mask.bool(),
        "padding_mask has a row for each token that looks: its shape is [B, 1, T, T]": lambda mask: mask.bool()[
            :, None, None, :
        ].expand(-1, 1, mask.size(1), -1),
        "padding_mask is all True": lambda mask: torch.ones_like(mask).bool()[:, None, None, :],
        "padding_mask hides rows and columns: its shape is [B, 1, T, T]": lambda mask: (
            mask[:, :, None] * mask[:, None, :]
        ).bool()[:, None],
        "padding_mask holds -10000 for padding": lambda mask: (1.0 - mask.float())[:, None, None, :] * -10000.0,
    },
    ("attention.causal_mask", "May token 0 look at token 1?"): {
        "causal_mask is upside down": lambda length, device=None: ~causal_mask(length),
        "causal_mask looks at later tokens, not at earlier ones": lambda length, device=None: causal_mask(length).T,
        "causal_mask hides the token itself": lambda length, device=None: causal_mask(length).tril(-1),
        "causal_mask shows the next token": lambda length, device=None: torch.ones(
            length, length, dtype=torch.bool
        ).tril(1),
        "causal_mask holds numbers, not True and False": lambda length, device=None: causal_mask(length).float(),
    },
}


def share(first, second):
    """Two of the projections are one layer."""

    def make(right):
        def __init__(self, config):
            right(self, config)
            setattr(self, second, getattr(self, first))

        return __init__

    return Around(make)


def module(
    through=("query", "key", "value"),
    finish=lambda self, x: self.output(self.merge(x)),
    use=lambda mask: mask,
    dropout=lambda self: self.dropout,
    returned=lambda output, probabilities: (output, probabilities),
    activation=lambda x: x,
):
    """A wrong `MultiHeadAttention.forward`. through  the layers that make query, key and value"""

    def forward(self, x, mask):
        query, key, value = (self.split(activation(getattr(self, name)(x))) for name in through)
        mixed, probabilities = right_attend(query, key, value, use(mask), dropout(self))
        return returned(finish(self, mixed), probabilities)

    return forward


def no_bias(self, x):
    return self.merge(x) @ self.output.weight.T


HEADS, LAYER = (
    "Number the entries of a small tensor and print what comes out.",
    "Follow one token's vector through forward.",
)
MODULE = {
    ("attention.MultiHeadAttention.merge", HEADS): {
        "the heads are merged without the transpose": [
            lambda self, x: x.reshape(x.size(0), x.size(2), -1),
            lambda self, x: x.flatten(2),
        ],
        "the heads are interleaved": lambda self, x: x.permute(0, 2, 3, 1).flatten(2),
        "the heads are merged by their mean": lambda self, x: x.mean(1),
        "merge moves the last two axes, not the heads": lambda self, x: x.transpose(2, 3).reshape(
            x.size(0), x.size(2), -1
        ),
        "merge gives [B, T, H, K]": lambda self, x: x.transpose(1, 2),
    },
    ("attention.MultiHeadAttention.split", HEADS): {
        "the heads are split without the transpose": lambda self, x: x.reshape(x.size(0), self.heads, x.size(1), -1),
        "the heads are split in steps of H": lambda self, x: x.unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2),
        "split moves other axes than those of tokens and heads": [
            lambda self, x: x.unflatten(-1, (self.heads, -1)).transpose(1, 3),
            lambda self, x: x.unflatten(-1, (self.heads, -1)).transpose(2, 3),
            lambda self, x: x.unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1),
        ],
        "split gives [B, T, H, K]": lambda self, x: x.unflatten(-1, (self.heads, -1)),
    },
    ("attention.MultiHeadAttention.__init__", LAYER): {
        "query and key share one layer": share("query", "key"),
        "query and value share one layer": share("query", "value"),
        "key and value share one layer": share("key", "value"),
    },
    ("attention.MultiHeadAttention.forward", LAYER): {
        "the key comes from the query's layer": module(through=("query", "query", "value")),
        "the value comes from the key's layer": module(through=("query", "key", "key")),
        "the value comes from the query's layer": module(through=("query", "key", "query")),
        "the layers of key and value are exchanged": module(through=("query", "value", "key")),
        "the layers of query and value are exchanged": module(through=("value", "key", "query")),
        "the layers of query and key are exchanged": module(through=("key", "query", "value")),
        "the output layer is forgotten": module(finish=lambda self, x: self.merge(x)),
        "the output layer's bias is left out": module(finish=no_bias),
        "the input is added already in the attention": module(
            finish=lambda self, x: self.output(self.merge(x)) + self.merge(x)
        ),
        "the module does not hand on the mask": module(use=torch.ones_like),
        "the module hands on the mask upside down": module(use=torch.logical_not),
        "query, key and value go through ReLU": module(activation=torch.relu),
        "the probabilities are returned as a mean over the heads": module(returned=lambda out, p: (out, p.mean(1))),
        "the output and the probabilities are exchanged": module(returned=lambda out, p: (p, out)),
    },
    ("attention.MultiHeadAttention.forward", DROP, True): {
        "the module does not hand on dropout": module(dropout=lambda self: lambda x: x),
        "dropout is on in evaluation": module(dropout=lambda self: lambda x: F.dropout(x, self.dropout.p)),
        "dropout falls on the output as well": module(finish=lambda self, x: self.dropout(self.output(self.merge(x)))),
        "dropout falls on the output": module(
            dropout=lambda self: lambda x: x, finish=lambda self, x: self.dropout(self.output(self.merge(x)))
        ),
    },
}
KNOWN = SCORES | ATTEND | MASKS | MODULE
