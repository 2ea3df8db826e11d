"""A number for each text, or for each pair: STS-B, BIOSSES."""

import re

import torch

from minbert import losses, metrics
from minbert.files.checks import shared_rows
from minbert.files.labels import move_rows
from minbert.tasks.task import NOTHING, Task

NUMBER = r"[-+]?(\d{1,15}(\.\d*)?|\.\d+)([eE][-+]?\d)?"  # what float32 holds
FURTHEST = 5  # rows that are shown


class Number(Task):
    """Labels: none; gold and targets: floats, in the unit of the file."""

    kind, problem, best = "number", losses.NUMBER, "pearson"
    title = "a number for each text"
    shown = ("pearson", "spearman")
    refused = ("class_weights", "slices", "filepath", "labels", "null_label", "overlap", "null_threshold")

    def stored(self, config):
        return NOTHING

    def gold(self, examples, labels=NOTHING):
        """Written with a point: 3.5. A thousand is 1000, as 1,000 could be 1."""
        move_rows(
            examples,
            lambda label: re.fullmatch(NUMBER, label) is None,
            lambda label: f"{label!r:.40} is no number such as 3.5",
        )
        return [float(label) for label in examples.labels]

    def describe(self, gold, labels=NOTHING):
        if not gold:
            return "no numbers"
        return f"from {min(gold):g} to {max(gold):g}, mean {sum(gold) / len(gold):.4g}"

    def changes(self, labels):
        return {"problem_type": self.problem, "labels": (), "num_labels": 1}

    def warnings(self, examples, gold, labels=NOTHING):
        found = []
        for part, numbers in gold.items():
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
        return losses.number_loss(logits, labels, weight, "sum"), self.count(labels)

    def score(self, targets, logits, labels=NOTHING):
        """Pearson, Spearman, the root of the mean squared error, and that of always saying the mean of the targets"""
        predicted = logits.squeeze(-1).tolist()
        mean = sum(targets) / len(targets)
        return {
            "pearson": metrics.pearson(targets, predicted),
            "spearman": metrics.spearman(targets, predicted),
            "error": metrics.root_mean_square(targets, predicted),
            "error_of_mean": metrics.root_mean_square(targets, [mean] * len(targets)),
        }

    def columns(self, logits, labels=NOTHING, targets=None):
        return self.header(labels), [[row] for row in logits.tolist()]

    def furthest(self, examples, gold, rows):
        off = sorted(range(len(gold)), key=lambda at: -abs(gold[at] - rows[at][0][0]))[:FURTHEST]
        return [(at, f"{gold[at]:g}  {rows[at][0][0]:.4g}") for at in off]
