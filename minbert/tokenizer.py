"""Text -> words -> pieces -> ids: the WordPiece tokenizer that BERT was trained with, for every string there is.

The reference is tokenization.py of google-research/bert (Devlin et al. 2019, section 3 and appendix A.2): clean the
text, set CJK characters apart, lower-case and strip accents, split at punctuation, then cut each word into the longest
pieces that the vocabulary holds. Hugging Face's Rust tokenizer differs from it in a few ways; tests/test_tokenizer.py
lists them. Categories of characters come from Python's unicodedata, so a newer Python knows newer characters.
"""

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.encoding import Template, Tokenizer
from minbert.errors import UserError
from minbert.jsonfile import quoted, read_bytes, read_json

MAX_VOCAB = 2**24  # bytes of a vocab.txt; the largest published ones, of half a million tokens, have some 5 million
MAX_WORD = 200  # a longer word becomes [UNK], as in the original (Hugging Face's Rust tokenizer: 100)
MOST_REMEMBERED = 2**16  # pieces of text: about 30 MB
BETWEEN_SPACES = re.compile(r"[^ \t\n\r]+")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CJK = (  # the original's ranges, both ends included
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F)),
)


# Rules for one character: what takes its place


@functools.cache
def clean_char(char):
    """Drop control characters, make all white space a space, and set a CJK character apart."""
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    if any(first <= ord(char) <= last for first, last in CJK):
        return f" {char} "
    return char


@functools.cache
def strip_mark(char):
    """Drop combining marks: the accents that NFD has taken off their letters."""
    return "" if unicodedata.category(char) == "Mn" else char


@functools.cache
def set_apart(char):
    """Set punctuation apart: in ASCII, all but letters, digits and space, so '$' and '^' too."""
    ascii_symbol = "!" <= char <= "~" and not char.isalnum()
    return f" {char} " if ascii_symbol or unicodedata.category(char)[0] == "P" else char


decompose = functools.partial(unicodedata.normalize, "NFD")  # of characters: a text of endless marks takes it too long


# Stages. Each turns a list of (character, position) into another; the position says where in the text a character was.
# One character can become two, or none.


def clean(text):
    """A text -> its characters as `clean_char` leaves them."""
    return replace(zip(text, itertools.count()), clean_char)


def lower(chars):
    """Lower case, of all characters at once: a sigma is final or not by the letters around it."""
    positions = [at for char, at in chars for _ in char.lower()]
    return list(zip("".join(char for char, _ in chars).lower(), positions, strict=True))


def strip_accents(chars):
    """'é' -> 'e': take characters apart (NFD), then drop the combining marks."""
    return replace(in_canonical_order(replace(chars, decompose)), strip_mark)


def split(chars):
    """Yields the runs of characters between white space."""
    for is_space, run in itertools.groupby(chars, key=lambda item: item[0].isspace()):
        if not is_space:
            yield list(run)


def replace(chars, rule):
    """Each character replaced as the rule says, at the same position."""
    return [(new, at) for char, at in chars for new in rule(char)]


def in_canonical_order(chars):
    """Each run of combining characters sorted by class, as in NFD."""
    ordered = []
    for _, run in itertools.groupby(chars, key=lambda item: unicodedata.combining(item[0]) > 0):
        ordered += sorted(run, key=lambda item: unicodedata.combining(item[0]))
    return ordered


@dataclass(frozen=True)
class Explanation:
    """Every stage between a text and its ids; print it as a table."""

    text: str
    cleaned: str
    lowered: str  # the same as cleaned if the tokenizer keeps case
    stripped: str  # the same as lowered if it keeps accents
    words: list[tuple]  # (word, (start, end) in the text, pieces, ids)

    def __str__(self):
        rows = [("word", "from-to", "pieces", "ids")]
        for word, (start, end), pieces, ids in self.words:
            rows.append((word, f"{start}-{end}", " ".join(pieces), " ".join(map(str, ids))))
        widths = [max(map(len, column)) for column in zip(*rows)]
        stages = [f"{name:10}{getattr(self, name)!r}" for name in ("text", "cleaned", "lowered", "stripped")]
        return "\n".join([*stages, "", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)])


class BertTokenizer(Tokenizer):
    """WordPiece with a given vocabulary. Encodes [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].

    vocab          the tokens in the order of their ids, or a dict {token: id}; must hold [UNK]
    lower_case     True for uncased models: lower-case, then strip accents
    strip_accents  None: as lower_case
    max_length     what truncation=True cuts to
    """

    template = Template(begin=["[CLS]"], between=["[SEP]"], end=["[SEP]"], pair_segment=1)

    def __init__(self, vocab, lower_case=True, strip_accents=None, max_length=512):
        tokens = sorted(vocab, key=vocab.get) if isinstance(vocab, dict) else list(vocab)
        self.vocab = dict(vocab) if isinstance(vocab, dict) else {token: id for id, token in enumerate(tokens)}
        self.tokens = {id: token for token, id in self.vocab.items()}
        if len(self.vocab) != len(tokens):
            twice = next(token for id, token in enumerate(tokens) if self.vocab[token] != id)
            raise UserError(f"the vocabulary holds {twice!r} more than once")
        if "[UNK]" not in self.vocab:
            raise UserError("the vocabulary has no [UNK]; is it a WordPiece vocabulary?")
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.max_length = max_length
        self.special = [token for token in SPECIAL if token in self.vocab]
        self.find_special = re.compile("(" + "|".join(map(re.escape, self.special)) + ")")
        self.longest = max(map(len, self.vocab))
        self.memo = {}
        for token in SPECIAL:  # self.pad_token = "[PAD]", self.pad_token_id = 0, ...
            name = token.strip("[]").lower() + "_token"
            setattr(self, name, token)
            setattr(self, name + "_id", self.vocab.get(token))

    @classmethod
    def from_pretrained(cls, name, **options):
        """Read vocab.txt and tokenizer_config.json from a directory, or from the place where weights.hub finds a name.

        Without tokenizer_config.json, a vocabulary with capital letters is a cased one.
        """
        from minbert.weights import hub  # the tokenizer itself needs no hub

        directory = hub.find(name, tokenizer_only=True)
        tokens = read_vocab(directory / "vocab.txt")
        return cls(tokens, **(read_settings(directory / "tokenizer_config.json", tokens) | options))

    def save_pretrained(self, directory):
        """Write vocab.txt and tokenizer_config.json, both or neither, in a form that Hugging Face reads too."""
        settings = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lower_case,
            "strip_accents": self.strip_accents,
            "model_max_length": self.max_length,
        }
        with atomic_write(Path(directory, "tokenizer_config.json")) as config:
            config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            with atomic_write(Path(directory, "vocab.txt")) as vocab:
                vocab.write_bytes("".join(self.tokens[id] + "\n" for id in range(len(self.tokens))).encode())

    def __len__(self):
        return len(self.vocab)

    # Text -> words -> pieces

    def words(self, text: str) -> list[str]:
        """'Hello, wörld!' -> ['hello', ',', 'world', '!']"""
        return [word for word, _ in self.words_with_offsets(text)]

    def words_with_offsets(self, text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields each word, and the position in the text that each of its characters comes from."""
        for chars in split(clean(text)):  # no rule looks across a space
            chars = lower(chars) if self.lower_case else chars
            chars = strip_accents(chars) if self.strip_accents else chars
            for word in split(replace(chars, set_apart)):
                chars, positions = zip(*word)
                yield "".join(chars), positions

    def wordpiece(self, word: str) -> list[str]:
        """'unaffable' -> ['un', '##aff', '##able']: again and again the longest piece that the vocabulary holds.

        A word that cannot be cut in this way, or has more than 200 characters, is [UNK] as a whole.
        """
        if len(word) > MAX_WORD:
            return ["[UNK]"]
        pieces, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self.longest), start, -1):
                piece = prefix + word[start:end]
                if piece in self.vocab:
                    break
            else:
                return ["[UNK]"]
            pieces.append(piece)
            start, prefix = end, "##"
        return pieces

    def pieces(self, text: str, keep_special: bool = False) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yields each piece and its (start, end) in the text, end exclusive; keep_special as in `tokenize`."""
        begin = 0
        for part in self.find_special.split(text) if keep_special else [text]:
            if keep_special and part in self.special:
                yield part, (begin, begin + len(part))
            else:
                for chunk in BETWEEN_SPACES.finditer(part):
                    shift = begin + chunk.start()
                    for piece, (start, end) in self.chunk_pieces(chunk[0]):
                        yield piece, (shift + start, shift + end)
            begin += len(part)

    def chunk_pieces(self, chunk):
        """The pieces of a text without spaces, as a list. Remembers those of short texts: most of them occur again."""
        if (known := self.memo.get(chunk)) is not None:
            return known
        found = []
        for word, positions in self.words_with_offsets(chunk):
            done = 0
            for piece in self.wordpiece(word):
                size = len(word) if piece == "[UNK]" else len(piece) - 2 * bool(done)
                at = positions[done : done + size]  # not always in order: NFD sorts marks
                found.append((piece, (min(at), max(at) + 1)))
                done += size
        if len(chunk) <= 50:
            if len(self.memo) >= MOST_REMEMBERED:
                self.memo.clear()
            self.memo[chunk] = found
        return found

    def tokenize(self, text: str, keep_special: bool = True) -> list[str]:
        """A text's pieces. Control tokens written in the text, such as [SEP], stay whole unless keep_special=False."""
        return [piece for piece, _ in self.pieces(text, keep_special)]

    def tokenize_with_offsets(self, text: str, keep_special: bool = False) -> list[tuple[str, tuple[int, int]]]:
        """`pieces` as a list."""
        return list(self.pieces(text, keep_special))

    def explain(self, text: str) -> Explanation:
        """Every stage between a text and its ids: print(tokenizer.explain("Unaffable films!"))"""
        cleaned = clean(text)
        lowered = lower(cleaned) if self.lower_case else cleaned
        stripped = strip_accents(lowered) if self.strip_accents else lowered
        words = []
        for word, at in self.words_with_offsets(text):
            pieces = self.wordpiece(word)
            words.append((word, (min(at), max(at) + 1), pieces, self.convert_tokens_to_ids(pieces)))
        return Explanation(text, *("".join(char for char, _ in chars) for chars in (cleaned, lowered, stripped)), words)

    # Pieces <-> ids

    def convert_tokens_to_ids(self, tokens):
        """A token's id, or a list's ids; a token that the vocabulary lacks gets the id of [UNK]."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.unk_token_id)
        return [self.vocab.get(token, self.unk_token_id) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """An id's token, or a sequence's tokens. Raises KeyError for an id outside the vocabulary."""
        if isinstance(ids, int):
            return self.tokens[ids]
        return [self.tokens[int(id)] for id in ids]

    def decode(self, ids, skip_special_tokens=False, clean_up=True):
        """Ids -> text, as well as WordPiece allows: case, accents and spaces are lost, [UNK] stays [UNK].

        clean_up closes the gap before . , ? ! and in don't, it's and the like, as Hugging Face does.
        """
        tokens = self.convert_ids_to_tokens([ids] if isinstance(ids, int) else ids)
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in self.special]
        text = " ".join(tokens).replace(" ##", "")
        if clean_up:
            for gap in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
                text = text.replace(gap, gap.strip())
        return text


def read_vocab(path):
    """The tokens of a vocab.txt, one a line in the order of their ids. Raises UserError that names the wrong line."""
    data, tokens, seen = read_bytes(path, MAX_VOCAB), [], {}
    # Split at \n alone: a token can hold other characters at which str.splitlines would split.
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n"), start=1):
        try:
            token = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise UserError(f"{path}:{number}: not UTF-8") from None
        if token in seen:
            raise UserError(f"{path}:{number}: {quoted(token)} is already on line {seen[token]}")
        seen[token] = number
        tokens.append(token)
    missing = [token for token in SPECIAL if token not in seen]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; is it a BERT vocabulary?")
    return tokens


def read_settings(path, tokens):
    """Options for BertTokenizer from tokenizer_config.json; without that file, judged by the vocabulary."""
    if not path.exists():
        return {"lower_case": not any(token != token.lower() for token in tokens if token[0:1] != "[")}
    stored = read_json(path)
    if stored.get("tokenize_chinese_chars") is False:
        raise UserError(f"{path}: tokenize_chinese_chars false is not supported")
    options = {"lower_case": stored.get("do_lower_case", True), "strip_accents": stored.get("strip_accents")}
    if options["lower_case"] not in (True, False) or options["strip_accents"] not in (True, False, None):
        raise UserError(f"{path}: do_lower_case and strip_accents can be true or false")
    length = stored.get("model_max_length")
    if isinstance(length, int) and 3 <= length <= 1_000_000:  # some checkpoints store 10**30 for "no limit"
        options["max_length"] = length
    return options
