"""One epoch, an evaluation, a run. Returns numbers and prints nothing."""

import copy
import math
import random
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from minbert.batch import batches, epoch_order
from minbert.errors import UserError
from minbert.metrics import score
from minbert.optimizer import SCHEDULES, AdamW, parameter_groups

LEARNING_RATES = {"pretrain": 1e-3, "flexible": 5e-5}  # a new linear layer alone, or all of BERT
NARROW = (
    384  # below this hidden size, twice as much: checkpoints/tiny does better on SST-2's dev set with 1e-4 than 3e-4
)


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

    Raises UserError before any weight moves if the loss is not finite.
    """
    with autocast(batch.input_ids.device, precision):
        logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)  # [B, C]
    loss = F.cross_entropy(logits.float(), batch.labels, weight=weight)
    if not loss.isfinite():
        raise UserError(
            f"the loss is {loss.item()}: training stopped before it could spoil the weights. A lower --lr helps"
        )
    optimizer.zero_grad()
    loss.backward()
    if max_grad_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return loss.item()


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


@torch.no_grad()
def predict(model, data, batch_size, device="cpu", precision="fp32"):
    """Logits [N, C] of all examples, in their order, without dropout."""
    model.eval()
    stream = batches(data.encoding, None, range(len(data)), batch_size)
    with autocast(device, precision):
        return torch.cat([model(*batch.to(device)[:3]).float().cpu() for batch in stream])


def fit(model, train, dev, settings, device="cpu", progress=lambda stream, epoch: stream, watch=None, report=None):
    """Train for settings.epochs; leave in the model the weights of the epoch best on dev, or without dev the last.

    train, dev  Data; dev may be None
    progress    wraps the batches of an epoch, to show them pass
    watch       called with each batch's loss and learning rate
    report      called with each epoch's figures, a dict, as soon as they are known
    returns     the list of these: epoch, loss, train_seconds, best (the best so far), and with dev its accuracy,
                macro_f1 and evaluate_seconds
    """
    watch, report = watch or (lambda loss, rate: None), report or (lambda figures: None)
    model.to(device)
    _, total, warmup = settings.steps(len(train))
    optimizer = AdamW(parameter_groups(model, settings.weight_decay), lr=settings.lr)
    rates = (settings.lr * SCHEDULES[settings.schedule](step, warmup, total) for step in range(total))
    classes = model.config.num_labels
    weight = class_weights(train.labels, classes).to(device) if settings.balanced else None
    history, best = [], None
    for epoch in range(1, settings.epochs + 1):
        begin = time.perf_counter()
        order = epoch_order(len(train), settings.seed, epoch)
        stream = batches(train.encoding, train.labels, order, settings.batch_size)
        stream = (batch.to(device) for batch in progress(stream, epoch))
        limits = settings.max_grad_norm, settings.precision
        loss = train_epoch(model, stream, optimizer, rates, weight, *limits, watch)
        figures = {"epoch": epoch, "loss": loss, "train_seconds": time.perf_counter() - begin, "best": True}
        if dev is not None:
            begin = time.perf_counter()
            logits = predict(model, dev, settings.batch_size, device, settings.precision)
            predicted = logits.argmax(-1).tolist()
            scores = score(dev.labels, predicted, [str(id) for id in range(classes)])
            figures |= {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
            figures["evaluate_seconds"] = time.perf_counter() - begin
            figures["best"] = best is None or scores.accuracy > best[0]
            if figures["best"]:
                best = (scores.accuracy, copy.deepcopy(model.state_dict()))
        history.append(figures)
        report(figures)
    if best:
        model.load_state_dict(best[1])
    model.eval()
    return history
