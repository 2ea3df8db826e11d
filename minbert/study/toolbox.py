"""Makes the systems of a study from its flags, and says what each of them depends on. Models are read when needed."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import minbert
from minbert.study import classic, systems
from minbert.study.bert import OPTIONS, Bert
from minbert.study.frozen import Reader, glove, refuse_what_was_learnt


class Toolbox:
    """args: the flags of minbert study compare; data: the Dataset; folder: where features are kept
    rate: (option, hidden size) -> the default learning rate of minbert train
    """

    def __init__(self, args, data, folder, rate):
        self.args, self.data, self.folder, self.rate = args, data, folder, rate
        self.reader = None
        self.kit = systems.Kit(
            classes=len(data.names),
            vectors=self.vectors,
            bert=self.bert,
            cuts=tuple(args.lexicon_cuts) if args.lexicon_cuts else None,
        )
        self.word_vectors = glove(args.vectors) if args.vectors else None

    def make(self, name):
        return systems.make(name, self.kit)

    def read(self):
        """The Reader of the model, made once."""
        if self.reader is None:
            from minbert.runs.selftest import pick_device

            args = self.args
            device = pick_device(args.device)
            self.reader = Reader(
                args.model, self.data.texts, self.data.names, args.max_length, 0.3, device, self.folder
            )
            refuse_what_was_learnt(self.reader.directory, self.data.texts)
        return self.reader

    def vectors(self, texts):
        return self.word_vectors(texts) if self.word_vectors else self.read().mean_embeddings(texts)

    def bert(self, mode):
        reader, epochs = self.read(), self.args.epochs
        rate = self.rate(OPTIONS[mode], reader.config.hidden_size)
        if mode == "frozen":
            # Its features are read once, so epochs cost nothing, and few texts need many steps of a high rate.
            space = {"lr": [10 * rate, 3 * rate, rate], "epochs": [4 * epochs, epochs]}
        else:
            space = {"lr": [rate, rate / 2, 2 * rate], "epochs": [epochs, 2 * epochs]}
        return Bert(reader, mode, space, self.args.batch_size)

    def facts(self):
        """What every unit depends on: {kind: JSON}."""
        versions = {name: version(name) for name in ("numpy", "scikit-learn", "scipy")}
        return {
            "data": [self.data.sha256, len(self.data)],
            "labels": list(self.data.names),
            "seed": self.args.seed,
            "versions": versions | {"minbert": minbert.__version__},
        }

    def own_facts(self, name) -> dict:
        """What the units of one system depend on besides."""
        kind, _, rest = name.partition(":")
        facts = {"cuts": self.kit.cuts} if kind in ("vader", "words") else {}
        if kind == "words":
            facts["words"] = sha256(rest)
        if name.endswith("+vectors") and self.args.vectors:
            facts["vectors"] = sha256(self.args.vectors)
        elif name.endswith("+vectors") or kind == "bert":
            facts |= {"model": self.read().facts(), "torch": version("torch")}
        if kind == "bert":
            facts |= {"epochs": self.args.epochs, "batch_size": self.args.batch_size}
        if name.startswith("xgb+"):
            facts["xgboost"] = classic.xgboost_package().__version__
        return facts


def sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
