"""nn.Linear by the faster of the two libraries in torch that multiply matrices. The plain counterpart is nn.Linear."""

import platform
from pathlib import Path

import torch
from torch import nn
from torch.autograd.function import once_differentiable


def mkl_is_slow():
    """Whether torch's default library, Intel's MKL, multiplies float32 slower here than its second one, oneDNN.

    It keeps its AVX-512 kernels for Intel's own processors.
    """
    try:
        amd = "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        amd = "AuthenticAMD" in platform.processor()
    return amd and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


ONEDNN = mkl_is_slow()


def multiply(x, weight, bias=None):
    """x [N, D] weight^T [D, E] + bias [E] -> [N, E], by oneDNN"""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class OneDNN(torch.autograd.Function):
    """y = x W^T + b on rows, and its gradients, by oneDNN."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return (
            multiply(grad, weight.t()) if ctx.needs_input_grad[0] else None,
            multiply(grad.t(), x.t()) if ctx.needs_input_grad[1] else None,
            grad.sum(0) if ctx.needs_input_grad[2] else None,
        )


class Linear(nn.Linear):
    """nn.Linear."""

    def forward(self, x):
        """[..., D] -> [..., E]"""
        single = x.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not (ONEDNN and single and x.device.type == "cpu" and self.bias is not None and x.numel()):
            return super().forward(x)
        rows = OneDNN.apply(x.reshape(-1, self.in_features), self.weight, self.bias)
        return rows.view(*x.shape[:-1], self.out_features)
