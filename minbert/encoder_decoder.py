"""The Transformer with two stacks: one reads a text, the other writes its translation (Vaswani et al. 2017, fig. 1).

In the shapes, S is the number of tokens that are read, T of those that are written. B texts are read; R rows are
written, R / B for each text, those of one text side by side.
"""

import math

import torch
from torch import Tensor, nn

from minbert.attention import MultiHeadAttention, attend, causal_mask, padding_mask
from minbert.bert import initialize
from minbert.decoder import PostNormLayer
from minbert.encoder import Encoder
from minbert.errors import UserError
from minbert.weights import Pretrained


class CrossAttention(MultiHeadAttention):
    """What is written looks at what was read, its memory: the keys and values come from there."""

    def read(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, D] -> keys and values [B, H, S, K]: the same for all that is written"""
        return self.split(self.key(memory)), self.split(self.value(memory))

    def forward(self, x: Tensor, view: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """x [R, T, D], view: the mask [B, 1, 1, S], keys and values -> [R, T, D], probabilities [R, H, T, S]"""
        mask, key, value = view
        query = self.split(self.query(x).reshape(len(key), -1, x.size(2)))  # [B, H, R / B * T, K]: a text's rows in one
        mixed, probabilities = attend(query, key, value, mask, self.dropout)
        by_row = probabilities.unflatten(2, (-1, x.size(1))).transpose(1, 2).flatten(0, 1)  # [R, H, T, S]
        return self.output(self.merge(mixed)).view_as(x), by_row


class DecoderLayer(PostNormLayer):
    """Look back, look at the text, think; after each step the norm of what was there and what is new."""

    def __init__(self, config):
        super().__init__(config)
        self.cross_attention = CrossAttention(config)
        self.cross_attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, back: tuple, view: tuple) -> tuple[Tensor, Tensor]:
        """x [R, T, D], views as in CachedAttention and CrossAttention -> [R, T, D], looks at the text [R, H, T, S]"""
        x = self.attention_norm(x + self.dropout(self.attention(x, back)[0]))
        looked, probabilities = self.cross_attention(x, view)
        x = self.cross_attention_norm(x + self.dropout(looked))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), probabilities


class Cache:
    """The keys and values of a decoder: of the texts, computed once, and of what is written, which grow."""

    def __init__(self, layers, memory: Tensor):
        self.texts = [layer.cross_attention.read(memory) for layer in layers]  # for each layer [B, H, S, K], twice
        self.written, self.length = [None for _ in layers], 0  # for each layer [R, H, length, K], twice

    def extend(self, number: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep a layer's keys and values of new tokens, [R, H, new, K] -> those of all so far"""
        if self.length:
            old_key, old_value = self.written[number]
            key, value = torch.cat((old_key, key), dim=2), torch.cat((old_value, value), dim=2)
        self.written[number] = key, value
        if number == len(self.written) - 1:
            self.length = key.size(2)
        return key, value

    def choose(self, rows: list[int], texts: list[int]) -> None:
        """Go on with these rows, of which one may stand there several times, of these texts."""
        if texts != list(range(len(self.texts[0][0]))):
            self.texts = [(key[texts], value[texts]) for key, value in self.texts]
        if rows != list(range(len(self.written[0][0]))):
            self.written = [(key[rows], value[rows]) for key, value in self.written]


class EncoderDecoder(Pretrained):
    """Both stacks, with one table of embeddings. A family's class says what its positions are."""

    prefix = ""

    def __init__(self, config):
        super().__init__()
        self.config = config = self.config_class.of(config)
        self.token = nn.Embedding(config.vocab_size, config.hidden_size)
        self.scale = math.sqrt(config.hidden_size) if config.scale_embedding else 1.0
        positions = self.positions(config.max_position_embeddings, config.hidden_size)
        self.register_buffer("position", positions, persistent=False)  # computed, so never stored
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.encoder = Encoder(config)
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList(DecoderLayer(config.decoder) for _ in range(config.decoder_layers))
        initialize(self, config.initializer_range)
        self.eval()

    def embed(self, ids: Tensor, first: int = 0) -> Tensor:
        """[B, T] -> [B, T, D], scaled embeddings and positions from `first`. Raises UserError for too many tokens."""
        length, limit = first + ids.size(1), len(self.position)
        if length > limit:
            raise UserError(f"a text of {length} tokens, but the model has {limit} positions: set max_length={limit}")
        return self.dropout(self.scale * self.token(ids) + self.position[first:length])

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None, hidden_states: list | None = None):
        """Read texts: [B, S] -> their memory [B, S, D]

        attention_mask  [B, S], 1 token, 0 padding; None: no padding
        hidden_states   a list for the L + 1 hidden states [B, S, D]
        """
        mask = padding_mask(torch.ones_like(input_ids) if attention_mask is None else attention_mask)
        x = self.embed(input_ids)
        if hidden_states is not None:
            hidden_states.append(x)
        return self.encoder(x, mask, hidden_states)

    def decode(
        self,
        rows: Tensor,
        memory: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        hidden_states: list | None = None,
        attentions: list | None = None,
    ) -> Tensor:
        """Vectors from which the next tokens are read: rows [R, T], memory [B, S, D], its mask [B, S] -> [R, new, D]

        cache       where those of the tokens are that were read before; only the others are new. None: all are
        attentions  a list for the L probabilities [R, H, new, S]: at what of the text each token looked
        """
        before = cache.length if cache else 0
        if attention_mask is None:
            attention_mask = memory.new_ones(memory.shape[:2])
        mask, back = padding_mask(attention_mask), causal_mask(rows.size(1), rows.device)[before:]  # [new, T]
        x = self.embed(rows[:, before:], before)
        if hidden_states is not None:
            hidden_states.append(x)
        for number, layer in enumerate(self.decoder.layers):
            text = cache.texts[number] if cache else layer.cross_attention.read(memory)
            extend = (lambda *new, number=number: cache.extend(number, *new)) if cache else lambda *new: new
            x, probabilities = layer(x, (back, extend), (mask, *text))
            if hidden_states is not None:
                hidden_states.append(x)
            if attentions is not None:
                attentions.append(probabilities)
        return x

    def forward(
        self, input_ids: Tensor, attention_mask=None, decoder_input_ids=None, output_cross_attentions: bool = False
    ) -> dict:
        """input_ids, attention_mask [B, S], decoder_input_ids [B, T], the start token first, padding at the end ->

        {"encoder_hidden_states": L + 1 times [B, S, D], "decoder_hidden_states": L + 1 times [B, T, D]}, and on request
        "cross_attentions": L times [B, H, T, S]
        """
        read, written, attentions = [], [], [] if output_cross_attentions else None
        memory = self.encode(input_ids, attention_mask, read)
        self.decode(decoder_input_ids, memory, attention_mask, None, written, attentions)
        output = {"encoder_hidden_states": tuple(read), "decoder_hidden_states": tuple(written)}
        return output if attentions is None else output | {"cross_attentions": tuple(attentions)}
