"""The run that makes a BERT from text: budget, schedule, history (Devlin et al. 2019, appendix A.2)."""

import numpy as np
import torch

from minbert.optimizer import AdamW, clip, linear, parameter_groups
from minbert.pretraining.objective import Objective, evaluate
from minbert.pretraining.settings import Settings
from minbert.runs.loop import Loop, Task
from minbert.training import autocast

POINTS = 50  # of the loss curve


def fit(objective: Objective, packed, heldout, settings: Settings, device="cpu", plain=False, **callbacks) -> list:
    """Train until the budget is spent. Returns the history: a dict for each of some 50 points of the run.

    plain      gradients are clipped by minbert/optimizer.py, not by torch
    callbacks  watch, report, autosave of Loop.train; an entry of the history has spent, steps, tokens, seconds, loss,
               accuracy (a mean since the last entry) and, at every fifth, heldout_loss and heldout_accuracy
    Step n reads rows that depend on (seed, n) alone. Raises NotFinite if the loss or its gradient is not finite,
    before any weight moves.
    """
    return begin(objective, packed, heldout, settings, device, plain).train(**callbacks)


def begin(objective: Objective, packed, heldout, settings: Settings, device="cpu", plain=False) -> Loop:
    """The loop that `fit` runs, before its first step."""
    objective.to(device)
    if objective.teacher:
        objective.teacher.model.to(device)
    return Loop(Pretraining(objective, packed, heldout, settings, device, plain), device)


class Pretraining(Task):
    """An Objective on packed text, until a budget of steps or of minutes is spent."""

    def __init__(self, objective, packed, heldout, settings, device, plain):
        self.module, self.packed, self.heldout = objective, packed, heldout
        self.settings, self.device = settings, device
        groups = [
            group | {"factor": factor}
            for factor, part in objective.parts().items()
            for group in parameter_groups(part, settings.weight_decay)
        ]
        self.optimizer = AdamW(groups, betas=(0.9, 0.98), eps=1e-6)
        self.clip = clip if plain else torch.nn.utils.clip_grad_norm_
        # "length" of the last step's rows; "since": the figures of the steps since the last entry of the history
        self.start = {"tokens": 0, "length": 0, "since": []}

    def rate(self, progress):
        return self.settings.lr * linear(self.settings.spent(progress), self.settings.warmup, 1.0)

    def shape(self, progress):
        """Rows in the next step's batch, and tokens in a row."""
        length = self.settings.row_length(self.settings.spent(progress))
        return max(1, self.settings.batch_tokens // length), length

    def set_rate(self, rate):
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]

    def loss(self, progress):
        rng = np.random.default_rng([self.settings.seed, progress["steps"]])
        with autocast(self.device, self.settings.precision):
            return self.module(self.packed, rng, *self.shape(progress))

    def count(self, progress, figures, rate):
        number, progress["length"] = self.shape(progress)
        progress["tokens"] += number * progress["length"]
        progress["since"].append(figures)

    def due(self, progress):
        done = (len(progress["history"]) + 1) / POINTS
        return bool(progress["since"]) and self.settings.spent(progress) >= done

    def finished(self, progress):
        return self.settings.spent(progress) >= 1 and not progress["since"]

    def measure(self, progress, bar):
        spent, since, number = self.settings.spent(progress), progress["since"], len(progress["history"]) + 1
        figures = {name: progress[name] for name in ("steps", "tokens", "seconds")} | {"spent": min(1.0, spent)}
        figures |= {name: float(np.mean([step[name] for step in since])) for name in since[-1]}
        if number % (POINTS // 10) == 0 or spent >= 1:
            with autocast(self.device, self.settings.precision):
                held = evaluate(self.module, self.heldout, progress["length"])
            figures |= {f"heldout_{name}": value for name, value in held.items()}
        progress["since"] = []
        return figures

    def worth_saving(self, figures):
        return "heldout_loss" in figures
