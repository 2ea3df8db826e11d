"""Which words spoke for a prediction, and whether what they say can be trusted.

Two ways to weigh the words of a text, and a test of both. f is the log-odds of a class, log p - log(1 - p):

    occlusion   f of the text, minus f with the word hidden behind [MASK]
    gradients   integrated gradients (Sundararajan et al. 2017, equation 1) over the token embeddings, from a text of
                [MASK] to the text; a word's weight is the sum over its pieces

The weights of integrated gradients add up to the difference of f between the two texts; `gap` says by how much they do
not. The deletion curve hides the words one by one, the weightiest first: if p falls no faster than in a random order,
the weights say nothing about this model.

Attention is no such weight: it says where a head looked, not why the model decided.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minbert.errors import UserError
from minbert.heads import BertSentClassifier

STEPS = 32  # midpoints between baseline and text
ORDERS = 10  # random ones, with which a deletion curve is compared
POINTS = 11  # of a deletion curve
ROWS = 32  # that a model reads at once


@dataclass(frozen=True)
class Word:
    """A word and its weight: positive if it spoke for the class, negative if against it."""

    start: int  # in the text
    end: int
    weight: float


@dataclass(frozen=True)
class Evidence:
    """What spoke for a class in a text."""

    number: int  # of the class
    p: float  # of the class
    words: list[Word]  # in the order of the text, as far as the model reads it
    gap: float  # of integrated gradients; of occlusion 0
    hidden: list[int]  # of how many words, from none to all, in up to POINTS steps
    own: list[float]  # p when so many words are hidden, the weightiest first
    chance: list[float]  # the same, a mean over ORDERS random orders

    @property
    def area(self) -> float:
        """The mean of chance - own, from -1 to 1: at 0 the weights are no better than chance."""
        return sum(two - one for one, two in zip(self.own, self.chance)) / len(self.own)


def explain(
    model, tokenizer, text: str, method="occlusion", number: int | None = None, max_length=None, seed=0
) -> Evidence:
    """The evidence for a class of one text.

    model   a plain classifier of texts, of any family whose tokenizer has a token to hide words
    method  "occlusion" or "gradients"
    number  of the class; None: the one that is predicted
    max_length  in tokens; None: what the model reads
    seed        of the random orders
    Raises UserError for a method that there is not, and for a text without words.
    """
    if method not in METHODS:
        raise UserError(f"there is no method {method!r}: take {' or '.join(METHODS)}")
    if tokenizer.mask_token_id is None:
        raise UserError(f"the vocabulary has no {tokenizer.mask_token} to hide words with")
    longest = min(max_length or tokenizer.max_length, model.config.most_tokens)
    encoding = tokenizer(text, truncation=True, max_length=longest, return_offsets_mapping=True)
    spans, groups = words_of(text, encoding["offset_mapping"])
    if not groups:
        raise UserError(f"{text!r:.60} holds no word")
    reader = Reader(model, tokenizer, encoding["input_ids"], groups)
    if number is None:
        number = int(reader.logits([set()])[0].argmax())
    weights, gap = METHODS[method](reader, number)
    order = sorted(range(len(groups)), key=lambda word: -weights[word])
    draw, orders = random.Random(seed), [order]
    for _ in range(ORDERS):
        orders.append(draw.sample(order, len(order)))
    counts = sorted({round(len(order) * step / (POINTS - 1)) for step in range(POINTS)})
    hidden = [{*each[:count]} for each in orders for count in counts]
    curves = reader.logits(hidden).softmax(-1)[:, number].reshape(len(orders), -1)  # [1 + ORDERS, points]
    words = [Word(*span, weight) for span, weight in zip(spans, weights)]
    own, chance = curves[0].tolist(), curves[1:].mean(0).tolist()
    return Evidence(number, own[0], words, gap, counts, own, chance)


def words_of(text: str, offsets: Sequence) -> tuple[list, list]:
    """Where the words of a text stand, cut at spaces, and the tokens of each. Tokens of no word are in none."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    groups, word = [[] for _ in spans], 0
    for at, (start, end) in enumerate(offsets):
        while word < len(spans) and spans[word][1] <= start:
            word += 1
        if end > start and word < len(spans) and end > spans[word][0]:
            groups[word].append(at)
    kept = [number for number, group in enumerate(groups) if group]
    return [spans[number] for number in kept], [groups[number] for number in kept]


class Reader:
    """A model that reads one text, with any of its words hidden.

    ids     of the text, special tokens included
    groups  the tokens of each word
    """

    def __init__(self, model: BertSentClassifier, tokenizer, ids: list[int], groups: list):
        self.model, self.ids, self.groups = model, torch.tensor(ids), groups
        self.mask_id = tokenizer.mask_token_id

    def rows(self, hidden: Sequence[set]) -> Tensor:
        """Sets of words to hide -> ids [B, T]"""
        ids = self.ids.repeat(len(hidden), 1)
        for row, words in enumerate(hidden):
            ids[row, [at for word in words for at in self.groups[word]]] = self.mask_id
        return ids

    @torch.no_grad()
    def logits(self, hidden: Sequence[set]) -> Tensor:
        """[B, C]"""
        parts = self.rows(hidden).split(ROWS)
        return torch.cat([self.model(part, torch.ones_like(part)) for part in parts]).float()

    def from_embeddings(self, vectors: Tensor) -> Tensor:
        """Token embeddings [B, T, D] in place of those of the text -> logits [B, C]"""
        ids = self.ids.repeat(len(vectors), 1)
        hook = self.embedding.register_forward_hook(lambda *_: vectors)
        try:
            return self.model(ids, torch.ones_like(ids))
        finally:
            hook.remove()

    @property
    def embedding(self) -> torch.nn.Embedding:
        encoder = self.model.bert if hasattr(self.model, "bert") else self.model.decoder
        return getattr(encoder, "embeddings", encoder).token


def log_odds(logits: Tensor, number: int) -> Tensor:
    """[B, C] -> log p - log(1 - p) of a class, [B], without the rounding of p"""
    others = [other for other in range(logits.size(-1)) if other != number]
    return logits[:, number] - logits[:, others].logsumexp(-1)


def occlusion(reader: Reader, number: int) -> tuple[list[float], float]:
    """The weight of each word, and 0.0"""
    scores = log_odds(reader.logits([set(), *({word} for word in range(len(reader.groups)))]), number)
    return (scores[0] - scores[1:]).tolist(), 0.0


def gradients(reader: Reader, number: int) -> tuple[list[float], float]:
    """The weight of each word, and how far their sum is from the difference of f."""
    every = {*range(len(reader.groups))}
    begin, end = reader.embedding(reader.rows([every, set()])).detach()  # [T, D] each
    total = torch.zeros_like(end)
    with torch.enable_grad():
        for steps in torch.arange(STEPS).split(ROWS // 4):
            at = ((steps + 0.5) / STEPS)[:, None, None]
            vectors = (begin + at * (end - begin)).requires_grad_()
            (slope,) = torch.autograd.grad(log_odds(reader.from_embeddings(vectors), number).sum(), vectors)
            total += slope.sum(0)
    each = ((end - begin) * total / STEPS).sum(-1)  # [T]
    weights = [each[group].sum().item() for group in reader.groups]
    before, after = log_odds(reader.logits([every, set()]), number).tolist()
    return weights, abs(sum(weights) - (after - before))


METHODS: dict[str, Callable] = {"occlusion": occlusion, "gradients": gradients}
