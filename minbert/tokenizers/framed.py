"""What the tokenizers of the families share: how special tokens frame a text, added tokens, pieces with their places.

A tokenizer says in `segments` how it cuts a text; bpe.py and xlm_roberta.py do.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from minbert.added import AddedToken, Finder
from minbert.encoding import Template, Tokenizer
from minbert.tokenizers import bpe_files
from minbert.tokenizers.bpe_files import NAMES, check_vocab

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Framing:
    """The special tokens that a model was trained with, and where they stand around a text.

    title  what Hugging Face calls the tokenizer
    names  {"cls_token": "<s>", ...}, unless the files say otherwise
    begin, between, end  keys of `names`, as in encoding.Template
    max_length           the tokens that the published models read
    trim_offsets         whether a token's place in the text is without the spaces that belong to it
    """

    title: str
    names: dict[str, str] = field(hash=False)
    begin: Sequence[str] = ()
    between: Sequence[str] = ()
    end: Sequence[str] = ()
    max_length: int = 512
    trim_offsets: bool = False

    def template(self, names: dict[str, str]) -> Template:
        return Template(*([names[key] for key in keys] for keys in (self.begin, self.between, self.end)))


ROUND = {"begin": ("cls_token",), "between": ("sep_token", "sep_token"), "end": ("sep_token",)}  # <s> A </s></s> B </s>
ROUND_NAMES = {
    **{"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"},
    **{"unk_token": "<unk>", "mask_token": "<mask>"},
}


@dataclass(frozen=True)
class Explanation:
    """The words of a text, their tokens and ids; print it as a table."""

    text: str
    words: list[tuple]  # (word, (start, end) in the text or None, pieces, ids)

    def __str__(self):
        rows = [("word", "from-to", "pieces", "ids")]
        for word, span, pieces, ids in self.words:
            where = f"{span[0]}-{span[1]}" if span else "?"
            rows.append((repr(word), where, " ".join(pieces), " ".join(map(str, ids))))
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join(["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows])


class FramedTokenizer(Tokenizer):
    """A tokenizer whose special tokens stand where a framing puts them.

    vocab       {token: id}; ids count from 0 without a gap
    framing     a Framing
    max_length  what truncation=True cuts to; None: as the framing says
    names       other names of the special tokens, {"pad_token": "<|endoftext|>"}
    added       AddedTokens, found whole before words are cut; one that vocab lacks gets the next free id

    A subclass provides `segments(text)`, which yields (word, [(piece, (start, end) in the text), ...]), and `read`,
    which turns the files of a folder into its arguments.

    pad_token and pad_token_id are never None: a model without a padding token takes any other, because the attention
    mask hides it. So look at the mask, not at the ids, to find the end of a text.
    """

    lower_case = False
    framing = None  # that of the class, if none is given
    mask_takes_space = False  # True where the space before a word is a part of it

    def __init__(
        self,
        vocab: dict[str, int],
        framing: Framing | None = None,
        max_length: int | None = None,
        names: dict[str, str] | None = None,
        added: Sequence[AddedToken] = (),
    ):
        check_vocab(vocab)
        self.framing = framing or self.framing
        self.max_length = max_length or self.framing.max_length
        self.in_words = dict(vocab)  # of the tokens that words are cut into; vocab: of every token
        more = dict.fromkeys(token.content for token in added if token.content not in vocab)
        self.vocab = self.in_words | {token: len(vocab) + number for number, token in enumerate(more)}
        self.tokens = {id: token for token, id in self.vocab.items()}
        names = self.framing.names | (names or {})
        self.names = {key: token for key, token in names.items() if key in NAMES}
        for key in NAMES:  # self.mask_token = "<mask>", self.mask_token_id = 50264; None if there is none
            setattr(self, key, names.get(key))
            setattr(self, key + "_id", self.vocab.get(names.get(key)))
        if self.pad_token_id is None:
            tokens = [token for token in (self.eos_token, self.unk_token) if token in self.vocab]
            self.pad_token, self.pad_token_id = (tokens[0], self.vocab[tokens[0]]) if tokens else (self.tokens[0], 0)
        self.template = self.framing.template(names)
        control = {token: AddedToken(token, special=True) for token in self.names.values() if token in self.vocab}
        self.added = control | {token.content: token for token in added}
        if self.mask_token in self.added and self.mask_takes_space:
            self.added[self.mask_token] = replace(self.added[self.mask_token], lstrip=True)
        self.special = [content for content, token in self.added.items() if token.special or content in control]
        found = {content: token for content, token in self.added.items() if content not in control}
        self.finders = {True: Finder(self.added), False: Finder(found)}

    def __len__(self):
        return len(self.vocab)

    @classmethod
    def from_pretrained(cls, name, **options):
        """Read the tokenizer's files in a directory, or in the place where weights.hub finds a name.

        options  arguments of the class that take the place of what the files say
        Raises UserError, naming file and setting, for what this class does not compute.
        """
        directory = bpe_files.find(name)
        with bpe_files.where(directory):
            return cls(**(cls.read(directory) | options))

    # Text -> words -> pieces

    def words(self, text: str) -> list[str]:
        """The words of a text, before they are cut into pieces."""
        return [word for word, _ in self.segments(text)]

    def pieces(self, text: str, keep_special: bool = False) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yields each piece and its (start, end) in the text, end exclusive; keep_special as in `tokenize`."""
        for start, end, token in self.finders[keep_special].cut(text):
            if token:
                yield token.content, (start, end)
                continue
            for _, pieces in self.segments(text[start:end]):
                yield from ((piece, span and (start + span[0], start + span[1])) for piece, span in pieces)

    def tokenize(self, text: str, keep_special: bool = True) -> list[str]:
        """A text's pieces. Special tokens written in the text, such as <mask>, stay whole unless keep_special=False."""
        return [piece for piece, _ in self.pieces(text, keep_special)]

    def tokenize_with_offsets(self, text: str, keep_special: bool = False) -> list[tuple[str, tuple[int, int]]]:
        """`pieces` as a list."""
        return list(self.pieces(text, keep_special))

    def explain(self, text: str) -> Explanation:
        """The words of a text, their pieces and ids: print(tokenizer.explain("Unaffable films!"))"""
        words = []
        for word, found in self.segments(text):
            pieces, spans = [piece for piece, _ in found], [span for _, span in found]
            span = (min(start for start, _ in spans), max(end for _, end in spans)) if all(spans) else None
            words.append((word, span, pieces, self.convert_tokens_to_ids(pieces)))
        return Explanation(text, words)

    def kept(self, ids, skip_special_tokens):
        """The tokens of an id or of many, with or without the special ones."""
        tokens = self.convert_ids_to_tokens([ids] if isinstance(ids, int) else ids)
        return [token for token in tokens if not (skip_special_tokens and token in self.special)]


def whole_characters(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair; warns of them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text, count = SURROGATE.subn("\ufffd", text)
        message = f"the text holds halves of characters (lone surrogates): {count}, read as U+FFFD"
        warnings.warn(message, stacklevel=2)
    return text
