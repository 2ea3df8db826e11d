"""The model's classes, computed on real tokens only. Their plain counterparts have the same names.

Everything but attention works row by row, so the plain embeddings and the plain encoder also take a batch without its
padding, [N, D] in place of [B, T, D]. Only this file knows that. A `Packing` then takes the mask's place.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from minbert import attention, bert, encoder, heads
from minbert.fast.attention import attend, attend_first
from minbert.fast.int8 import Int8Linear, apply
from minbert.fast.packing import Packing, is_recorded

# torch's own versions need one pass over memory
FUSED = {encoder.gelu: F.gelu, encoder.gelu_tanh: functools.partial(F.gelu, approximate="tanh")}


class MultiHeadAttention(attention.MultiHeadAttention):
    def forward(self, x: Tensor, mask: Packing | Tensor) -> tuple[Tensor, Tensor | None]:
        """x [N, D], mask Packing -> [N, D], None; with a mask as in the plain class, the same as there"""
        if not isinstance(mask, Packing):
            return super().forward(x, mask)
        query, key, value = apply((self.query, self.key, self.value), x)  # [N, D]
        return self.output(attend(query, key, value, self.heads, mask, self.dropout)), None


class FeedForward(encoder.FeedForward):
    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]"""
        x = FUSED.get(self.activation, self.activation)(self.expand(x))
        if isinstance(self.contract, Int8Linear) and self.activation in FUSED:
            return self.contract.after_gelu(x)
        return self.contract(x)


class BertModel(bert.BertModel):
    """Vectors of padding are 0. If causal, to return attentions, or where torch records it, it computes as the plain
    class does."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        causal: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> dict:
        """As in the plain class"""
        if causal or output_attentions or is_recorded():
            options = causal, output_hidden_states, output_attentions
            return super().forward(input_ids, attention_mask, token_type_ids, *options)
        x, packing = self.embed(input_ids, attention_mask, token_type_ids)  # [N, D]
        hidden_states = [x] if output_hidden_states else None
        x = packing.pad(self.encoder(x, packing, hidden_states))  # [B, T, D]
        output = {"last_hidden_state": x, "pooler_output": self.pool(x)}
        if output_hidden_states:
            output["hidden_states"] = tuple(map(packing.pad, hidden_states))
        return output

    def embed(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> tuple[Tensor, Packing]:
        """As in `forward` -> the embeddings of the real tokens [N, D], and their Packing"""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        packing = Packing(attention_mask.expand_as(input_ids))
        places = self.places(attention_mask.expand_as(input_ids)) if hasattr(self, "places") else None
        if places is None:
            places = self.embeddings.positions(input_ids).expand_as(input_ids)
        positions = packing.unpad(places)  # [N]
        segments = None if token_type_ids is None else packing.unpad(token_type_ids)
        return self.embeddings(packing.unpad(input_ids), segments, positions), packing

    def first(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> dict:
        """The output of `forward` for each text's first token only, [B, 1, D]; the last layer computes no others."""
        x, packing = self.embed(input_ids, attention_mask, token_type_ids)
        *layers, last = self.encoder.layers
        for layer in layers:
            x, _ = layer(x, packing)
        x = last.first(x, packing) if hasattr(last, "first") else first_only(last, x, packing)  # one of `for_reading`
        x = packing.pad_first(x)
        return {"last_hidden_state": x, "pooler_output": self.pool(x)}


def first_only(layer: encoder.EncoderLayer, x: Tensor, packing: Packing) -> Tensor:
    """An EncoderLayer that computes only each text's first token: x [N, D] -> [B, D]"""
    attention, first = layer.attention, x[packing.first]
    query, (key, value) = attention.query(first), apply((attention.key, attention.value), x)
    looked = attention.output(attend_first(query, key, value, attention.heads, packing, attention.dropout))
    x = layer.attention_norm(first + layer.dropout(looked))
    return layer.feed_forward_norm(x + layer.dropout(layer.feed_forward(x)))


class BertSentClassifier(heads.BertSentClassifier):
    def features(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> Tensor:
        """As in the plain class. If the head reads only the first token, the last layer computes only that."""
        if self.config.pooling == "mean" or is_recorded() or not isinstance(self.bert, BertModel):
            return super().features(input_ids, attention_mask, token_type_ids)
        starts_late = attention_mask is not None and not attention_mask[:, 0].all()
        if starts_late:
            return super().features(input_ids, attention_mask, token_type_ids)
        return self.pool(self.bert.first(input_ids, attention_mask, token_type_ids))


class MaskedLMHead(heads.MaskedLMHead):
    def forward(self, x: Tensor, token_embeddings: Tensor) -> Tensor:
        """As in the plain class"""
        x = self.norm(FUSED.get(self.activation, self.activation)(self.dense(x)))
        return F.linear(x, self.decoder.weight if self.decoder else token_embeddings, self.bias)
