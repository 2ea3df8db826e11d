"""The same numbers, sooner. Each thing here stands in for a plainer one, and is tested equal to it.

Unpadded    a batch without its padding: everything but attention works on real tokens alone
attend      attention.attend, text by text or a few of about the same length at once
first_only  the last encoder.EncoderLayer, for each text's first token alone
UsedRows    an embedding without the rows that training does not read
Linear      nn.Linear, with the faster of torch's two libraries for multiplying matrices
Dropout     nn.Dropout, with cheaper random numbers
"""

import ctypes
import gc
import math
import os
import platform
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ALIKE = 4  # so many texts of one length make a group of their own, which needs no padding
CACHE = 2**16  # scores of a head, B T T, that a group may have: with 12 heads 3 MB


class Unpadded:
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


def attend(query, key, value, heads, unpadded, dropout):
    """attention.attend without padding: query, key, value [N, D] -> mixed values [N, D]

    dropout  a module, applied to the probabilities
    """
    rate = dropout.p if dropout.training else 0.0
    if query.device.type == "cpu" and 0 < rate < 0.999:  # more is nothing to `keep`
        return Attention.apply(query, key, value, heads, unpadded.groups, rate)
    mixed = [query[:0]]  # of no text at all
    for group in unpadded.groups:
        q, k, v = (group.split(x, heads) for x in (query, key, value))
        mask = None if group.mask is None else group.mask.to(q.dtype)
        mixed.append(group.merge(F.scaled_dot_product_attention(q, k, v, mask, dropout_p=rate)))
    return torch.cat(mixed)


def attend_first(query, key, value, heads, unpadded, dropout):
    """The same where only the first token of each text looks: query [B, D] -> [B, D]"""
    mixed, rate = [], dropout.p if dropout.training else 0.0
    for group, q in zip(unpadded.groups, query.split([group.shape[0] for group in unpadded.groups])):
        k, v = group.split(key, heads), group.split(value, heads)  # [b, H, t, K]
        q = q.unflatten(-1, (heads, 1, -1))  # [b, H, 1, K]
        mask = None if group.mask is None else group.mask.to(q.dtype)
        mixed.append(F.scaled_dot_product_attention(q, k, v, mask, dropout_p=rate).flatten(1))
    return torch.cat(mixed)


def first_only(layer, x, unpadded):
    """The last encoder.EncoderLayer, where nobody asks for more than each text's first token: x [N, D] -> [B, D]"""
    attention, first = layer.attention, x[unpadded.first]
    query, key, value = attention.query(first), attention.key(x), attention.value(x)
    looked = attention.output(attend_first(query, key, value, attention.heads, unpadded, attention.dropout))
    x = layer.attention_norm(first + layer.dropout(looked))
    return layer.feed_forward_norm(x + layer.dropout(layer.feed_forward(x)))


class Attention(torch.autograd.Function):
    """`attend` with dropout, group by group, and its gradients; torch has no fused one for the CPU."""

    @staticmethod
    def forward(ctx, query, key, value, heads, groups, rate):
        ctx.heads, ctx.groups, ctx.rate, ctx.probabilities, ctx.kept = heads, groups, rate, [], []
        ctx.save_for_backward(query, key, value)
        mixed = torch.empty_like(query)
        for group in groups:
            q, k, v = (group.split(x, heads) for x in (query, key, value))
            scores = (q * q.size(-1) ** -0.5 @ k.transpose(-2, -1)).float()  # [b, H, t, t]
            scores = scores if group.mask is None else scores.add_(group.mask)
            probabilities = scores.softmax(dim=-1).to(q.dtype)
            kept = keep(probabilities.shape, rate)
            mixed[group.span] = group.merge(probabilities * kept @ (v / (1 - rate)))
            ctx.probabilities.append(probabilities)
            ctx.kept.append(kept)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value = ctx.saved_tensors
        grads = [torch.empty_like(x) for x in ctx.saved_tensors]
        for group, p, kept in zip(ctx.groups, ctx.probabilities, ctx.kept):
            q, k, v, g = (group.split(x, ctx.heads) for x in (query, key, value, grad / (1 - ctx.rate)))
            d_value = (p * kept).transpose(-2, -1) @ g
            d = (g @ v.transpose(-2, -1)).float() * kept * p  # [b, H, t, t]
            d = (d - p * d.sum(dim=-1, keepdim=True)).to(q.dtype) * q.size(-1) ** -0.5
            for whole, part in zip(grads, (d @ k, d.transpose(-2, -1) @ q, d_value)):
                whole[group.span] = group.merge(part)
        return *grads, None, None, None


def keep(shape, rate):
    """Random booleans, False with the nearest multiple of 1 / 65536 to rate: 16 random bits each are enough."""
    size = math.prod(shape)
    bits = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None)
    return bits.view(torch.int16)[:size].view(shape) >= round(rate * 65536) - 32768


class UsedRows:
    """Training on those rows of an embedding alone that occur in the data.

    The others have no gradient. AdamW would go through all of them in each step to multiply them by
    1 - lr * weight_decay; `decay` does that once, by the product of many steps.

    embedding  nn.Embedding
    ids        those that occur, in any order
    """

    def __init__(self, embedding, ids):
        self.embedding, self.whole = embedding, embedding.weight
        occurs = torch.zeros(len(self.whole), dtype=torch.bool)
        occurs[torch.tensor(list(set(ids)), dtype=torch.int64)] = True
        self.ids = occurs.nonzero().squeeze(1).to(self.whole.device)  # [U]
        self.numbers = occurs.cumsum(0) - 1  # id -> row of the used ones, for ids that occur
        self.used = nn.Parameter(self.whole.detach()[self.ids], self.whole.requires_grad)  # [U, D]

    @contextmanager
    def alone(self):
        """The context in which the embedding consists of the used rows, under their new numbers."""
        with torch.no_grad():
            self.used.copy_(self.whole[self.ids])
        self.embedding.weight = self.used
        try:
            yield
        finally:
            self.put_back()
            self.embedding.weight = self.whole

    @torch.no_grad()
    def put_back(self):
        """What the used rows have learnt goes into the whole."""
        if self.embedding.weight is self.used:
            self.whole[self.ids] = self.used

    @torch.no_grad()
    def decay(self, factor):
        """Multiply the rows that are not used, in place."""
        kept = self.whole[self.ids]
        self.whole.mul_(factor)
        self.whole[self.ids] = kept


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


class Dropout(nn.Dropout):
    """nn.Dropout, with random numbers from `keep`."""

    def forward(self, x):
        if not (self.training and 0 < self.p < 0.999) or x.device.type != "cpu":
            return super().forward(x)
        return x * torch.where(keep(x.shape, self.p), 1 / (1 - self.p), 0.0).to(x.dtype)


def keep_memory():
    """Have this process keep the memory it frees, for the next batch, and take it in large pages.

    Without it much of a CPU's time goes into pages that are handed back to Linux and asked for again. Elsewhere than
    on Linux nothing happens. For programs: what imports minbert is not touched.
    """
    gc.freeze()  # nor is what was imported searched for garbage again and again
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for large pages if it reads this before it starts
    trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1  # names of malloc.h
    with suppress(AttributeError, OSError, TypeError):  # where there is no glibc
        libc = ctypes.CDLL(None)
        for option in (mmap_threshold, trim_threshold):
            libc.mallopt(option, most)
