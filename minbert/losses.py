"""What a classifier of texts learns by, and how its outputs are read: by the problem_type of its config."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from minbert.config_json import PROBLEM_TYPES
from minbert.errors import UserError

ONE, SEVERAL, NUMBER = PROBLEM_TYPES  # one class of each text; any number of labels; a number


def class_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """logits [B, C], labels int64 [B], a weight for each class [C] -> the cross-entropy in nats"""
    return F.cross_entropy(logits.float(), labels, weight=weight, reduction=reduction)


def several_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """logits and labels [B, C], 1 for each label that a text has -> the binary cross-entropy in nats, over all cells"""
    return F.binary_cross_entropy_with_logits(logits.float(), labels.float(), weight=weight, reduction=reduction)


def number_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """logits [B, 1], labels [B] -> the squared error. There are no classes to weigh: weight must be None."""
    if weight is not None:
        raise UserError("numbers have no classes whose weight could be balanced: leave --class_weights out")
    return F.mse_loss(logits.float().squeeze(-1), labels.float(), reduction=reduction)


LOSSES: dict[str, Callable] = {ONE: class_loss, SEVERAL: several_loss, NUMBER: number_loss}


def loss(logits: Tensor, labels: Tensor, problem_type: str = ONE) -> Tensor:
    """The mean loss of logits [B, C], by the problem_type of a classifier: a scalar"""
    return LOSSES[problem_type](logits, labels)


def probabilities(logits: Tensor, problem_type: str = ONE) -> Tensor:
    """logits [..., C] -> the probability of each class; of SEVERAL, of each label by itself

    Raises UserError for NUMBER: a number has no probability.
    """
    if problem_type == NUMBER:
        raise UserError("this classifier gives a number, which has no probability: read its logits")
    return torch.sigmoid(logits) if problem_type == SEVERAL else logits.softmax(dim=-1)


def translation_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """logits [B, T, V], labels int64 [B, T], -100 for padding -> the mean cross-entropy of the real tokens, in nats

    smoothing  the share of the probability that should be spread over all V tokens (Vaswani et al. 2017, section 5.4)
    """
    options = {"label_smoothing": smoothing, "reduction": "sum"}
    total = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), **options)
    return total / (labels != -100).sum().clamp(min=1)
