"""Beam search: of all that may be written next, the likeliest few go on (Graves 2012; the rules are transformers').

A step, for each text: every row that goes on may go on with every token, and is as likely as its tokens are together.
Of these, 2 * beams are looked at, the likeliest first. Those that end are finished, if they are among the first
`beams`; the first `beams` that do not end go on. There are always enough of these, since a row has one end only.

A finished row competes with later ones by its score, the sum of log-probabilities by length ** length_penalty. The
length counts the end, but not the start. A text is done when `beams` rows are finished, and the likeliest that goes on
would score no more than the worst of them if it ended here; with early_stopping, as soon as `beams` are finished.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from minbert.errors import UserError
from minbert.generation import best


@dataclass
class Beams:
    """The search for one text: what goes on, and what is finished, each with the best first."""

    running: list[tuple[float, list[int]]] = field(default_factory=lambda: [(0.0, [])])  # (sum of log p, ids)
    finished: list[tuple[float, list[int]]] = field(default_factory=list)  # (score, ids)
    origins: list[int] = field(default_factory=list)  # the place of each running row in the step before

    def step(self, candidates: list[tuple[float, int, int]], settings, last: bool) -> None:
        """Take the best (sum of log p, row, id), 2 * beams of them, the best first; in the last place all end."""
        rows, self.running, self.origins = self.running, [], []
        for rank, (total, row, id) in enumerate(candidates):
            ids = [*rows[row][1], id]
            if last or id == settings.end:
                if rank < settings.beams:
                    self.finished.append((total / len(ids) ** settings.length_penalty, ids))
            elif len(self.running) < settings.beams:
                self.running.append((total, ids))
                self.origins.append(row)
        self.finished = sorted(self.finished, key=lambda found: -found[0])[: settings.beams]  # of equals, the earlier

    def done(self, settings) -> bool:
        """Whether no row that goes on can be among the results."""
        if not self.running or len(self.finished) < settings.beams:
            return not self.running
        total, ids = self.running[0]
        return settings.early_stopping or total / len(ids) ** settings.length_penalty <= self.finished[-1][0]


@torch.inference_mode()
def beam_search(
    model,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    beams: int | None = None,
    max_length: int | None = None,
    length_penalty: float | None = None,
    early_stopping: bool | None = None,
    cached: bool = True,
) -> list[list[tuple[float, list[int]]]]:
    """What a model writes for each text: at most `beams` results, [(score, ids), ...], the best first.

    input_ids, attention_mask  [B, S], as the model's `encode` takes them
    beams           how many rows go on; 1 is greedy search
    max_length      the tokens of a result, start and end included; an end is forced in the last place
    length_penalty  above 0 it favours long results, below 0 short ones: a score is negative
    early_stopping  True: do not wait for better results once there are `beams`
    cached          False: the model reads all that it has written again at each step; the results are the same
    returns         ids without the start, with the end

    None stands for what model.search says: what is in the model's folder, or else 4, 512, 1.0 and False.
    The model has `encode`, `new_cache`, `next_scores` and `search`, as MarianForTranslation. A text has the same
    results alone and beside others. Raises UserError for a setting out of its bounds, and for a text that is too long.
    """
    settings = model.search.change(
        beams=beams, max_length=max_length, length_penalty=length_penalty, early_stopping=early_stopping
    ).check(model.config.vocab_size, model.config.max_position_embeddings + 1)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    found = [Beams() for _ in input_ids]
    if not found:
        return []
    was_training = model.training
    model.eval()
    try:
        memory, alive = model.encode(input_ids, mask), list(range(len(found)))  # the texts that are not done
        cache = model.new_cache(memory) if cached else None
        for place in range(len(settings.start) + 1, settings.max_length + 1):
            last, width = place == settings.max_length, len(found[alive[0]].running)
            rows = [[*settings.start, *ids] for text in alive for _, ids in found[text].running]
            scores = model.next_scores(torch.tensor(rows, device=memory.device), memory, mask, cache)  # [R, V]
            log_p = log_probabilities(scores.float(), settings, last).unflatten(0, (-1, width))  # [texts, width, V]
            for text, table in zip(alive, log_p):
                sums = torch.tensor([[total] for total, _ in found[text].running], device=table.device)  # [width, 1]
                found[text].step(likeliest(sums + table, 2 * settings.beams), settings, last)
            going_on = [number for number, text in enumerate(alive) if not found[text].done(settings)]
            if not going_on:
                break
            alive = [alive[number] for number in going_on]
            for text in alive:
                pad(found[text], settings.beams)
            if cache:
                rows = [number * width + row for number, text in zip(going_on, alive) for row in found[text].origins]
                cache.choose(rows, going_on)
            if len(going_on) < len(memory):
                memory, mask = memory[going_on], mask[going_on]
    finally:
        model.train(was_training)
    return [beams.finished for beams in found]


def log_probabilities(scores: Tensor, settings, last: bool) -> Tensor:
    """Logits [R, V] -> log-probabilities [R, V] of what may stand there; in the last place a forced end has 0."""
    forbidden = list(settings.forbidden)
    if last and settings.forced_end is not None:
        log_p = torch.full_like(scores, -math.inf)
        log_p[:, settings.forced_end] = 0.0
        return log_p
    if settings.renormalise:
        scores[:, forbidden] = -math.inf
    log_p = scores.log_softmax(dim=1)
    if log_p[:, 0].isnan().any():  # then all of its row
        raise UserError("the model computes NaN or infinity in place of logits: its weights are damaged or too large")
    log_p[:, forbidden] = -math.inf
    return log_p


def likeliest(totals: Tensor, count: int) -> list[tuple[float, int, int]]:
    """The best of the sums [rows, V] as (sum, row, id), the best first, of equals the first; without what cannot be."""
    places = best(totals.flatten(), count)
    values = totals.flatten()[places].tolist()
    return [(value, *divmod(place, totals.size(1))) for value, place in zip(values, places) if value > -math.inf]


def pad(beams: Beams, width: int) -> None:
    """Repeat the last row, with probability 0, where fewer go on: in a batch all texts have as many rows."""
    missing = width - len(beams.running)
    beams.running += [(-math.inf, beams.running[-1][1])] * missing
    beams.origins += [beams.origins[-1]] * missing
