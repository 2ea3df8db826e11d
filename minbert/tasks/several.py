"""Any number of labels of each text, written as joy|fear, or none: HoC."""

import torch

from minbert import losses, metrics
from minbert.files.labels import LabelSet, ask_about, move_rows, normal_label
from minbert.tasks.task import Task

SEPARATOR = "|"  # between the labels of a text that has several
NO_LABELS = ("none", "-")  # what a file writes where a text has no label at all


class Several(Task):
    """Labels: a LabelSet; gold and targets: a list of 0 and 1 for each text, [C]."""

    kind, problem, best = "several", losses.SEVERAL, "micro_f1"
    title = "labels of each text"
    shown = ("micro_f1", "macro_f1")
    refused = ("class_weights", "slices", "filepath", "null_label", "overlap", "null_threshold")

    def labels(self, examples):
        """Sorted alphabetically. Raises UserError for labels that may be none, as LabelSet.collect does."""
        found = tuple(sorted({part for label in examples.labels for part in parts(label)}))
        ask_about(examples.path, found, len(examples.labels))
        return LabelSet(found, found)

    def gold(self, examples, labels):
        place = {name: id for id, name in enumerate(labels.names)} | {name: id for id, name in enumerate(labels.values)}
        known = ", ".join(labels.values)

        def unknown(label):
            return [part for part in parts(label) if part not in place]

        move_rows(examples, unknown, lambda label: f"label {(unknown(label) or [''])[0]!r:.40} is not one of: {known}")
        rows = [{place[part] for part in parts(label)} for label in examples.labels]
        return [[int(id in row) for id in range(len(labels.names))] for row in rows]

    def describe(self, gold, labels):
        counts = [f"{name} {sum(row[id] for row in gold)}" for id, name in enumerate(labels.names)]
        return ", ".join([*counts, f"without any {sum(not any(row) for row in gold)}"])

    def collate(self, targets, rows, width):
        """float32 [B, C]"""
        return torch.tensor([targets[row] for row in rows], dtype=torch.float32)

    def count(self, labels, weight=None):
        return torch.tensor(float(labels.numel()), device=labels.device)

    def loss(self, logits, labels, weight=None):
        """logits and labels [B, C]: the binary cross-entropy, a mean over all cells"""
        return losses.several_loss(logits, labels, weight, "sum"), self.count(labels)

    def score(self, targets, logits, labels):
        """micro and macro F1, the share of texts of which all labels are right, and that share without any label"""
        empty = sum(not any(row) for row in targets) / len(targets)
        return metrics.several(targets, (logits > 0).int().tolist()) | {"exact_without_labels": empty}

    def columns(self, logits, labels, targets=None):
        rows = []
        for p in torch.sigmoid(logits).tolist():
            found = [name for name, each in zip(labels.names, p) if each > 0.5]
            rows.append([[SEPARATOR.join(found) or NO_LABELS[0], *p]])
        return self.header(labels), rows


def parts(label):
    """'joy|anger' -> ['joy', 'anger']; of NO_LABELS: []"""
    if label.lower() in NO_LABELS:
        return []
    return [part for part in map(normal_label, label.split(SEPARATOR)) if part]
