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

LEARNING_RATES = {"pretrain": 1e-3, "flexible": 5e-5}  # defaults of --lr: a new linear layer alone, or all of BERT


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


def class_weights(labels, classes):
    """n / (C n_c) for each class c: rare classes weigh more, the mean weight of an example is 1. Absent ones weigh 0."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)


def train_step(model, batch, optimizer, weight=None, max_grad_norm=1.0):
    """Forward, loss, backward, one step of the optimizer. Returns the loss, the mean over the batch.

    Raises UserError before any weight moves if the loss is not finite.
    """
    logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)  # [B, C]
    loss = F.cross_entropy(logits, batch.labels, weight=weight)
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


@torch.no_grad()
def predict(model, data, batch_size, device="cpu", pad_token_id=0):
    """Logits [N, C] of all examples, in their order, without dropout."""
    model.eval()
    order = range(len(data))
    return torch.cat(
        [
            model(*batch.to(device)[:3]).float().cpu()
            for batch in batches(data.encoding, None, order, batch_size, pad_token_id)
        ]
    )


def fit(
    model,
    train,
    dev,
    settings,
    device="cpu",
    pad_token_id=0,
    progress=lambda batches, epoch: batches,
    report=lambda epoch: None,
):
    """Train for settings.epochs and leave in the model the weights of the epoch that was best on dev (without: the last).

    progress  wraps an epoch's batches and may show them; its .set_postfix(loss=, lr=), if any, is called
    report    called with each epoch's figures, a dict, as soon as they are known
    returns   the list of these: epoch, loss (mean over examples), seconds, accuracy and macro_f1 on dev, best
    """
    model.to(device)
    per_epoch, total, warmup = settings.steps(len(train))
    rate = SCHEDULES[settings.schedule]
    optimizer = AdamW(parameter_groups(model, settings.weight_decay), lr=settings.lr)
    names = range(model.config.num_labels)
    weight = class_weights(train.labels, len(names)).to(device) if settings.balanced else None
    history, best, step = [], None, 0
    for epoch in range(1, settings.epochs + 1):
        begin, loss_sum = time.perf_counter(), 0.0
        model.train()
        order = epoch_order(len(train), settings.seed, epoch)
        stream = batches(train.encoding, train.labels, order, settings.batch_size, pad_token_id)
        bar = progress(stream, epoch)
        for batch in bar:
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * rate(step, warmup, total)
            loss = train_step(model, batch.to(device), optimizer, weight, settings.max_grad_norm)
            loss_sum += loss * len(batch.labels)
            step += 1
            if hasattr(bar, "set_postfix"):
                bar.set_postfix(loss=f"{loss:.4f}", lr=f"{optimizer.param_groups[0]['lr']:.1e}", refresh=False)
        figures = {"epoch": epoch, "loss": loss_sum / len(train), "seconds": time.perf_counter() - begin}
        if dev is not None:
            predicted = predict(model, dev, settings.batch_size, device, pad_token_id).argmax(-1).tolist()
            scores = score(dev.labels, predicted, [str(name) for name in names])
            figures |= {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
        figures["best"] = best is None or dev is None or figures["accuracy"] > best[0]
        if figures["best"]:
            best = (figures.get("accuracy"), copy.deepcopy(model.state_dict()) if dev is not None else None)
        history.append(figures)
        report(figures)
    if best and best[1] is not None:
        model.load_state_dict(best[1])
    model.eval()
    return history
