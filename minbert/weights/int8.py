"""Matrices stored in 8 bits: whole numbers from -127 to 127, and a scale for each row. They are read as float32.

In a file, two tensors stand for the matrix NAME [N, D]: NAME.int8 [N, D], and NAME.scale [N], float32. Other libraries
do not know these names, so they report the matrices as missing and do not take the whole numbers for weights.
"""

from pathlib import Path

import torch
from torch import Tensor

from minbert.errors import UserError

NUMBERS, SCALE = ".int8", ".scale"


def whole_numbers(x: Tensor) -> tuple[Tensor, Tensor]:
    """[N, D] -> int8 [N, D] and scale [N, 1], so that x is about the one times the other.

    The scale of a row is its largest number / 127 (Zafrir et al. 2019, Q8BERT, section 2.1, but by rows).
    """
    scale = x.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / 127
    return (x / scale).round_().to(torch.int8), scale


def compress(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """{name: tensor} with two tensors for each matrix, and the rest as it is."""
    stored = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            numbers, scale = whole_numbers(tensor.float())
            stored |= {name + NUMBERS: numbers, name + SCALE: scale.squeeze(1)}
        else:
            stored[name] = tensor
    return stored


def restore(stored: dict[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """What `compress` was given, matrices rounded to their 8 bits. What `compress` has not written stays as it is.

    source  the file's name in messages
    Raises UserError if a matrix lacks its scales, or its whole numbers.
    """
    names = [name.removesuffix(NUMBERS) for name in stored if name.endswith(NUMBERS)]
    if not names:
        return stored
    tensors = dict(stored)
    for name in names:
        numbers, scale = tensors.pop(name + NUMBERS), tensors.pop(name + SCALE, None)
        if scale is None or numbers.dtype != torch.int8 or numbers.ndim != 2 or scale.shape != numbers.shape[:1]:
            raise UserError(f"{source}: {name}{NUMBERS} is no matrix of 8-bit numbers with a scale for each row")
        if name in tensors:
            raise UserError(f"{source}: holds {name} twice, the second time in 8 bits")
        tensors[name] = numbers.float() * scale.float()[:, None]
    return tensors
