"""A prompt -> what a decoder writes after it: which tokens are kept, which one is drawn, when it ends.

The order is that of transformers: repetition penalty, temperature, top-k, top-p. Probabilities are in float64.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from minbert.errors import UserError
from minbert.wording import counted

HALF = "\ufffd"  # how bytes look that are no whole character yet


@dataclass(frozen=True)
class Step:
    """A token that was drawn; all probabilities are the model's own, at temperature 1, with nothing cut."""

    id: int
    log_p: float  # nats
    top: list  # [(id, p), ...], the most probable tokens, the lowest id of equals first
    coverage: float  # the sum of these p


@dataclass
class Generated:
    """A continuation: its ids, a Step for each, why it ended, and its text if there was a `decode`.

    finish  "stop": a stop string, before which the text ends; "end": the end token, which the text does not show;
            "length": max_tokens; "full": the model has no more positions
    """

    ids: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    finish: str | None = None
    text: str | None = None


class Cache:
    """The keys and values of the tokens that a decoder has read, with room for `length` tokens in each row."""

    def __init__(self, decoder, rows: int, length: int):
        self.layers, heads, size = len(decoder.layers), decoder.config.num_attention_heads, decoder.config.hidden_size
        shape = self.layers, 2, rows, heads, length, size // heads
        self.kept, self.length = decoder.token.weight.new_empty(shape), 0  # [L, 2, B, H, T, K]; tokens read

    def extend(self, layer: int, key: Tensor, value: Tensor) -> Tensor:
        """Keep a layer's key and value of new tokens, [B, H, new, K] -> those of all so far, [2, B, H, total, K]"""
        total = self.length + key.size(2)
        self.kept[layer, 0, :, :, self.length : total] = key
        self.kept[layer, 1, :, :, self.length : total] = value
        if layer == self.layers - 1:
            self.length = total
        return self.kept[layer, :, :, :, :total]

    def choose(self, rows: Sequence[int]) -> None:
        """Go on with these rows; one may stand there several times."""
        self.kept = self.kept[:, :, torch.tensor(rows, device=self.kept.device)]


def cut(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    previous: Sequence[int] = (),
) -> Tensor:
    """The probabilities to draw from: logits [V] -> [V], float64; the sum is 1.

    temperature         0: the best token alone, the lowest id of equals
    top_k               tokens below the k-th value go; equals of it stay. 0: none go
    top_p               the most probable tokens stay until their sum reaches it, lower ids first among equals, and at
                        least one. 1: none go
    repetition_penalty  the logits of the ids in `previous` are divided by it if positive, otherwise multiplied
    """
    check_settings(temperature, top_k, top_p, repetition_penalty)
    scores = finite(logits)
    if len(previous) and repetition_penalty != 1:
        seen = torch.tensor(sorted(set(previous)), device=scores.device)
        old = scores[seen]
        scores = scores.index_copy(0, seen, torch.where(old > 0, old / repetition_penalty, old * repetition_penalty))
    if temperature == 0:
        return torch.zeros_like(scores).index_fill_(0, scores.argmax(), 1.0)  # the first of equals
    scores = (scores - scores.max()) / temperature  # the best is 0, so that no temperature overflows
    if 0 < top_k < len(scores):
        scores[scores < scores.topk(top_k).values[-1]] = -math.inf
    if top_p < 1:
        scores[~nucleus(scores.softmax(0), top_p)] = -math.inf
    return scores.softmax(0)


def nucleus(p: Tensor, top_p: float, few: int = 256) -> Tensor:
    """Which tokens of p [V] stay for top_p, as `cut` says: [V], bool

    few  tokens that are sorted at first; all are sorted only if these do not reach top_p
    """
    falling = p.topk(min(few, len(p))).values
    if falling.sum() < top_p:
        falling = p.sort(descending=True).values
    size = 1 + int((falling.cumsum(0)[:-1] < top_p).sum())  # what comes before the others is enough
    last = falling[size - 1]
    stays = p > last
    stays[(p == last).nonzero().flatten()[: size - int(stays.sum())]] = True
    return stays


def draw(p: Tensor, u: float) -> int:
    """The first id whose running sum of p [V] is above u times the whole sum, for u uniform in [0, 1).

    It never has p 0. p need not sum to 1.
    """
    sums = p.double().cumsum(0)
    id = int(torch.searchsorted(sums, u * sums[-1], right=True))
    return id if id < len(p) else int(p.nonzero()[-1])  # u times the sum was rounded up to the sum


def generate(model, prompt_ids: Sequence[int], **settings) -> list[Generated]:
    """What a model writes after a prompt: n continuations; settings as in `generate_all`."""
    return generate_all(model, [prompt_ids], **settings)[0]


@torch.inference_mode()
def generate_all(
    model,
    prompts: Sequence[Sequence[int]],
    max_tokens: int = 50,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    end: int | None = None,
    seed: int = 0,
    n: int = 1,
    top: int = 5,
    decode: Callable[[list], str] | None = None,
    known: int | None = None,
    watch: Callable[[int, Generated], None] | None = None,
) -> list[list[Generated]]:
    """What a causal model writes after each of several prompts, side by side: a list of n continuations for each.

    prompts      ids, at least one each
    max_tokens   new tokens in a continuation, at most
    stop         strings at which it ends, looked for in its text; they need `decode`
    end          the id at which it ends; None: no id does
    seed         continuation i of any prompt is drawn with row i of torch.rand(n, max_tokens): the same, but for
                 rounding, alone or beside others
    top          how many tokens a Step names
    decode       ids -> text
    known        the model has vectors for more ids than there are tokens: those from this one on do not exist
    watch        called after each token with the prompt's number and its continuation so far
    Raises UserError for a prompt that leaves no position free, for an unknown id, and for a setting out of its bounds.
    """
    stop = [stop] if isinstance(stop, str) else list(stop)
    check_settings(temperature, top_k, top_p, repetition_penalty)
    check_counts(max_tokens, n, top, seed)
    check_prompts(prompts, model.config)
    if stop and decode is None:
        raise UserError("stop needs decode, from ids to text")
    if "" in stop:
        raise UserError("stop holds an empty string, which would end every text")
    if not prompts:
        return []
    random = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(n, max_tokens, generator=random, dtype=torch.float64).tolist()
    made = [[Generated() for _ in range(n)] for _ in prompts]
    rooms = [min(max_tokens, model.config.max_position_embeddings - len(prompt)) for prompt in prompts]
    alive = [(number, i, number) for number in range(len(prompts)) for i in range(n)]  # and the row in x and cache
    was_training, device = model.training, model.decoder.token.weight.device
    model.eval()
    try:
        ids, mask = (part.to(device) for part in padded_left(prompts))  # [P, T]
        cache = Cache(model.decoder, len(prompts), ids.size(1) + max(rooms) - 1)
        while alive:
            x = model.decoder(ids, mask, cache)["last_hidden_state"][:, -1]  # [P, D], later [rows alive, D]
            logits = finite(model.readout(x))[:, :known]  # [rows, V]
            log_p = logits.log_softmax(1)
            for number, i, row in alive:
                so_far = made[number][i]
                p = cut(logits[row], temperature, top_k, top_p, repetition_penalty, [*prompts[number], *so_far.ids])
                add(so_far, log_p[row], draw(p, uniforms[i][len(so_far.ids)]), top)
                so_far.finish = "length" if len(so_far.ids) == max_tokens else None
                if so_far.finish is None and len(so_far.ids) == rooms[number]:
                    so_far.finish = "full"
                read(so_far, stop, end, decode)
                if watch is not None:
                    watch(number, so_far)
            alive = [(number, i, row) for number, i, row in alive if made[number][i].finish is None]
            if alive:
                rows = [row for _, _, row in alive]
                if rows != list(range(len(x))):
                    cache.choose(rows)
                ids = torch.tensor([made[number][i].ids[-1:] for number, i, _ in alive], device=device)  # [rows, 1]
                mask = torch.cat([mask[rows], torch.ones_like(ids)], dim=1)
                alive = [(number, i, row) for row, (number, i, _) in enumerate(alive)]
    finally:
        model.train(was_training)
    return made


def add(made: Generated, log_p: Tensor, id: int, top: int) -> None:
    """Append a token that was drawn, and what the model thought of it and of the most probable ones: log_p [V]"""
    ids = best(log_p, top)
    pairs = [(i, math.exp(log_p[i])) for i in ids]
    made.ids.append(id)
    made.steps.append(Step(id, float(log_p[id]), pairs, sum(p for _, p in pairs)))


def best(values: Tensor, count: int) -> list[int]:
    """The places of the largest of values [V], the first of equals first"""
    count = min(count, len(values))
    if not count:
        return []
    falling, places = values.topk(min(count + 1, len(values)))
    if (falling[:-1] > falling[1:]).all():
        return places[:count].tolist()
    among = (values >= falling[count - 1]).nonzero().flatten()
    return among[values[among].sort(descending=True, stable=True).indices][:count].tolist()


def read(made: Generated, stop: Sequence[str], end: int | None, decode: Callable | None) -> None:
    """Decode what was drawn, and see whether it ends there."""
    ended = made.ids[-1] == end
    if decode is not None:
        made.text = decode(made.ids[:-1] if ended else made.ids)
        settled = made.text.rstrip(HALF)
        found = [place for place in map(settled.find, stop) if place >= 0]
        if found and not ended:
            made.text, made.finish = made.text[: min(found)], "stop"
    if ended:
        made.finish = "end"


def padded_left(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids -> ids [P, T], 0 where they are padding, and attention_mask [P, T]"""
    longest = max(map(len, prompts))
    ids = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def finite(logits: Tensor) -> Tensor:
    """Logits in float64, on the CPU. Raises UserError unless each is a number or minus infinity, and one a number."""
    logits = logits.detach().cpu().double()
    if not logits.max().isfinite():  # NaN also is the largest
        raise UserError("the model computes NaN or infinity in place of logits: its weights are damaged or too large")
    return logits


def check_settings(temperature, top_k, top_p, repetition_penalty) -> None:
    """Raise UserError for a value with which nothing can be drawn."""
    for name, value, fits, wanted in (
        ("temperature", temperature, lambda x: x >= 0, "0 (the best token always) or more"),
        ("top_p", top_p, lambda x: 0 <= x <= 1, "from 0 (the best token alone) to 1 (all)"),
        ("repetition_penalty", repetition_penalty, lambda x: x > 0, "more than 0; 1 is none"),
        ("top_k", top_k, lambda x: x >= 0 and x == int(x), "a whole number; 0 is none"),
    ):
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
            or not fits(value)
        ):
            raise UserError(f"{name} is {value}, but must be {wanted}")


def check_counts(max_tokens, n, top, seed) -> None:
    """Raise UserError unless these are whole numbers, at least 1, 1, 0 and 0."""
    for name, value, least in (("max_tokens", max_tokens, 1), ("n", n, 1), ("top", top, 0), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value}, but must be a whole number from {least}")


def check_prompts(prompts, config) -> None:
    """Raise UserError unless each prompt has a token, known ids, and leaves a position free."""
    for prompt in prompts:
        if not len(prompt):
            raise UserError("the prompt is empty: the model needs a token to go on from")
        if len(prompt) + 1 > config.max_position_embeddings:
            raise UserError(
                f"the prompt has {counted(len(prompt), 'token')}, but the model has "
                f"{counted(config.max_position_embeddings, 'position')}, "
                "and one must be left: shorten it"
            )
        if wrong := [id for id in prompt if not 0 <= id < config.vocab_size]:
            raise UserError(f"the prompt holds the id {wrong[0]}, but the model has {config.vocab_size} tokens")
