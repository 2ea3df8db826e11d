"""attention.attend on real tokens only: a group of texts of about the same length at a time."""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from minbert.fast.dropout import keep_mask
from minbert.fast.packing import Packing


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, packing: Packing, dropout: nn.Dropout) -> Tensor:
    """attention.attend without padding: query, key, value [N, D] -> mixed values [N, D]

    dropout  applied to the probabilities
    """
    rate = dropout.p if dropout.training else 0.0
    if query.device.type == "cpu" and 0 < rate < 0.999:  # keep_mask is too coarse for more
        return Attention.apply(query, key, value, heads, packing.groups, rate)
    mixed = [query[:0]]  # the result for a batch without tokens
    for group in packing.groups:
        q, k, v = (group.split(x, heads) for x in (query, key, value))
        mask = None if group.mask is None else group.mask.to(q.dtype)
        mixed.append(group.merge(F.scaled_dot_product_attention(q, k, v, mask, dropout_p=rate)))
    return torch.cat(mixed)


def attend_first(
    query: Tensor, key: Tensor, value: Tensor, heads: int, packing: Packing, dropout: nn.Dropout
) -> Tensor:
    """`attend` for each text's first token only: query [B, D], key, value [N, D] -> mixed values [B, D]"""
    mixed, rate = [], dropout.p if dropout.training else 0.0
    for group, q in zip(packing.groups, query.split([group.shape[0] for group in packing.groups])):
        k, v = group.split(key, heads), group.split(value, heads)  # [b, H, t, K]
        q = q.unflatten(-1, (heads, 1, -1))  # [b, H, 1, K]
        mask = None if group.mask is None else group.mask.to(q.dtype)
        mixed.append(F.scaled_dot_product_attention(q, k, v, mask, dropout_p=rate).flatten(1))
    return torch.cat(mixed)


class Attention(torch.autograd.Function):
    """`attend` with dropout and its gradients, group by group; torch has no fused kernel with dropout for the CPU."""

    @staticmethod
    def forward(ctx, query, key, value, heads, groups, rate):
        ctx.heads, ctx.groups, ctx.rate, ctx.probabilities, ctx.keep = heads, groups, rate, [], []
        ctx.save_for_backward(query, key, value)
        mixed = torch.empty_like(query)
        for group in groups:
            q, k, v = (group.split(x, heads) for x in (query, key, value))
            scores = (q * q.size(-1) ** -0.5 @ k.transpose(-2, -1)).float()  # [b, H, t, t]
            scores = scores if group.mask is None else scores.add_(group.mask)
            probabilities = scores.softmax(dim=-1).to(q.dtype)
            keep = keep_mask(probabilities.shape, rate)
            mixed[group.span] = group.merge(probabilities * keep @ (v / (1 - rate)))
            ctx.probabilities.append(probabilities)
            ctx.keep.append(keep)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value = ctx.saved_tensors
        grads = [torch.empty_like(x) for x in ctx.saved_tensors]
        for group, p, keep in zip(ctx.groups, ctx.probabilities, ctx.keep):
            q, k, v, g = (group.split(x, ctx.heads) for x in (query, key, value, grad / (1 - ctx.rate)))
            d_value = (p * keep).transpose(-2, -1) @ g
            d = (g @ v.transpose(-2, -1)).float() * keep * p  # [b, H, t, t]
            d = (d - p * d.sum(dim=-1, keepdim=True)).to(q.dtype) * q.size(-1) ** -0.5
            for rows, d_group in zip(grads, (d @ k, d.transpose(-2, -1) @ q, d_value)):
                rows[group.span] = group.merge(d_group)
        return *grads, None, None, None
