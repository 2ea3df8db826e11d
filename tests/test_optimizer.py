"""AdamW over a thousand steps and its variants, schedules; tests/parts/part6 has the golden step."""

import pytest
import torch

from minbert import AdamW
from minbert.optimizer import constant, linear, parameter_groups
from tests.golden import check

SHAPES = [(7, 3), (5,), (2, 3, 4)]


def run(optimizer_class, steps, dtype=torch.float32, **settings):
    """Weights after some steps on gradients that depend on nothing but the seed."""
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in SHAPES]
    optimizer = optimizer_class(weights, **settings)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = settings["lr"] * (1 - step / steps)  # as a schedule would
        for weight in weights:
            weight.grad = (torch.randn(weight.shape, generator=generator) * 10 ** (step % 5 - 3)).to(dtype)
        optimizer.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.8, 0.98)])
def test_equals_torch_over_1000_steps(weight_decay, betas):
    settings = {"lr": 1e-2, "betas": betas, "eps": 1e-8, "weight_decay": weight_decay}
    for ours, theirs in zip(run(AdamW, 1000, **settings), run(torch.optim.AdamW, 1000, **settings)):
        check("weights after 1000 steps of AdamW", ours, theirs, tolerance=2e-6)


def test_equals_torch_to_the_last_digits_in_double_precision():
    settings = {"lr": 1e-2, "weight_decay": 0.1, "dtype": torch.float64}
    for ours, theirs in zip(run(AdamW, 1000, **settings), run(torch.optim.AdamW, 1000, **settings)):
        check("weights after 1000 steps of AdamW", ours, theirs, tolerance=1e-13)


def test_the_efficient_form_by_hand():
    """Kingma & Ba, end of section 2: lr sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps); decay after it."""
    weight = torch.tensor([2.0], requires_grad=True)
    optimizer = AdamW([weight], lr=0.1, betas=(0.5, 0.75), eps=0.25, weight_decay=0.5, efficient=True)
    m = v = 0.0
    expected = 2.0
    for step, grad in enumerate((1.0, -3.0), start=1):
        weight.grad = torch.tensor([grad])
        optimizer.step()
        m, v = 0.5 * m + 0.5 * grad, 0.75 * v + 0.25 * grad**2
        expected -= 0.1 * (1 - 0.75**step) ** 0.5 / (1 - 0.5**step) * m / (v**0.5 + 0.25)
        expected -= 0.1 * 0.5 * expected
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_without_correction_by_hand():
    weight = torch.tensor([2.0], requires_grad=True)
    weight.grad = torch.tensor([4.0])
    AdamW([weight], lr=0.1, betas=(0.5, 0.75), eps=0.0, correct_bias=False).step()
    assert weight.item() == pytest.approx(2.0 - 0.1 * (0.5 * 4) / (0.25 * 16) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("settings", [{"lr": -1}, {"betas": (0.9, 1.0)}, {"eps": -1e-8}, {"weight_decay": -0.1}])
def test_impossible_settings_are_refused_by_name(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} cannot be"):
        AdamW([torch.ones(1, requires_grad=True)], **settings)


def test_biases_and_norms_do_not_decay_and_frozen_weights_are_left_out():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    model[2].requires_grad_(False)
    decaying, plain = parameter_groups(model, 0.1)
    assert [p.shape for p in decaying["params"]] == [(4, 3)] and decaying["weight_decay"] == 0.1
    assert [p.shape for p in plain["params"]] == [(4,)] * 3 and plain["weight_decay"] == 0.0


def test_linear_schedule_by_hand():
    assert [linear(step, 2, 6) for step in range(8)] == [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0]
    assert [linear(step, 0, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    assert [linear(share, 0.5, 1.0) for share in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 0.5, 0]


def test_constant_schedule_by_hand():
    assert [constant(step, 2, 6) for step in range(6)] == [0, 0.5, 1, 1, 1, 1]


def test_a_warmup_longer_than_the_run_never_reaches_the_peak():
    assert max(linear(step, 500, 150) for step in range(150)) < 0.3
