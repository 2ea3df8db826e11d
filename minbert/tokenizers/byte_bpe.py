"""Byte-level BPE: the tokenizer of GPT-2 (Radford et al. 2019, section 2.2) and of RoBERTa (Liu et al. 2019).

A text is cut into words, each with the space in front of it; the UTF-8 bytes of a word are its first symbols. All text
can be written in 256 bytes, so no token is unknown, and decode gives back the text, character for character.
"""

import functools
import itertools
import re

import regex

from minbert.cache import Cache
from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.tokenizers import bpe_files, bpe_json
from minbert.tokenizers.bpe import BPETokenizer
from minbert.tokenizers.framed import ROUND, ROUND_NAMES, Framing, whole_characters

# GPT-2's pattern. Contractions in small letters only: "DON'T" is cut before the ' and before the T. Of a run of spaces
# the last belongs to the word. `regex` knows categories of characters (\p), which `re` does not.
WORD = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # \s of `regex`; \s of `re` is more
# What stands between spaces, with one space in front of it. No word of WORD reaches from one into another.
CHUNK = re.compile(f" ?[^{WHITE}]+|[{WHITE}]+(?![^{WHITE}])|[{WHITE}]+")

PLAIN = (*range(33, 127), *range(161, 173), *range(174, 256))  # bytes that are written as the letter of that number
LETTERS = {byte: chr(byte) for byte in PLAIN} | {
    byte: chr(256 + number) for number, byte in enumerate(byte for byte in range(256) if byte not in PLAIN)
}
BYTES = {letter: byte for byte, letter in LETTERS.items()}

END = "<|endoftext|>"
GPT2 = Framing("GPT2Tokenizer", {"bos_token": END, "eos_token": END, "unk_token": END}, max_length=1024)
TITLES = (GPT2.title, "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer")  # all but the first: ROBERTA
ROBERTA = Framing("RobertaTokenizer", ROUND_NAMES, **ROUND, trim_offsets=True)
SPACE = LETTERS[ord(" ")]


def to_letters(text: str) -> str:
    """A text's UTF-8 bytes, a printable letter for each: ' é' -> 'ĠÃ©'. Raises UnicodeEncodeError for surrogates."""
    return text.encode().decode("latin-1").translate(LETTERS)


def trimmed(piece: str, span: tuple[int, int]) -> tuple[int, int]:
    """Where a piece stands without the spaces at its ends, as `trim_offsets` of transformers has it"""
    before, after = (len(piece) - len(rest) for rest in (piece.lstrip(SPACE), piece.rstrip(SPACE)))
    start = min(span[0] + before, span[1])
    return start, max(span[1] - after, start)


class ByteBPETokenizer(BPETokenizer):
    """GPT-2's tokenizer, or RoBERTa's: the same cuts, other ids, other special tokens.

    framing  GPT2: nothing is added. ROBERTA: <s> text </s>, and <s> text </s></s> pair </s>; and the place of " film"
             in a text is that of "film", as in transformers

    The other arguments are BPETokenizer's. "Hello" and " Hello" are different words, and no space is put in front of a
    text. Special tokens written in a text are plain text, as in tiktoken's encode_ordinary. Half of a surrogate pair
    has no bytes: it is read as U+FFFD, with a warning that gives their number.
    """

    framing = GPT2
    mask_takes_space = True  # "is <mask>." is three tokens, for the word that is missing has the space

    def __init__(self, vocab, merges, framing=None, max_length=None, names=None, added=()):
        super().__init__(vocab, merges, framing, max_length, names, added)
        if missing := sorted(byte for byte, letter in LETTERS.items() if letter not in vocab):
            byte, hint = missing[0], "a vocabulary with </w> is GPTTokenizer's"
            raise UserError(
                f"the vocabulary lacks {len(missing)} of the 256 bytes, first {byte} ({quoted(LETTERS[byte])}); {hint}"
            )
        bpe_files.check_merges(merges, vocab)
        self.chunk_ids = Cache(self.find_ids)  # what stands between spaces -> its ids

    @classmethod
    def from_files(cls, vocab, merges, **options):
        """From vocab.json and merges.txt. The framing is RoBERTa's if the vocabulary has <s> and </s>."""
        with bpe_files.where(vocab):
            return cls(**(bpe_files.read_files(vocab, merges, cls.framing_of) | options))

    @classmethod
    def read(cls, directory):
        """What the files of a folder ask for, as arguments of this class."""
        return bpe_files.read(directory, cls.framing_of, bpe_json.BYTE_LEVEL, TITLES)

    @staticmethod
    def framing_of(vocab, title=None):
        """The framing that goes by a title, or else by a vocabulary."""
        framed = "<s>" in vocab and "</s>" in vocab if title is None else title != GPT2.title
        return ROBERTA if framed else GPT2

    def save_pretrained(self, directory):
        """Write vocab.json, merges.txt and tokenizer_config.json, in a form that Hugging Face reads too."""
        bpe_files.write(directory, self, {"add_prefix_space": False})

    def forget(self):
        super().forget()
        self.chunk_ids.clear()

    # Text -> words -> pieces

    def letters(self, word):
        return list(to_letters(word))

    def words(self, text):
        """As in BPETokenizer"""
        return WORD.findall(whole_characters(text))

    def segments(self, text):
        """Yields (word, [(piece, (start, end)), ...]). A piece of some bytes of a character stands where that does."""
        text = whole_characters(text)
        for match in WORD.finditer(text):
            pieces, word = self.word_symbols[match[0]], match[0]
            at = [match.start() + n for n, char in enumerate(word) for _ in range(len(char.encode()))]  # of each byte
            ends = list(itertools.accumulate(map(len, pieces)))
            starts = [0, *ends[:-1]]
            spans = [(at[a], at[b - 1] + 1) for a, b in zip(starts, ends)]
            yield word, list(zip(pieces, map(trimmed, pieces, spans) if self.framing.trim_offsets else spans))

    def text_to_ids(self, text, keep_special=False):
        """The ids of `pieces`, found chunk by chunk: most chunks occur again."""
        ids = []
        for start, end, token in self.finders[keep_special].cut(text):
            if token:
                ids.append(self.vocab[token.content])
            else:
                chunks = CHUNK.findall(whole_characters(text[start:end]))
                ids.extend(itertools.chain.from_iterable(map(self.chunk_ids.__getitem__, chunks)))
        return ids

    def find_ids(self, chunk):
        return [self.in_words[piece] for word in WORD.findall(chunk) for piece in self.word_symbols[word]]

    # Ids -> text

    @functools.cached_property
    def token_bytes(self):
        """{token: its bytes}"""

        def bytes_of(token):  # added tokens are written as they are
            in_bytes = token not in self.added and all(letter in BYTES for letter in token)
            return bytes(map(BYTES.__getitem__, token)) if in_bytes else token.encode("utf-8", "replace")

        return {token: bytes_of(token) for token in self.vocab}

    def decode(self, ids, skip_special_tokens=False, clean_up=False):
        """Ids -> text. Bytes that form no character become U+FFFD; no space is taken away (clean_up is not used)."""
        joined = b"".join(self.token_bytes[token] for token in self.kept(ids, skip_special_tokens))
        return joined.decode("utf-8", "replace")

    def show(self, id: int) -> str:
        r"""One token for people: its text; bytes that form no character as \xe2\x80."""
        return self.token_bytes[self.tokens[id]].decode("utf-8", "backslashreplace")
