"""nn.Dropout with cheaper random numbers. The plain counterpart is torch.nn.Dropout."""

import math

import torch
from torch import nn


class Dropout(nn.Dropout):
    """nn.Dropout, with random numbers from `keep_mask`."""

    def forward(self, x):
        if not (self.training and 0 < self.p < 0.999) or x.device.type != "cpu":
            return super().forward(x)
        return x * torch.where(keep_mask(x.shape, self.p), 1 / (1 - self.p), 0.0).to(x.dtype)


def keep_mask(shape, rate):
    """Random booleans, False with the nearest multiple of 1 / 65536 to rate: 16 random bits each are enough."""
    size = math.prod(shape)
    bits = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None)
    return bits.view(torch.int16)[:size].view(shape) >= round(rate * 65536) - 32768
