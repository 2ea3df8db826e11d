"""A tag for each word: CoNLL-2003, BC5CDR. All words are scored, also in sentences longer than the model reads."""

import re
from itertools import chain
from typing import NamedTuple

import torch

from minbert import entities, metrics, windows
from minbert.files import conll
from minbert.files.checks import shared_rows
from minbert.files.labels import LabelSet
from minbert.tasks.task import Task, as_encoding, by_example
from minbert.token_heads import NO_LABEL, tag_loss

WORD = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")  # of a plain text


class TagTarget(NamedTuple):
    """A window of a sentence."""

    example: int  # the sentence
    words: list  # [T], as in WordWindow
    tags: list | None  # [T], the number of the tag at a word's first piece, NO_LABEL elsewhere; None: unknown
    spelt: list  # the words of the sentence


class Tags(Task):
    """Examples: files.conll.Sentences. Labels: a LabelSet of tags; gold: the tags of each sentence; targets: windows.

    The tag of a word is read at its first piece.
    """

    kind, head, of, best = "tags", "tagger", "ForTokenClassification", "micro_f1"
    title = "a tag for each word"
    shown = ("micro_f1",)
    refused = (
        *("format", "text_column", "label_column", "pair_column", "no_header", "quoting", "labels", "pooling"),
        *("class_weights", "slices", "filepath", "null_label", "overlap", "null_threshold"),
    )
    form = "out.conll"
    trial = ("--sentence", "Ada Lovelace was born in London.")

    def read(self, path, how, required=True):
        return conll.read_conll(path, required, how.encoding)

    def rows(self, path, how):
        return conll.rows(path, how.encoding)

    def take(self, rows):
        """Rows of a CoNLL file, or of plain texts, in which a punctuation mark is a word."""
        words = [list(row.beside) or WORD.findall(row.text) or [row.text] for row in rows]
        return conll.Sentences("", words, lines=[[row.line] for row in rows])

    def labels(self, examples):
        names = conll.tag_names(examples)
        return LabelSet(names, names)

    def gold(self, examples, labels):
        conll.refuse_unknown_tags(examples, labels.names)
        return examples.tags

    def describe(self, gold, labels):
        counts = {}
        for kind, _, _ in (found for tags in gold for found in entities.entities(tags)):
            counts[kind] = counts.get(kind, 0) + 1
        words = f"{sum(map(len, gold))} words"
        return ", ".join([words, *(f"{kind} {counts[kind]}" for kind in sorted(counts))])

    def changes(self, labels):
        return {"labels": labels.names}

    def warnings(self, examples, gold, labels):
        found = []
        for part, sentences in gold.items():
            if not any(tag != "O" for tags in sentences for tag in tags):
                why = "there is nothing to learn" if part == "train" else "there is nothing to find"
                found.append(f"every word of {examples[part].path} has the tag O: {why}")
        return found + shared_rows(examples)

    def encode(self, examples, tokenizer, longest, segments=2):
        return as_encoding([windows.cut_words(tokenizer, words, longest) for words in examples.words])

    def targets(self, examples, gold, labels, encoded):
        numbers, found = {tag: number for number, tag in enumerate(labels.names)}, []
        for window, owner in zip(encoded.windows, encoded.owners):
            tags = None
            if gold:
                tags = [NO_LABEL if word is None else numbers[gold[owner][word]] for word in window.words]
            found.append(TagTarget(owner, window.words, tags, examples.words[owner]))
        return found

    def collate(self, targets, rows, width):
        """int64 [B, T], NO_LABEL where no word begins"""
        return torch.tensor([targets[row].tags + [NO_LABEL] * (width - len(targets[row].tags)) for row in rows])

    def count(self, labels, weight=None):
        """How many words"""
        return (labels != NO_LABEL).sum().float()

    def loss(self, logits, labels, weight=None):
        """logits [B, T, C], labels [B, T]: the cross-entropy of the first pieces of words"""
        return tag_loss(logits, labels)[0], self.count(labels)

    def mean(self, logits, labels, weight=None):
        """0 where no word is in the batch"""
        total, count = self.loss(logits, labels)
        return total / count.clamp(min=1)

    def score(self, targets, logits, labels):
        """Entities: micro F1, precision and recall as conlleval counts, micro F1 by the strict reading; the F1 of each
        kind as "f1_KIND". Words: the macro F1 of the kinds; how many tags are right, and how many if all were O."""
        gold = self.sentences(targets, [target.tags for target in targets], labels)
        predicted = self.sentences(targets, [row.argmax(-1).tolist() for row in logits], labels)
        table = entities.entity_scores(gold, predicted)
        whole = table.pop(entities.ALL)
        scheme = entities.strict_scheme(gold + predicted)
        strict = entities.entity_scores(gold, predicted, scheme)[entities.ALL]
        golds, guesses = ([tag for tags in side for tag in tags] for side in (gold, predicted))
        return {
            "micro_f1": whole["f1-score"],
            "precision": whole["precision"],
            "recall": whole["recall"],
            "strict_micro_f1": strict["f1-score"],
            **{f"f1_{kind}": each["f1-score"] for kind, each in table.items()},
            "word_macro_f1": word_macro_f1(golds, guesses),
            "right_words": sum(map(str.__eq__, golds, guesses)) / len(golds),
            "right_words_of_o": golds.count("O") / len(golds),
        }

    def sentences(self, targets, numbers, labels) -> list[list[str]]:
        """The tags of each sentence, from numbers at the tokens of its windows."""

        def tags(target, row):
            return [labels.names[row[at]] for at, word in enumerate(target.words) if word is not None]

        return [list(chain(*parts)) for parts in by_example(targets, numbers, tags)]

    def header(self, labels):
        return ["word", "predicted"]

    def columns(self, logits, labels, targets=None):
        tags = self.sentences(targets, [row.argmax(-1).tolist() for row in logits], labels)
        words = [parts[0] for parts in by_example(targets, logits, lambda target, _: target.spelt)]
        return self.header(labels), [[list(row) for row in zip(*each, strict=True)] for each in zip(words, tags)]

    def leading(self, examples, gold, labels):
        tags = gold or [[""] * len(words) for words in examples.words]
        return ["sentence", "gold"], [[[number, tag] for tag in row] for number, row in enumerate(tags, start=1)]

    def plain(self, examples, rows, labels):
        """CoNLL's form, a word a line with its tag and the predicted one, as the script conlleval reads it."""
        between = "\t" if any(" " in word for words in examples.words for word in words) else " "
        known = examples.tags or [[None] * len(words) for words in examples.words]
        lines = [
            [between.join(cell for cell in (word, tag, predicted) if cell) for tag, (word, predicted) in zip(*each)]
            for each in zip(known, rows)
        ]
        return "\n".join("".join(f"{line}\n" for line in each) for each in lines)

    def cells(self, header, rows):
        named = [
            (kind, [word for word, _ in rows[a : b + 1]]) for kind, a, b in entities.entities([tag for _, tag in rows])
        ]
        short = "  ".join(f"{kind} {' '.join(words)}" for kind, words in named)
        return [short or "none", "  ".join(f"{word} {tag}" for word, tag in rows)]


def word_macro_f1(gold, predicted):
    """The mean F1 of the kinds of words, whatever the letter of their tags; None if no word has a kind. EBM PICO's."""
    golds, guesses = ([entities.parts(tag)[1] for tag in side] for side in (gold, predicted))
    kinds = sorted({*golds} - {""})
    return sum(metrics.f1(golds, guesses, kind) for kind in kinds) / len(kinds) if kinds else None
