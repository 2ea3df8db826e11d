"""The training of a classifier, in three modes. The step is in minbert/training.py, the loop in loop.py."""

import copy
import itertools
import time
from typing import NamedTuple

import torch
from torch import nn

from minbert import fast, training
from minbert.batch import make_batch
from minbert.errors import UserError
from minbert.fast.optimizer import clip as fast_clip
from minbert.fast.optimizer import fused_adamw
from minbert.fast.rows import UsedRows
from minbert.optimizer import AdamW, clip, parameter_groups
from minbert.runs import parallel
from minbert.runs.epochs import Epochs
from minbert.runs.loop import Loop
from minbert.tasks import BY_PROBLEM
from minbert.training import Data, Settings, autocast, class_weights, no_bar


def fit(model, train, dev, settings, device="cpu", plain=False, bar=no_bar, task=None, **callbacks) -> list:
    """Train for settings.epochs; leave in the model the weights of the epoch best on dev, or without dev the last.

    train, dev  Data; dev may be None
    plain       the written-out way: AdamW and clipping of minbert/optimizer.py, the whole embedding
    bar         as in training.predict, for texts that are only read
    task        what is learnt, a tasks.Task; None: as the config of a classifier says
    callbacks   watch, report, autosave of Loop.train
    returns     the list of the epochs' figures, dicts: epoch, loss, train_seconds, best (the best so far), and with dev
                its scores, such as accuracy, and evaluate_seconds
    """
    return begin(model, train, dev, settings, device, plain, bar, task).train(bar=bar, **callbacks)


def begin(
    model, train: Data, dev: Data | None, settings: Settings, device="cpu", plain=False, bar=no_bar, task=None
) -> Loop:
    """The loop that `fit` runs, before its first step."""
    task = task or BY_PROBLEM[model.config.problem_type]
    for data in (train, dev):
        if data is not None and (data.labels is None or not len(data)):
            raise UserError("to train on and to choose by, texts with labels are needed")
    frozen = model.config.option == "pretrain"
    mode = FlexibleOnUsedRows if hasattr(model, "bert") and not (plain or frozen) else Flexible  # no faster decoder
    if frozen and hasattr(model, "features"):  # a head that reads each token has too much to remember
        mode = Frozen
    return Loop(mode(model.to(device), train, dev, settings, device, plain, bar, task), device)


class Classifier(Epochs):
    """What the modes of training have in common: epochs, batches, and the choice of the best epoch on dev."""

    def __init__(self, model, train, dev, settings, device, plain, bar, task):
        began = time.perf_counter()
        self.model, self.train, self.dev, self.settings, self.device = model, train, dev, settings, device
        self.best = {}  # the weights of the epoch best on dev
        self.answers, self.names = task, task.stored(model.config)
        if model.new_output:
            self.answers.prepare(model, train.labels)
        self.class_weights = None
        if settings.balanced:
            self.class_weights = class_weights(train.labels, model.config.num_labels).to(device)
        self.module = self.prepare(bar)
        with self.steps():
            self.wrapped = parallel.wrap(self.module, settings.seed)
            groups = parameter_groups(self.module, settings.weight_decay)
            self.optimizer = AdamW(groups, settings.lr) if plain else fused_adamw(groups, settings.lr)
        self.clip = clip if plain else fast_clip
        # "loss" is summed over the examples of the epoch, "decay" is what its steps leave of a weight without gradient
        self.start = {"loss": 0.0, "decay": 1.0, "seconds": time.perf_counter() - began}

    def loss(self, progress):
        batch, factor = parallel.share(self.batch(self.rows(progress)), self.counted)
        *inputs, labels = batch.to(self.device)
        with autocast(self.device, self.settings.precision):
            logits = self.wrapped(*inputs)
        loss = self.answers.mean(logits, labels, self.class_weights)
        return parallel.mean(factor * loss), {}

    def counted(self, labels):
        """How much labels of a batch count in the loss, which is a mean."""
        return self.answers.count(labels.to(self.device), self.class_weights)

    def count(self, progress, figures, rate):
        super().count(progress, figures, rate)
        progress["decay"] *= 1 - rate * self.settings.weight_decay

    def measure(self, progress, bar):
        """The figures of an epoch. Its weights are kept if they are the best so far."""
        begin = time.perf_counter()
        self.end_epoch(progress["decay"])
        progress["decay"] = 1.0
        history = progress["history"]
        figures = {"epoch": len(history) + 1, "loss": progress["loss"] / len(self.train)}
        figures |= {"train_seconds": progress["seconds"], "best": True}
        if self.dev is not None:
            scores = self.answers.score(self.dev.labels, self.predict(bar), self.names)
            figures |= {name: scores[name] for name in self.answers.shown}
            figures["evaluate_seconds"] = time.perf_counter() - begin
            figures["best"] = all(self.answers.value(figures) > self.answers.value(epoch) for epoch in history)
            if figures["best"]:
                self.best = copy.deepcopy(self.current())
        progress |= {"loss": 0.0, "seconds": 0.0}
        return figures

    def weights(self):
        return {"weight": self.current(), "best": self.best}

    def load(self, weights):
        super().load(weights)
        self.best = weights["best"]

    def finish(self):
        if self.best:
            self.module.load_state_dict(self.best)
        self.model.eval()

    def current(self):
        """The weights as they are, {name: tensor}."""
        return self.module.state_dict()

    def end_epoch(self, decay):
        """What is left to do when the steps of an epoch are done."""


class Flexible(Classifier):
    """Everything learns: each batch goes through the whole model."""

    def prepare(self, bar):
        return self.model

    def batch(self, rows):
        batch = make_batch(self.train.encoding, None, rows)
        return batch._replace(labels=self.answers.collate(self.train.labels, rows, batch.input_ids.size(1)))

    def predict(self, bar):
        """Logits of the dev examples, as `predict` gives them."""
        return predict(self.model, self.dev, self.device, self.settings.precision, bar)


class FlexibleOnUsedRows(Flexible):
    """The same, faster: rows of the embedding that no text reads do not take part in the steps."""

    def prepare(self, bar):
        self.used = UsedRows(self.model.bert.embeddings.token, itertools.chain(*self.train.encoding["input_ids"]))
        return self.model

    def steps(self):
        return self.used.alone()

    def batch(self, rows):
        batch = super().batch(rows)
        return batch._replace(input_ids=self.used.numbers[batch.input_ids])

    def end_epoch(self, decay):
        self.used.decay(decay)

    def current(self):
        self.used.put_back()
        return self.module.state_dict() | {"bert.embeddings.token.weight": self.used.full_weight.detach()}


class Frozen(Classifier):
    """The encoder does not learn: it reads each text once, and the layers after it learn from what it read."""

    def prepare(self, bar):
        options = self.device, self.settings.precision, bar
        data = self.train, self.dev
        self.vectors = [None if each is None else features(self.model, each, *options) for each in data]  # [N, D]
        self.labels = self.answers.collate(self.train.labels, range(len(self.train)), 0)
        return nn.Sequential(self.model.dropout, self.model.classifier)

    def batch(self, rows):
        return FeatureBatch(self.vectors[0][rows], self.labels[rows])

    @torch.no_grad()
    def predict(self, bar):
        self.module.eval()
        with autocast(self.device, self.settings.precision):
            return self.module(self.vectors[1].to(self.device)).float().cpu()


class FeatureBatch(NamedTuple):
    """Examples that a frozen encoder has read before."""

    features: torch.Tensor  # float32 [B, D]
    labels: torch.Tensor  # [B, ...], as the task's collate makes them

    def to(self, device):
        return FeatureBatch(*(tensor.to(device) for tensor in self))


def predict(model, data, device="cpu", precision="fp32", bar=no_bar):
    """training.predict, shared out among the processes: [N, C]. Of a head that reads each token, a list of N tensors,
    each with the padding of the batch that it was read in."""
    return read(model, model, data, device, precision, bar)


def features(model, data, device="cpu", precision="fp32", bar=no_bar) -> torch.Tensor:
    """training.features, shared out among the processes."""
    return read(model, model.features, data, device, precision, bar)


def read(model, function, data, device, precision, bar):
    def share(stream, total):
        return parallel.deal(bar(stream, total))

    how = fast.at_once(model, data.encoding)
    order, found = training.read(model, function, data, device, precision, share, **how)
    order, found = parallel.gather(order), parallel.gather(found)
    if found[0].dim() == 2:
        return training.in_order(order, found)
    rows = dict(zip(order, (row for batch in found for row in batch)))
    return [rows[at] for at in range(len(rows))]
