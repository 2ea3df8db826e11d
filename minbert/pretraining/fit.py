"""The run that makes a BERT from text: budget, schedule, history (Devlin et al. 2019, appendix A.2)."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from minbert.errors import UserError
from minbert.optimizer import AdamW, linear, parameter_groups
from minbert.pretraining.objective import evaluate
from minbert.runs import state as state_file
from minbert.training import autocast, part, random_states, set_random_states, under

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


def fit(objective, packed, heldout, settings, device="cpu", resume=None, watch=None, report=None, keep=None, stop=None):
    """Train until the budget is spent. Returns the history: a dict for each of some 50 points of the run.

    resume   what state.load_state read, to go on from there
    watch    called after each step with the progress so far, the step's losses and its learning rate
    report   called with each new entry of the history: spent, steps, tokens, seconds, loss, accuracy (a mean since
             the last) and, at every fifth, heldout_loss and heldout_accuracy
    keep     called at every fifth with (optimizer, progress), to save them, and before it stops
    stop     a state.Stop, looked at after each step
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
            raise state_file.Stopped(stop.asked, stop.advice)
    objective.eval()
    return progress["history"]


def save_state(path, objective, optimizer, progress):
    """Write all that `fit` needs to go on, in one file, which is whole or the one before."""
    tensors = under("weight", objective.state_dict())
    for name, parameter in objective.named_parameters():
        if state := optimizer.state.get(parameter):
            tensors |= {f"mean/{name}": state["mean"], f"square/{name}": state["square"]}
    tensors |= under("random", random_states(next(objective.parameters()).device))
    state_file.save_state(path, tensors, progress)


def restore(objective, optimizer, tensors, progress):
    """Put what save_state wrote into the objective and the optimizer, and return the progress."""
    objective.load_state_dict(part("weight", tensors))
    for name, parameter in objective.named_parameters():
        if f"mean/{name}" in tensors:
            moments = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in ("mean", "square")}
            optimizer.state[parameter] = {"step": progress["steps"], **moments}
    set_random_states(part("random", tensors))
    return progress
