"""A BERT as a system of the ladder: frozen, with a new last layer, or flexible, with all of it learning.

It learns by the loop of minbert train. A tenth of each training part, in whole groups, is held out to choose the best
epoch by; a test part chooses nothing.
"""

from pathlib import Path

import numpy as np
import torch

from minbert.errors import UserError
from minbert.runs import classifier, state
from minbert.runs.loop import Loop
from minbert.study.folds import inner_part
from minbert.study.frozen import Reader
from minbert.tasks import BY_PROBLEM
from minbert.training import Settings, no_bar, set_seed

OPTIONS = {"frozen": "pretrain", "flexible": "flexible"}
HELD_OUT = 10  # one of so many parts chooses the epoch


class Cached(classifier.Frozen):
    """The frozen mode, with features that were computed before."""

    def prepare(self, bar):
        self.vectors = [None if data is None else data.features for data in (self.train, self.dev)]
        self.labels = self.answers.collate(self.train.labels, range(len(self.train)), 0)
        return torch.nn.Sequential(self.model.dropout, self.model.classifier)


class Bert:
    """reader: a frozen.Reader of all texts; mode: "frozen" or "flexible"; settings: lr and epochs, by default the first
    of its space. `place`, `stop`: a file where a flexible training keeps its state after each epoch, and the
    runs.state.Stop that may end it; None: it keeps nothing.
    """

    random, most_settings = True, 6

    def __init__(self, reader: Reader, mode: str, space: dict, batch_size=16, settings=None):
        self.reader, self.mode, self.space, self.batch_size = reader, mode, space, batch_size
        self.settings = {name: values[0] for name, values in space.items()} | (settings or {})
        self.place, self.stop = None, None

    def with_settings(self, settings):
        return Bert(self.reader, self.mode, self.space, self.batch_size, settings)

    def prepare(self, texts):
        """Read all texts, once, before the folds are shared out."""
        if self.mode == "frozen":
            self.reader.all_features()

    def fit(self, texts, labels, groups, seed):
        held = inner_part(labels, groups, HELD_OUT, seed)
        labels = np.asarray(labels)
        parts = [([text for text, there in zip(texts, part) if there], labels[part]) for part in (~held, held)]
        return self.train(*parts, seed)

    def train(self, train, dev, seed):
        """train, dev: (texts, labels). The best epoch on dev stays, as in minbert train with the same files."""
        frozen = self.mode == "frozen"
        settings = Settings(batch_size=self.batch_size, seed=seed, **self.settings)
        data = [self.reader.data(*part, frozen=frozen) for part in (train, dev)]
        set_seed(seed)
        self.model = self.reader.load(OPTIONS[self.mode])
        if frozen:
            task, device = BY_PROBLEM[self.model.config.problem_type], self.reader.device
            loop = Loop(Cached(self.model, *data, settings, device, False, no_bar, task), device)
        else:
            loop = classifier.begin(self.model, *data, settings, self.reader.device)
        loop.train(autosave=self.resumed(loop))
        if self.place is not None:
            Path(self.place).unlink(missing_ok=True)
        return self

    def resumed(self, loop):
        """Let a loop go on where it was stopped; returns what saves it, or None where nothing is to be kept."""
        if self.stop is None or self.mode == "frozen":
            return None
        facts = {"settings": self.settings, "texts": len(loop.task.train)}
        if Path(self.place).exists():
            tensors, saved = state.load_state(self.place)
            progress = saved.pop("progress")
            if saved != facts:
                raise UserError(f"{self.place}: is the state of another training: remove it")
            loop.restore(tensors, progress)
        return state.Autosave(self.place, loop.state, facts, 10, self.stop)

    def predict_proba(self, texts):
        data = self.reader.data(texts, frozen=self.mode == "frozen")
        if self.mode == "frozen":
            with torch.no_grad():
                logits = self.model.classifier(data.features.to(self.reader.device)).float().cpu()
        else:
            logits = classifier.predict(self.model, data, self.reader.device)
        return logits.softmax(-1).double().numpy()
