"""The fused optimizer and the fast clipping equal the written-out ones."""

import pytest
import torch
from torch import nn

from minbert import AdamW
from minbert import optimizer as plain
from minbert.fast.optimizer import clip, fused_adamw
from minbert.optimizer import parameter_groups


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_fused_optimizer_is_adamw(weight_decay):
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    groups = [parameter_groups(model, weight_decay) for model in models]
    optimizers = AdamW(groups[0], lr=0.01), fused_adamw(groups[1], 0.01)
    for step in range(20):
        for model, optimizer in zip(models, optimizers):
            optimizer.zero_grad()
            torch.manual_seed(step)
            model(torch.randn(5, 4)).square().sum().backward()
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * step
            optimizer.step()
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("clip", [clip, plain.clip])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_equals_torch_s(max_norm, clip):
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(4))] for _ in range(2))
    for one, other in zip(ours, theirs):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    unused = nn.Parameter(torch.zeros(2))
    assert clip([*ours, unused], max_norm) == pytest.approx(nn.utils.clip_grad_norm_(theirs, max_norm))
    for one, other in zip(ours, theirs):
        assert torch.allclose(one.grad, other.grad, rtol=1e-5)
