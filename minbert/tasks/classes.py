"""One class of each text, or of each pair: SST, CoLA, MRPC, MNLI."""

from collections import Counter
from dataclasses import dataclass, replace

import torch

from minbert import losses, metrics
from minbert.errors import UserError
from minbert.files.checks import data_warnings
from minbert.files.labels import LabelSet
from minbert.tasks.task import Task


@dataclass(frozen=True)
class Classes(Task):
    """Labels: a LabelSet; gold and targets: the number of each text's class.

    null_label  the class that says that there is nothing, "false" of ChemProt: it is left out of the micro F1, which
                then chooses the epoch
    """

    null_label: str | None = None
    kind, problem, title = "class", losses.ONE, "a class of each text"
    refused = ("overlap", "null_threshold")

    @property
    def best(self):
        return "micro_f1" if self.null_label else "accuracy"

    @property
    def shown(self):
        return ("accuracy", "macro_f1", *(["micro_f1"] if self.null_label else []))

    def with_flags(self, flags):
        return replace(self, null_label=flags.get("null_label"))

    def labels(self, examples):
        return LabelSet.collect(examples)

    def check(self, labels):
        if self.null_label is not None and self.null_label not in labels.names:
            raise UserError(f"--null_label {self.null_label}: the labels are {', '.join(labels.names)}")

    def gold(self, examples, labels):
        return labels.ids(examples)

    def describe(self, gold, labels):
        return ", ".join(f"{name} {gold.count(id)}" for id, name in enumerate(labels.names))

    def warnings(self, examples, gold, labels):
        return data_warnings(examples, gold, labels.names)

    def collate(self, targets, rows, width):
        """int64 [B]"""
        return torch.tensor([targets[row] for row in rows])

    def count(self, labels, weight=None):
        return super().count(labels) if weight is None else weight[labels].sum()

    def loss(self, logits, labels, weight=None):
        """logits [B, C], labels [B]: the cross-entropy"""
        return losses.class_loss(logits, labels, weight, "sum"), self.count(labels, weight)

    def score(self, targets, logits, labels):
        """accuracy, macro F1, and `more`"""
        predicted = logits.argmax(-1).tolist()
        scores = metrics.score(targets, predicted, labels.names)
        return {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1} | self.more(targets, predicted, labels)

    def more(self, gold, predicted, labels):
        """Matthews; of two classes the F1 of the last; micro F1 without null_label; what the commonest class gets"""
        figures = {"matthews": metrics.matthews(gold, predicted)}
        if len(labels.names) == 2:
            figures["f1"] = metrics.f1(gold, predicted)
        if self.null_label:
            figures["micro_f1"] = micro_f1(gold, predicted, labels.names.index(self.null_label))
        return figures | {"majority": Counter(gold).most_common(1)[0][1] / len(gold)}

    def columns(self, logits, labels, targets=None):
        rows = [[[labels.names[max(range(len(p)), key=p.__getitem__)], *p]] for p in logits.softmax(-1).tolist()]
        return self.header(labels), rows

    def written(self, examples, gold, labels):
        return [labels.names[id] for id in gold]

    def plain(self, examples, rows, labels):
        """The course kits' form: 'pred ||| text', pred being the number of the class"""
        return super().plain(examples, [[[str(labels.names.index(row[0]))]] for (row,) in rows], labels)


def micro_f1(gold, predicted, without):
    """The F1 over all classes but one, in [0, 1]: ChemProt's and DDI's score. 0 where no other class is on either side.

    gold, predicted, without  numbers of classes
    """
    both = sum(one == two != without for one, two in zip(gold, predicted, strict=True))
    either = sum(label != without for side in (gold, predicted) for label in side)
    return 2 * both / either if either else 0.0
