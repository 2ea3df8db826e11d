"""A batch without its padding, [B, T, D] -> [N, D]. The plain counterpart is the padded batch itself."""

from collections.abc import Iterator

import torch
from torch import Tensor

SAME_LENGTH = 4  # this many texts of one length make a group of their own, without padding
CACHE = 2**16  # scores that a group may have in each head, B T T: 3 MB with 12 heads


class Packing:
    """The positions of the N real tokens of a batch [B, T]; with them, the vectors fit into N rows [N, D].

    The longest text comes first, so that texts of about the same length stand side by side and can attend together.

    attention_mask  [B, T], 1 token, 0 padding
    groups          the texts that attend together
    first           the row of each text's first token [B], the longest text's first
    """

    def __init__(self, attention_mask: Tensor):
        self.shape = attention_mask.shape
        real = attention_mask.bool()
        lengths, order = real.sum(1).sort(descending=True, stable=True)
        self.first, self.order = lengths.cumsum(0) - lengths, order
        positions = torch.arange(real.numel(), device=real.device).view(self.shape)
        self.positions = positions[order][real[order]]  # [N], each a position in [B * T]
        self.groups = [Group(start, rows, real.device) for start, rows in group(lengths.tolist(), real.device)]

    def unpad(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [N, ...]"""
        return x.flatten(0, 1).index_select(0, self.positions)

    def pad(self, x: Tensor) -> Tensor:
        """[N, ...] -> [B, T, ...], 0 at padding"""
        padded = x.new_zeros(self.shape.numel(), *x.shape[1:])
        return padded.index_copy(0, self.positions, x).unflatten(0, self.shape)

    def pad_first(self, x: Tensor) -> Tensor:
        """The first tokens' vectors [B, D], longest text first -> [B, 1, D], in the order of the batch"""
        return torch.empty_like(x).index_copy(0, self.order, x)[:, None]


def is_recorded() -> bool:
    """Whether torch records the model, to export or to compile it. The twins then compute the plain way: what they do
    depends on the lengths of the texts, and a recording would hold these lengths for good."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def group(lengths: list[int], device: torch.device, cache: int = CACHE) -> Iterator[tuple[int, list[int]]]:
    """Cut sorted lengths into groups whose score matrices fit the processor's cache; on a GPU, all are one group.

    cache    scores that fit, for each head
    returns  yields the number of tokens before each group, and the group's lengths without those of 0
    """
    start = 0
    while lengths and lengths[0]:
        size = len(lengths)
        if device.type == "cpu":
            size, same = max(1, cache // lengths[0] ** 2), lengths.count(lengths[0])
            size = min(size, same) if same >= SAME_LENGTH else size
        rows = [length for length in lengths[:size] if length]
        yield start, rows
        start, lengths = start + sum(rows), lengths[size:]


class Group:
    """Texts that stand side by side in [N, D] and attend together.

    start    the row of the first text's first token
    lengths  of the texts, longest first
    """

    def __init__(self, start: int, lengths: list[int], device: torch.device):
        self.span = slice(start, start + sum(lengths))
        self.shape = len(lengths), lengths[0]  # b, t
        self.positions = self.mask = None
        if lengths[-1] < lengths[0]:
            real = torch.arange(lengths[0]) < torch.tensor(lengths)[:, None]  # [b, t]
            self.positions = real.flatten().nonzero().squeeze(1).to(device)
            self.mask = torch.zeros(real.shape).masked_fill(~real, float("-inf"))[:, None, None, :].to(device)

    def split(self, x: Tensor, heads: int) -> Tensor:
        """[N, D] -> the group's vectors [b, H, t, K], 0 at padding"""
        x = x[self.span]
        if self.positions is not None:
            x = x.new_zeros(self.shape[0] * self.shape[1], x.size(1)).index_copy(0, self.positions, x)
        return x.view(*self.shape, heads, -1).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """[b, H, t, K] -> the group's rows of [N, D]"""
        x = x.transpose(1, 2).flatten(2).flatten(0, 1)
        return x if self.positions is None else x.index_select(0, self.positions)
