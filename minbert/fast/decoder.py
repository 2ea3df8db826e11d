"""The decoder's classes, faster: no mask where nothing is hidden, and one kernel for the attention equation.

Their plain counterparts in minbert/decoder.py have the same names. A `View` takes the place of the plain pair of a mask
and a function.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minbert import decoder
from minbert.attention import causal_mask, padding_mask
from minbert.fast.linear import STORAGE, columns, linear
from minbert.fast.packing import is_recorded

LARGE = 2**24  # numbers: 64 MB


class View(NamedTuple):
    """What new tokens may look at.

    mask    as in the plain class, [B, 1, new, total]; None: at all tokens
    causal  at no later ones; then there is no mask, and no token before the new ones
    extend  as in the plain class
    """

    mask: Tensor | None
    causal: bool
    extend: Callable


class CachedAttention(decoder.CachedAttention):
    def forward(self, x: Tensor, view: View | tuple) -> tuple[Tensor, Tensor | None]:
        """x [B, new, D], View -> [B, new, D], None; with a pair as in the plain class, the same as there"""
        if not isinstance(view, View):
            return super().forward(x, view)
        query, key, value = (self.split(project(x)) for project in (self.query, self.key, self.value))
        key, value = view.extend(key, value)
        rate = self.dropout.p if self.dropout.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, view.mask, rate, view.causal)  # [B, H, new, K]
        return self.output(self.merge(mixed)), None


class Decoder(decoder.Decoder):
    """To return attentions, or where torch records it, it computes as the plain class does."""

    def forward(
        self, input_ids: Tensor, attention_mask=None, cache=None, output_hidden_states=False, output_attentions=False
    ) -> dict:
        """As in the plain class"""
        if output_attentions or is_recorded():
            return super().forward(input_ids, attention_mask, cache, output_hidden_states, output_attentions)
        new, before = input_ids.size(1), cache.length if cache else 0
        is_whole = attention_mask is None or bool(attention_mask.all())
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids[:, :1]).expand(-1, before + new)
        mask, causal = None, new > 1 and is_whole and not before
        if not is_whole or (before and new > 1):
            mask = padding_mask(attention_mask) & causal_mask(before + new, input_ids.device)[before:]
        x = self.dropout(self.token(input_ids) + self.position(self.places(attention_mask)[:, before:]))  # [B, new, D]
        hidden_states = [x]
        for number, layer in enumerate(self.layers):
            x, _ = layer(x, View(mask, causal, partial(cache.extend, number) if cache else lambda *new: new))
            hidden_states.append(x)
        hidden_states[-1] = x = self.norm(x)
        return {"last_hidden_state": x} | ({"hidden_states": tuple(hidden_states)} if output_hidden_states else {})


class CausalLM(decoder.CausalLM):
    def readout(self, x: Tensor) -> Tensor:
        """As in the plain class"""
        return linear(x, self.decoder.token.weight)


def for_writing(model: decoder.CausalLM) -> decoder.CausalLM:
    """Store a model's matrices by columns, in place, if this machine multiplies a single vector faster by them.

    It returns the model. Values, shapes and names stay. For writing alone: to learn is slower afterwards. A model that
    fits into a processor's cache stays as it is, and nothing is measured.
    """
    weights = [layer.weight for layer in model.decoder.layers.modules() if isinstance(layer, nn.Linear)]
    weights.append(model.decoder.token.weight)
    kinds, size = {(weight.dtype, weight.device.type) for weight in weights}, sum(map(torch.numel, weights))
    if kinds == {(torch.float32, "cpu")} and size >= LARGE:
        for weight in weights if STORAGE.get() == "columns" else []:
            weight.data = columns(weight.data)
    return model
