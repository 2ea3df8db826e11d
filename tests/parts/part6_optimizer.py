"""Part 6: AdamW and the learning rate (minbert/optimizer.py).

python -m pytest tests/parts/part6_optimizer.py
"""

import pytest
import torch

from minbert import AdamW
from minbert.course import mistakes
from minbert.course.diagnosis import check
from minbert.optimizer import linear

pytestmark = pytest.mark.part6


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_one_step_equals_the_reference(golden, option):
    before, after, grads = golden.weights(), golden.part(f"{option}/after/"), golden.part(f"{option}/grad/")
    for name, grad in grads.items():
        weight = before[name].requires_grad_()
        weight.grad = grad.clone()
        settings = golden.step | {"betas": (0.9, 0.999)}
        if weight.ndim == 1:
            settings["weight_decay"] = 0.0
        wrong = mistakes.steps(weight.detach().clone(), grad, **settings)
        AdamW([weight], **settings).step()
        check(f"{option}, {name} after one step", weight.detach(), after[name], mistakes=wrong, tolerance=1e-6)


def test_many_steps_equal_torch():
    """The moments are means of all gradients so far, and are corrected by the number of steps."""
    settings = {"lr": 0.01, "betas": (0.8, 0.98), "eps": 1e-8, "weight_decay": 0.1}
    ours, theirs = (torch.linspace(-1, 1, 12).view(3, 4).clone().requires_grad_() for _ in range(2))
    optimizers = AdamW([ours], **settings), torch.optim.AdamW([theirs], **settings)
    for step in range(1, 21):
        for weight, optimizer in zip((ours, theirs), optimizers):
            weight.grad = torch.sin(step * torch.arange(12.0)).view(3, 4)
            optimizer.step()
        if step > 1:  # the first step is judged above
            check(f"weight after {step} steps", ours.detach(), theirs.detach(), tolerance=2e-6)


def test_a_weight_without_gradient_stays():
    weights = [torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)]
    optimizer = AdamW(weights, lr=0.1, weight_decay=0.5)
    weights[0].grad = torch.ones(2)
    optimizer.step()
    assert (weights[0] != 1).all() and (weights[1] == 1).all()


def test_the_linear_schedule_by_hand():
    assert [linear(step, 2, 6) for step in range(8)] == [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0]
    assert [linear(step, 0, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]
