"""Prediction in 8 bits: a quarter of the memory, and faster than float32 where a processor multiplies whole numbers.

`measure` times two ways to multiply them: torch's own, fast with VNNI or AMX alone, and oneDNN's with the matrix stored
in its own order; MINBERT_INT8=torch or MINBERT_INT8=onednn decides before. `minbert/runs/precision.py` compares the
faster one with float32 before it uses int8.
"""

import copy
import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minbert.errors import UserError
from minbert.fast import measure
from minbert.weights.int8 import whole_numbers

ROWS, SIZE = 512, 384  # of the product that is timed
BITS_8, BITS_7 = 127, 63  # the largest number of a vector, when 0 stands in the middle
LOWEST = -0.1701  # no GELU, exact or by tanh, goes below


class Rows(NamedTuple):
    """Vectors [N, D], about (numbers - zero) * scale.

    numbers  uint8 [N, D]
    zero     the number that stands for 0
    scale    [N, 1], one for each vector, so that what a text gives does not depend on the texts beside it
    """

    numbers: Tensor
    zero: int
    scale: Tensor

    @classmethod
    def of(cls, x, zero, scale, out=None):
        """x [N, D], rounded; `out` is overwritten, and may be x"""
        shift = x.new_full((x.size(1),), zero - 128.0)
        moved = torch.addcmul(shift, x, scale.reciprocal(), out=out).round_()  # -128 to 127
        return cls(moved.to(torch.int8).view(torch.uint8).bitwise_xor_(128), zero, scale)


class Torch:
    """The product of whole numbers by torch._int_mm: the plain counterpart of OneDNN."""

    @staticmethod
    def pack(weight):
        return weight

    @staticmethod
    def multiply(rows, layer):
        """Rows [N, D] and an Int8Linear -> (numbers - zero) W^T, each column times its scale: float32 [N, E]"""
        numbers = rows.numbers.bitwise_xor(128).view(torch.int8)  # 128 less
        y = torch._int_mm(numbers, layer.weight.t()).add_(layer.sums * (128 - rows.zero))
        return y.float().mul_(layer.scale)


class OneDNN:
    """The same by oneDNN, which stores the matrix in an order of its own and writes float32."""

    @staticmethod
    def pack(weight):
        """int8 [E, D] -> an opaque tensor of int8"""
        return torch.ops.onednn.qlinear_prepack(weight, None)

    @staticmethod
    def multiply(rows, layer):
        """As Torch.multiply"""
        matrix = layer.weight, layer.scale, layer.zeros, None
        plain = 1.0, 0, torch.float32, "none", [], "none"
        return torch.ops.onednn.qlinear_pointwise(rows.numbers, 1.0, rows.zero, *matrix, *plain)


WAYS = {"torch": Torch, "onednn": OneDNN}


@torch.no_grad()
def kernels():
    """Those that are there: {name: a function that runs it on an example}"""
    onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_prepack")
    linear = nn.utils.skip_init(nn.Linear, SIZE, SIZE)
    linear.weight.copy_(measure.example(SIZE, SIZE))
    linear.bias.zero_()
    layers = {name: Int8Linear(linear, name) for name in WAYS if name == "torch" or onednn}
    rows = layers["torch"].rows(measure.example(ROWS, SIZE), BITS_7)
    return {name: lambda layer=layer: (layer.multiply(rows),) for name, layer in layers.items()}


KERNEL = measure.Choice("int8", tuple(WAYS), kernels, recorded=False)


@functools.cache
@torch.no_grad()
def largest(kernel):
    """BITS_8, or BITS_7 where the kernel adds two products in 16 bits, as without VNNI: twice 255 * 127 is too much."""
    linear = nn.utils.skip_init(nn.Linear, 64, 64)
    linear.weight.fill_(1.0)
    linear.bias.zero_()
    most = Rows(torch.full((16, 64), 255, dtype=torch.uint8), 128, torch.ones(16, 1))
    exact = torch.allclose(Int8Linear(linear, kernel).multiply(most), torch.tensor(127.0 * 64))
    return BITS_8 if exact else BITS_7


class Int8Linear(nn.Module):
    """A linear layer whose matrix, and each token's vector when it arrives, is stored in whole numbers of 8 bits.

    Each row of the matrix and each vector has a scale of its own, its largest number / 127, so that what a text gives
    does not depend on the texts beside it. Learns nothing (Zafrir et al. 2019, Q8BERT, section 2.1, but by rows).
    Where the kernel can add no larger products, vectors have 7 bits: / 63.

    linear  the layer that it stands in for
    kernel  "torch" or "onednn"; None: what is faster here
    """

    def __init__(self, linear, kernel=None):
        super().__init__()
        weight, scale = whole_numbers(linear.weight.detach())
        self.kernel = kernel or KERNEL.get()
        self.register_buffer("weight", WAYS[self.kernel].pack(weight))  # int8, E D numbers
        self.register_buffer("scale", scale.squeeze(1))  # [E]
        self.register_buffer("bias", linear.bias.detach())  # [E]
        self.register_buffer("sums", weight.sum(1, dtype=torch.int32))  # [E], of each row's numbers
        self.register_buffer("zeros", torch.zeros(len(weight), dtype=torch.int64), persistent=False)

    def __deepcopy__(self, memo):
        """A copy that shares the matrix, which nobody changes: torch cannot copy one that is packed."""
        memo[id(self.weight)] = self.weight
        memo[id(self)] = copied = type(self).__new__(type(self))
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def forward(self, x):
        """[..., D] -> [..., E]"""
        return self.multiply(self.rows(x)).view(*x.shape[:-1], len(self.scale))

    def after_gelu(self, x):
        """`forward` of what a GELU has returned, which is overwritten.

        Since GELU returns little below 0, a quarter of the numbers is enough for that side.
        """
        flat, most = x.view(-1, x.size(-1)), largest(self.kernel)
        zero = most // 2
        above = 2 * most - zero
        scale = flat.amax(1, keepdim=True).clamp_(min=-LOWEST * above / zero).div_(above)
        return self.multiply(Rows.of(flat, zero, scale, out=flat)).view(*x.shape[:-1], len(self.scale))

    def rows(self, x, most=None):
        """[..., D] -> Rows, of numbers up to `most` on both sides of 0"""
        x, most = x.reshape(-1, x.size(-1)), most or largest(self.kernel)
        scale = torch.maximum(x.amax(1, keepdim=True), -x.amin(1, keepdim=True)).clamp_(min=1e-30).div_(most)
        return Rows.of(x, most + 1, scale)

    def multiply(self, rows):
        """Rows [N, D] -> [N, E]"""
        y = WAYS[self.kernel].multiply(rows, self)
        return torch.addcmul(self.bias, y, rows.scale, out=y)


def apply(layers, x):
    """What each layer makes of x: a list. Layers in 8 bits round it once for all."""
    if not all(isinstance(layer, Int8Linear) for layer in layers):
        return [layer(x) for layer in layers]
    rows = layers[0].rows(x)
    return [layer.multiply(rows).view(*x.shape[:-1], -1) for layer in layers]


def quantize(model):
    """Replace the linear layers of a model's encoder or decoder, in place: to predict, on a CPU."""
    if next(model.parameters()).device.type != "cpu":
        raise UserError("int8 is for prediction on a CPU: choose fp32 or bf16 here")
    layers = model.decoder.layers if hasattr(model, "decoder") else getattr(model, "bert", model).encoder
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child))
    return model


def used_precision(model, asked):
    """The precision that a model computes in, where `asked` was asked for: fp32, bf16 or int8."""
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        return "int8"
    return "fp32" if asked.startswith("int8") else asked
