"""The loop of every run: step after step until the task is done, saved and stopped between two of them, and resumed.

A run's steps depend on its seed and their numbers; all else that they need is in the loop's state, so that a run that
was stopped, or killed, ends with the same bits as one that was not.
"""

import copy
import time
from contextlib import nullcontext

import torch

from minbert.errors import UserError
from minbert.optimizer import AdamW
from minbert.runs import parallel
from minbert.training import NotFinite, set_rate, update

# What an optimizer remembers of each weight.
MOMENTS = {AdamW: ("step", "mean", "square"), torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq")}


class Task:
    """What is trained, and on what: a subclass says what the loop does not know.

    module     its trainable weights learn
    optimizer  moves them
    clip       as minbert.optimizer.clip
    settings   max_grad_norm, precision
    start      what the task counts, {name: value}: the loop keeps it in its `progress`, beside "steps", "seconds" of
               training, to which it adds, and "history", a dict of figures for each measurement
    """

    def rate(self, progress: dict) -> float:
        """The learning rate of the next step."""

    def set_rate(self, rate: float) -> None:
        """Let the optimizer take its next step with this learning rate."""
        set_rate(self.optimizer, rate)

    def loss(self, progress: dict):
        """The loss of the next step's batch, a scalar tensor, and more of its figures, {name: float}."""

    def count(self, progress: dict, figures: dict, rate: float) -> None:
        """Count what the task counts, after a step with these figures."""

    def due(self, progress: dict) -> bool:
        """Whether to measure before the next step."""

    def measure(self, progress: dict, bar) -> dict:
        """Figures for the history. bar: as in training.predict"""

    def finished(self, progress: dict) -> bool:
        """Whether the run is done."""

    def possible(self, progress: dict) -> bool:
        """Whether there can be such a progress between two steps of this run."""
        return True

    def worth_saving(self, figures: dict) -> bool:
        """Whether to save the state after a measurement."""
        return True

    def rows(self, progress: dict) -> list:
        """The examples of the next step's batch, to name them if the loss is not finite; [] if there are none."""
        return []

    def steps(self):
        """The context in which steps are done."""
        return nullcontext()

    def weights(self) -> dict:
        """All weights, {group: {name: tensor}}: what `load` needs to restore them."""
        return {"weight": self.module.state_dict()}

    def load(self, weights: dict) -> None:
        self.module.load_state_dict(weights["weight"])

    def finish(self) -> None:
        """Leave the model ready to be used."""
        self.module.eval()


class Loop:
    """The training of a task that can be stopped after any step and resumed elsewhere."""

    def __init__(self, task: Task, device="cpu"):
        self.task, self.device = task, torch.device(device)
        self.progress = {"steps": 0, "seconds": 0.0, "history": []} | task.start
        with task.steps():
            named = task.module.named_parameters()
            self.trainable = {name: weight for name, weight in named if weight.requires_grad}

    def train(self, watch=None, report=None, bar=lambda stream, total: stream, autosave=None) -> list:
        """Train to the end. Returns the history: a list of figures, dicts.

        watch     called after each step with the progress, the step's figures ("loss" and more) and its learning rate
        report    called with each new entry of the history
        bar       as in training.predict, for texts that are only read
        autosave  state.Autosave
        """
        task, progress = self.task, self.progress
        while not task.finished(progress):
            with task.steps():
                task.module.train()
                while not task.due(progress):
                    figures, rate = self.step()
                    if watch:
                        watch(progress, figures, rate)
                    if autosave:
                        autosave.step()
            figures = task.measure(progress, bar)
            progress["history"].append(figures)
            if report:
                report(figures)
            if autosave:
                autosave.step(due=task.worth_saving(figures))
        task.finish()
        return progress["history"]

    def step(self):
        """One step. Returns its figures and its learning rate."""
        task, progress, begin = self.task, self.progress, time.perf_counter()
        rate = task.rate(progress)
        task.set_rate(rate)
        loss, figures = task.loss(progress)
        try:
            update(task.module, loss, task.optimizer, task.settings.max_grad_norm, task.clip)
        except NotFinite as error:
            error.rows, error.step = task.rows(progress), progress["steps"]
            raise
        figures = {"loss": loss.item()} | figures
        task.count(progress, figures, rate)
        progress["steps"] += 1
        progress["seconds"] += time.perf_counter() - begin
        return figures, rate

    def state(self):
        """All that this process needs to continue from here: {name: tensor}, and the progress, for JSON.

        Ask between two steps. Of several processes each has to ask.
        """
        tensors = {}
        for group, weights in self.task.weights().items():
            tensors |= with_prefix(group, weights)
        for name, weight in self.trainable.items():
            moments = self.task.optimizer.state.get(weight, {})
            tensors |= with_prefix(f"optimizer/{name}", {key: torch.as_tensor(value) for key, value in moments.items()})
        for rank, states in enumerate(parallel.gather([random_states(self.device)])):
            tensors |= with_prefix(f"random/{rank}", states)
        return tensors, copy.deepcopy(self.progress)

    def restore(self, tensors: dict, progress: dict) -> None:
        """Continue from what `state` returned. Raises UserError, before anything changes, if it does not fit."""
        rank, optimizer = parallel.rank(), self.task.optimizer
        weights = {group: without_prefix(group, tensors) for group in ("weight", "best")}
        expected = with_prefix("weight", self.task.weights()["weight"])
        if weights["best"]:
            expected |= with_prefix("best", self.task.weights()["weight"])
        for name, weight in self.trainable.items():
            if without_prefix(f"optimizer/{name}", tensors):  # none, if no step reads this weight: a pooler's, say
                step, *moments = MOMENTS[type(optimizer)]
                values = {step: torch.zeros(())} | dict.fromkeys(moments, weight)
                expected |= with_prefix(f"optimizer/{name}", values)
        random = without_prefix(f"random/{rank}", tensors)
        if random or rank == 0:  # where there were fewer processes, this one draws as a new one does
            expected |= with_prefix(f"random/{rank}", random_states(self.device))
        found = {name for name in tensors if name in expected or not name.startswith("random/")}
        fits = found == expected.keys() and all(tensors[name].shape == expected[name].shape for name in found)
        kinds = [{name: type(value) for name, value in each.items()} for each in (progress, self.progress)]
        if not fits or kinds[0] != kinds[1] or not self.task.possible(progress):
            raise UserError("the saved state does not fit this run")
        self.task.load(weights)
        for name, weight in self.trainable.items():
            moments = without_prefix(f"optimizer/{name}", tensors)
            optimizer.state[weight] = {key: moment(value, weight.device) for key, value in moments.items()}
        self.progress = progress
        set_random_states(random)


def moment(value, device):
    """What an optimizer had saved as a tensor: a tensor, or the written-out AdamW's step, a whole number."""
    return value.item() if value.dtype == torch.int64 else value.to(device)


def with_prefix(prefix: str, tensors: dict) -> dict:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: dict) -> dict:
    """The tensors that have this prefix, without it."""
    prefix += "/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def random_states(device) -> dict:
    """Of the generators that dropout draws from: {"cpu": tensor}, and the device's."""
    states = {"cpu": torch.get_rng_state()}
    return states if device.type == "cpu" else states | {device.type: torch.get_device_module(device).get_rng_state()}


def set_random_states(states: dict) -> None:
    for device, state in states.items():
        (torch if device == "cpu" else torch.get_device_module(device)).set_rng_state(state)
