"""Text -> words -> pieces -> ids: the WordPiece tokenizer that BERT was trained with, for every string there is.

The reference is tokenization.py of google-research/bert (Devlin et al. 2019, section 3 and appendix A.2): clean the
text, set CJK characters apart, lower-case and strip accents, split at punctuation, then cut each word into the longest
pieces that the vocabulary holds. Hugging Face's Rust tokenizer differs from it in a few ways; tests/test_tokenizer.py
lists them. Categories of characters come from Python's unicodedata, so a newer Python knows newer characters.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minbert import tokenizer_files
from minbert.added import NAMES, AddedToken, Finder
from minbert.encoding import Template, Tokenizer
from minbert.errors import UserError

MAX_WORD = 200  # a longer word becomes [UNK], as in the original (Hugging Face's Rust tokenizer: 100)
MOST_REMEMBERED = 2**16  # pieces of text: about 30 MB
BETWEEN_SPACES = re.compile(r"[^ \t\n\r]+")
SPECIAL = tuple(NAMES.values())
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


def clean_joined(char):
    """As `clean_char`, but a CJK character stays where it is, for vocabularies of Chinese words."""
    cleaned = clean_char(char)
    return cleaned.strip() or cleaned


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


def clean(chars, cjk_apart=True):
    """Characters as `clean_char` leaves them."""
    return replace(chars, clean_char if cjk_apart else clean_joined)


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
    cjk_apart      True: each CJK character is a word
    names          other names of the special tokens, {"cls_token": "<s>"}
    added          AddedTokens, found whole before words are cut; one that vocab lacks gets the next free id
    """

    def __init__(
        self,
        vocab: Sequence[str] | dict[str, int],
        lower_case: bool = True,
        strip_accents: bool | None = None,
        max_length: int = 512,
        cjk_apart: bool = True,
        names: dict[str, str] | None = None,
        added: Sequence[AddedToken] = (),
    ):
        tokens = sorted(vocab, key=vocab.get) if isinstance(vocab, dict) else list(vocab)
        self.in_words = dict(vocab) if isinstance(vocab, dict) else {token: id for id, token in enumerate(tokens)}
        if len(self.in_words) != len(tokens):
            twice = next(token for id, token in enumerate(tokens) if self.in_words[token] != id)
            raise UserError(f"the vocabulary holds {twice!r} more than once")
        self.vocab = self.in_words  # of every token; in_words: of those that words are cut into
        if more := dict.fromkeys(token.content for token in added if token.content not in self.in_words):
            free = max(self.in_words.values()) + 1
            self.vocab = self.in_words | {token: free + number for number, token in enumerate(more)}
        self.tokens = {id: token for token, id in self.vocab.items()}
        names = NAMES | (names or {})
        if names["unk_token"] not in self.in_words:
            raise UserError(f"the vocabulary has no {names['unk_token']}; is it a WordPiece vocabulary?")
        for name, token in names.items():  # self.pad_token = "[PAD]", self.pad_token_id = 0, ...
            setattr(self, name, token)
            setattr(self, name + "_id", self.vocab.get(token))
        self.template = Template([self.cls_token], [self.sep_token], [self.sep_token], pair_segment=1)
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.max_length = max_length
        self.cjk_apart = cjk_apart
        self.longest = max(map(len, self.in_words))
        self.memo = {}
        control = {token: AddedToken(token, special=True) for token in names.values() if token in self.vocab}
        self.added = control | {token.content: token for token in added}
        self.special = [content for content, token in self.added.items() if token.special or content in control]
        found = {content: token for content, token in self.added.items() if content not in control}
        self.finders = {True: self.make_finders(self.added), False: self.make_finders(found)}

    @classmethod
    def from_pretrained(cls, name, **options):
        """Read the tokenizer's files in a directory, or in the place where weights.hub finds a name.

        Raises UserError, naming file and setting, for what this class does not compute. Warns where the files leave
        open whether capitals count.
        """
        from minbert.weights import hub  # the tokenizer itself needs no hub

        directory = hub.find(name, tokenizer_only=True)
        return cls(**(tokenizer_files.read(directory, case_is_given="lower_case" in options) | options))

    def save_pretrained(self, directory):
        """Write vocab.txt and tokenizer_config.json, both or neither, in a form that Hugging Face reads too."""
        tokenizer_files.write(directory, self)

    def __len__(self):
        return len(self.vocab)

    # Text -> words -> pieces

    def words(self, text: str) -> list[str]:
        """'Hello, wörld!' -> ['hello', ',', 'world', '!']"""
        return [word for word, _ in self.words_with_offsets(text)]

    def words_with_offsets(self, text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields each word, and the position in the text that each of its characters comes from."""
        return ((word, at) for word, at, _ in self.segments(text))

    def segments(self, text, keep_special=False):
        """Yields (word, positions, None) for each word, and (token, positions, AddedToken) for each added token."""
        written, normalized = self.finders[keep_special]
        for start, end, token in written.cut(text):
            chars = list(zip(text[start:end], range(start, end)))
            found = [(0, len(chars), token)]
            if not token and normalized.tokens:
                chars = self.fold(clean(chars, self.cjk_apart))  # a second time, it changes nothing
                found = normalized.cut("".join(char for char, _ in chars))
            for first, last, token in found:
                if token:
                    yield token.content, tuple(at for _, at in chars[first:last]), token
                else:
                    yield from ((word, at, None) for word, at in self.words_of(chars[first:last]))

    def words_of(self, chars):
        """Yields (word, positions) of characters [(character, position), ...] among which is no added token."""
        for run in split(clean(chars, self.cjk_apart)):  # no rule looks across a space
            for word in split(replace(self.fold(run), set_apart)):
                word, positions = zip(*word)
                yield "".join(word), positions

    def fold(self, chars):
        """Cleaned characters in lower case and without accents, as the settings say."""
        chars = lower(chars) if self.lower_case else chars
        return strip_accents(chars) if self.strip_accents else chars

    def make_finders(self, tokens):
        """{content: AddedToken} -> the Finder of those that are found as they are written, and that of the others."""
        written, normalized = {}, {}
        for content, token in tokens.items():
            if not token.normalized:
                written[content] = token
                continue
            chars = self.fold(clean(zip(content, itertools.count()), self.cjk_apart))
            found = "".join(char for char, _ in chars)
            if not found or normalized.setdefault(found, token) is not token:
                why = f"is found where {normalized[found].content!r} is" if found else "can be found nowhere"
                raise UserError(f"the added token {content!r} {why}, because texts are cleaned and lower-cased first")
        return Finder(written), Finder(normalized)

    def wordpiece(self, word: str) -> list[str]:
        """'unaffable' -> ['un', '##aff', '##able']: again and again the longest piece that the vocabulary holds.

        A word that cannot be cut in this way, or has more than 200 characters, is [UNK] as a whole.
        """
        if len(word) > MAX_WORD:
            return [self.unk_token]
        pieces, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self.longest), start, -1):
                piece = prefix + word[start:end]
                if piece in self.in_words:
                    break
            else:
                return [self.unk_token]
            pieces.append(piece)
            start, prefix = end, "##"
        return pieces

    def pieces(self, text: str, keep_special: bool = False) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yields each piece and its (start, end) in the text, end exclusive; keep_special as in `tokenize`."""
        written, normalized = self.finders[keep_special]
        if normalized.tokens:
            for word, positions, token in self.segments(text, keep_special):
                yield from self.word_pieces(word, positions, token)
            return
        for begin, end, token in written.cut(text):
            if token:
                yield token.content, (begin, end)
                continue
            for chunk in BETWEEN_SPACES.finditer(text, begin, end):
                for piece, (first, last) in self.chunk_pieces(chunk[0]):
                    yield piece, (chunk.start() + first, chunk.start() + last)

    def chunk_pieces(self, chunk):
        """The pieces of a text without spaces, as a list. Remembers those of short texts: most of them occur again."""
        if (known := self.memo.get(chunk)) is not None:
            return known
        words = self.words_of(list(zip(chunk, itertools.count())))
        found = [piece for word, positions in words for piece in self.word_pieces(word, positions)]
        if len(chunk) <= 50:
            if len(self.memo) >= MOST_REMEMBERED:
                self.memo.clear()
            self.memo[chunk] = found
        return found

    def word_pieces(self, word, positions, token=None):
        """Yields a word's pieces, or an added token as a whole: (piece, (start, end))"""
        pieces, done = [word] if token else self.wordpiece(word), 0
        for piece in pieces:
            size = len(positions) if len(pieces) == 1 else len(piece) - 2 * bool(done)
            at = positions[done : done + size]  # not always in order: NFD sorts marks
            yield piece, (min(at), max(at) + 1)
            done += size

    def tokenize(self, text: str, keep_special: bool = True) -> list[str]:
        """A text's pieces. Control tokens written in the text, such as [SEP], stay whole unless keep_special=False."""
        return [piece for piece, _ in self.pieces(text, keep_special)]

    def tokenize_with_offsets(self, text: str, keep_special: bool = False) -> list[tuple[str, tuple[int, int]]]:
        """`pieces` as a list."""
        return list(self.pieces(text, keep_special))

    def explain(self, text: str) -> Explanation:
        """Every stage between a text and its ids: print(tokenizer.explain("Unaffable films!"))"""
        words, cleaned = [], clean(zip(text, itertools.count()), self.cjk_apart)
        lowered = lower(cleaned) if self.lower_case else cleaned
        for word, at, token in self.segments(text):
            pieces = [word] if token else self.wordpiece(word)
            words.append((word, (min(at), max(at) + 1), pieces, self.convert_tokens_to_ids(pieces)))
        return Explanation(
            text, *("".join(char for char, _ in chars) for chars in (cleaned, lowered, self.fold(cleaned))), words
        )

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
