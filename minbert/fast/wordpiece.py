"""BertTokenizer, faster, by caches and whole-text operations. The plain counterpart is in minbert/tokenizer.py.

Only ids and words are found in another way; offsets and explanations take the plain one.
"""

import functools
import itertools
import re
import unicodedata

from minbert import tokenizer
from minbert.cache import Cache
from minbert.tokenizer import (
    CJK,
    MAX_WORD,
    clean_char,
    clean_joined,
    decompose,
    in_canonical_order,
    set_apart,
    strip_mark,
)


class Table(dict):
    """A table for str.translate that asks its rule once for each character, the first time the character occurs."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def __missing__(self, code):
        self[code] = self.rule(chr(code))
        return self[code]


CJK_CHARS = "".join(f"{chr(first)}-{chr(last)}" for first, last in CJK)
SPACES = " \t\n\r\xa0\u3000"  # the commonest of those that clean_char takes for a space
CHUNK, CHUNK_JOINED = re.compile(f"[{CJK_CHARS}]|[^{SPACES}{CJK_CHARS}]+"), re.compile(f"[^{SPACES}]+")
GROUP = 2**13  # characters of texts that are cut together: what they are cut into should fit into the processor's cache


def unaccent(char):
    """'é' -> 'e': take a character apart (NFD) and drop its combining marks."""
    return "".join(map(strip_mark, decompose(char)))


CLEAN, STRIP_MARK, UNACCENT, SET_APART = Table(clean_char), Table(strip_mark), Table(unaccent), Table(set_apart)
CLEAN_JOINED = Table(clean_joined)


def strip_accents(text):
    """Lines of text without accents."""
    plain = text.translate(UNACCENT)
    if not any(map(unicodedata.combining, plain)):
        return plain
    if "\n" in text:
        return "\n".join(map(strip_accents, text.split("\n")))
    chars = in_canonical_order((c, 0) for char in text for c in decompose(char))  # marks stay, perhaps in another order
    return "".join(char for char, _ in chars).translate(STRIP_MARK)


class Pieces(dict):
    """Pieces of words -> (id,); reach: the first two characters of a piece -> the longest piece's length."""

    def __init__(self, ids):
        super().__init__(ids)
        self.reach = {}
        for piece in self:
            start = piece[:2]
            if len(piece) > self.reach.get(start, 1):
                self.reach[start] = len(piece)


class BertTokenizer(tokenizer.BertTokenizer):
    begin = functools.cached_property(
        lambda self: Pieces({token: (id,) for token, id in self.in_words.items() if not token.startswith("##")})
    )
    inside = functools.cached_property(
        lambda self: Pieces({token[2:]: (id,) for token, id in self.in_words.items() if token.startswith("##")})
    )
    word_ids = functools.cached_property(lambda self: Cache(self.wordpiece_ids, self.begin))
    chunk_ids = functools.cached_property(lambda self: Cache(self.words_ids))

    def forget(self):
        """Drop the caches."""
        for name in ("begin", "inside", "word_ids", "chunk_ids"):
            vars(self).pop(name, None)

    def words(self, text):
        """As in the plain class, with one operation on the whole text for each stage."""
        written, normalized = self.finders[False]
        return (
            super().words(text)
            if written.tokens or normalized.tokens
            else self.normal(text).translate(SET_APART).split()
        )

    def normal(self, text):
        """A text as the plain class cleans and folds it."""
        return self.folded(self.clean_up(text))

    def clean_up(self, text):
        """The plain class's `clean` of a text; most texts need none."""
        if text.isascii() and text.isprintable():
            return text
        return text.translate(CLEAN if self.cjk_apart else CLEAN_JOINED)

    def folded(self, text):
        """The plain class's `fold` of lines of text."""
        text = text.lower() if self.lower_case else text
        return strip_accents(text) if self.strip_accents and not text.isascii() else text

    def text_to_ids(self, text, keep_special=False):
        """As in the plain class, from the ids of chunks."""
        if keep_special:
            return super().text_to_ids(text, keep_special)
        written, normalized = self.finders[False]
        ids = []
        for start, end, token in written.cut(text):
            part = text[start:end]
            if token:
                ids.append(self.vocab[token.content])
            elif normalized.tokens and normalized.pattern.search(self.normal(part)):
                return super().text_to_ids(text)
            else:
                ids += self.known_ids(self.chunks(part))
        return ids

    def texts_to_ids(self, texts, keep_special=False):
        """As in the plain class. Of a group of texts, all chunks that are new are found at once."""
        if len(texts) == 1 or keep_special or any(finder.tokens for finder in self.finders[False]):
            return super().texts_to_ids(texts, keep_special)
        ends, rows = itertools.accumulate(map(len, texts)), []
        for _, group in itertools.groupby(zip(texts, ends), key=lambda pair: pair[1] // GROUP):
            cut = [self.chunks(text) for text, _ in group]
            self.learn(set(itertools.filterfalse(self.chunk_ids.__contains__, itertools.chain.from_iterable(cut))))
            rows += map(self.known_ids, cut)
        return rows

    def known_ids(self, chunks):
        """The ids of chunks, one after the other, from the cache."""
        return list(itertools.chain.from_iterable(map(self.chunk_ids.__getitem__, chunks)))

    def chunks(self, text):
        """What stands between spaces and CJK characters, and these: no rule looks across either."""
        if text.isascii():
            return self.clean_up(text).split()
        return (CHUNK if self.cjk_apart else CHUNK_JOINED).findall(text)

    def learn(self, chunks):
        """Find the ids of chunks, each a line of one text. Leaves out long ones, which the cache does not keep."""
        whole, cut = [], []  # one word, which only lower-casing changes; what must be cut
        for chunk in chunks:
            if len(chunk) <= Cache.LONGEST:
                (whole if chunk.isascii() and chunk.isalnum() else cut).append(chunk)
        known = self.word_ids.__getitem__
        found = dict(zip(whole, map(known, self.folded("\n".join(whole)).split("\n"))))
        for some in ([chunk for chunk in cut if chunk.isascii()], [chunk for chunk in cut if not chunk.isascii()]):
            lines = self.folded("\n".join(map(self.clean_up, some))).translate(SET_APART).split("\n")
            found |= {chunk: sum(map(known, line.split()), ()) for chunk, line in zip(some, lines)}
        self.chunk_ids.add(found)

    def words_ids(self, text):
        """The ids of a text, word by word."""
        if text.isascii() and text.isalnum():  # one word, which only lower-casing changes
            return self.word_ids[self.folded(text)]
        words = self.normal(text).translate(SET_APART).split()
        return tuple(itertools.chain.from_iterable(map(self.word_ids.__getitem__, words)))

    def wordpiece_ids(self, word):
        """The ids of wordpiece(word). Looks up no piece that is longer than all pieces with the same beginning."""
        if len(word) > MAX_WORD:
            return (self.unk_token_id,)
        ids, start, pieces = (), 0, self.begin
        while start < len(word):
            for end in range(min(len(word), start + pieces.reach.get(word[start : start + 2], 1)), start, -1):
                if id := pieces.get(word[start:end]):
                    break
            else:
                return (self.unk_token_id,)
            ids += id
            start, pieces = end, self.inside
        return ids
