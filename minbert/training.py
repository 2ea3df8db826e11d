"""One epoch, an evaluation, a run. Returns numbers and prints nothing."""

import copy
import math
import random
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minbert import parallel
from minbert.batch import batches, by_length, epoch_order, make_batch
from minbert.errors import UserError
from minbert.metrics import score
from minbert.optimizer import SCHEDULES, clip, fused_adamw, parameter_groups

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
    Raises UserError before any weight moves if the loss is not finite.
    """
    rows, factor = parallel.share(batch[-1], weight)  # alone: all of them, and 1
    *inputs, labels = (tensor[rows] for tensor in batch)
    with autocast(labels.device, precision):
        logits = model(*inputs)  # [B, C]
    loss = factor * F.cross_entropy(logits.float(), labels, weight=weight)
    whole = parallel.mean(loss)
    if not whole.isfinite():
        raise UserError(
            f"the loss is {whole.item()}: training stopped before it could spoil the weights. A lower --lr helps"
        )
    optimizer.zero_grad()
    loss.backward()
    if max_grad_norm:
        clip(model.parameters(), max_grad_norm)
    optimizer.step()
    return whole.item()


def train_epoch(
    model, stream, optimizer, rates, weight=None, max_grad_norm=1.0, precision="fp32", watch=lambda loss, rate: None
):
    """One pass over the batches of stream, each with the next learning rate of rates.

    watch    called with each batch's loss and rate
    returns  the mean loss of an example (with weight: of the batches' weighted means)
    """
    model.train()
    loss_sum, examples = 0.0, 0
    for batch, rate in zip(stream, rates):  # stream first: at its end no rate of the next epoch is lost
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = train_step(model, batch, optimizer, weight, max_grad_norm, precision)
        watch(loss, rate)
        loss_sum += loss * len(batch.labels)
        examples += len(batch.labels)
    return loss_sum / examples


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


def fit(
    model,
    train,
    dev,
    settings,
    device="cpu",
    progress=lambda stream, epoch: stream,
    watch=None,
    report=None,
    reading=unwatched,
):
    """Train for settings.epochs; leave in the model the weights of the epoch best on dev, or without dev the last.

    A frozen encoder gives the same vectors in each epoch, so it reads each text once, and the head learns from them.

    train, dev  Data; dev may be None
    progress    wraps the batches of an epoch, to show them pass
    watch       called with each batch's loss and learning rate
    report      called with each epoch's figures, a dict, as soon as they are known
    reading     `progress` of `predict`, where texts are read that nothing is learnt from
    returns     the list of these: epoch, loss, train_seconds, best (the best so far), and with dev its accuracy,
                macro_f1 and evaluate_seconds
    """
    for data in (train, dev):
        if data is not None and (data.labels is None or not len(data)):
            raise UserError("to train on and to choose by, texts with labels are needed")
    watch, report = watch or (lambda loss, rate: None), report or (lambda figures: None)
    model.to(device)
    begin = time.perf_counter()
    way = (Frozen if model.config.option == "pretrain" else Flexible)(model, train, dev, settings, device, reading)
    learner = way.learner
    _, total, warmup = settings.steps(len(train))
    student = parallel.wrap(learner, settings.seed)
    optimizer = fused_adamw(parameter_groups(learner, settings.weight_decay), settings.lr)
    rates = (settings.lr * SCHEDULES[settings.schedule](step, warmup, total) for step in range(total))
    classes = model.config.num_labels
    weight = class_weights(train.labels, classes).to(device) if settings.balanced else None
    history, best = [], None
    for epoch in range(1, settings.epochs + 1):
        stream = way.batches(epoch_order(len(train), settings.seed, epoch))
        stream = (batch.to(device) for batch in progress(stream, epoch))
        limits = settings.max_grad_norm, settings.precision
        loss = train_epoch(student, stream, optimizer, rates, weight, *limits, watch)
        figures = {"epoch": epoch, "loss": loss, "train_seconds": time.perf_counter() - begin, "best": True}
        begin = time.perf_counter()
        if dev is not None:
            predicted = way.predict().argmax(-1).tolist()
            scores = score(dev.labels, predicted, [str(id) for id in range(classes)])
            figures |= {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
            figures["evaluate_seconds"] = time.perf_counter() - begin
            figures["best"] = best is None or scores.accuracy > best[0]
            if figures["best"]:
                best = (scores.accuracy, copy.deepcopy(learner.state_dict()))
        history.append(figures)
        report(figures)
        begin = time.perf_counter()
    if best:
        learner.load_state_dict(best[1])
    model.eval()
    return history


class Flexible:
    """Everything learns: each batch goes through the whole model."""

    def __init__(self, model, train, dev, settings, device="cpu", reading=unwatched):
        self.learner, self.train, self.dev, self.settings = model, train, dev, settings
        self.how = device, settings.precision, reading

    def batches(self, order):
        """The training examples in this order, as batches."""
        return batches(self.train.encoding, self.train.labels, order, self.settings.batch_size)

    def predict(self):
        """Logits [N, C] of the dev examples."""
        return predict(self.learner, self.dev, *self.how)


class Frozen:
    """The encoder does not learn: it reads each text once, and the layers after it learn from what it read."""

    def __init__(self, model, train, dev, settings, device="cpu", reading=unwatched):
        self.learner = nn.Sequential(model.dropout, model.classifier)
        how = device, settings.precision, reading
        self.vectors = [None if data is None else features(model, data, *how) for data in (train, dev)]  # [N, D]
        self.labels = torch.tensor(train.labels)
        self.settings, self.device = settings, device

    def batches(self, order):
        for rows in torch.from_numpy(order).split(self.settings.batch_size):
            yield FeatureBatch(self.vectors[0][rows], self.labels[rows])

    @torch.no_grad()
    def predict(self):
        self.learner.eval()
        with autocast(self.device, self.settings.precision):
            return self.learner(self.vectors[1].to(self.device)).float().cpu()
