"""The causal decoder of GPT-1 and GPT-2 (Radford et al. 2018, 2019): each token looks at itself and earlier ones."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minbert.attention import MultiHeadAttention, attend, causal_mask, padding_mask
from minbert.bert import initialize
from minbert.encoder import EncoderLayer
from minbert.errors import UserError
from minbert.weights import Pretrained


class CachedAttention(MultiHeadAttention):
    def forward(self, x: Tensor, view: tuple) -> tuple[Tensor, Tensor]:
        """x [B, new, D], view: the mask [B, 1, new, total], and a function from key and value of new tokens to those
        of all -> [B, new, D], probabilities [B, H, new, total]"""
        mask, extend = view
        query, key, value = (self.split(project(x)) for project in (self.query, self.key, self.value))
        mixed, probabilities = attend(query, *extend(key, value), mask, self.dropout)  # [B, H, new, K]
        return self.output(self.merge(mixed)), probabilities


class PostNormLayer(EncoderLayer):
    """Norm after: x = norm(x + attention(x)); x = norm(x + feed_forward(x))."""

    def __init__(self, config):
        super().__init__(config)
        self.attention = CachedAttention(config)


class PreNormLayer(PostNormLayer):
    """Norm before: x = x + attention(norm(x)); x = x + feed_forward(norm(x))."""

    def forward(self, x: Tensor, view: tuple) -> tuple[Tensor, Tensor]:
        looked, probabilities = self.attention(self.attention_norm(x), view)
        x = x + self.dropout(looked)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x))), probabilities


class Decoder(Pretrained):
    """Token + position, then layers. A family's class says which layers, and which norm comes after the last."""

    layer_class, norm_class, prefix = PreNormLayer, nn.LayerNorm, ""

    def __init__(self, config):
        super().__init__()
        self.config = config = self.config_class.of(config)
        self.token = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.embedding_dropout_prob)
        self.layers = nn.ModuleList(self.layer_class(config) for _ in range(config.num_hidden_layers))
        self.norm = self.norm_class(config.hidden_size, eps=config.layer_norm_eps)
        initialize(self, config.initializer_range)
        self.eval()

    def forward(
        self, input_ids: Tensor, attention_mask=None, cache=None, output_hidden_states=False, output_attentions=False
    ) -> dict:
        """input_ids [B, new], that follow those in the cache -> {"last_hidden_state": [B, new, D]}, and as BertModel

        attention_mask  [B, total], of all tokens so far: 1 token, 0 padding, on either side; None: no padding
        """
        new, before = input_ids.size(1), cache.length if cache else 0
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids[:, :1]).expand(-1, before + new)
        mask = padding_mask(attention_mask) & causal_mask(before + new, input_ids.device)[before:]  # [B, 1, new, total]
        x = self.dropout(self.token(input_ids) + self.position(self.places(attention_mask)[:, before:]))  # [B, new, D]
        hidden_states, attentions = [x], []
        for number, layer in enumerate(self.layers):
            x, probabilities = layer(x, (mask, partial(cache.extend, number) if cache else lambda *new: new))
            hidden_states.append(x)
            attentions.append(probabilities)
        hidden_states[-1] = x = self.norm(x)
        output = {"last_hidden_state": x} | ({"hidden_states": tuple(hidden_states)} if output_hidden_states else {})
        return output | ({"attentions": tuple(attentions)} if output_attentions else {})

    def places(self, attention_mask: Tensor) -> Tensor:
        """[B, total] -> positions, counted along real tokens: padding on the left shifts nothing"""
        places, limit = (attention_mask.long().cumsum(1) - 1).clamp(min=0), self.position.num_embeddings
        if places.size(1) > limit and (longest := int(places.max()) + 1) > limit:
            raise UserError(f"a text of {longest} tokens, but the model has {limit} positions: shorten it")
        return places


class CausalLM(Pretrained):
    """A decoder that predicts each next token, by the dot product with the token embeddings ("tied"), without bias."""

    prefix = "decoder."

    def __init__(self, config):
        super().__init__()
        self.decoder = self.decoder_class(config)
        self.config = self.decoder.config
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask=None, labels=None) -> tuple:
        """As in Decoder -> logits [B, T, V], loss; labels [B, T] as in BertForMaskedLM, shifted here by one place"""
        logits = self.readout(self.decoder(input_ids, attention_mask)["last_hidden_state"])
        if labels is None:
            return logits, None
        due = labels[:, 1:].flatten()
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), due, reduction="sum")
        return logits, loss / (due != -100).sum().clamp(min=1)

    def readout(self, x: Tensor) -> Tensor:
        """[..., D] -> logits [..., V]"""
        return F.linear(x, self.decoder.token.weight)
