"""Part 6: AdamW and the learning rate (minbert/optimizer.py).

python -m pytest tests/parts/part6_optimizer.py
"""

import pytest
import torch

from minbert import AdamW
from minbert.optimizer import linear
from tests.parts import agree, check_probe, each_probe, hint

pytestmark = pytest.mark.part6


@each_probe(6)
def test_probe(probe):
    check_probe(6, probe)


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_one_step_equals_the_reference(golden, option):
    before, after, grads = golden.weights(), golden.part(f"{option}/after/"), golden.part(f"{option}/grad/")
    for name, grad in grads.items():
        weight = before[name].requires_grad_()
        weight.grad = grad.clone()
        settings = golden.step | ({"weight_decay": 0.0} if weight.ndim == 1 else {})
        AdamW([weight], **settings).step()
        agree(6, f"{option}, {name} after one step", weight.detach(), after[name], tolerance=1e-6)


def test_many_steps_equal_torch():
    """The moments are means of all gradients so far, and are corrected by the number of steps."""
    settings = {"lr": 0.01, "betas": (0.8, 0.98), "eps": 1e-8, "weight_decay": 0.1}
    ours, theirs = (torch.linspace(-1, 1, 12).view(3, 4).clone().requires_grad_() for _ in range(2))
    optimizers = AdamW([ours], **settings), torch.optim.AdamW([theirs], **settings)
    for step in range(1, 21):
        for weight, optimizer in zip((ours, theirs), optimizers):
            weight.grad = torch.sin(step * torch.arange(12.0)).view(3, 4)
            optimizer.step()
        agree(6, f"weight after {step} steps", ours.detach(), theirs.detach(), tolerance=2e-6)


def test_the_linear_schedule_by_hand():
    assert [linear(step, 2, 6) for step in range(8)] == [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0], f"linear{hint(6)}"
