"""Made-up texts and vocabularies through the tokenizer, beside a slow one that follows the original step by step."""

import copy
import unicodedata
import warnings
from itertools import pairwise

from minbert import BertTokenizer
from minbert.tokenizer import CJK, SPECIAL

SPACES = ["\t", "\n", "\r", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u2029", "\u3000", "\u200b", "\ufeff"]
MARKS = ["\u0300", "\u0301", "\u0323", "\u0345", "\u0338", "\u302e", "\U0001d165", "\u05b0", "\u0651", "\u0f71"]
LETTERS = ["a", "b", "ab", "A", "é", "Å", "ß", "ﬁ", "ı", "İ", "Σ", "ς", "ǅ", "ẞ", "\u212b", "\u226e", "한", "が"]
OTHERS = [
    "中",
    "\uf900",
    "\U0002b820",
    "ש",
    "\u202e",
    "ع",
    "\U0001d15e",
    "👩\u200d👧",
    "🇺🇸",
    "0",
    "²",
    "$",
    "^",
    "'",
    "؟",
]
STRANGE = ["\0", "\x07", "\ufffd", "\ud800", "\udfff", "\ue000", "\uffff", "\U0010ffff", "\u0378", "\U000e0001"]
CONTROLS = [*SPECIAL, "[SE\u200bP]", "[sep]", "[", "]", "##", "##a", "#"]
UNITS = [*SPACES, *MARKS, *LETTERS, *OTHERS, *STRANGE, *CONTROLS, " ", " ", 40 * "\u0301", 201 * "a"]
PIECES = [*"abcdefgilmnoprstuß中σςéå한[]#$'.,0", "sep", "mask", "cls", "\u0307", "\u302e", "\U0001d165", "\u0301"]


# The slow tokenizer. It knows no table, no cache and no shortcut; only the ranges of CJK are our own.


def slow_words(text, lower_case):
    """The original's words: clean, set CJK apart, and of what stands between spaces lower-case, strip and split."""
    kept = ""
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            kept += " "
        elif any(first <= ord(char) <= last for first, last in CJK):
            kept += " " + char + " "
        elif char not in "\0\ufffd" and category not in ("Cc", "Cf"):
            kept += char
    words = []
    for token in kept.split():
        if lower_case:
            token = "".join(c for c in unicodedata.normalize("NFD", token.lower()) if unicodedata.category(c) != "Mn")
        apart = ""
        for char in token:
            code = ord(char)
            ascii_symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
            apart += " " + char + " " if ascii_symbol or unicodedata.category(char).startswith("P") else char
        words += apart.split()
    return words


def slow_pieces(word, vocab):
    """The original's pieces of a word: each time every end there is, the last first."""
    pieces, rest = [], word
    while rest and len(word) <= 200:
        ends = [end for end in range(len(rest), 0, -1) if ("##" if pieces else "") + rest[:end] in vocab]
        if not ends:
            return ["[UNK]"]
        pieces.append(("##" if pieces else "") + rest[: ends[0]])
        rest = rest[ends[0] :]
    return pieces if not rest else ["[UNK]"]


def slow_ids(tokenizer, text):
    words = slow_words(text, tokenizer.lower_case)
    return [tokenizer.vocab[piece] for word in words for piece in slow_pieces(word, tokenizer.vocab)]


# What must be true of every text


def check(tokenizer, text):
    """Raise AssertionError unless every way to a text's ids gives the original's, and the offsets lead back to it."""
    told = ascii(text)
    expected = slow_ids(tokenizer, text)
    full = tokenizer(text).input_ids
    assert full[1:-1] == expected, told
    assert tokenizer(text).input_ids == full, told  # remembered now
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text, keep_special=False)) == expected, told
    assert all(0 <= id < len(tokenizer) for id in full), told
    controls = {tokenizer.vocab[token] for token in SPECIAL if token != "[UNK]"}
    assert controls.isdisjoint(expected), told  # what is written is text
    marked = tokenizer(text, allow_special=True)
    assert tokenizer(text, allow_special=True, return_offsets_mapping=True).input_ids == marked.input_ids, told
    tokenizer.decode(marked.input_ids)
    check_offsets(tokenizer, text, expected)


def check_twin(plain, twin, text):
    """Raise AssertionError unless a tokenizer's twin finds what the plain one does, by each of its ways."""
    told, expected = ascii(text), plain.text_to_ids(text)
    for _ in range(2):  # then from the caches
        assert twin.text_to_ids(text) == expected, told
    assert list(twin.words_ids(text)) == expected, told  # in one piece
    words = plain.words(text)
    assert twin.words(text) == words, told
    for word in words:
        assert list(twin.wordpiece_ids(word)) == plain.convert_tokens_to_ids(plain.wordpiece(word)), told
    for allow_special in (False, True):
        options = {"allow_special": allow_special, "return_offsets_mapping": True}
        assert twin(text, text[::-1], **options) == plain(text, text[::-1], **options), told


def check_twin_batch(plain, twin, texts):
    """Raise AssertionError unless a tokenizer's twin, which knows no word, finds of all texts at once what the plain
    one finds of each."""
    expected = [plain.text_to_ids(text) for text in texts]
    twin.forget()
    for _ in range(2):  # then from the caches
        for text, ids, wanted in zip(texts, twin.texts_to_ids(texts), expected, strict=True):
            assert ids == wanted, ascii((text, texts))


def check_offsets(tokenizer, text, expected):
    told = ascii(text)
    found = tokenizer.tokenize_with_offsets(text)
    assert tokenizer.convert_tokens_to_ids([piece for piece, _ in found]) == expected, told
    assert all(0 <= start < end <= len(text) for _, (start, end) in found), told
    words = [(word, min(at), max(at) + 1) for word, at in tokenizer.words_with_offsets(text)]
    assert all(one[2] <= other[1] for one, other in pairwise(words)), told  # no overlap
    for word, start, end in words:
        assert alike("".join(tokenizer.words(text[start:end])), word), told
    spans = [(0, 0), *(span for _, span in found), (len(text), len(text))]
    for (piece, (start, end)), before, after in zip(found, spans, spans[2:]):
        alone = before[1] <= start and end <= after[0]  # of one character with several pieces no piece is the whole
        if alone and piece != "[UNK]":
            inside = any(start > first and end <= last for _, first, last in words)
            assert alike("".join(tokenizer.words(text[start:end])), piece[2 * inside :]), told


def alike(slice, word):
    """Whether they are equal but for a final sigma: which it is depends on what stands around it."""
    return slice.replace("ς", "σ") == word.replace("ς", "σ")


def check_cutting(tokenizer, texts, pairs, length):
    """Raise AssertionError unless a batch is its texts one by one, and no row is longer than length."""
    told = ascii((texts, pairs, length))

    def encode(*texts, **options):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* were cut")
            return tokenizer(*texts, truncation=True, max_length=length, **options)

    whole = [tokenizer(text).input_ids for text in texts]
    found = encode(texts, padding=True, return_tensors="pt")
    assert [row[mask].tolist() for row, mask in zip(found.input_ids, found.attention_mask.bool())] == [
        [*row[: length - 1], row[-1]] if len(row) > length else row for row in whole
    ], told
    both = encode(texts, pairs, return_offsets_mapping=True)
    for text, pair, *row in zip(texts, pairs, both.input_ids, both.token_type_ids, both.offset_mapping):
        ids, segments, spans = row
        one = encode(text, pair, return_offsets_mapping=True)
        assert [one.input_ids, one.token_type_ids, one.offset_mapping] == row, told
        assert len(ids) == len(segments) == len(spans) <= length, told
        first, second = tokenizer(text).input_ids, tokenizer(pair).input_ids[1:]
        size = segments.count(0)
        assert ids == first[: size - 1] + first[-1:] + second[: len(ids) - size - 1] + second[-1:], told
        assert len(ids) == min(length, len(first) + len(second)), told


# Made up at random


def random_text(rng):
    """Now what a vocabulary may know, now units that are known to be awkward and any code points there are."""
    units = [chr(rng.randrange(rng.choice([0x80, 0x3000, 0x110000]))) for _ in range(8)]
    units = rng.choice([[*PIECES, *MARKS, " "], [*PIECES, *PIECES, *UNITS], [*UNITS, *units, *units]])
    return "".join(rng.choices(units, k=rng.randrange(24)))


def random_vocab(rng):
    """A vocabulary in which many pieces begin alike."""
    alphabet = [*rng.sample(PIECES, rng.randrange(2, 6)), "a", "b"]
    words = ["".join(rng.choices(alphabet, k=rng.randrange(1, 6))) for _ in range(rng.randrange(60))]
    pieces = [prefix + word for word in [*PIECES, *words] for prefix in ("", "##") if rng.random() < 0.85]
    return list(dict.fromkeys([*SPECIAL, *pieces]))


def fuzz(count, rng, folder):
    """count texts, 50 to a vocabulary, through the plain tokenizer and its twin."""
    from minbert import fast  # the tests of the plain tokenizer, which need this file, do without

    outcomes = {"texts": 0, "pieces": 0, "unknown": 0}
    while outcomes["texts"] < count:
        tokenizer = BertTokenizer(random_vocab(rng), lower_case=rng.random() < 0.7)
        twin = fast.swap_in(copy.copy(tokenizer))
        texts = [random_text(rng) for _ in range(min(50, count - outcomes["texts"]))]
        for text in texts:
            check(tokenizer, text)
            check_twin(tokenizer, twin, text)
            ids = tokenizer.text_to_ids(text)
            outcomes["pieces"] += len(ids)
            outcomes["unknown"] += ids.count(tokenizer.unk_token_id)
        check_twin_batch(tokenizer, twin, texts)
        check_cutting(tokenizer, texts, texts[::-1], rng.randrange(3, 40))
        outcomes["texts"] += len(texts)
    return outcomes


FUZZERS = {"text": fuzz}
