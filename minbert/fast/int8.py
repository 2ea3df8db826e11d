"""Prediction in 8 bits: a quarter of the memory, and faster on processors with instructions for it (VNNI, AMX).

On others it is many times slower: `minbert/runs/precision.py` measures before it is used.
"""

import torch
from torch import nn

from minbert.errors import UserError
from minbert.weights.int8 import whole_numbers


class Int8Linear(nn.Module):
    """A linear layer whose matrix, and each token's vector when it arrives, is stored in whole numbers up to 127.

    Each row of the matrix and each vector has a scale of its own, its largest number / 127, so that what a text gives
    does not depend on the texts beside it. Learns nothing (Zafrir et al. 2019, Q8BERT, section 2.1, but by rows).

    linear  the layer that it stands in for
    """

    def __init__(self, linear):
        super().__init__()
        weight, scale = whole_numbers(linear.weight.detach())
        self.register_buffer("weight", weight)  # int8 [E, D]
        self.register_buffer("scale", scale.squeeze(1))  # [E]
        self.register_buffer("bias", linear.bias.detach())  # [E]

    def forward(self, x):
        """[..., D] -> [..., E]"""
        rows, scale = whole_numbers(x.reshape(-1, x.size(-1)))  # [N, D], [N, 1]
        y = torch._int_mm(rows, self.weight.t()).float()  # [N, E]
        return y.mul_(scale * self.scale).add_(self.bias).view(*x.shape[:-1], len(self.scale))


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
