"""The stack: attention and feed-forward in turn, each added to its input and then normalised (post-norm)."""

import math

import torch
from torch import Tensor, nn

from minbert.attention import MultiHeadAttention


def gelu(x: Tensor) -> Tensor:
    """x * P(N(0, 1) <= x), with the exact error function (Hendrycks & Gimpel 2016, section 2)."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU with tanh in place of erf, up to 5e-4 off: only for checkpoints trained with it ("gelu_new")."""
    return x * 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_tanh, "relu": torch.relu, "swish": nn.functional.silu}


class FeedForward(nn.Module):
    """A two-layer network, the same for each token (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, config):
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]"""
        return self.contract(self.activation(self.expand(x)))


class EncoderLayer(nn.Module):
    """Look around, then think: x = norm(x + attention(x)); x = norm(x + feed_forward(x))."""

    def __init__(self, config):
        super().__init__()
        self.attention = MultiHeadAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, D], mask as in `attend` -> [B, T, D], probabilities [B, H, T, T]"""
        looked, probabilities = self.attention(x, mask)
        x = self.attention_norm(x + self.dropout(looked))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), probabilities


class Encoder(nn.Module):
    """L layers, one after the other."""

    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self, x: Tensor, mask: Tensor, hidden_states: list | None = None, attentions: list | None = None
    ) -> Tensor:
        """x [B, T, D], mask as in `attend` -> [B, T, D]

        hidden_states, attentions  lists to which each layer appends its output and its probabilities; None: neither
        """
        for layer in self.layers:
            x, probabilities = layer(x, mask)
            if hidden_states is not None:
                hidden_states.append(x)
            if attentions is not None:
                attentions.append(probabilities)
        return x
