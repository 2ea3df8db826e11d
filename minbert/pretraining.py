"""How a BERT is made from text: masking, the objective, the run (Devlin et al. 2019, section 3.1 and appendix A.2).

corpus.pack -> corpus.Packed.rows -> mask_tokens -> Objective -> fit
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minbert import checkpoint
from minbert.errors import UserError
from minbert.optimizer import AdamW, linear, parameter_groups
from minbert.teacher import mean_of_words
from minbert.training import autocast, part, random_states, set_random_states, under

IGNORED = -100  # a label where nothing is asked
TEACHING = 3.0  # what a cosine distance of 1 to the teacher counts, in nats
POINTS = 50  # of the loss curve


@dataclass(frozen=True)
class Settings:
    """How to pretrain."""

    minutes: float | None = None  # the budget: of training, or
    steps: int | None = None  # so many steps
    batch_tokens: int = 4096
    max_length: int = 128
    short: float = 0.0  # the share of the budget in which rows are a quarter as long (A.2: 0.9, of a million steps)
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05  # a share of the budget
    mask: float = 0.15  # the share of the tokens that is asked for
    whole_words: bool = False
    max_grad_norm: float = 1.0
    precision: str = "fp32"
    seed: int = 11711

    def spent(self, progress):
        """The share of the budget that is spent, 1 or more at the end."""
        return progress["steps"] / self.steps if self.steps else progress["seconds"] / (60 * self.minutes)

    def row_length(self, spent):
        """Tokens in a row when this share of the budget is spent."""
        return max(8, self.max_length // 4) if spent < self.short else self.max_length


def mask_tokens(rows, packed, rng, share=0.15, whole_words=False):
    """Choose what to ask for, and hide it: 80 % become [MASK], 10 % any token, 10 % stay (section 3.1, task 1).

    rows         ids, int64 [B, T]; special tokens are never chosen
    whole_words  choose words, all pieces or none (google-research/bert, README, whole word masking)
    returns      ids to show [B, T], labels [B, T]: what stood there if it was chosen, or -100
    """
    begins = ~packed.continues[rows] if whole_words else np.ones(rows.shape, bool)
    begins[:, 0] = True
    unit = begins.cumsum().reshape(rows.shape) - 1  # what is chosen together
    chosen = (rng.random(unit.max() + 1) < share)[unit] & ~packed.special[rows]
    fate = rng.random(rows.shape)
    anything = rng.choice(np.flatnonzero(~packed.special), rows.shape)
    shown = np.where(chosen & (fate < 0.8), packed.mask, rows)
    shown = np.where(chosen & (fate >= 0.8) & (fate < 0.9), anything, shown)
    return shown, np.where(chosen, rows, IGNORED)


class Objective(nn.Module):
    """What is minimised: the masked-LM loss, the next-sentence loss if the model has that head, and the distance to a
    teacher if there is one.

    model  BertForMaskedLM or BertForPreTraining
    """

    def __init__(self, model, tokenizer, settings, teacher=None):
        super().__init__()
        self.model, self.tokenizer, self.settings, self.teacher = model, tokenizer, settings, teacher
        self.project = nn.Linear(model.config.hidden_size, teacher.size) if teacher else None

    def forward(self, packed, rng, number, length):
        """The loss on `number` rows of `length` ids: a scalar; and what it is made of, as floats."""
        device, segments = next(self.parameters()).device, None
        if hasattr(self.model, "next_sentence"):
            rows, segments, order = packed.pairs(rng, number, length)
            segments, order = torch.from_numpy(segments).to(device), torch.from_numpy(order).to(device)
        else:
            rows = packed.rows(rng, number, length)
        shown, labels = mask_tokens(rows, packed, rng, self.settings.mask, self.settings.whole_words)
        output = self.model.bert(torch.from_numpy(shown).to(device), token_type_ids=segments)
        x, labels = output["last_hidden_state"], torch.from_numpy(labels).to(device)
        logits, loss = self.model.predict(x, labels)
        right = (logits.argmax(-1) == labels[labels != IGNORED]).float()
        parts = {"loss": loss.item(), "accuracy": right.mean().item() if len(right) else 0.0}
        if segments is not None:
            order_loss = F.cross_entropy(self.model.next_sentence(output["pooler_output"]).float(), order)
            loss, parts["order_loss"] = loss + order_loss, order_loss.item()
        if self.teacher and self.training:
            target, place = self.teacher.words(rows, packed, self.tokenizer)
            given = self.project(mean_of_words(x.float(), place, len(target))).float()
            distance = (1 - F.cosine_similarity(given, target))[target.any(dim=-1)]
            distance = distance.sum() / max(1, len(distance))
            loss, parts["distance"] = loss + TEACHING * distance, distance.item()
        return loss, parts


@torch.no_grad()
def evaluate(objective, packed, length, rows=512):
    """Masked-LM loss in nats and accuracy on held-out text, always on the same rows and masks: {"loss", "accuracy"}."""
    objective.eval()
    rng, at_once = np.random.default_rng(0), max(1, objective.settings.batch_tokens // length)
    figures = [objective(packed, rng, at_once, length)[1] for _ in range(max(1, rows // at_once))]
    objective.train()
    return {name: float(np.mean([figure[name] for figure in figures])) for name in ("loss", "accuracy")}


# The run


def fit(objective, packed, heldout, settings, device="cpu", resume=None, watch=None, report=None, keep=None, stop=None):
    """Train until the budget is spent. Returns the history: a dict for each of some 50 points of the run.

    resume   what checkpoint.load_state read, to go on from there
    watch    called after each step with the progress so far, the step's losses and its learning rate
    report   called with each new entry of the history: spent, steps, tokens, seconds, loss, accuracy (a mean since
             the last) and, at every fifth, heldout_loss and heldout_accuracy
    keep     called at every fifth with (optimizer, progress), to save them, and before it stops
    stop     a checkpoint.Stop, looked at after each step
    Step n reads rows that depend on (seed, n) alone. Raises UserError if the loss or its gradient is not finite,
    before a weight moves.
    """
    objective.to(device).train()
    if objective.teacher:
        objective.teacher.model.to(device)
    optimizer = AdamW(parameter_groups(objective, settings.weight_decay), betas=(0.9, 0.98), eps=1e-6)
    progress = {"steps": 0, "tokens": 0, "seconds": 0.0, "history": [], "since": []}
    if resume:
        progress = restore(objective, optimizer, *resume)
    context = autocast(device, settings.precision)
    clock = time.perf_counter()
    while (spent := settings.spent(progress)) < 1:
        rate = settings.lr * linear(spent, settings.warmup, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        length = settings.row_length(spent)
        number = max(1, settings.batch_tokens // length)
        rng = np.random.default_rng([settings.seed, progress["steps"]])
        with context:
            loss, parts = objective(packed, rng, number, length)
        optimizer.zero_grad()
        loss.backward()
        slope = torch.nn.utils.clip_grad_norm_(objective.parameters(), settings.max_grad_norm)
        if not (loss.isfinite() and slope.isfinite()):
            what = f"the loss is {loss.item():g}, its gradient is {slope.item():g} long"
            raise UserError(f"{what}, at step {progress['steps']}: a lower --lr helps")
        optimizer.step()
        progress["since"].append(parts)
        progress["steps"] += 1
        progress["tokens"] += number * length
        clock, seconds = time.perf_counter(), time.perf_counter() - clock
        progress["seconds"] += seconds
        if watch:
            watch(progress, parts, rate)
        spent, history = settings.spent(progress), progress["history"]
        if spent >= (len(history) + 1) / POINTS:
            figures = {name: progress[name] for name in ("steps", "tokens", "seconds")} | {"spent": min(1.0, spent)}
            figures |= {name: float(np.mean([parts[name] for parts in progress["since"]])) for name in parts}
            if (len(history) + 1) % (POINTS // 10) == 0 or spent >= 1:
                with context:
                    held = evaluate(objective, heldout, length)
                figures |= {f"heldout_{name}": value for name, value in held.items()}
            progress["since"] = []
            history.append(figures)
            if report:
                report(figures)
            if keep and "heldout_loss" in figures and spent < 1:
                keep(optimizer, progress)
            clock = time.perf_counter()  # measuring and saving are not training
        if stop and stop.asked and spent < 1:
            keep(optimizer, progress)
            raise checkpoint.Stopped(stop.asked, stop.advice)
    objective.eval()
    return progress["history"]


def save_state(path, objective, optimizer, progress):
    """Write all that `fit` needs to go on, in one file, which is whole or the one before."""
    tensors = under("weight", objective.state_dict())
    for name, parameter in objective.named_parameters():
        if state := optimizer.state.get(parameter):
            tensors |= {f"mean/{name}": state["mean"], f"square/{name}": state["square"]}
    tensors |= under("random", random_states(next(objective.parameters()).device))
    checkpoint.save_state(path, tensors, progress)


def restore(objective, optimizer, tensors, progress):
    """Put what save_state wrote into the objective and the optimizer, and return the progress."""
    objective.load_state_dict(part("weight", tensors))
    for name, parameter in objective.named_parameters():
        if f"mean/{name}" in tensors:
            moments = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in ("mean", "square")}
            optimizer.state[parameter] = {"step": progress["steps"], **moments}
    set_random_states(part("random", tensors))
    return progress
