"""Part 1: words, pieces, ids. Answers are lists of strings: the pieces of a word, or the numbers of a row."""

import numpy as np

from minbert.course.probes import Probe

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcde"
TEXTS = [
    "The Film was GOOD, wasn't it?",
    "Un caf\u00e9 na\u00efve\u0301 \u00c5\u00f8 stra\u00dfe \u0130",
    "don't; it's $5^2 (not 4.50) `a_b` <x>~| \u20ac5\u22607",
    "tab\there\nline\rback\u00a0wide\u3000end ",
    "\u4e2d\u6587 and \u3042\u30ab \u2014 \u201cquoted\u201d\u2026 \u00a1ol\u00e9!",
    "zero\u200bwidth \u0000nul \ufffdbad bell\u0007 soft\u00adhyphen",
    "e\u0301a\u0323\u0301 \u03a3\u0391\u03a3 \uff21\uff0c",
    "[SEP] and [MASK], [sep] [CLS]x",
    "   ",
    "",
]
WORDS = [
    *("the", "film", "was", "good", "bad", "it", "un", "wo", "cafe", "a", "sep", "mask", "x", "s", "t"),
    *("caf\u00e9", "The", "Film", ".", ",", "!", "?", "'", "[", "]", "$", "5", "2", ";", "(", ")"),
]
VOCAB = [*SPECIAL, *WORDS, *("##aff", "##able", "##s", "##nder", "##ful", "##film", "##x", "##ol")]


def spell(rng, longest, shortest=1):
    return "".join(rng.choice(list(LETTERS), size=rng.integers(shortest, longest + 1)))


def random_words(rng):
    """A vocabulary of pieces and words to cut, some of which start well and end badly."""
    first = {spell(rng, 4) for _ in range(24)} | {"a", "b", "A", "c" * 12}
    later = {"##" + spell(rng, 3) for _ in range(20)} | {"##a", "##b", "##c", "##C", "##de", "##d" * 2}
    words = [spell(rng, 9, 2) for _ in range(90)] + [piece + piece[::-1] for piece in sorted(first)]
    words += ["a", "e", "A", "aC", "ac", "acA", "ab#", "##a", "[UNK]", "a[UNK]", "c" * 12 + "a", "[SEP]"]
    return {"vocabulary": ["[UNK]", *sorted(first), *sorted(later)], "words": words}


def chosen_words(rng):
    """Words that tell one way to cut from another."""
    return {
        "vocabulary": [
            *("[UNK]", "un", "una", "##a", "##f", "##ff", "##ffa", "##b", "##ble", "##affable"),
            *("ab", "##cd", "abc", "film", "##s", "x", "##y"),
        ],
        "words": ["unaffable", "abcd", "unfilm", "able", "filmx", "films", "xyxy", "yx", "abs", "##s", "Film", "unx"],
    }


def long_words(rng):
    sizes = [50, 51, 64, 65, 100, 101, 128, 129, 199, 200, 201, 256, 400]
    vocabulary = ["[UNK]", "a", "##b", "##" + "b" * 25, "c" * 200]
    return {"vocabulary": vocabulary, "words": ["a" + "b" * (size - 1) for size in sizes]}


def pieces(code, vocabulary, words):
    """The pieces of each word; an exception's name stands for a word, and does not hide the others."""
    tokenizer = code.tokenizer.BertTokenizer(vocabulary)
    for word in words:
        try:
            found = list(tokenizer.wordpiece(word))
            yield found if all(isinstance(piece, str) for piece in found) else [repr(found)]
        except NotImplementedError:
            raise
        except Exception as error:
            yield [type(error).__name__]


def ask_wordpiece(code, vocabulary, words):
    yield "pieces", [" ".join(found) for found in pieces(code, vocabulary, words)]


def ask_long(code, vocabulary, words):
    cut = {len(word): found for word, found in zip(words, pieces(code, vocabulary, words))}
    ends = {size: f"{len(pieces)} pieces, {pieces[:1]} ... {pieces[-1:]}" for size, pieces in cut.items()}
    yield "pieces", [f"{size} letters: {end}" for size, end in ends.items()]


def ask_words(code, lower_case, texts):
    tokenizer = code.tokenizer.BertTokenizer(VOCAB, lower_case=lower_case)
    yield "words", [" ".join(tokenizer.words(text)) for text in texts]


def build(code, **options):
    """The tokenizer, with the right WordPiece for the words it is asked: what is judged here is the rest."""
    tokenizer = code.tokenizer.BertTokenizer(VOCAB, max_length=18, **options)
    tokenizer.wordpiece = lambda word: CUTS.get(word, [word] if word in VOCAB else ["[UNK]"])
    return tokenizer


CUTS = {"unaffable": ["un", "##aff", "##able"], "wonderfuls": ["wo", "##nder", "##ful", "##s"]}
CUTS |= {"filmx": ["film", "##x"], "films": ["film", "##s"], "bads": ["bad", "##s"]}


def ask_tokens(code, keep_special, texts):
    tokenizer = build(code)
    yield "pieces", [" ".join(tokenizer.tokenize(text, keep_special=keep_special)) for text in texts]
    found = [tokenizer.tokenize_with_offsets(text, keep_special=keep_special) for text in texts]
    yield "places in the text", [" ".join(f"{start}-{end}" for _, (start, end) in row) for row in found]


def ask_encode(code, texts, pairs=None, **options):
    encoding = build(code)(texts, pairs, **options)
    tensors = options.get("return_tensors") == "pt"
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        if tensors:
            yield name, encoding[name]
        else:
            yield name, [" ".join(map(str, row)) for row in encoding[name]]
    if "offset_mapping" in encoding:
        yield "offset_mapping", [" ".join(f"{a}-{b}" for a, b in row) for row in encoding["offset_mapping"]]


def ask_each(code, texts, pairs, limits):
    """Each pair by itself, cut to several lengths."""
    tokenizer = build(code)
    for size in limits.tolist():
        rows = []
        for text, pair in zip(texts, pairs):
            try:
                rows.append(" ".join(map(str, tokenizer(text, pair, truncation=True, max_length=size)["input_ids"])))
            except Exception as error:  # one row does not hide the others
                rows.append(type(error).__name__)
        yield f"input_ids, cut to {size}", rows


def ask_join(code, texts, pairs):
    """Special tokens of which no two are alike, as RoBERTa's nearly are."""
    begin, between, end = ["<s>"], ["</s>", "<t>"], ["</t>"]
    for name, columns in (("a text alone", [texts]), ("a text and its pair", [texts, pairs])):
        rows = [tuple(part.split() for part in row) for row in zip(*columns)]
        yield name, [" ".join(row) for row in code.encoding.join(rows, begin, between, end)]


def ask_shorten(code, texts, pairs):
    rows = [(text.split(), pair.split()) for text, pair in zip(texts, pairs)] + [(text.split(),) for text in texts]
    for room in (4, 9, 100):
        copies = [tuple(list(part) for part in row) for row in rows]
        answers = [str(code.encoding.shorten(row, room)) for row in copies]
        yield f"what is left, room {room}", [" | ".join(map(" ".join, row)) for row in copies]
        yield f"what it returns, room {room}", answers


def ask_decode(code, rows):
    tokenizer = build(code)
    yield "tokens", [" ".join(tokenizer.convert_ids_to_tokens(row)) for row in rows.tolist()]
    yield "text", [tokenizer.decode(row) for row in rows.tolist()]
    yield "text without special tokens", [tokenizer.decode(row, skip_special_tokens=True) for row in rows.tolist()]
    yield "ids", [str(tokenizer.convert_tokens_to_ids(["film", "nowhere", "##s", "[SEP]"]))]


def sentences(rng, sizes):
    """A text of so many pieces for each size."""
    words = ["the", "film", "was", "good", "bad", "it", "a", ".", "!", "s", "t", "x", "nowhere"]
    texts = []
    for size in sizes:
        row = list(rng.choice(words, size=size))
        if size > 4:
            row[1:4] = ["unaffable"]
        texts.append(" ".join(row))
    return texts


def texts(sizes, pair_sizes=(), **options):
    def draw(rng):
        pairs = {"pairs": sentences(rng, pair_sizes)} if pair_sizes else {}
        return {"texts": sentences(rng, sizes)} | pairs | options

    return draw


def ids(rng):
    return {"rows": np.concatenate([np.full((3, 1), 2), rng.integers(3, len(VOCAB), (3, 9)), np.full((3, 1), 3)], 1)}


LONG, SHORT = [9, 2, 12, 6, 7, 7, 8, 5], [3, 9, 12, 7, 6, 5, 8, 7]  # pieces, in texts and in their pairs
PROBES = (
    Probe("wordpiece, chosen words", chosen_words, ask_wordpiece),
    Probe("wordpiece, random words", random_words, ask_wordpiece),
    Probe("wordpiece, long words", long_words, ask_long),
    Probe("words, uncased", lambda rng: {"lower_case": True, "texts": TEXTS}, ask_words),
    Probe("words, cased", lambda rng: {"lower_case": False, "texts": TEXTS}, ask_words),
    Probe("tokenize", lambda rng: {"keep_special": False, "texts": [*TEXTS, "unaffable wonderfuls"]}, ask_tokens),
    Probe("tokenize, control tokens", lambda rng: {"keep_special": True, "texts": TEXTS}, ask_tokens),
    Probe("texts", texts(LONG), ask_encode),
    Probe("texts, cut", texts(LONG, truncation=True, max_length=8), ask_encode),
    Probe("texts, padded", texts(LONG[:4], padding=True, return_tensors="pt"), ask_encode),
    Probe("texts, cut and padded", texts(LONG, padding="max_length", truncation=True, max_length=16), ask_encode),
    Probe("texts, no special tokens", texts(LONG[:3], add_special_tokens=False), ask_encode),
    Probe("texts with [SEP] in them", lambda rng: {"texts": TEXTS}, ask_encode),
    Probe("texts, [SEP] allowed", lambda rng: {"texts": TEXTS, "allow_special": True}, ask_encode),
    Probe("texts with places", texts(LONG[:3], return_offsets_mapping=True, padding=True), ask_encode),
    Probe("pairs", texts(LONG, SHORT), ask_encode),
    Probe("pairs, cut", texts(LONG, SHORT, truncation=True, max_length=13), ask_encode),
    Probe("pairs, cut short", texts(LONG, SHORT, truncation=True, max_length=6), ask_encode),
    Probe("pairs, cut one by one", texts(LONG, SHORT, limits=np.array([5, 8, 16])), ask_each),
    Probe("pairs, padded", texts(LONG, SHORT, padding=True, return_tensors="pt"), ask_encode),
    Probe("decode", ids, ask_decode),
    Probe("option: the empty word", lambda rng: {"vocabulary": ["[UNK]", "a", "##a"], "words": [""]}, ask_wordpiece),
    Probe("option: join, other special tokens", texts(LONG, SHORT), ask_join),
    Probe("option: shorten, by itself", texts(LONG, SHORT), ask_shorten),
)
