"""An answer in a passage: SQuAD."""

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from minbert import answers, windows
from minbert.errors import UserError
from minbert.files import squad
from minbert.files.labels import LabelSet
from minbert.tasks.task import NOTHING, Task, as_encoding, by_example
from minbert.token_heads import span_loss

OVERLAP = 128


class SpanTarget(NamedTuple):
    """A window of a passage, and the answer in it."""

    example: int  # the question
    id: str
    window: windows.Window
    passage: str
    golds: list | None  # the texts of the answers; [] if there is none, None if nobody knows
    first: int  # tokens of the window; 0 and 0 where the answer is not all in it
    last: int


@dataclass(frozen=True)
class Spans(Task):
    """Examples: files.squad.Questions; no labels; gold: the texts of each question's answers; targets: windows.

    overlap    how many tokens of the passage neighbouring windows share; None: a third of a window, at most OVERLAP
    none       whether a question may have no answer, as in version 2 of SQuAD; None: the training file shows it
    threshold  as in windows.choose
    """

    overlap: int | None = None
    none: bool | None = None
    threshold: float = 0.0
    kind, head, of, best = "spans", "answers", "ForQuestionAnswering", "f1"
    title = "answers in passages"
    unasked = ("sentence",)
    shown = ("exact_match", "f1")
    refused = (
        *("format", "text_column", "label_column", "pair_column", "no_header", "quoting", "labels", "pooling"),
        *("hidden_dropout_prob", "class_weights", "slices", "filepath", "null_label", "tweets"),
    )
    form = "out.json"
    trial = trial_of_pairs = ("--question", "Where was Ada born?", "--passage", "Ada Lovelace was born in London.")

    def read(self, path, how, required=True):
        return squad.read_squad(path, required, how.encoding)

    def rows(self, path, how):
        return squad.rows(path, how.encoding)

    def take(self, rows):
        found = squad.Questions("", answered=False)
        for row in rows:
            id, passage = row.beside
            found.add(row.number, id, row.text, passage, [])
        return found

    def with_flags(self, flags):
        """A threshold is only of use where there may be no answer."""
        threshold = flags["null_threshold"]
        none = self.none if threshold is None else True
        return replace(self, overlap=flags["overlap"], none=none, threshold=threshold or 0.0)

    def trained(self, learnt):
        return replace(self, none=self.none or learnt.get("no_answer"))

    @property
    def learnt(self):
        return {"no_answer": bool(self.none)}

    def seen(self, examples):
        return replace(self, none=examples.impossible > 0) if self.none is None and examples.answered else self

    def stored(self, config):
        return NOTHING

    def gold(self, examples, labels=NOTHING):
        return examples.golds()

    def describe(self, gold, labels=NOTHING):
        return f"{sum(not texts for texts in gold)} without an answer"

    def changes(self, labels: LabelSet = NOTHING):
        return {"labels": (), "num_labels": 2}  # as Hugging Face's class counts its scores

    def encode(self, examples, tokenizer, longest, segments=2):
        """Raises UserError, with the question's number, if a question leaves no room for its passage."""
        overlap = min(OVERLAP, longest // 3) if self.overlap is None else self.overlap
        found = []
        for number, question, passage in zip(examples.numbers, examples.texts, examples.pairs):
            try:
                found.append(windows.cut(tokenizer, question, passage, longest, overlap))
            except UserError as error:
                raise UserError(f"{examples.path}:{number}: {error}") from None
        return as_encoding(found, segments)

    def targets(self, examples, gold, labels, encoded):
        """The first gold answer is learnt, all of them are scored."""
        found = []
        for window, owner in zip(encoded.windows, encoded.owners):
            places = window.places(examples.answers[owner][0] if examples.answers[owner] else None)
            known = gold[owner] if gold else None
            found.append(SpanTarget(owner, examples.ids[owner], window, examples.pairs[owner], known, *places))
        return found

    def collate(self, targets, rows, width):
        """int64 [B, 3]: first and last token of the answer, tokens of the window"""
        chosen = [targets[row] for row in rows]
        return torch.tensor([[each.first, each.last, len(each.window.input_ids)] for each in chosen])

    def loss(self, logits, labels, weight=None):
        """logits [B, 2, T], labels [B, 3]: the mean of the cross-entropies of begin and end, padding left out"""
        return span_loss(logits, labels[:, :2], labels[:, 2])[0], self.count(labels)

    def mean(self, logits, labels, weight=None):
        """0 where no window is in the batch"""
        total, count = self.loss(logits, labels)
        return total / count.clamp(min=1)

    def score(self, targets, logits, labels=NOTHING):
        """exact match and F1; where there may be no answer, also the F1 of questions that have one, the share of those
        without that are seen as such, and the exact match of always saying none"""
        golds = [parts[0] for parts in by_example(targets, logits, lambda target, _: target.golds)]
        predicted = [answer for _, answer, _ in self.answers(targets, logits)]
        pairs = [answers.squad(gold, answer, 2 if self.none else 1) for gold, answer in zip(golds, predicted)]
        figures = {"exact_match": mean(exact for exact, _ in pairs), "f1": mean(f1 for _, f1 in pairs)}
        if self.none:
            figures["f1_with_answer"] = mean(f1 for gold, (_, f1) in zip(golds, pairs) if gold)
            figures["seen_without_answer"] = mean(exact for gold, (exact, _) in zip(golds, pairs) if not gold)
            figures["exact_match_of_none"] = mean(not gold for gold in golds)
        return figures

    def answers(self, targets, logits) -> list[tuple[str, str, int | None]]:
        """(id, answer, where it begins) of each question: a slice of its passage, or "" and None."""
        found = []
        for parts in by_example(targets, logits, lambda target, row: (target, row.tolist())):
            shown, rows = zip(*parts)
            span = windows.choose([target.window for target in shown], rows, self.none, self.threshold)
            answer = shown[0].passage[slice(*span)] if span else ""
            found.append((shown[0].id, answer, span and span[0]))
        return found

    def header(self, labels):
        return ["id", "predicted", "start"]

    def columns(self, logits, labels=NOTHING, targets=None):
        found = self.answers(targets, logits)
        return self.header(labels), [[[id, text, "" if at is None else at]] for id, text, at in found]

    def leading(self, examples, gold, labels):
        known = [texts[0] if texts else "" for texts in gold or [[]] * len(examples.texts)]
        return ["question", "gold"], [[list(row)] for row in zip(examples.texts, known)]

    def plain(self, examples, rows, labels):
        """{id: answer}, as the evaluation of SQuAD reads it; "" where there is none"""
        return json.dumps({row[0]: row[1] for (row,) in rows}, ensure_ascii=False) + "\n"

    def cells(self, header, rows):
        ((_, text, start),) = rows
        return [text or "no answer", f"from character {start}" if text else "the passage does not say it"]


def mean(numbers):
    """None if there are none."""
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else None
