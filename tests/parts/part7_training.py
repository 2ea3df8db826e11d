"""Part 7: from logits to the answer: the loss and its gradient, clipping, one step of training, predictions
(minbert/training.py, `clip` in minbert/optimizer.py, `predict_proba` in minbert/heads.py).

    python -m pytest tests/parts/part7_training.py

Its model answers with the right logits.
"""

import pytest
import torch

from minbert.training import train_step
from tests.parts import agree, check_probe, each_probe

pytestmark = pytest.mark.part7


class Logits(torch.nn.Module):
    """A model that answers with its parameter: the golden logits."""

    def __init__(self, golden):
        super().__init__()
        self.logits = torch.nn.Parameter(golden.stage("logits").clone())

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.logits


@each_probe(7)
def test_probe(probe):
    check_probe(7, probe)


def test_the_loss_and_its_gradient_equal_the_reference(golden):
    """The gradient of the mean cross-entropy is (softmax - one hot) / B."""
    model, logits, labels = Logits(golden), golden.stage("logits"), golden.batch.labels
    gradient = (logits.softmax(-1) - torch.eye(logits.size(1))[labels]) / len(labels)
    loss = train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.5), max_grad_norm=None)
    agree(7, "gradient of the logits", model.logits.grad, gradient)
    agree(7, "loss", torch.tensor(loss), golden.stage("loss"))
    agree(7, "logits after the step", model.logits.detach(), logits - 0.5 * gradient)
