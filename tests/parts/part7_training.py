"""Part 7: from logits to the answer: the loss and its gradient, one step of training, probabilities
(`train_step` in minbert/training.py, `predict_proba` in minbert/heads.py).

    python -m pytest tests/parts/part7_training.py

Its model answers with the right logits.
"""

import pytest
import torch

from minbert import BertSentClassifier
from minbert.course import mistakes
from minbert.course.diagnosis import check
from minbert.training import train_step

pytestmark = pytest.mark.part7


class Logits(torch.nn.Module):
    """A model that answers with its parameter: the golden logits."""

    def __init__(self, golden):
        super().__init__()
        self.logits = torch.nn.Parameter(golden.stage("logits").clone())

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.logits


class Answer(Logits):
    """The same with dropout, and with predict_proba of the real classifier."""

    def predict_proba(self, *inputs):
        return BertSentClassifier.predict_proba(self, *inputs)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return torch.nn.functional.dropout(self.logits, 0.5, self.training)


def gradient_by_hand(golden):
    """The gradient of the mean cross-entropy: (softmax - one hot) / B"""
    logits, labels = golden.stage("logits"), golden.batch.labels
    return (logits.softmax(-1) - torch.eye(logits.size(1))[labels]) / len(labels)


def test_the_loss_and_its_gradient_equal_the_reference(golden):
    model, gradient = Logits(golden), gradient_by_hand(golden)
    before = model.logits.detach().clone()
    loss = train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.5), max_grad_norm=None)
    wrong = mistakes.loss_gradients(before, golden.batch.labels)
    check("gradient of the logits", model.logits.grad, gradient, mistakes=wrong)
    check("loss", torch.tensor(loss), golden.stage("loss"))
    check("logits after the step", model.logits.detach(), before - 0.5 * gradient)


def test_gradients_are_clipped_to_their_norm(golden):
    model, gradient = Logits(golden), gradient_by_hand(golden)
    train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.0), max_grad_norm=0.01)
    right = gradient * 0.01 / gradient.norm()
    check("clipped gradient", model.logits.grad, right, mistakes=mistakes.clipped(gradient, 0.01))


def test_old_gradients_are_forgotten(golden):
    model, gradient = Logits(golden), gradient_by_hand(golden)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for _ in range(2):
        train_step(model, golden.batch, optimizer, max_grad_norm=None)
    wrong = mistakes.second_gradients(gradient)
    check("gradient of the second step", model.logits.grad, gradient, mistakes=wrong)


def test_probabilities_equal_their_definition(golden):
    logits = golden.stage("logits")
    probabilities = Answer(golden).predict_proba(golden.batch.input_ids)
    right = logits.exp() / logits.exp().sum(-1, keepdim=True)
    check("probabilities", probabilities, right, mistakes=mistakes.answers(logits))


def test_probabilities_need_no_eval_and_leave_the_mode_alone(golden):
    model = Answer(golden).train()
    first, second = (model.predict_proba(golden.batch.input_ids) for _ in range(2))
    assert torch.equal(first, second), "probabilities: dropout is on"
    assert model.training, "probabilities: the model is no longer in training mode"
    assert not first.requires_grad, "probabilities: a gradient is kept"
