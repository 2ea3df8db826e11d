"""A model reads a text: its tokens, its words, and the probabilities with which each head looked at each token."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from minbert.attention import causal_mask, padding_mask
from minbert.bert import BertModel
from minbert.decoder import Decoder
from minbert.encoder_decoder import EncoderDecoder
from minbert.encoding import Tokenizer
from minbert.errors import UserError
from minbert.left_to_right import shown
from minbert.probing import inference

MOST_TOKENS = 512
VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})


@dataclass(frozen=True)
class Looks:
    """A text as a model read it, and where each head of each layer looked.

    units are tokens or words: (name, first token, the token after the last one).
    """

    tokens: list  # units of one token
    words: list  # units of one token or more
    real: int  # tokens; those behind them are padding
    second: int | None  # first token of the second text
    causal: bool
    special: dict  # {its name: where it stands}, of tokens such as [CLS] and [SEP] around the texts
    probabilities: list = field(repr=False)  # for each layer [H, T, T], float32, as the model computed them

    @property
    def resting(self) -> dict:
        """Where heads rest that find nothing to look at: special tokens, and the first one of a text without any there
        (Clark et al. 2019, section 3.2; Xiao et al. 2024, section 3.1)."""
        return ({} if [0] in self.special.values() else {"the first one": [0]}) | self.special

    def exact(self, layer: int) -> np.ndarray:
        """The probabilities of a layer [H, T, T], float64."""
        return self.probabilities[layer].double().numpy()

    def hidden(self, units: list) -> np.ndarray:
        """[N, N] of N units, True where a mask keeps the row from looking at the column."""
        first, end = (np.array([unit[at] for unit in units]) for at in (1, 2))
        return (first >= self.real)[None, :] | (self.causal & (first[None, :] >= end[:, None]))


def body_of(model: torch.nn.Module) -> torch.nn.Module:
    """The encoder or decoder within a model. Of a translator that is its encoder, which reads the text."""
    kinds = BertModel, Decoder, EncoderDecoder
    body = next((module for module in model.modules() if isinstance(module, kinds)), None)
    if body is None:
        raise UserError(f"{type(model).__name__} holds no model of minbert whose heads could be shown")
    return body


def look(
    model, tokenizer: Tokenizer, text: str, pair: str | None = None, causal: bool = False, padding: int = 0
) -> Looks:
    """Let a model read a text.

    pair     a second text, read after the first
    causal   no token looks at later ones; a decoder never does
    padding  number of padding tokens behind the text, for the mask to hide
    Raises UserError for a text without words, or with more tokens than the model or a page takes, and for NaN.
    """
    body = body_of(model)
    causal = causal or isinstance(body, Decoder)
    for one in (text, *([] if pair is None else [pair])):
        if not tokenizer.text_to_ids(one):
            raise UserError(f"{one!r:.40} holds no word")
    encoding = tokenizer(text, pair)
    ids, real = encoding["input_ids"], len(encoding["input_ids"])
    limit, whose = min((MOST_TOKENS, "a page shows"), (body.config.most_tokens, "the model reads"))
    if real + padding > limit:
        also = f", and {padding} of padding" if padding else ""
        raise UserError(f"the text has {real} tokens{also}, but {whose} at most {limit}: shorten it")
    device = next(body.parameters()).device
    fill = getattr(tokenizer, "pad_token_id", None)
    row = torch.tensor([ids + [fill or 0] * padding], device=device)  # [1, T]
    mask = torch.tensor([[1] * real + [0] * padding], device=device)  # [1, T]
    segments = torch.tensor([encoding["token_type_ids"] + [0] * padding], device=device)  # [1, T]
    with inference(model):
        found = [layer[0].float().cpu() for layer in probabilities(body, row, mask, segments, causal)]  # [H, T, T]

    if not all(layer.isfinite().all() for layer in found):
        raise UserError("the weights of this model compute probabilities that are no numbers")
    words, tokens, special, second = units(tokenizer, ids, text, pair)
    name = "padding" if isinstance(body, Decoder) or fill is None else tokenizer.pad_token
    more = [(name, at, at + 1) for at in range(real, real + padding)]
    return Looks(tokens + more, words + more, real, second, causal, special, found)


def probabilities(body, ids: Tensor, mask: Tensor, segments: Tensor, causal: bool) -> list[Tensor]:
    """ids, mask, segments [1, T] -> for each layer [1, H, T, T], the model's own"""
    if isinstance(body, Decoder):
        return body(ids, mask, output_attentions=True)["attentions"]
    if isinstance(body, BertModel):
        return body(ids, mask, segments, causal, output_attentions=True)["attentions"]
    allowed, found = padding_mask(mask), []
    if causal:
        allowed = allowed & causal_mask(ids.size(1), ids.device)
    body.encoder(body.embed(ids), allowed, None, found)
    return found


def units(tokenizer: Tokenizer, ids: list, text: str, pair: str | None) -> tuple[list, list, dict, int | None]:
    """What was read: its words and its tokens, where its special tokens are, and the first token of the second text."""
    tokens = [(printable(shown(tokenizer, id)), at, at + 1) for at, id in enumerate(ids)]
    words, special, second = [], {}, None
    begin, between, end = (len(part) for part in tokenizer.special_ids(paired=pair is not None))

    def add_special(count):
        at = len(words) and words[-1][2]
        for name, *place in tokens[at : at + count]:
            special.setdefault(name, []).append(place[0])
            words.append((name, *place))

    def add_words(text):
        at = len(words) and words[-1][2]
        for word, size in words_of(tokenizer, text):
            name = printable(word) if size > 1 else tokens[at][0]
            words.append((name.strip("␣▁") or name, at, at + size))
            at += size

    add_special(begin)
    add_words(text)
    if pair is not None:
        add_special(between)
        second = words[-1][2]
        add_words(pair)
    add_special(end)
    return words, tokens, special, second


def words_of(tokenizer: Tokenizer, text: str) -> list[tuple[str, int]]:
    """The words of a text with their numbers of tokens; if a token was added to the vocabulary, each token is one."""
    found = tokenizer.explain(text).words
    pieces = [piece for piece, _ in tokenizer.pieces(text)]
    if [piece for _, _, own, _ in found for piece in own] != pieces:
        return [(piece, 1) for piece in pieces]
    return [(word, len(own)) for word, _, own, _ in found if own]


def printable(name: str) -> str:
    """A token's name with its spaces shown; half of a surrogate pair becomes U+FFFD."""
    return name.translate(VISIBLE).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
