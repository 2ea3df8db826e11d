"""What training and prediction ask of any kind of answer, and what the kinds have in common."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from minbert import losses
from minbert.files import stream
from minbert.files.checks import shared_rows
from minbert.files.examples import Examples, read_examples
from minbert.files.formats import How
from minbert.files.labels import LabelSet

NOTHING = LabelSet((), ())


class Encoded(NamedTuple):
    """What the model reads. Tasks over tokens cut their examples into windows."""

    encoding: dict  # as a tokenizer returns it, unpadded: a row for each text, or for each window
    windows: list | None = None
    owners: list | None = None  # the number of the example that each window is a part of
    cut: int = 0  # how many examples were longer than the model reads, and lost their end

    def owner(self, row: int) -> int:
        """The number of the example that a row is, or is a part of."""
        return row if self.owners is None else self.owners[row]


class Task:
    """A kind of answer. Its examples are N; a row of the encoding is an example, or a window of one.

    kind     its name in TASKS, for --label_kind
    head     the model that is loaded for it: a key of families.TITLES
    of       how Hugging Face's classes end that have this head
    problem  its problem_type in config.json; None: the architecture says it
    best     the score by which an epoch is chosen, the higher the better
    shown    the scores that are shown after each epoch
    refused  the flags that mean nothing for it
    unasked  the flags of prediction that ask for another kind
    title    what a model gives that learnt it
    form     how its second file of predictions is called, after dev_ or test_
    trial    the words of a command that tries a trained model; trial_of_pairs: one that learnt from pairs
    """

    kind = problem = best = None
    head, of = "classifier", "ForSequenceClassification"
    shown = refused = ()
    unasked = ("question", "passage")
    form = "out.txt"
    trial = ("--sentence", "Not what I had hoped for.")
    trial_of_pairs = ("--text", "FILE", "--pair_column", "NAME")

    def read(self, path, how: How, required: bool = True):
        """A file of examples for training. required: its answers. Raises UserError as the reader does."""
        options = (how.no_header, how.encoding, how.quoting, how.pair_column, how.pairs)
        return read_examples(path, how.format, how.text_column, how.label_column, required, *options)

    def rows(self, path, how: How) -> Iterator[stream.Row]:
        """The examples of a file one after the other, without their answers."""
        options = (how.no_header, how.encoding, how.quoting, None, how.pair_column, how.pairs)
        return stream.read_rows(path, how.text_column, how.format, *options)[1]

    def take(self, rows: Sequence[stream.Row]):
        """Rows -> examples."""
        lines, texts = [row.line for row in rows], [row.text for row in rows]
        return Examples("", "", texts, pairs=[row.beside[-1] for row in rows if row.beside], lines=lines)

    def with_flags(self, flags: dict) -> "Task":
        """The task, as the flags of a command ask for it, {name: value}."""
        return self

    def trained(self, learnt: dict) -> "Task":
        """The task, as a trained model learnt it. learnt: what the property of that name gave, and more"""
        return self

    @property
    def learnt(self) -> dict:
        """What a trained folder has to record of the task, besides its config."""
        return {}

    def seen(self, examples) -> "Task":
        """The task, with what the training file shows of it."""
        return self

    def labels(self, examples) -> LabelSet:
        """What can be answered, from the training examples; NOTHING if that is no list."""
        return NOTHING

    def stored(self, config) -> LabelSet:
        """The same, from the config of a trained model."""
        names = config.labels or tuple(map(str, range(config.num_labels)))
        return LabelSet(names, names)

    def check(self, labels: LabelSet) -> None:
        """Raise UserError if the task asks for a label that there is not."""

    def gold(self, examples, labels: LabelSet) -> list:
        """The right answer of each example. Rows with an answer that is none move to examples.problems."""
        raise NotImplementedError

    def describe(self, gold, labels) -> str:
        """What the answers in a file are, in a few words."""
        raise NotImplementedError

    def changes(self, labels: LabelSet) -> dict:
        """The fields of the model's Config that depend on the task."""
        return {"problem_type": self.problem, "labels": labels.names}

    def encode(self, examples, tokenizer, longest: int, segments: int = 2) -> Encoded:
        """Examples -> ids. longest: in tokens; segments: how many the model has, its type_vocab_size"""
        texts = [beginning(text, tokenizer, longest) for text in examples.texts]
        pairs = [beginning(text, tokenizer, longest) for text in examples.pairs]
        encoding = tokenizer(texts, pairs or None)
        cut, end = sum(len(ids) > longest for ids in encoding["input_ids"]), len(tokenizer.template.end)
        if pairs and cut:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is counted here
                encoding = tokenizer(texts, pairs, truncation=True, max_length=longest)
        for rows in encoding.values():
            for row in rows:
                del row[longest - end : len(row) - end]  # the last is [SEP], or another model's end
        if segments < 2:
            encoding["token_type_ids"] = [[0] * len(row) for row in encoding["token_type_ids"]]
        return Encoded(encoding, cut=cut)

    def targets(self, examples, gold: list | None, labels, encoded: Encoded) -> list | None:
        """What is to be learnt of each row of the encoding, and what its prediction is read by."""
        return gold

    def warnings(self, examples: dict, gold: dict, labels) -> list[str]:
        """What is worth a warning before a long run, {part: examples} and {part: gold}, in sentences."""
        return shared_rows(examples)

    def prepare(self, model, targets) -> None:
        """Start a new head from what is known of the targets."""

    def collate(self, targets: Sequence, rows: Sequence[int], width: int) -> Tensor:
        """The targets of these rows, for Batch.labels. width: the tokens of the batch, padding included"""
        raise NotImplementedError

    def count(self, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """How much these labels of a batch count in a mean."""
        return torch.tensor(float(len(labels)), device=labels.device)

    def loss(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(sum, count) of a batch: the loss is their quotient, and over several batches, that of their sums.

        weight  of each class, [C], or None
        """
        raise NotImplementedError

    def mean(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """The quotient of `loss`, as torch computes it at once."""
        return losses.LOSSES[self.problem](logits, labels, weight)

    def score(self, targets: Sequence, logits, labels) -> dict:
        """{name: figure}, in the order in which they are shown; a figure that does not exist is None.

        logits  [N, C]; of tasks over tokens, a list of each window's
        """
        raise NotImplementedError

    def value(self, figures: dict) -> float:
        """The score that chooses; one that does not exist is worse than any."""
        found = figures[self.best]
        return -float("inf") if found is None else found

    def header(self, labels: LabelSet) -> list[str]:
        """The names of the columns of predictions."""
        return ["predicted", *(f"p_{name}" for name in labels.names)]

    def columns(self, logits, labels, targets: Sequence | None = None) -> tuple[list, list]:
        """`header`, and the rows of predictions of each example: one, or of Tags one for each word.

        targets  needed by tasks over tokens alone; their answers may be unknown
        """
        raise NotImplementedError

    def leading(self, examples, gold: list | None, labels) -> tuple[list, list]:
        """The same for what stands before them in the files of a run: what was asked, and the right answer."""
        known = self.written(examples, gold, labels) if gold else [""] * len(examples.texts)
        sides = [examples.texts, *([examples.pairs] if examples.pairs else []), known]
        return ["text", *["pair"] * bool(examples.pairs), "gold"], [[list(row)] for row in zip(*sides)]

    def written(self, examples, gold: list, labels) -> list[str]:
        """The right answers, as the files of a run have them."""
        return examples.labels

    def plain(self, examples, rows: list, labels) -> str:
        """The second file of predictions, in the form of the field. rows: as `columns` gives them"""
        pairs = zip(rows, examples.texts)
        return "".join(f"{shortest(row[0])} ||| {' '.join(text.split())}\n" for (row,), text in pairs)

    def cells(self, header, rows: list) -> list[str]:
        """The answer for one example, to be printed: in short, and in detail. header, rows: of `columns`"""
        ((label, *p),) = rows
        found = sorted(zip(p, header[1:]), key=lambda pair: -pair[0])
        detail = "  ".join(f"{name.removeprefix('p_')} {share:.4f}" for share, name in found)
        return [label, detail] if found else [label if isinstance(label, str) else f"{label:.4f}"]

    def furthest(self, examples, gold, rows: list) -> list[tuple[int, str]]:
        """The examples that are worth a look, their numbers and what was written and predicted; the worst first."""
        return []


def shortest(value) -> str:
    """A number with nine digits; a word as it is."""
    return f"{value:.9g}" if isinstance(value, float) else value


def beginning(text: str, tokenizer, tokens: int) -> str:
    """The text, or a prefix of it that ends at a space and has more than `tokens` tokens: the rest would be cut."""
    end = text.find(" ", 50 * tokens)
    while end >= 0 and len(tokenizer.text_to_ids(text[:end])) <= tokens:
        end = text.find(" ", 2 * end)
    return text if end < 0 else text[:end]


def as_encoding(found: Sequence[Sequence], segments: int = 2) -> Encoded:
    """The windows of each example, one list of them, as a tokenizer's encoding."""
    every = [window for each in found for window in each]
    owners = [number for number, each in enumerate(found) for _ in each]
    encoding = {
        "input_ids": [window.input_ids for window in every],
        "token_type_ids": [[type * (segments > 1) for type in window.token_type_ids] for window in every],
        "attention_mask": [[1] * len(window.input_ids) for window in every],
    }
    return Encoded(encoding, every, owners)


def by_example(targets: Sequence, rows: Sequence, read: Callable) -> list:
    """The rows of each example's windows, [read(target, row) of each window], in the order of the examples."""
    found = {}
    for target, row in zip(targets, rows, strict=True):
        found.setdefault(target.example, []).append(read(target, row))
    return [found[example] for example in sorted(found)]
