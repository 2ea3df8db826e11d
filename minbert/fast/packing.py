"""A batch without its padding, [B, T, D] -> [N, D]. The plain counterpart is the padded batch itself."""

import torch

ALIKE = 4  # so many texts of one length make a group of their own, which needs no padding
CACHE = 2**16  # scores of a head, B T T, that a group may have: with 12 heads 3 MB


class Packing:
    """Where the N real tokens of a batch [B, T] stand, so that their vectors can be kept as rows [N, D].

    The rows of N are sorted by the length of their text, longest first, so that texts of about the same length can
    attend side by side: `groups` says which. `first` is the row of each text's first token, [B].

    attention_mask  [B, T], 1 token, 0 padding
    """

    def __init__(self, attention_mask):
        self.shape = attention_mask.shape
        real = attention_mask.bool()
        lengths, order = real.sum(1).sort(descending=True, stable=True)
        self.first, self.order = lengths.cumsum(0) - lengths, order
        places = torch.arange(real.numel(), device=real.device).view(self.shape)
        self.positions = places[order][real[order]]  # [N], of [B * T]
        self.groups = [Group(start, rows, real.device) for start, rows in group(lengths.tolist(), real.device)]

    def unpad(self, x):
        """[B, T, ...] -> [N, ...]"""
        return x.flatten(0, 1).index_select(0, self.positions)

    def pad(self, x):
        """[N, ...] -> [B, T, ...], 0 where there is no token"""
        padded = x.new_zeros(self.shape.numel(), *x.shape[1:])
        return padded.index_copy(0, self.positions, x).unflatten(0, self.shape)

    def pad_first(self, x):
        """The vectors of first tokens, [B, D], the longest text's first -> [B, 1, D], in the order of the batch"""
        return torch.empty_like(x).index_copy(0, self.order, x)[:, None]


def group(lengths, device, most=CACHE):
    """Cut sorted lengths into groups whose score matrices fit the processor's cache; a GPU takes them all at once.

    Yields the number of tokens before the group, and the group's lengths.
    """
    start = 0
    while lengths and lengths[0]:
        size = len(lengths)
        if device.type == "cpu":
            size, same = max(1, most // lengths[0] ** 2), lengths.count(lengths[0])
            size = min(size, same) if same >= ALIKE else size
        rows = [length for length in lengths[:size] if length]
        yield start, rows
        start, lengths = start + sum(rows), lengths[size:]


class Group:
    """Texts next to each other in [N, D] that attend side by side: where they start, how long each of them is."""

    def __init__(self, start, lengths, device):
        self.span = slice(start, start + sum(lengths))
        self.shape = len(lengths), lengths[0]  # b, t
        self.places = self.mask = None
        if lengths[-1] < lengths[0]:
            real = torch.arange(lengths[0]) < torch.tensor(lengths)[:, None]  # [b, t]
            self.places = real.flatten().nonzero().squeeze(1).to(device)
            self.mask = torch.zeros(real.shape).masked_fill(~real, float("-inf"))[:, None, None, :].to(device)

    def split(self, x, heads):
        """The group's part of [N, D] -> [b, H, t, K]"""
        x = x[self.span]
        if self.places is not None:
            x = x.new_zeros(self.shape[0] * self.shape[1], x.size(1)).index_copy(0, self.places, x)
        return x.view(*self.shape, heads, -1).transpose(1, 2)

    def merge(self, x):
        """[b, H, t, K] -> the group's part of [N, D]"""
        x = x.transpose(1, 2).flatten(2).flatten(0, 1)
        return x if self.places is None else x.index_select(0, self.places)
