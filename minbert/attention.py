"""Who looks at whom: masks, the attention equation, the projections around it (Vaswani et al. 2017, section 3.2)."""

import math

import torch
from torch import Tensor, nn


def padding_mask(attention_mask: Tensor) -> Tensor:
    """attention_mask [B, T], 1 or True for a token, 0 or False for padding -> [B, 1, 1, T], True = may be looked at"""
    return attention_mask.bool()[:, None, None, :]


def causal_mask(length: int, device: torch.device | None = None) -> Tensor:
    """[T, T], True on and below the diagonal: token i looks at tokens 0 ... i. Combine with padding by `&`."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def attention_scores(query: Tensor, key: Tensor) -> Tensor:
    """How well each query matches each key: Q K^T / sqrt(K); query, key [B, H, T, K] -> [B, H, T, T]"""
    return query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout=lambda x: x) -> tuple[Tensor, Tensor]:
    """softmax(Q K^T / sqrt(K)) V: a weighted mean of the values a token may look at (Vaswani et al. 2017, equation 1).

    query, key, value  [B, H, T, K]
    mask               True = may be looked at; any shape that broadcasts to [B, H, T, T]
    dropout            applied to the probabilities
    returns            mixed values [B, H, T, K], probabilities [B, H, T, T] before dropout

    Each row of probabilities sums to 1. The row of a token that may look at nothing is all 0, and so is its result.
    """
    scores = attention_scores(query, key)  # [B, H, T, T]
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    probabilities = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    return dropout(probabilities) @ value, probabilities


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each on K of the D numbers (Vaswani et al. 2017, section 3.2.2)."""

    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, D], mask as in `attend` -> [B, T, D], probabilities [B, H, T, T]"""
        query, key, value = (self.split(project(x)) for project in (self.query, self.key, self.value))
        mixed, probabilities = attend(query, key, value, mask, self.dropout)  # [B, H, T, K]
        return self.output(self.merge(mixed)), probabilities

    def split(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, H, T, K]"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """[B, H, T, K] -> [B, T, D]: a token's heads side by side again"""
        return x.transpose(1, 2).flatten(2)
