"""Ids -> vectors: one for the token, one for its position, one for its text, added up (Devlin et al. 2019, fig. 2)."""

import torch
from torch import Tensor, nn

from minbert.errors import UserError


class Embeddings(nn.Module):
    """Token + position + segment, then norm and dropout."""

    def __init__(self, config):
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.segment = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """input_ids [B, T] -> [B, T, D]

        token_type_ids  [B, T], 0 first text, 1 second; None: all first
        positions       each token's position, in any shape that broadcasts to [B, T]; None: 0, 1, 2, ...
        """
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if positions is None:
            positions = self.positions(input_ids)  # [T]
        x = self.token(input_ids) + self.position(positions) + self.segment(token_type_ids)  # [B, T, D]
        return self.dropout(self.norm(x))

    def positions(self, input_ids: Tensor) -> Tensor:
        """[B, T] -> 0, 1, 2, ... [T]. Raises UserError if T is more than the model has positions."""
        length, limit = input_ids.size(1), self.position.num_embeddings
        if length > limit:
            raise UserError(f"a text of {length} tokens, but the model has {limit} positions: set max_length={limit}")
        return torch.arange(length, device=input_ids.device)


def sinusoids(length: int, size: int) -> Tensor:
    """Positions that are not learned: sines and cosines of falling frequency (Vaswani et al. 2017, section 3.5).

    PE(p, 2i) = sin(p / 10000^(2i / size)), PE(p, 2i + 1) = cos(p / 10000^(2i / size));  returns [length, size]
    """
    even = torch.arange(0, size, 2)
    angle = torch.arange(length)[:, None] / 10000 ** (even / size)  # [length, size / 2]
    table = torch.empty(length, size)
    table[:, 0::2] = angle.sin()
    table[:, 1::2] = angle.cos()[:, : size // 2]
    return table
