"""Texts as a model reads them, once for all folds: their ids, the vectors of a frozen encoder, the mean of their words.

A frozen encoder has seen no labels, so reading all texts before they are divided leaks nothing. A checkpoint that was
itself trained on labels is another matter: `learnt_from` finds its training texts, for a study to refuse it.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minbert import families, fast, losses, tokenizer_files, tokenizers, training
from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.files.examples import read_examples
from minbert.jsonfile import read_json
from minbert.runs import classifier
from minbert.study import duplicates
from minbert.weights import hub
from minbert.weights.folders import weight_files

HOW = ("format", "text_column", "label_column", "no_header", "encoding", "quoting", "pair_column")


@dataclass
class ReadData(training.Data):
    """Examples, and what a frozen encoder has made of them, [N, D]; None: not read."""

    features: Tensor | None = None


class Reader:
    """A model, and all texts of a study as it reads them."""

    def __init__(self, name, texts, names, max_length=None, dropout=0.3, device="cpu", cache=None):
        """texts: all of them; names: of the classes; cache: a folder for features, which take long to compute"""
        self.name, self.names, self.device, self.cache = name, tuple(names), torch.device(device), cache
        self.directory = hub.find(name)
        self.config = families.read_config(self.directory)
        self.dropout, self.cut = dropout, ""
        with tokenizer_files.quietly():
            self.tokenizer = fast.swap_in(tokenizers.from_pretrained(self.directory))
        self.longest = min(max_length or self.tokenizer.max_length, self.config.most_tokens)
        self.texts = list(dict.fromkeys(texts))
        self.number = {text: at for at, text in enumerate(self.texts)}
        self.encoding, self.features, self.means = self.encode(), None, None

    def encode(self):
        """The ids of all texts, unpadded; `cut` says how many were too long, if any."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoding = self.tokenizer(*self.columns(), truncation=True, max_length=self.longest)
        self.cut = " ".join(str(warning.message) for warning in caught)
        if self.config.type_vocab_size < 2:
            encoding["token_type_ids"] = [[0] * len(row) for row in encoding["token_type_ids"]]
        return encoding

    def columns(self):
        """The texts as the tokenizer takes them: one list, or two of pairs."""
        return tuple(map(list, zip(*self.texts))) if isinstance(self.texts[0], tuple) else (self.texts,)

    def load(self, option: str):
        """A new classifier with the weights of the checkpoint; its head is drawn from torch's generator."""
        changes = {"labels": self.names, "problem_type": losses.ONE, "option": option}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = families.load(self.directory, "classifier", classifier_dropout=self.dropout, **changes)
        return fast.swap_in(model).to(self.device)

    def data(self, texts, labels=None, frozen=False) -> ReadData:
        """Some of the texts, as training takes them."""
        rows = [self.number[text] for text in texts]
        encoding = {name: [values[row] for row in rows] for name, values in self.encoding.items()}
        labels = None if labels is None else [int(label) for label in labels]
        return ReadData(encoding, labels, self.all_features()[rows] if frozen else None)

    def all_features(self) -> Tensor:
        """What the classifier's last layer reads of each text, [N, D]: computed once, and kept in a file."""
        if self.features is None:
            path = Path(self.cache, f"features-{self.key()}.npy") if self.cache else None
            if path and path.exists():
                self.features = torch.from_numpy(np.load(path, allow_pickle=False))
            else:
                data = training.Data(self.encoding, None)
                self.features = classifier.features(self.load("pretrain"), data, self.device)
                if path:
                    with atomic_write(path) as new, open(new, "wb") as file:
                        np.save(file, self.features.numpy(), allow_pickle=False)
        return self.features

    def mean_embeddings(self, texts) -> np.ndarray:
        """The mean of the model's input embeddings over all tokens of each text, special ones left out: [N, D]"""
        if self.means is None:
            model = self.load("pretrain")
            if not hasattr(model, "bert"):
                raise UserError(f"{self.name}: +vectors needs an encoder, such as BERT, or a file with --vectors")
            table, columns = model.bert.embeddings.token.weight.detach().cpu(), self.columns()
            ids = self.tokenizer(*columns, add_special_tokens=False)["input_ids"]
            self.means = torch.stack([table[row].mean(dim=0) if row else table.new_zeros(table.size(1)) for row in ids])
        return self.means[[self.number[text] for text in texts]].numpy()

    def facts(self) -> dict:
        """What the ids and features depend on besides the texts: the SHA-256 of each of the model's files."""
        names = {path.name for path in weight_files(self.directory)}
        names |= {"config.json", "modules.json", *tokenizer_files.ALL_FILES}
        found = {"max_length": self.longest}
        for path in sorted(self.directory.iterdir()):
            if path.name in names:
                with open(path, "rb") as file:
                    found[path.name] = hub.digest(file)
        return found

    def key(self) -> str:
        """A short name for these features."""
        known = json.dumps([self.facts(), self.config.pooling, self.texts], sort_keys=True)
        return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def learnt_from(directory: Path) -> list:
    """The texts that the classifier in a folder was trained on, by its run.json; [] for a model that saw no labels.

    Raises UserError if that file names texts that are no longer there: nobody can tell what the model has seen.
    """
    path = Path(directory, "run.json")
    if not path.exists():
        return []
    run = read_json(path)
    if not (run.get("data") or {}).get("train"):
        return []
    where, arguments = run["data"]["train"].get("path"), run.get("arguments") or {}
    try:
        examples = read_examples(where, pairs=True, **{name: arguments.get(name) for name in HOW})
    except (UserError, TypeError) as error:
        raise UserError(f"{directory} was trained on labels, and its training texts cannot be read: {error}") from None
    return list(zip(examples.texts, examples.pairs)) if examples.pairs else examples.texts


def refuse_what_was_learnt(directory: Path, texts: list) -> None:
    """Raise UserError if a model was trained on labels of these texts, which are the test parts of a study."""
    seen = set(map(duplicates.exact, learnt_from(directory)))
    if shared := sum(duplicates.exact(text) in seen for text in texts):
        raise UserError(
            f"{directory} was trained on {shared} of these {len(texts)} texts, with their labels: take the model that "
            "its own training began with"
        )


def glove(path: str):
    """A function: texts -> float [N, D], the mean of their words' vectors in a file of GloVe's form (word, numbers).

    A text with no known word is a row of zeros. Raises UserError for a file of another form.
    """
    from minbert.study.data import as_one
    from minbert.study.lexicon import WORD

    table, width = {}, None
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                word, *cells = line.rstrip("\n").split(" ")
                width = width or len(cells)
                if len(cells) != width or not cells:
                    raise ValueError(f"line {number} has {len(cells)} numbers, not {width}")
                table[word] = np.array(cells, dtype=np.float32)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no word vectors: {getattr(error, 'strerror', None) or error}") from None
    if not table:
        raise UserError(f"{path}: no word vectors: the file is empty")

    def mean(texts):
        rows = ([table[word] for word in WORD.findall(as_one(text).lower()) if word in table] for text in texts)
        return np.stack([np.mean(row, axis=0) if row else np.zeros(width, np.float32) for row in rows])

    return mean
