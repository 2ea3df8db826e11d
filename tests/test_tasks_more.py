"""minbert/tasks/several.py: where the line is drawn between a label that is given and one that is not."""

import torch

from minbert.files.labels import LabelSet
from minbert.tasks import Several


def test_a_label_is_given_from_one_half_on():
    """A logit of 0 is a probability of one half; the scores and the file of predictions draw the same line."""
    labels, logits = LabelSet(("a", "b"), ("a", "b")), torch.tensor([[0.2, -0.2], [-0.1, 0.4]])
    targets = [[1, 0], [0, 1]]
    assert Several().score(targets, logits, labels)["micro_f1"] == 1.0
    assert [row[0] for (row,) in Several().columns(logits, labels)[1]] == ["a", "b"]
