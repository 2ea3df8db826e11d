"""The known mistakes of each part, written out with plain operations, apart from the code under test.

Each function takes the right input of a stage and returns {mistake: the result that it gives}.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Part 1: WordPiece


def wordpieces(word: str, vocabulary) -> dict[str, list[str]]:
    """A word that is neither empty nor of more than 200 characters -> {mistake: pieces}"""
    vocabulary = set(vocabulary)
    unlimited = longest_first(word, vocabulary)
    return {
        "the shortest piece is taken, not the longest": longest_first(word, vocabulary, shortest=True),
        "later pieces are looked up without ##": longest_first(word, vocabulary, prefix=""),
        "only the rest of the word becomes [UNK], not the whole word": longest_first(word, vocabulary, partial=True),
        "the pieces are cut from the end of the word": cut_from_the_end(word, vocabulary),
        "a piece is given back when the rest does not fit": with_backtracking(word, vocabulary) or ["[UNK]"],
        "the last character is ignored": longest_first(word[:-1], vocabulary),
        "the limit is 100 characters, not 200": ["[UNK]"] if len(word) > 100 else unlimited,
    }


def longest_first(word, vocabulary, shortest=False, prefix="##", partial=False):
    pieces, start = [], 0
    while start < len(word):
        ends = range(start + 1, len(word) + 1) if shortest else range(len(word), start, -1)
        fitting = (end for end in ends if (prefix if start else "") + word[start:end] in vocabulary)
        end = next(fitting, None)
        if end is None:
            return [*pieces, "[UNK]"] if partial else ["[UNK]"]
        pieces.append((prefix if start else "") + word[start:end])
        start = end
    return pieces


def cut_from_the_end(word, vocabulary):
    pieces, end = [], len(word)
    while end:
        starts = (start for start in range(end) if ("##" if start else "") + word[start:end] in vocabulary)
        start = next(starts, None)
        if start is None:
            return ["[UNK]"]
        pieces.insert(0, ("##" if start else "") + word[start:end])
        end = start
    return pieces


def with_backtracking(word, vocabulary, prefix=""):
    """The pieces that cover the whole word, the longest first where there is a choice; None if there are none"""
    if not word:
        return []
    for end in range(len(word), 0, -1):
        if prefix + word[:end] in vocabulary:
            rest = with_backtracking(word[end:], vocabulary, "##")
            if rest is not None:
                return [prefix + word[:end], *rest]
    return None


# Part 2: embeddings


def embeddings(state: dict, ids: Tensor, segments: Tensor, eps: float) -> dict[str, Tensor]:
    """The weights of Embeddings, ids and segments [B, T], the norm's eps -> {mistake: embeddings [B, T, D]}"""
    return {
        "the segments are forgotten": embed(state, ids, segments, eps, leave_out=["segments"]),
        "the segments are all 0": embed(state, ids, torch.zeros_like(segments), eps),
        "the positions are forgotten": embed(state, ids, segments, eps, leave_out=["positions"]),
        "the positions start at 1": embed(state, ids, segments, eps, first_position=1),
        "the norm is forgotten": embed(state, ids, segments, eps, normalise=False),
        "the norm's eps is torch's 1e-5, not the config's": embed(state, ids, segments, 1e-5),
        "the norm's eps is 1e-12, not the config's": embed(state, ids, segments, 1e-12),
    }


def embed(state, ids, segments, eps, leave_out=(), normalise=True, first_position=0):
    x = state["token.weight"][ids]
    if "positions" not in leave_out:
        x = x + state["position.weight"][first_position:][: ids.size(1)]
    if "segments" not in leave_out:
        x = x + state["segment.weight"][segments]
    return norm(x, state, "norm", eps) if normalise else x


# Part 3: attention


def scores(query: Tensor, key: Tensor) -> dict[str, Tensor]:
    """query, key [B, H, T, K] -> {mistake: scores [B, H, T, T]}"""
    raw, heads, size = query @ key.transpose(-2, -1), query.size(1), query.size(-1)
    return {
        "the scores are not scaled by sqrt(K)": raw,
        "the scores are divided by sqrt(D), not sqrt(K)": raw / math.sqrt(heads * size),
        "the scores are divided by K, not sqrt(K)": raw / size,
        "query and key are swapped": raw.transpose(-2, -1) / math.sqrt(size),
    }


def probabilities(query: Tensor, key: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """query, key [B, H, T, K], mask [B, 1, 1, T] -> {mistake: probabilities [B, H, T, T]}"""
    right = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    return {
        **{name: wrong.masked_fill(~mask, -1e9).softmax(-1) for name, wrong in scores(query, key).items()},
        "the mask is ignored": right.softmax(-1),
        "the mask hides rows, not columns": right.masked_fill(~mask.transpose(-2, -1), -1e9).softmax(-1),
        "the mask is upside down": right.masked_fill(mask, -1e9).softmax(-1),
        "the softmax runs over the queries": right.masked_fill(~mask, -1e9).softmax(-2),
    }


def mixes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """query, key, value [B, H, T, K], mask [B, 1, 1, T] -> {mistake: mixed values [B, H, T, K]}"""
    wrong = {name: weights @ value for name, weights in probabilities(query, key, mask).items()}
    return wrong | {"the values are returned as they are": value}


def merges(mixed: Tensor) -> dict[str, Tensor]:
    """mixed [B, H, T, K] -> {mistake: merged [B, T, D]}"""
    batch, heads, length, size = mixed.shape
    return {
        "the heads are merged without the transpose": mixed.reshape(batch, length, heads * size),
        "the heads are interleaved": mixed.permute(0, 2, 3, 1).flatten(2),
    }


def projections(query: Tensor, key: Tensor, value: Tensor) -> dict[str, dict[str, Tensor]]:
    """query, key, value [B, T, D] -> for "query" and "key" {mistake: the projection that comes out}"""
    return {
        "query": {"query and key share one layer": key, "query and value share one layer": value},
        "key": {"key and value share one layer": value},
        "value": {},
    }


# Part 4: the encoder layer


def layers(state: dict, x: Tensor, attention, eps: float) -> dict[str, Tensor]:
    """The weights of a layer, its input [B, T, D], a function for its attention -> {mistake: output [B, T, D]}"""
    return {
        "the GELU is the tanh approximation": layer(state, x, attention, eps, gelu="tanh"),
        "the activation is ReLU, not GELU": layer(state, x, attention, eps, gelu="relu"),
        "the norms' eps is torch's 1e-5 or BERT's 1e-12, not the config's": layer(state, x, attention, 1e-5),
        "the norms come first (pre-norm)": layer(state, x, attention, eps, order="pre"),
        "the residual connections are forgotten": layer(state, x, attention, eps, residual=False),
        "both times the first norm is used": layer(state, x, attention, eps, second="attention_norm"),
        "the second residual adds the layer's input": layer(state, x, attention, eps, again=True),
    }


def layer(state, x, attention, eps, gelu="none", order="post", residual=True, second="feed_forward_norm", again=False):
    if order == "pre":
        x = x + attention(norm(x, state, "attention_norm", eps))
        return x + feed_forward(norm(x, state, "feed_forward_norm", eps), state, gelu)
    looked = norm((x if residual else 0) + attention(x), state, "attention_norm", eps)
    added = x if again else looked
    return norm((added if residual else 0) + feed_forward(looked, state, gelu), state, second, eps)


def feed_forward(x, state, gelu="none"):
    hidden = linear(x, state, "feed_forward.expand")
    hidden = F.relu(hidden) if gelu == "relu" else F.gelu(hidden, approximate=gelu)
    return linear(hidden, state, "feed_forward.contract")


# Part 5: the classifier


def logits(state: dict, hidden: Tensor, pooler_output: Tensor) -> dict[str, Tensor]:
    """The weights of the linear layer, hidden [B, T, D], pooler_output [B, D] -> {mistake: logits [B, C]}"""
    right = linear(pooler_output, state, "classifier")
    return {
        "the first token's vector is read, not the pooler's": linear(hidden[:, 0], state, "classifier"),
        "the mean of the tokens is read, not the pooler's output": linear(hidden.mean(1), state, "classifier"),
        "the logits are log-probabilities": right.log_softmax(-1),
        "the logits are probabilities": right.softmax(-1),
    }


def poolers(state: dict, hidden: Tensor) -> dict[str, Tensor]:
    """The weights of the pooler, hidden [B, T, D] -> {mistake: pooler output [B, D]}"""
    return {
        "the pooler's tanh is forgotten": linear(hidden[:, 0], state, "pooler"),
        "the pooler reads the last token": torch.tanh(linear(hidden[:, -1], state, "pooler")),
        "the pooler reads the mean of the tokens": torch.tanh(linear(hidden.mean(1), state, "pooler")),
    }


# Part 6: AdamW


def steps(weight: Tensor, grad: Tensor, lr: float, betas: tuple, eps: float, weight_decay: float) -> dict[str, Tensor]:
    """A weight and its gradient, the optimizer's settings -> {mistake: the weight after its first step}"""
    step = grad / (grad.abs() + eps)  # m^ / (sqrt(v^) + eps) at t = 1
    raw = (1 - betas[0]) * grad / (((1 - betas[1]) * grad**2).sqrt() + eps)
    mixed = grad + weight_decay * weight
    decayed = weight * (1 - lr * weight_decay)
    return {
        "the weight does not decay": weight - lr * step,
        "decay is part of the gradient (L2), not apart from it": weight - lr * mixed / (mixed.abs() + eps),
        "the bias is not corrected": decayed - lr * raw,
        "decay is not multiplied by the learning rate": weight * (1 - weight_decay) - lr * step,
        "the step goes uphill": decayed + lr * step,
        "the step is plain gradient descent": decayed - lr * grad,
        "eps is inside the square root": decayed - lr * grad / (grad**2 + eps).sqrt(),
    }


# Part 7: from logits to the answer


def loss_gradients(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """logits [B, C], labels [B] -> {mistake: the gradient of the loss with respect to the logits [B, C]}"""
    wrong = {
        "the loss is summed, not averaged": lambda x: F.cross_entropy(x, labels, reduction="sum"),
        "the softmax is taken twice": lambda x: F.cross_entropy(x.softmax(-1), labels),
        "the loss is the probability, not its negative logarithm": lambda x: -x.softmax(-1)[rows, labels].mean(),
        "the sign of the loss is wrong": lambda x: -F.cross_entropy(x, labels),
    }
    rows, logits = range(len(labels)), logits.detach().requires_grad_()
    return {name: torch.autograd.grad(loss(logits), logits)[0] for name, loss in wrong.items()}


def clipped(gradient: Tensor, most: float) -> dict[str, Tensor]:
    """A gradient longer than most -> {mistake: the clipped gradient}"""
    return {
        "the gradient is not clipped": gradient,
        "each number is clipped, not the norm": gradient.clamp(-most, most),
        "the gradient is divided by its norm only": gradient / gradient.norm(),
    }


def second_gradients(gradient: Tensor) -> dict[str, Tensor]:
    """The gradient of each of two equal steps -> {mistake: the gradient of the second}"""
    return {"the gradient of the step before is not cleared": 2 * gradient}


def answers(logits: Tensor) -> dict[str, Tensor]:
    """logits [B, C] -> {mistake: probabilities [B, C]}"""
    return {
        "the probabilities are logits": logits,
        "the probabilities are log-probabilities": logits.log_softmax(-1),
        "the probabilities are sigmoids": logits.sigmoid(),
        "the softmax runs over the batch": logits.softmax(0),
    }


# Part 8: fill-mask


def top_scores(logits: Tensor, top: int) -> dict[str, Tensor]:
    """logits [V] -> {mistake: the scores of the best tokens [top]}"""
    p = logits.softmax(-1)
    best = logits.topk(top).values
    return {
        "the softmax runs over the best tokens only": best.softmax(-1),
        "the scores are logits": best,
        "the scores are log-probabilities": p.topk(top).values.log(),
        "the scores are sigmoids": best.sigmoid(),
        "the least probable tokens are listed": p.sort().values[:top],
        "the best token comes last": p.topk(top).values.flip(0),
    }


# What several parts need


def norm(x, state, name, eps):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]
