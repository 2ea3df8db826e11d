"""nn.Linear by the faster of the two libraries in torch that multiply matrices. The plain counterpart is nn.Linear.

torch multiplies float32 by MKL on most PCs; oneDNN, which it also has, is faster on some. `measure` times both.
"""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from minbert.fast import measure
from minbert.fast.packing import is_recorded

ROWS, SIZE = 128, 256  # of the layer that is timed: tokens, and numbers per token
TEXTS, WORDS, WIDE = 8, 2**14, 768  # of the readout that is timed: new tokens, the vocabulary, numbers per token


def multiply(x, weight, bias=None):
    """x [N, D] weight^T [D, E] + bias [E] -> [N, E], by oneDNN"""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def step(multiply):
    """The three products of a layer in training, forward and its two gradients, on an example."""
    x, weight = measure.example(ROWS, SIZE), measure.example(SIZE, SIZE)
    return lambda: (multiply(x, weight), multiply(x, weight.t()), multiply(x.t(), x.t()))


def kernels():
    """Those that are there: {name: a function that runs it on an example}"""
    onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return {"torch": step(F.linear)} | ({"onednn": step(multiply)} if onednn else {})


def readouts():
    """As `kernels`, of the product of a few vectors and a large matrix in columns"""
    x, weight = measure.example(TEXTS, WIDE), columns(measure.example(WORDS, WIDE))
    ways = {"torch": F.linear, "onednn": multiply}
    return {name: lambda way=ways[name]: (way(x, weight),) for name in kernels()}


def storages():
    """The product of one vector and a large matrix that is stored by rows or by columns, as `kernels`"""
    x, weight = measure.example(1, WIDE), measure.example(WORDS, WIDE)
    ways = {"rows": weight, "columns": columns(weight)}
    return {name: lambda weight=weight: (F.linear(x, weight),) for name, weight in ways.items()}


def columns(weight):
    """The same matrix, stored column by column"""
    return weight.t().contiguous().t()


KERNEL = measure.Choice("linear", ("torch", "onednn"), kernels)
# For what is written, not learnt: few rows, and matrices that no cache holds.
READOUT = measure.Choice("readout", ("torch", "onednn"), readouts, recorded=False)
STORAGE = measure.Choice("storage", ("rows", "columns"), storages, recorded=False)


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


def linear(x, weight, bias=None):
    """F.linear: x [..., D], weight [E, D], bias [E] -> [..., E]"""
    in_rows = weight.is_contiguous()
    kernel = KERNEL if in_rows else READOUT
    if kernel.chosen == "torch" or not (in_rows or x.numel() > x.size(-1)):  # a single vector
        return F.linear(x, weight, bias)
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    eligible = single and x.device.type == "cpu" and x.numel()
    if not eligible or is_recorded() or kernel.get() == "torch":
        return F.linear(x, weight, bias)
    rows = OneDNN.apply(x.reshape(-1, x.size(-1)), weight, bias)
    return rows.view(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """nn.Linear."""

    def forward(self, x):
        """[..., D] -> [..., E]"""
        return linear(x, self.weight, self.bias)
