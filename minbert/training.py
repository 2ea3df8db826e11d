"""A step, an evaluation, a run that can be stopped and gone on with. Returns numbers and prints nothing."""

import copy
import itertools
import math
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minbert.batch import batches, by_length, epoch_order, make_batch
from minbert.errors import UserError
from minbert.fast.rows import UsedRows
from minbert.metrics import score
from minbert.optimizer import SCHEDULES, clip, fused_adamw, parameter_groups
from minbert.runs import parallel

LEARNING_RATES = {"pretrain": 1e-3, "flexible": 5e-5}  # a new linear layer alone, or all of BERT
# Below this hidden size, twice as much: checkpoints/tiny does better on SST-2's dev set with 1e-4 than with 3e-4.
NARROW = 384
# The most that is read at once where nothing learns. More is slower on a CPU: it no longer fits the cache.
TOKENS = {"cpu": 1024, "mps": 8192, "cuda": 32768}


@dataclass(frozen=True)
class Settings:
    """How to train."""

    epochs: int
    batch_size: int
    lr: float  # the peak
    weight_decay: float = 0.01
    warmup: float = 0.1  # a share of the run if below 1, else a number of steps
    schedule: str = "linear"
    balanced: bool = False  # weigh classes against their frequency
    max_grad_norm: float = 1.0
    precision: str = "fp32"
    seed: int = 11711

    def steps(self, examples):
        """Steps in an epoch, in the run, in the warm-up."""
        epoch = math.ceil(examples / self.batch_size)
        warmup = math.ceil(epoch * self.epochs * self.warmup) if self.warmup < 1 else int(self.warmup)
        return epoch, epoch * self.epochs, warmup


@dataclass
class Data:
    """Examples as the model reads them: what the tokenizer returned, unpadded, and each one's class (None: unknown)."""

    encoding: dict
    labels: list | None

    def __len__(self):
        return len(self.encoding["input_ids"])


class NotFinite(UserError):
    """A loss or a gradient is NaN or infinite; `rows`, if known, are the examples of the batch."""

    rows = ()


def set_seed(seed):
    """Seed every generator that a run draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def pick_device(name):
    """A torch.device from auto, cpu, cuda or mps. Only auto falls back; anything else must be there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[name]:
        raise UserError(
            f"there is no {name} device here; torch {torch.__version__} finds: "
            f"{', '.join(device for device in there if there[device])}"
        )
    return torch.device(name)


def autocast(device, precision):
    """The context in which a model computes: "fp32", all in float32; "bf16", matrices are multiplied in bfloat16."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


def default_rate(config):
    """The highest learning rate where nobody names one."""
    return LEARNING_RATES[config.option] * (2 if config.option == "flexible" and config.hidden_size < NARROW else 1)


def class_weights(labels, classes):
    """n / (C n_c) for each class c: rare classes weigh more, the mean over the examples is 1. Absent ones weigh 0."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)


def train_step(model, batch, optimizer, weight=None, max_grad_norm=1.0, precision="fp32"):
    """Forward, loss, backward, one step of the optimizer. Returns the loss, the mean over the batch.

    batch    a Batch, or any tuple of what the model is called with and the labels; of several processes all pass the
             whole batch, and each reads its share
    Raises NotFinite before any weight moves if the loss or its gradient is not finite.
    """
    rows, factor = parallel.share(batch[-1], weight)  # alone: all of them, and 1
    *inputs, labels = (tensor[rows] for tensor in batch)
    with autocast(labels.device, precision):
        logits = model(*inputs)  # [B, C]
    loss = factor * F.cross_entropy(logits.float(), labels, weight=weight)
    whole = parallel.mean(loss)
    optimizer.zero_grad()
    loss.backward()
    slope = clip(model.parameters(), max_grad_norm or math.inf)
    if not (whole.isfinite() and slope.isfinite()):
        what = f"the loss is {whole.item():g}, its gradient is {slope.item():g} long"
        raise NotFinite(f"{what}: training stopped before it could spoil the weights. A lower --lr helps")
    optimizer.step()
    return whole.item()


def train_epoch(
    model, stream, optimizer, rates, weight=None, max_grad_norm=1.0, precision="fp32", watch=lambda loss, rate: None
):
    """One pass over the batches of stream, each with the next learning rate of rates.

    watch  called after each batch with its loss and rate
    """
    model.train()
    for batch, rate in zip(stream, rates):  # stream first: at its end no rate of the next epoch is lost
        for group in optimizer.param_groups:
            group["lr"] = rate
        watch(train_step(model, batch, optimizer, weight, max_grad_norm, precision), rate)


def unwatched(stream, total=None):
    return stream


def predict(model, data, device="cpu", precision="fp32", progress=unwatched):
    """Logits [N, C] of all examples, in their order, without dropout.

    Texts of about the same length are read together, so the memory needed depends on the longest text alone.

    progress  wraps the stream of row numbers, of which there are total, to show them pass
    """
    return read(model, model, data, device, precision, progress)


def features(model, data, device="cpu", precision="fp32", progress=unwatched):
    """The same for what a classifier's last layer reads: [N, D]."""
    return read(model, model.features, data, device, precision, progress)


@torch.no_grad()
def read(model, function, data, device, precision, progress):
    """function of each example, [N, ...], with the model in evaluation mode."""
    model.eval()
    if not len(data):
        raise UserError("there is no text to read")
    order, found = [], []
    lengths = [len(row) for row in data.encoding["input_ids"]]
    for rows in parallel.deal(progress(by_length(lengths, TOKENS[torch.device(device).type]), len(data))):
        with autocast(device, precision):
            *inputs, _ = make_batch(data.encoding, None, rows).to(device)
            found.append(function(*inputs).float().cpu())
        order += rows
    order, found = parallel.gather(order), parallel.gather(found)
    return torch.cat(found)[torch.tensor(order).argsort()]


class FeatureBatch(NamedTuple):
    """Examples that a frozen encoder has read before."""

    features: torch.Tensor  # float32 [B, D]
    labels: torch.Tensor  # int64 [B]

    def to(self, device):
        return FeatureBatch(*(tensor.to(device) for tensor in self))


def fit(model, train, dev, settings, device="cpu", **watching):
    """Train for settings.epochs; leave in the model the weights of the epoch best on dev, or without dev the last.

    train, dev  Data; dev may be None
    watching    as in Run.go
    returns     the list of the epochs' figures, dicts: epoch, loss, train_seconds, best (the best so far), and with dev
                its accuracy, macro_f1 and evaluate_seconds
    """
    return Run(model, train, dev, settings, device, watching.get("reading", unwatched)).go(**watching)


class Run:
    """The training of a classifier, as `fit` does it, that can be stopped after any step and gone on with elsewhere.

    A frozen encoder gives the same vectors in each epoch, so it reads each text once, and the head learns from them.
    What a step reads depends on the seed and its number alone, and `state` is all else that it needs.
    """

    def __init__(self, model, train, dev, settings, device="cpu", reading=unwatched):
        for data in (train, dev):
            if data is not None and (data.labels is None or not len(data)):
                raise UserError("to train on and to choose by, texts with labels are needed")
        begin = time.perf_counter()
        self.model, self.settings, self.device = model.to(device), settings, torch.device(device)
        self.train, self.dev = train, dev
        self.way = (Frozen if model.config.option == "pretrain" else Flexible)(
            model, train, dev, settings, device, reading
        )
        with self.way.learning():
            self.student = parallel.wrap(self.way.learner, settings.seed)
            self.moving = {name: weight for name, weight in self.way.learner.named_parameters() if weight.requires_grad}
            self.optimizer = fused_adamw(parameter_groups(self.way.learner, settings.weight_decay), settings.lr)
        self.best = {}  # the weights of the epoch best on dev
        self.done = {"epochs": [], "steps": 0, "loss": 0.0, "decay": 1.0, "seconds": time.perf_counter() - begin}

    def go(self, progress=lambda stream, epoch, steps: stream, watch=None, report=None, reading=unwatched):
        """Train to the end. Returns the list of the epochs' figures.

        progress  wraps the batches of an epoch, of which so many steps are done, to show them pass
        watch     called with each batch's loss and learning rate, after the step
        report    called with each epoch's figures, as soon as they are known
        reading   `progress` of `predict`, where texts are read that nothing is learnt from
        """
        watch, report = watch or (lambda loss, rate: None), report or (lambda figures: None)
        while len(self.done["epochs"]) < self.settings.epochs:
            self.learn(progress, watch)
            self.judge(reading)
            report(self.done["epochs"][-1])
        if self.best:
            self.way.learner.load_state_dict(self.best)
        self.model.eval()
        return self.done["epochs"]

    def learn(self, progress, watch):
        """The steps of an epoch that are not done yet."""
        done, size, settings = self.done, len(self.train), self.settings
        epoch, number = len(done["epochs"]) + 1, settings.batch_size
        steps, total, warmup = settings.steps(size)
        order = epoch_order(size, settings.seed, epoch)
        schedule = SCHEDULES[settings.schedule]
        rates = (
            settings.lr * schedule(step, warmup, total) for step in range((epoch - 1) * steps + done["steps"], total)
        )
        weight = None
        if settings.balanced:
            weight = class_weights(self.train.labels, self.model.config.num_labels).to(self.device)
        clock = time.perf_counter()

        def count(loss, rate):
            nonlocal clock
            done["loss"] += loss * len(order[done["steps"] * number :][:number])
            done["steps"] += 1
            done["decay"] *= 1 - rate * settings.weight_decay
            clock, begin = time.perf_counter(), clock
            done["seconds"] += clock - begin
            watch(loss, rate)

        stream = progress(self.way.batches(order[done["steps"] * number :]), epoch, done["steps"])
        stream = (batch.to(self.device) for batch in stream)
        try:
            with self.way.learning():
                limits = settings.max_grad_norm, settings.precision
                train_epoch(self.student, stream, self.optimizer, rates, weight, *limits, count)
        except NotFinite as error:
            error.rows = order[done["steps"] * number :][:number].tolist()
            raise

    def judge(self, reading):
        """What an epoch has brought, its figures; and whether its weights are the best so far."""
        done, dev, begin = self.done, self.dev, time.perf_counter()
        self.way.decay(done["decay"])
        done["decay"] = 1.0
        figures = {"epoch": len(done["epochs"]) + 1, "loss": done["loss"] / len(self.train)}
        figures |= {"train_seconds": done["seconds"], "best": True}
        if dev is not None:
            predicted = self.way.predict(reading).argmax(-1).tolist()
            scores = score(dev.labels, predicted, [str(id) for id in range(self.model.config.num_labels)])
            figures |= {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
            figures["evaluate_seconds"] = time.perf_counter() - begin
            figures["best"] = all(scores.accuracy > epoch["accuracy"] for epoch in done["epochs"])
            if figures["best"]:
                self.best = copy.deepcopy(self.way.weights())
        done |= {"epochs": [*done["epochs"], figures], "steps": 0, "loss": 0.0, "seconds": 0.0}

    def state(self):
        """All that this process needs to go on from here: {name: tensor}, and a dict that JSON can hold.

        To be asked for between two steps. Of several processes each has to ask.
        """
        tensors = under("weight", self.way.weights()) | under("best", self.best)
        for name, weight in self.moving.items():
            tensors |= under(f"optimizer/{name}", self.optimizer.state[weight])
        for rank, states in enumerate(parallel.gather([random_states(self.device)])):
            tensors |= under(f"random/{rank}", states)
        return tensors, copy.deepcopy(self.done)

    def restore(self, tensors, done):
        """Go on from what `state` returned. Raises UserError, before anything moves, if it does not fit this run."""
        weights, best = self.way.weights(), part("best", tensors)
        fitting = under("weight", weights) | (under("best", weights) if best else {})
        for name, weight in self.moving.items():
            moments = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}  # names of torch's AdamW
            if part(f"optimizer/{name}", tensors):  # none, if nothing reads this weight: a pooler's, say
                fitting |= under(f"optimizer/{name}", moments)
        random = part(f"random/{parallel.rank()}", tensors)
        for name, state in random_states(self.device).items():
            fitting[f"random/{parallel.rank()}/{name}"] = state
        shapes = [
            {name: tensor.shape for name, tensor in each.items() if name in fitting or not name.startswith("random/")}
            for each in (tensors, fitting)
        ]
        kinds = [{name: type(value) for name, value in each.items()} for each in (done, self.done)]
        steps, _, _ = self.settings.steps(len(self.train))
        if shapes[0] != shapes[1] or kinds[0] != kinds[1] or not 0 <= done["steps"] <= steps:
            raise UserError("the saved state does not fit this run")
        self.way.learner.load_state_dict(part("weight", tensors))
        for name, weight in self.moving.items():
            moments = part(f"optimizer/{name}", tensors).items()
            self.optimizer.state[weight] = {moment: value.to(weight.device) for moment, value in moments}
        self.best, self.done = best, done
        set_random_states(random)


def under(prefix, tensors):
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def part(prefix, tensors):
    """What `under` has put there."""
    prefix += "/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def random_states(device):
    """Of the generators that dropout draws from, {"cpu": tensor} and the device's."""
    states = {"cpu": torch.get_rng_state()}
    return states if device.type == "cpu" else states | {device.type: torch.get_device_module(device).get_rng_state()}


def set_random_states(states):
    for device, state in states.items():
        (torch if device == "cpu" else torch.get_device_module(device)).set_rng_state(state)


class Flexible:
    """Everything learns: each batch goes through the whole model."""

    def __init__(self, model, train, dev, settings, device="cpu", reading=unwatched):
        self.learner, self.train, self.dev, self.settings = model, train, dev, settings
        self.how = device, settings.precision
        self.rows = UsedRows(model.bert.embeddings.token, itertools.chain(*train.encoding["input_ids"]))

    def batches(self, order):
        """The training examples in this order, as batches."""
        for batch in batches(self.train.encoding, self.train.labels, order, self.settings.batch_size):
            yield batch._replace(input_ids=self.rows.numbers[batch.input_ids])

    def learning(self):
        """The context in which steps are done."""
        return self.rows.alone()

    def decay(self, factor):
        """What the steps of an epoch do to weights that none of them reads."""
        self.rows.decay(factor)

    def weights(self):
        """The weights as they are, {name: tensor}."""
        self.rows.put_back()
        return self.learner.state_dict() | {"bert.embeddings.token.weight": self.rows.full_weight.detach()}

    def predict(self, reading=unwatched):
        """Logits [N, C] of the dev examples."""
        return predict(self.learner, self.dev, *self.how, reading)


class Frozen:
    """The encoder does not learn: it reads each text once, and the layers after it learn from what it read."""

    def __init__(self, model, train, dev, settings, device="cpu", reading=unwatched):
        self.learner = nn.Sequential(model.dropout, model.classifier)
        how = device, settings.precision, reading
        self.vectors = [None if data is None else features(model, data, *how) for data in (train, dev)]  # [N, D]
        self.labels = torch.tensor(train.labels)
        self.settings, self.device = settings, device

    def batches(self, order):
        for start in range(0, len(order), self.settings.batch_size):
            rows = torch.from_numpy(order[start : start + self.settings.batch_size])
            yield FeatureBatch(self.vectors[0][rows], self.labels[rows])

    def learning(self):
        return nullcontext()

    def decay(self, factor):
        """Nothing: each step reads all weights that learn."""

    def weights(self):
        return self.learner.state_dict()

    @torch.no_grad()
    def predict(self, reading=unwatched):
        self.learner.eval()
        with autocast(self.device, self.settings.precision):
            return self.learner(self.vectors[1].to(self.device)).float().cpu()
