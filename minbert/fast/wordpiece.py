"""BertTokenizer, faster, by caches and whole-text operations. The plain counterpart is in minbert/tokenizer.py.

Only ids and words are found in another way; offsets and explanations take the plain one.
"""

import functools
import itertools
import unicodedata

from minbert import tokenizer
from minbert.cache import Cache
from minbert.tokenizer import MAX_WORD, clean_char, clean_joined, decompose, in_canonical_order, set_apart, strip_mark


class Table(dict):
    """A table for str.translate that asks its rule once for each character, the first time the character occurs."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def __missing__(self, code):
        self[code] = self.rule(chr(code))
        return self[code]


def unaccent(char):
    """'é' -> 'e': take a character apart (NFD) and drop its combining marks."""
    return "".join(map(strip_mark, decompose(char)))


CLEAN, STRIP_MARK, UNACCENT, SET_APART = Table(clean_char), Table(strip_mark), Table(unaccent), Table(set_apart)
CLEAN_JOINED = Table(clean_joined)


class Pieces(dict):
    """Pieces of words -> their ids; reach: the first two characters of a piece -> the longest piece's length."""

    def __init__(self, ids):
        super().__init__(ids)
        self.reach = {}
        for piece in self:
            start = piece[:2]
            if len(piece) > self.reach.get(start, 1):
                self.reach[start] = len(piece)


class BertTokenizer(tokenizer.BertTokenizer):
    begin = functools.cached_property(
        lambda self: Pieces({token: id for token, id in self.in_words.items() if not token.startswith("##")})
    )
    inside = functools.cached_property(
        lambda self: Pieces({token[2:]: id for token, id in self.in_words.items() if token.startswith("##")})
    )
    word_ids = functools.cached_property(lambda self: Cache(self.wordpiece_ids))
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
        text = self.clean_up(text)
        if self.lower_case:
            text = text.lower()
        if self.strip_accents and not text.isascii():
            plain = text.translate(UNACCENT)
            if any(map(unicodedata.combining, plain)):  # marks that stay: NFD may put them in another order
                chars = in_canonical_order((c, 0) for char in text for c in decompose(char))
                plain = "".join(char for char, _ in chars).translate(STRIP_MARK)
            text = plain
        return text

    def clean_up(self, text):
        """The plain class's `clean` of a text; most texts need none."""
        if text.isascii() and text.isprintable():
            return text
        return text.translate(CLEAN if self.cjk_apart else CLEAN_JOINED)

    def text_to_ids(self, text, keep_special=False):
        """As in the plain class, from the ids of what stands between spaces: no rule looks across a space."""
        written, normalized = self.finders[keep_special]
        if keep_special:
            return super().text_to_ids(text, keep_special)
        ids = []
        for start, end, token in written.cut(text):
            part = text[start:end]
            if token:
                ids.append(self.vocab[token.content])
            elif normalized.tokens and normalized.pattern.search(self.normal(part)):
                return super().text_to_ids(text)
            else:
                ids.extend(itertools.chain.from_iterable(map(self.chunk_ids.__getitem__, self.clean_up(part).split())))
        return ids

    def words_ids(self, text):
        """The ids of a cleaned text, word by word."""
        if text.isascii() and text.isalnum():  # one word, which only lower-casing changes
            return self.word_ids[text.lower() if self.lower_case else text]
        return [id for word in self.normal(text).translate(SET_APART).split() for id in self.word_ids[word]]

    def wordpiece_ids(self, word):
        """The ids of wordpiece(word). Looks up no piece that is longer than all pieces with the same beginning."""
        if len(word) > MAX_WORD:
            return [self.unk_token_id]
        ids, start, pieces = [], 0, self.begin
        while start < len(word):
            for end in range(min(len(word), start + pieces.reach.get(word[start : start + 2], 1)), start, -1):
                id = pieces.get(word[start:end])
                if id is not None:
                    break
            else:
                return [self.unk_token_id]
            ids.append(id)
            start, pieces = end, self.inside
        return ids
