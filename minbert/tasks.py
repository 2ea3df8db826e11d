"""One small class for each kind of answer: what is learnt, the loss, the scores, and what is written to files.

    Classes  one class of a text                SST, MRPC, MNLI
    Number   a number for a text or a pair      STS-B, BIOSSES
    Several  any number of labels of a text     HoC
    Tags     a tag for each word                CoNLL-2003, BC5CDR
    Spans    an answer in a passage             SQuAD

Whoever trains or predicts asks a task, and never which task it is. TASKS is the one lookup.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from minbert import answers, entities, losses, metrics, windows
from minbert.errors import UserError
from minbert.files.checks import data_warnings, shared_rows
from minbert.files.conll import refuse_unknown_tags, tag_names
from minbert.files.labels import LabelSet, ask_about, move_rows, normal_label
from minbert.heads import BertSentClassifier
from minbert.token_heads import NO_LABEL, BertForQuestions, BertTagger, span_loss, tag_loss

SEPARATOR = "|"  # between the labels of a text that has several
NOTHING = LabelSet((), ())
NO_LABELS = ("none", "-")  # what a file writes where a text has no label at all
NUMBER = r"[-+]?(\d{1,15}(\.\d*)?|\.\d+)([eE][-+]?\d)?"  # what float32 holds


class Encoded(NamedTuple):
    """What the model reads. Tasks over tokens cut their examples into windows."""

    encoding: dict  # as a tokenizer returns it, unpadded: a row for each text, or for each window
    windows: list | None = None
    owners: list | None = None  # the number of the example that each window is a part of


class Task:
    """What training and prediction ask. The labels are those that `labels` returns; all texts, N rows of them:

    head     the class on which from_pretrained is called, with `changes`
    problem  its problem_type in config.json; None: the architecture says it
    best     the score by which an epoch is chosen, the higher the better
    shown    the scores that are shown after each epoch
    """

    head = problem = best = None
    shown = ()

    def labels(self, examples):
        """What can be answered, from the training examples; nothing if that is no list."""
        return ()

    def describe(self, targets, labels) -> str:
        """What the targets of a file are, in a few words."""
        raise NotImplementedError

    def changes(self, labels) -> dict:
        """The fields of the model's Config that depend on the task."""
        return {"problem_type": self.problem, "labels": labels.names}

    def encode(self, examples, tokenizer, longest: int, segments: int = 2) -> Encoded:
        """Examples -> ids. longest: in tokens; segments: how many the model has, its type_vocab_size

        Warns, as a tokenizer does, of texts that were cut.
        """
        encoding = tokenizer(examples.texts, examples.pairs or None, truncation=True, max_length=longest)
        if segments < 2:
            encoding["token_type_ids"] = [[0] * len(row) for row in encoding["token_type_ids"]]
        return Encoded(encoding)

    def targets(self, examples, labels, encoded: Encoded | None = None) -> list:
        """What is to be learnt of each row of the encoding. Rows with a label that is none move to examples.problems:
        call this before `encode`, but for tasks over tokens, which need `encoded`."""
        raise NotImplementedError

    def warnings(self, examples: dict, targets: dict, labels) -> list[str]:
        """What is worth a warning before a long run, {part: Examples} and {part: targets}, in sentences."""
        return shared_rows(examples)

    def prepare(self, model, targets) -> None:
        """Start a new head from what is known of the targets."""

    def collate(self, targets: Sequence, rows: Sequence[int], width: int) -> Tensor:
        """The targets of these rows, for Batch.labels. width: the tokens of the batch, padding included"""
        raise NotImplementedError

    def loss(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(sum, how many) of a batch: the loss is their quotient, and over several batches, that of their sums.

        weight  of each class, [C], or None
        """
        raise NotImplementedError

    def score(self, targets: Sequence, logits, labels) -> dict:
        """{name: figure}, in the order in which they are shown; a figure that does not exist is None.

        logits  [N, C]; of tasks over tokens, a list of each window's
        """
        raise NotImplementedError

    def value(self, figures: dict) -> float:
        """The score that chooses; one that does not exist is worse than any."""
        found = figures[self.best]
        return -float("inf") if found is None else found

    def columns(self, logits, labels, targets: Sequence | None = None) -> tuple[list, list]:
        """The header and the rows of a file of predictions. targets: needed by tasks over tokens alone"""
        raise NotImplementedError


class Classes(Task):
    """One class of each text. Labels: a LabelSet; targets: the number of each text's class."""

    head, problem, best = BertSentClassifier, losses.ONE, "accuracy"
    shown = ("accuracy", "macro_f1")

    def labels(self, examples):
        return LabelSet.collect(examples)

    def describe(self, targets, labels):
        return ", ".join(f"{name} {targets.count(id)}" for id, name in enumerate(labels.names))

    def targets(self, examples, labels, encoded=None):
        return labels.ids(examples)

    def warnings(self, examples, targets, labels):
        return data_warnings(examples, targets, labels.names)

    def collate(self, targets, rows, width):
        """int64 [B]"""
        return torch.tensor([targets[row] for row in rows])

    def loss(self, logits, labels, weight=None):
        """logits [B, C], labels [B]: the cross-entropy"""
        count = torch.tensor(len(labels), device=labels.device) if weight is None else weight[labels].sum()
        return losses.class_loss(logits, labels, weight, "sum"), count

    def score(self, targets, logits, labels):
        """accuracy, macro F1, Matthews; of two classes also the F1 of the last; what the commonest class would get"""
        predicted = logits.argmax(-1).tolist()
        scores = metrics.score(targets, predicted, labels.names)
        figures = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
        figures["matthews"] = metrics.matthews(targets, predicted)
        if len(labels.names) == 2:
            figures["f1"] = metrics.f1(targets, predicted)
        return figures | {"majority": Counter(targets).most_common(1)[0][1] / len(targets)}

    def columns(self, logits, labels, targets=None):
        rows = [[labels.names[max(range(len(p)), key=p.__getitem__)], *p] for p in logits.softmax(-1).tolist()]
        return ["predicted", *(f"p_{name}" for name in labels.names)], rows


class Number(Task):
    """A number for each text. Labels: none; targets: floats, in the unit of the file."""

    head, problem, best = BertSentClassifier, losses.NUMBER, "pearson"
    shown = ("pearson", "spearman")

    def labels(self, examples):
        return NOTHING

    def describe(self, targets, labels=()):
        if not targets:
            return "no numbers"
        return f"from {min(targets):g} to {max(targets):g}, mean {sum(targets) / len(targets):.4g}"

    def changes(self, labels):
        return {"problem_type": self.problem, "labels": (), "num_labels": 1}

    def targets(self, examples, labels=(), encoded=None):
        """Written with a point: 3.5. A thousand is 1000, as 1,000 could be 1."""
        move_rows(
            examples,
            lambda label: re.fullmatch(NUMBER, label) is None,
            lambda label: f"{label!r:.40} is no number such as 3.5",
        )
        return [float(label) for label in examples.labels]

    def warnings(self, examples, targets, labels=()):
        found = []
        for part, numbers in targets.items():
            if len(numbers) > 1 and len({*numbers}) == 1:
                why = "there is nothing to learn" if part == "train" else "no correlation can be computed"
                found.append(f"every row of {examples[part].path} has the number {numbers[0]:g}: {why}")
        return found + shared_rows(examples)

    def prepare(self, model, targets):
        """The bias starts at the mean of the targets: what is left to learn are the differences."""
        last = getattr(model.classifier, "out_proj", model.classifier)
        if last.bias is not None:
            with torch.no_grad():
                last.bias.fill_(sum(targets) / len(targets))

    def collate(self, targets, rows, width):
        """float32 [B]"""
        return torch.tensor([targets[row] for row in rows], dtype=torch.float32)

    def loss(self, logits, labels, weight=None):
        """logits [B, 1], labels [B]: the squared error"""
        return losses.number_loss(logits, labels, weight, "sum"), torch.tensor(len(labels), device=labels.device)

    def score(self, targets, logits, labels=()):
        """Pearson, Spearman, the root of the mean squared error, and that of always saying the mean of the targets"""
        predicted = logits.squeeze(-1).tolist()
        mean = sum(targets) / len(targets)
        return {
            "pearson": metrics.pearson(targets, predicted),
            "spearman": metrics.spearman(targets, predicted),
            "error": metrics.root_mean_square(targets, predicted),
            "error_of_mean": metrics.root_mean_square(targets, [mean] * len(targets)),
        }

    def columns(self, logits, labels=(), targets=None):
        return ["predicted"], logits.tolist()


class Several(Task):
    """Any number of labels of each text, as a|b. Labels: a LabelSet; targets: a list of 0 and 1 for each text, [C]."""

    head, problem, best = BertSentClassifier, losses.SEVERAL, "micro_f1"
    shown = ("micro_f1", "macro_f1")

    def describe(self, targets, labels):
        counts = [f"{name} {sum(row[id] for row in targets)}" for id, name in enumerate(labels.names)]
        return ", ".join([*counts, f"without any {sum(not any(row) for row in targets)}"])

    def labels(self, examples):
        """Sorted alphabetically. Raises UserError for labels that may be none, as LabelSet.collect does."""
        found = tuple(sorted({part for label in examples.labels for part in parts(label)}))
        ask_about(examples.path, found, len(examples.labels))
        return LabelSet(found, found)

    def targets(self, examples, labels, encoded=None):
        place = {name: id for id, name in enumerate(labels.names)} | {name: id for id, name in enumerate(labels.values)}
        known = ", ".join(labels.values)

        def unknown(label):
            return [part for part in parts(label) if part not in place]

        move_rows(examples, unknown, lambda label: f"label {(unknown(label) or [''])[0]!r:.40} is not one of: {known}")
        rows = [{place[part] for part in parts(label)} for label in examples.labels]
        return [[int(id in row) for id in range(len(labels.names))] for row in rows]

    def collate(self, targets, rows, width):
        """float32 [B, C]"""
        return torch.tensor([targets[row] for row in rows], dtype=torch.float32)

    def loss(self, logits, labels, weight=None):
        """logits and labels [B, C]: the binary cross-entropy, a mean over all cells"""
        return losses.several_loss(logits, labels, weight, "sum"), torch.tensor(labels.numel(), device=labels.device)

    def score(self, targets, logits, labels):
        """micro and macro F1, the share of texts of which all labels are right, and that share without any label"""
        empty = sum(not any(row) for row in targets) / len(targets)
        return metrics.several(targets, (logits > 0).int().tolist()) | {"exact_without_labels": empty}

    def columns(self, logits, labels, targets=None):
        rows = []
        for p in torch.sigmoid(logits).tolist():
            found = [name for name, each in zip(labels.names, p) if each > 0.5]
            rows.append([SEPARATOR.join(found) or NO_LABELS[0], *p])
        return ["predicted", *(f"p_{name}" for name in labels.names)], rows


def parts(label):
    """'joy|anger' -> ['joy', 'anger']; of NO_LABELS: []"""
    if label.lower() in NO_LABELS:
        return []
    return [part for part in map(normal_label, label.split(SEPARATOR)) if part]


class TagTarget(NamedTuple):
    """A window of a sentence."""

    sentence: int
    words: list  # [T], as in WordWindow
    tags: list | None  # [T], the number of the tag at a word's first piece, NO_LABEL elsewhere; None: unknown


class Tags(Task):
    """A tag for each word, read at its first piece. Examples: files.conll.Sentences; labels: their tags, a tuple.

    The tags of all words are scored, also in sentences longer than the model reads.
    """

    head, best = BertTagger, "micro_f1"

    def labels(self, examples):
        return tag_names(examples)

    def changes(self, labels):
        return {"labels": labels}

    def encode(self, examples, tokenizer, longest, segments=2):
        found = [windows.cut_words(tokenizer, words, longest) for words in examples.words]
        return as_encoding(found)

    def targets(self, examples, labels, encoded=None):
        """A TagTarget for each window. Raises UserError for a tag that is not one of the labels, with its line."""
        if examples.tags:
            refuse_unknown_tags(examples, labels)
            if len(examples.words) != len({*encoded.owners}):
                line, reason = examples.problems[0]
                raise UserError(f"{examples.path}:{line}: {reason}")
        numbers, found = {tag: number for number, tag in enumerate(labels)}, []
        for window, owner in zip(encoded.windows, encoded.owners):
            tags = examples.tags[owner] if examples.tags else None
            places = [NO_LABEL if word is None else tags and numbers[tags[word]] for word in window.words]
            found.append(TagTarget(owner, window.words, places if tags else None))
        return found

    def collate(self, targets, rows, width):
        """int64 [B, T], NO_LABEL where no word begins"""
        return torch.tensor([targets[row].tags + [NO_LABEL] * (width - len(targets[row].tags)) for row in rows])

    def loss(self, logits, labels, weight=None):
        """logits [B, T, C], labels [B, T]: the cross-entropy of the first pieces of words"""
        return tag_loss(logits, labels, weight)

    def score(self, targets, logits, labels):
        """Entities: micro F1, precision and recall as conlleval counts, micro F1 by the strict reading; the F1 of each
        kind as "f1_KIND". The last: the share of words whose tag is right, which O makes high."""
        gold = self.sentences(targets, [target.tags for target in targets], labels)
        predicted = self.sentences(targets, [row.argmax(-1).tolist() for row in logits], labels)
        table = entities.entity_scores(gold, predicted)
        whole = table.pop(entities.ALL)
        scheme = entities.strict_scheme(gold + predicted)
        strict = entities.entity_scores(gold, predicted, scheme)[entities.ALL]
        right = [one == two for golds, guesses in zip(gold, predicted) for one, two in zip(golds, guesses)]
        return {
            "micro_f1": whole["f1-score"],
            "precision": whole["precision"],
            "recall": whole["recall"],
            "strict_micro_f1": strict["f1-score"],
            **{f"f1_{kind}": each["f1-score"] for kind, each in table.items()},
            "right_words": sum(right) / len(right),
        }

    def sentences(self, targets, numbers, labels) -> list[list[str]]:
        """The tags of each sentence, from numbers at the tokens of its windows."""
        found = {}
        for target, row in zip(targets, numbers, strict=True):
            tags = [labels[row[at]] for at, word in enumerate(target.words) if word is not None]
            found.setdefault(target.sentence, []).extend(tags)
        return [found[sentence] for sentence in sorted(found)]

    def columns(self, logits, labels, targets=None):
        """A row for each word"""
        tags = self.sentences(targets, [row.argmax(-1).tolist() for row in logits], labels)
        rows = [[sentence, word, tag] for sentence, row in enumerate(tags, 1) for word, tag in enumerate(row, 1)]
        return ["sentence", "word", "predicted"], rows


class SpanTarget(NamedTuple):
    """A window of a passage, and the answer in it."""

    question: int
    id: str
    window: windows.Window
    passage: str
    golds: list | None  # the texts of the answers; [] if there is none, None if nobody knows
    first: int  # tokens of the window; 0 and 0 where the answer is not all in it
    last: int


@dataclass(frozen=True)
class Spans(Task):
    """An answer in a passage. Examples: files.squad.Questions; there are no labels.

    overlap    how many tokens of the passage neighbouring windows share
    none       whether a question may have no answer, as in version 2 of SQuAD
    threshold  as in windows.choose
    """

    overlap: int = 128
    none: bool = False
    threshold: float = 0.0
    head, best = BertForQuestions, "f1"

    def changes(self, labels=()):
        return {}

    def encode(self, examples, tokenizer, longest, segments=2):
        """Raises UserError, with the question's number, if a question leaves no room for its passage."""
        found = []
        for number, question, passage in zip(examples.numbers, examples.texts, examples.pairs):
            try:
                found.append(windows.cut(tokenizer, question, passage, longest, self.overlap))
            except UserError as error:
                raise UserError(f"{examples.path}:{number}: {error}") from None
        return as_encoding(found, segments)

    def targets(self, examples, labels=(), encoded=None):
        """A SpanTarget for each window; the first gold answer is learnt, all of them are scored."""
        golds, found = examples.golds(), []
        for window, owner in zip(encoded.windows, encoded.owners):
            spans = examples.answers[owner]
            known = golds[owner] if examples.answered else None
            places = window.places(spans[0] if spans else None)
            found.append(SpanTarget(owner, examples.ids[owner], window, examples.pairs[owner], known, *places))
        return found

    def collate(self, targets, rows, width):
        """int64 [B, 3]: first and last token of the answer, tokens of the window"""
        chosen = [targets[row] for row in rows]
        return torch.tensor([[each.first, each.last, len(each.window.input_ids)] for each in chosen])

    def loss(self, logits, labels, weight=None):
        """logits [B, 2, T], labels [B, 3]: the mean of the cross-entropies of begin and end, padding left out"""
        if weight is not None:
            raise UserError("answers have no classes whose weight could be balanced: leave --class_weights out")
        total, count = span_loss(logits, labels[:, :2], labels[:, 2])
        return total, torch.tensor(count, device=labels.device)

    def score(self, targets, logits, labels=()):
        """exact match and F1; where there may be no answer, also the F1 of questions that have one, and the share of
        those without that are seen as such"""
        golds = {target.question: target.golds for target in targets}
        predicted = [answer for _, answer, _ in self.answers(targets, logits)]
        golds = [golds[question] for question in sorted(golds)]
        pairs = [answers.squad(gold, answer, 2 if self.none else 1) for gold, answer in zip(golds, predicted)]
        figures = {"exact": mean(exact for exact, _ in pairs), "f1": mean(f1 for _, f1 in pairs)}
        if self.none:
            figures["f1_with_answer"] = mean(f1 for gold, (_, f1) in zip(golds, pairs) if gold)
            figures["seen_without_answer"] = mean(exact for gold, (exact, _) in zip(golds, pairs) if not gold)
        return figures

    def answers(self, targets, logits) -> list[tuple[str, str, int | None]]:
        """(id, answer, where it begins) of each question: a slice of its passage, or "" and None."""
        groups = {}
        for target, row in zip(targets, logits, strict=True):
            groups.setdefault(target.question, []).append((target, row.tolist()))
        found = []
        for question in sorted(groups):
            parts = [target.window for target, _ in groups[question]]
            span = windows.choose(parts, [row for _, row in groups[question]], self.none, self.threshold)
            first = groups[question][0][0]
            found.append((first.id, first.passage[slice(*span)] if span else "", span and span[0]))
        return found

    def columns(self, logits, labels=(), targets=None):
        rows = [[id, answer, "" if start is None else start] for id, answer, start in self.answers(targets, logits)]
        return ["id", "predicted", "start"], rows


def mean(numbers):
    """None if there are none."""
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else None


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


CLASS = "class"
TASKS = {CLASS: Classes(), "number": Number(), "several": Several(), "tags": Tags(), "spans": Spans()}
BY_PROBLEM = {task.problem: task for task in TASKS.values() if task.problem}  # problem_type in config.json
TITLES = {  # of scores, for people
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "error": "root mean squared error",
    "error_of_mean": "of always saying the mean",
    "exact": "all labels right",
    "exact_without_labels": "of always saying none",
}


def in_words(figures: dict) -> str:
    """'Pearson 0.8123  Spearman none': the scores among these figures that have a title"""
    shown = {TITLES[name]: value for name, value in figures.items() if name in TITLES}
    return "  ".join(f"{title} {'none' if value is None else f'{value:.4f}'}" for title, value in shown.items())
