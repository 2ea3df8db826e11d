"""Known mistakes of part 3: masks and attention."""

import math

import torch
from torch.nn import functional as F

from minbert.attention import attend as right_attend
from minbert.attention import attention_scores, causal_mask
from minbert.course.mistakes import Around, Mistake

HIDDEN = torch.finfo(torch.float32).min


def mistake(name, hint, place, function, within=False, fair=False):
    return Mistake(name, hint, {f"attention.{place}": function}, within, fair)


# Scores


def scores(name, scale, swapped=False):
    """scale  a function of query [B, H, T, K]: what the scores are divided by"""

    def wrong(query, key):
        query, key = (key, query) if swapped else (query, key)
        return query @ key.transpose(-2, -1) / scale(query)

    hint = "Print query.shape inside attention_scores. Which axis is K, and which one would be D?"
    return mistake(name, hint, "attention_scores", wrong, fair=not swapped)


SCORES = (
    scores("the scores are not scaled by sqrt(K)", lambda query: 1.0),
    scores("the scores are divided by sqrt(D), not sqrt(K)", lambda query: math.sqrt(query.size(1) * query.size(-1))),
    scores("the scores are divided by K, not sqrt(K)", lambda query: query.size(-1)),
    scores("the scores are divided by sqrt(T), not sqrt(K)", lambda query: math.sqrt(query.size(-2))),
    scores("the scores are divided by sqrt(H), not sqrt(K)", lambda query: math.sqrt(query.size(1))),
    scores("the scores are multiplied by sqrt(K), not divided", lambda query: 1 / math.sqrt(query.size(-1))),
    scores("query and key are swapped", lambda query: math.sqrt(query.size(-1)), swapped=True),
    mistake(
        "the scores are cosines: query and key are normalised",
        "What is divided, and by what?",
        "attention_scores",
        lambda query, key: F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1),
    ),
)


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
):
    """A wrong `attend`. drop  what dropout falls on; after  the probabilities are returned after dropout"""

    def wrong(query, key, value, mask, dropout=lambda x: x):
        raw = scores(query, key)
        raw = dropout(raw) if "scores" in drop else raw
        weights = finish(share(hide(raw, mask)), mask)
        dropped = dropout(weights) if "probabilities" in drop else weights
        mixed = mix(dropped, query, key, dropout(value) if "value" in drop else value)
        mixed = dropout(mixed) if "mixed" in drop else mixed
        return mixed, (returned(raw, weights) if returned else dropped if after else weights)

    return wrong


def attend(name, hint, within=False, fair=False, **how):
    return mistake(name, hint, "attend", attention(**how), within, fair)


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
AXIS, MIX, ALONE = (
    "Along which axis do the numbers sum to 1?",
    "Whose values are mixed?",
    "What does a token get that may look at nothing?",
)
ATTEND = (
    attend("the mask is ignored", MASK, hide=lambda scores, mask: scores, finish=keep),
    attend(
        "the mask hides rows, not columns",
        MASK,
        hide=hide_rows,
        finish=lambda p, mask: p.masked_fill(~rows(mask, p), 0.0),
    ),
    attend("the mask hides rows and columns", MASK, hide=hide_both, finish=zero_both),
    attend(
        "the mask is upside down",
        MASK,
        hide=lambda scores, mask: scores.masked_fill(mask, HIDDEN),
        finish=lambda p, mask: p.masked_fill(mask, 0.0),
        fair=True,
    ),
    attend("the mask comes after the softmax only", MASK, hide=lambda scores, mask: scores),
    attend("the mask sets scores to 0, not to minus infinity", MASK, hide=fill(0.0), finish=keep),
    attend("the mask sets scores to 0 before the softmax, and probabilities to 0 after it", MASK, hide=fill(0.0)),
    attend("hidden scores get only 100 taken off", MASK, hide=lambda scores, mask: scores - 100.0 * ~mask, finish=keep),
    attend("hidden scores get only 10 taken off", MASK, hide=lambda scores, mask: scores - 10.0 * ~mask, finish=keep),
    attend(
        "the mask is added to the scores as 0 and 1",
        MASK,
        hide=lambda scores, mask: scores + mask.to(scores.dtype),
        finish=keep,
    ),
    attend("a token that may look at nothing looks everywhere", ALONE, finish=keep),
    attend("a token that may look at nothing gets NaN", ALONE, hide=fill(-math.inf), finish=keep),
    attend("the softmax runs over the queries", AXIS, share=lambda scores: scores.softmax(-2)),
    attend("the softmax runs over the heads", AXIS, share=lambda scores: scores.softmax(1)),
    attend("the probabilities are sigmoids", AXIS, share=torch.sigmoid),
    attend("the probabilities are log-probabilities", AXIS, share=lambda scores: scores.log_softmax(-1)),
    attend("the softmax is forgotten", AXIS, hide=lambda scores, mask: scores, share=lambda scores: scores),
    attend("the softmax is taken twice", AXIS, share=lambda scores: scores.softmax(-1).softmax(-1)),
    attend("the values are returned as they are", MIX, mix=lambda p, query, key, value: value),
    attend(
        "the probabilities are turned before they mix",
        MIX,
        mix=lambda p, query, key, value: p.transpose(-2, -1) @ value,
    ),
    attend("the keys are mixed, not the values", MIX, mix=lambda p, query, key, value: p @ key),
    attend("the queries are mixed, not the values", MIX, mix=lambda p, query, key, value: p @ query),
    attend(
        "the scores are not scaled by sqrt(K) in attend",
        "Does attend call attention_scores?",
        scores=lambda q, k: q @ k.transpose(-2, -1),
    ),
    attend(
        "the scores are scaled twice",
        "Who divides by sqrt(K), and how often?",
        scores=lambda query, key: attention_scores(query, key) / math.sqrt(query.size(-1)),
    ),
    attend("the scores are returned, not the probabilities", DROP, returned=lambda raw, weights: raw),
    attend("there is no dropout", DROP, True, drop=()),
    attend("dropout falls on the scores", DROP, True, drop=("scores",)),
    attend("dropout falls on the mixed values", DROP, True, drop=("mixed",), fair=True),
    attend("dropout falls on the values before they are mixed", DROP, True, drop=("value",)),
    attend("dropout falls on the probabilities and on the mixed values", DROP, True, drop=("probabilities", "mixed")),
    attend("the probabilities are returned after dropout", DROP, True, after=True),
    mistake(
        "after dropout the probabilities are scaled to sum to 1",
        DROP,
        "attend",
        attention(mix=lambda p, query, key, value: p @ value / p.sum(-1, keepdim=True).clamp(min=1e-9)),
        within=True,
    ),
)

# Masks, heads, the module

MASKS = (
    mistake(
        "padding_mask is upside down", MASK, "padding_mask", lambda mask: ~mask.bool()[:, None, None, :], fair=True
    ),
    mistake(
        "padding_mask hides queries: its shape is [B, 1, T, 1]",
        "Which axis is the key's?",
        "padding_mask",
        lambda mask: mask.bool()[:, None, :, None],
    ),
    mistake(
        "padding_mask holds numbers, not True and False",
        "What does ~ do to a number?",
        "padding_mask",
        lambda mask: mask[:, None, None, :],
    ),
    mistake(
        "padding_mask has no axis for the heads",
        "Write down the shape of the scores.",
        "padding_mask",
        lambda mask: mask.bool()[:, None, :],
    ),
    mistake(
        "padding_mask is all True", MASK, "padding_mask", lambda mask: torch.ones_like(mask).bool()[:, None, None, :]
    ),
    mistake(
        "padding_mask hides rows and columns: its shape is [B, 1, T, T]",
        "Which axis is the key's?",
        "padding_mask",
        lambda mask: (mask[:, :, None] * mask[:, None, :]).bool()[:, None],
    ),
    mistake(
        "padding_mask holds -10000 for padding",
        "What does ~ do to a number?",
        "padding_mask",
        lambda mask: (1.0 - mask.float())[:, None, None, :] * -10000.0,
    ),
    mistake(
        "causal_mask is upside down",
        "May token 0 look at token 1?",
        "causal_mask",
        lambda length, device=None: ~causal_mask(length),
    ),
    mistake(
        "causal_mask looks at later tokens, not at earlier ones",
        "May token 0 look at token 1?",
        "causal_mask",
        lambda length, device=None: causal_mask(length).T,
    ),
    mistake(
        "causal_mask hides the token itself",
        "May a token look at itself?",
        "causal_mask",
        lambda length, device=None: causal_mask(length).tril(-1),
    ),
    mistake(
        "causal_mask shows the next token",
        "May token 0 look at token 1?",
        "causal_mask",
        lambda length, device=None: torch.ones(length, length, dtype=torch.bool).tril(1),
    ),
    mistake(
        "causal_mask holds numbers, not True and False",
        "What does ~ do to a number?",
        "causal_mask",
        lambda length, device=None: causal_mask(length).float(),
    ),
)


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


def layer(name, hint, within=False, **how):
    return mistake(name, hint, "MultiHeadAttention.forward", module(**how), within)


def no_bias(self, x):
    return self.merge(x) @ self.output.weight.T


HEADS, LAYER = (
    "Number the entries of a small tensor and print what comes out.",
    "Follow one token's vector through forward.",
)
MODULE = (
    mistake(
        "the heads are merged without the transpose",
        HEADS,
        "MultiHeadAttention.merge",
        lambda self, x: x.reshape(x.size(0), x.size(2), -1),
    ),
    mistake(
        "the heads are interleaved", HEADS, "MultiHeadAttention.merge", lambda self, x: x.permute(0, 2, 3, 1).flatten(2)
    ),
    mistake("the heads are merged by their mean", HEADS, "MultiHeadAttention.merge", lambda self, x: x.mean(1)),
    mistake(
        "the heads are split without the transpose",
        HEADS,
        "MultiHeadAttention.split",
        lambda self, x: x.reshape(x.size(0), self.heads, x.size(1), -1),
    ),
    mistake(
        "the heads are split in steps of H",
        HEADS,
        "MultiHeadAttention.split",
        lambda self, x: x.unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2),
    ),
    mistake(
        "split gives [B, T, H, K]", HEADS, "MultiHeadAttention.split", lambda self, x: x.unflatten(-1, (self.heads, -1))
    ),
    mistake("query and key share one layer", LAYER, "MultiHeadAttention.__init__", share("query", "key")),
    mistake("query and value share one layer", LAYER, "MultiHeadAttention.__init__", share("query", "value")),
    mistake("key and value share one layer", LAYER, "MultiHeadAttention.__init__", share("key", "value")),
    layer("the key comes from the query's layer", LAYER, through=("query", "query", "value")),
    layer("the value comes from the key's layer", LAYER, through=("query", "key", "key")),
    layer("the value comes from the query's layer", LAYER, through=("query", "key", "query")),
    layer("the layers of key and value are exchanged", LAYER, through=("query", "value", "key")),
    layer("the layers of query and value are exchanged", LAYER, through=("value", "key", "query")),
    layer("the layers of query and key are exchanged", LAYER, through=("key", "query", "value")),
    layer("the output layer is forgotten", LAYER, finish=lambda self, x: self.merge(x)),
    layer("the output layer's bias is left out", LAYER, finish=no_bias),
    layer(
        "the input is added already in the attention",
        "Who adds the residual?",
        finish=lambda self, x: self.output(self.merge(x)) + self.merge(x),
    ),
    layer("the module does not hand on the mask", LAYER, use=torch.ones_like),
    layer("the module hands on the mask upside down", LAYER, use=torch.logical_not),
    layer("query, key and value go through ReLU", LAYER, activation=torch.relu),
    layer("the probabilities are returned as a mean over the heads", LAYER, returned=lambda out, p: (out, p.mean(1))),
    layer("the output and the probabilities are exchanged", LAYER, returned=lambda out, p: (p, out)),
    layer("the module does not hand on dropout", DROP, True, dropout=lambda self: lambda x: x),
    layer("dropout is on in evaluation", DROP, True, dropout=lambda self: lambda x: F.dropout(x, self.dropout.p)),
    layer(
        "dropout falls on the output",
        DROP,
        True,
        dropout=lambda self: lambda x: x,
        finish=lambda self, x: self.dropout(self.output(self.merge(x))),
    ),
)
MISTAKES = SCORES + ATTEND + MASKS + MODULE
