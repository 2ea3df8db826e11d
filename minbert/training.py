"""The step that a model learns by; an epoch of steps; predictions. Returns numbers and prints nothing."""

import math
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minbert.batch import by_length, make_batch
from minbert.errors import UserError
from minbert.optimizer import clip

# Tokens per batch in inference. More is slower on a CPU: it no longer fits the cache.
TOKENS = {"cpu": 2048, "mps": 8192, "cuda": 32768}


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

    def steps(self, examples: int) -> tuple[int, int, int]:
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


def train_step(model, batch, optimizer, weight=None, max_grad_norm=1.0, precision="fp32") -> float:
    """One step of training: forward, loss, backward, update. Returns the loss, the mean over the batch.

    batch   a Batch, or any tuple of what the model is called with and the labels
    weight  of each class, [C]
    Raises NotFinite, before any weight moves, if the loss or its gradient is not finite.
    """
    loss = batch_loss(model, batch, weight, precision)
    update(model, loss, optimizer, max_grad_norm)
    return loss.item()


def batch_loss(model, batch, weight=None, precision="fp32") -> Tensor:
    """Forward, and the cross-entropy, a mean over the batch."""
    *inputs, labels = batch
    with autocast(labels.device, precision):
        logits = model(*inputs)  # [B, C]
    return F.cross_entropy(logits.float(), labels, weight=weight)


def update(model, loss, optimizer, max_grad_norm=1.0, clip=clip) -> None:
    """Backward, clipping (to None: not at all), a step of the optimizer. Raises NotFinite as train_step does."""
    optimizer.zero_grad()
    loss.backward()
    norm = clip(model.parameters(), max_grad_norm or math.inf)
    if not (loss.isfinite() and norm.isfinite()):
        values = f"the loss is {loss.item():g}, its gradient norm is {norm.item():g}"
        raise NotFinite(f"{values}; stopped before updating the weights. A lower --lr helps")
    optimizer.step()


def set_rate(optimizer, rate: float) -> None:
    """Let the optimizer take its next step with this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def train_epoch(
    model, stream, optimizer, rates, weight=None, max_grad_norm=1.0, precision="fp32", watch=lambda loss, rate: None
) -> None:
    """One pass over the batches of stream, each with the next learning rate of rates.

    watch  called after each batch with its loss and rate
    """
    model.train()
    for batch, rate in zip(stream, rates):  # stream first: at its end no rate of the next epoch is lost
        set_rate(optimizer, rate)
        watch(train_step(model, batch, optimizer, weight, max_grad_norm, precision), rate)


def no_bar(stream, total=None):
    return stream


def predict(model, data: Data, device="cpu", precision="fp32", bar=no_bar) -> Tensor:
    """Logits [N, C] of all examples, in their order, without dropout.

    Texts of about the same length are read together: a batch takes memory for TOKENS tokens, or for a longer text.

    bar  wraps the batches, lists of row numbers, to show them pass; `total` is the number of all rows
    """
    return in_order(*read(model, model, data, device, precision, bar))


def features(model, data: Data, device="cpu", precision="fp32", bar=no_bar) -> Tensor:
    """The same for what a classifier's last layer reads: [N, D]."""
    return in_order(*read(model, model.features, data, device, precision, bar))


def read(model, function, data: Data, device, precision, bar, each=map, tokens=None) -> tuple[list, list]:
    """Call function on each batch, in evaluation mode -> row numbers in the order read; a list of its results [B, ...].

    each, tokens  map, or another function that gives the same; the limit for a batch of several texts, else TOKENS
    """
    if not len(data):
        raise UserError("there is no text to read")
    if any(part.training for part in model.modules()):
        model.eval()

    def read_batch(rows):
        with torch.no_grad(), autocast(device, precision):
            *inputs, _ = make_batch(data.encoding, None, rows).to(device)
            return rows, function(*inputs).float().cpu()

    lengths = [len(row) for row in data.encoding["input_ids"]]
    batches = by_length(lengths, tokens or TOKENS[torch.device(device).type])
    found = list(each(read_batch, bar(batches, len(data))))
    return [row for rows, _ in found for row in rows], [outputs for _, outputs in found]


def in_order(order, found) -> Tensor:
    """The rows of `read`, sorted by their numbers: [N, ...]"""
    return torch.cat(found)[torch.tensor(order).argsort()]


def set_seed(seed: int) -> None:
    """Seed every generator that a run draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def autocast(device, precision: str):
    """The context in which a model computes: "fp32", all in float32; "bf16", matrices are multiplied in bfloat16."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


def class_weights(labels: list, classes: int) -> Tensor:
    """n / (C n_c) for each class c: rare classes weigh more, the mean over the examples is 1. Absent ones weigh 0."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)
