"""Ids -> what the model reads: special tokens, pairs, truncation, padding, tensors. All tokenizers share this file."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from minbert.collector import collector_paused
from minbert.errors import UserError


class Encoding(dict):
    """What a tokenizer returns: a dict that also gives its entries as attributes and moves its tensors."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, device) -> "Encoding":
        """The same encoding with every tensor on this device."""
        return Encoding({name: value.to(device) if torch.is_tensor(value) else value for name, value in self.items()})


@dataclass(frozen=True)
class Template:
    """Where the special tokens of a model stand: begin text end, and begin text between pair end.

    BERT     [CLS] text [SEP]    [CLS] text [SEP] pair [SEP]
    RoBERTa  <s> text </s>       <s> text </s> </s> pair </s>
    GPT-2    text                text pair
    """

    begin: Sequence[str] = ()
    between: Sequence[str] = ()
    end: Sequence[str] = ()
    pair_segment: int = 0  # the token_type_ids of a pair and of the end behind it; all before is 0


class Tokenizer:
    """Text -> ids -> what the model reads. A tokenizer inherits this and provides:

    vocab, tokens              {token: id}, {id: token}
    unk_token_id               of the token for what the vocabulary lacks
    template                   a Template
    max_length                 the length that truncation=True cuts to
    pad_token, pad_token_id    the id is None if the vocabulary has no padding token
    pieces(text, keep_special) an iterable of (token, (start, end)): the tokens of a text, and where in it each stands
    """

    def text_to_ids(self, text: str, keep_special: bool = False) -> list[int]:
        """The ids of a text, without the special tokens of the template."""
        return [self.vocab[piece] for piece, _ in self.pieces(text, keep_special)]

    def texts_to_ids(self, texts: Sequence[str], keep_special: bool = False) -> list[list[int]]:
        """`text_to_ids` of each text."""
        return [self.text_to_ids(text, keep_special) for text in texts]

    def convert_tokens_to_ids(self, tokens):
        """A token's id, or a list's ids; a token that the vocabulary lacks gets the id of the unknown token."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.unk_token_id)
        return [self.vocab.get(token, self.unk_token_id) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """An id's token, or a sequence's tokens. Raises KeyError for an id outside the vocabulary."""
        if isinstance(ids, int):
            return self.tokens[ids]
        return [self.tokens[int(id)] for id in ids]

    @collector_paused()  # lists of numbers are in no cycle
    def __call__(
        self,
        texts: str | Iterable[str],
        pairs: str | Iterable[str] | None = None,
        *,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        add_special_tokens: bool = True,
        return_offsets_mapping: bool = False,
        allow_special: bool = False,
    ) -> Encoding:
        """Encode a text or a list of texts, alone or each with its pair, with special tokens as the template says.

        padding        False; True or "longest": to the longest here; "max_length": to max_length
        truncation     False; True or "longest_first": cut to max_length tokens, special ones included; in a pair, the
                       longer text is cut first
        max_length     None: the tokenizer's (512 for BERT)
        return_tensors None: lists of int; "pt": tensors int64 [B, T]
        allow_special  False: "[SEP]" in a text is five characters of text. True: it is the control token
        returns        Encoding of input_ids, token_type_ids (the segment: BERT's are 0 for the first text, 1 for the
                       second), attention_mask (1 token, 0 padding) and, with return_offsets_mapping, offset_mapping:
                       (start, end) of each token in its text in characters, (0, 0) for special tokens and padding

        Warns once, with the number of texts that were cut. Raises UserError for anything that is not text, and for
        texts of different lengths without padding that should become one tensor.
        """
        check_choice("padding", padding, (False, True, "longest", "max_length"))
        check_choice("truncation", truncation, (False, True, "longest_first"))
        check_choice("return_tensors", return_tensors, (None, "pt"))
        limit = self.max_length if max_length is None else max_length
        parts = as_rows(texts, pairs)
        if not parts:
            return Encoding()
        rows, spans = list(zip(*(self.texts_to_ids(column, allow_special) for column in zip(*parts)))), []
        if return_offsets_mapping:
            spans = [[[span for _, span in self.pieces(text, allow_special)] for text in row] for row in parts]

        special = self.special_ids(paired=pairs is not None) if add_special_tokens else ([], [], [])
        if truncation:
            room = limit - sum(map(len, special))
            if room < 0:
                raise UserError(f"max_length is {limit}, but the special tokens alone are {limit - room}")
            cut = sum([shorten(row, room) for row in rows])
            for row in spans:
                shorten(row, room)
            if cut:
                warnings.warn(f"{cut} of {len(rows)} texts were longer than {limit} tokens and were cut", stacklevel=3)

        ids = join(rows, *special)
        segments = [[0] * len(row) for row in ids]
        if pairs is not None:
            for (_, pair), row in zip(rows, segments):
                size = len(pair) + len(special[2])
                row[len(row) - size :] = [self.template.pair_segment] * size
        encoding = {"input_ids": ids, "token_type_ids": segments, "attention_mask": [[1] * len(row) for row in ids]}
        if return_offsets_mapping:
            encoding["offset_mapping"] = join(spans, *([(0, 0)] * len(part) for part in special))
        if padding:
            width = limit if padding == "max_length" else max(map(len, ids))
            if self.pad_token_id is None:
                raise UserError(f"the vocabulary has no {self.pad_token} to pad with")
            fillers = {"input_ids": self.pad_token_id, "offset_mapping": (0, 0)}
            for name, values in encoding.items():
                encoding[name] = [row + [fillers.get(name, 0)] * (width - len(row)) for row in values]
        if return_tensors == "pt":
            try:
                encoding = {name: torch.tensor(values, dtype=torch.int64) for name, values in encoding.items()}
            except ValueError:
                raise UserError("texts of different lengths cannot form one tensor: pass padding=True") from None
        elif isinstance(texts, str):
            encoding = {name: values[0] for name, values in encoding.items()}
        return Encoding(encoding)

    def encode(self, text: str, pair: str | None = None, **options) -> list[int]:
        """The ids alone."""
        return self(text, pair, **options)["input_ids"]

    def special_ids(self, paired):
        """The ids of the template: before a text, between it and its pair, at the end."""
        template = self.template
        parts = [template.begin, template.between if paired else (), template.end]
        ids = [[self.vocab.get(token) for token in tokens] for tokens in parts]
        if any(None in part for part in ids):
            names = dict.fromkeys((*template.begin, *template.between, *template.end))
            raise UserError(f"the vocabulary has no {' or no '.join(names)}: pass add_special_tokens=False")
        return ids


def join(rows, begin, between, end):
    """Each row's list, or two lists, made one list with these around and between them."""
    if len(rows[0]) == 2:
        return [[*begin, *first, *between, *second, *end] for first, second in rows]
    return [[*begin, *row[0], *end] for row in rows]


def check_choice(name, value, legal):
    """Raise UserError unless an argument has one of its legal values."""
    if value not in legal:
        raise UserError(f"{name} is {value!r}, but can be: {', '.join(map(repr, legal))}")


def as_rows(texts, pairs):
    """One text or many, with pairs or without -> [(text,), ...] or [(text, pair), ...]"""
    columns = [texts] if pairs is None else [texts, pairs]
    for number, column in enumerate(columns):
        if not isinstance(column, Iterable):
            kind = type(column).__name__
            raise UserError(f"texts should be a string or a list of strings, not a {kind}: {column!r:.60}")
        columns[number] = [column] if isinstance(column, str) else list(column)
    if len(columns[0]) != len(columns[-1]):
        raise UserError(f"{len(columns[0])} texts, but {len(columns[1])} pairs")
    for column in columns:
        for number, text in enumerate(column):
            if not isinstance(text, str):
                raise UserError(f"text {number} is a {type(text).__name__}, not a string: {text!r:.60}")
    return list(zip(*columns))


def shorten(row, room):
    """Cut the one or two lists of a row, in place, until they hold `room` items together; True if anything was cut.

    The last item of the longer list goes first; of two equally long, the second's (google-research/bert,
    run_classifier.py).
    """
    excess = sum(map(len, row)) - room
    for _ in range(excess):
        (row[-1] if len(row[-1]) >= len(row[0]) else row[0]).pop()
    return excess > 0
