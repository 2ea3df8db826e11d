"""The tokenizer: longest match by hand, equality with the original, offsets, control tokens, files.

tests/parts/part1_wordpiece.py has the tests of `wordpiece` alone. Equality is measured against stored outputs of
google-research/bert; where Hugging Face's Rust tokenizer gives something else, RUST_DIFFERS says what and why.
"""

import gzip
import json
import random
import unicodedata
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minbert import BertTokenizer, UserError
from minbert.tokenizer import SPECIAL, clean_char, in_canonical_order, set_apart, strip_mark
from minbert.tokenizer_files import read_vocab
from tests.conftest import ROOT, VOCAB
from tests.stress.fuzz import text as fuzz
from tests.texts import ENDLESS, TEXTS, TOKENIZERS, UNITS, made_up, telling_characters, work

PAD, UNK, CLS, SEP, MASK = range(5)  # their ids in VOCAB
BASE_UNK = 100  # and in the vocabulary of bert-base-uncased


def assert_all_equal(rows):
    """rows: (input, found, expected), ... Fails with the three shortest inputs that differ, not with all of them."""
    wrong = sorted((row for row in rows if row[1] != row[2]), key=lambda row: len(row[0]))
    lines = ["{!a:.300}\n    found    {!s:.300}\n    expected {!s:.300}".format(*row) for row in wrong[:3]]
    if wrong:
        pytest.fail("\n".join([f"{len(wrong)} differ, the shortest first:", *lines]), pytrace=False)


def ids(words):
    """'the film [SEP]' -> their ids in VOCAB, looked up without the tokenizer"""
    return [VOCAB.index(word) for word in words.split()]


# Words, by hand


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, wörld!", "hello , world !"),
        ("don't $5^2 a_b", "don ' t $ 5 ^ 2 a _ b"),
        ("\tone\ttwo\nthree\rfour\r\nfive\u00a0six\u3000seven\u2028eight ", "one two three four five six seven eight"),
        ("“quoted” — ¿so?", "“ quoted ” — ¿ so ?"),
        ("本x語", "本 x 語"),
        ("ひらがな カタカナ", "ひらかな カタカナ"),  # kana is not CJK to BERT, and NFD takes voicing marks off
        ("한", "\u1112\u1161\u11ab"),  # nor is Hangul, which NFD takes apart
        ("a\u0338 \u226e", "a <"),  # a stroke is a mark: of a crossed-out < the < remains
        ("e\u0301 é É", "e e e"),
        ("ß Ł œ", "ß ł œ"),  # letters of their own, not accented ones
        ("", ""),
        (" \n", ""),
    ],
)
def test_words(tokenizer, text, words):
    assert tokenizer.words(text) == words.split()


def test_cased_words_keep_case_and_accents():
    tokenizer = BertTokenizer(VOCAB, lower_case=False)
    assert tokenizer.words("Él, ΣΑΣ e\u0301") == ["Él", ",", "ΣΑΣ", "e\u0301"]


def test_accents_can_be_stripped_without_lower_casing_and_kept_with_it():
    assert BertTokenizer(VOCAB, lower_case=False, strip_accents=True).words("Él") == ["El"]
    assert BertTokenizer(VOCAB, lower_case=True, strip_accents=False).words("Él") == ["él"]


@pytest.mark.parametrize(
    "dropped", ["\0", "\a", "\x85", "\x7f", "\u00ad", "\u200b", "\u200d", "\u202e", "\ufeff", "\ufffd"]
)
def test_control_and_format_characters_are_dropped(tokenizer, dropped):
    assert tokenizer.tokenize(f"fi{dropped}lm") == ["film"]


@pytest.mark.parametrize("kept", ["\ue000", "\U0010fffd", "\uffff", "\U000e0fff", "\ud800"])
def test_private_unassigned_and_surrogate_characters_stay_and_make_the_word_unknown(tokenizer, kept):
    assert unicodedata.category(kept) in ("Co", "Cn", "Cs")
    assert tokenizer.tokenize(f"fi{kept}lm film") == ["[UNK]", "film"]


# Equality with the original


@pytest.fixture(scope="module")
def vocab(shared):
    return read_vocab(shared("data/vocab/bert-base-uncased-vocab.txt"))


@pytest.fixture(scope="module", params=["uncased", "cased"])
def reference(request, shared, vocab):
    """A tokenizer with the vocabulary of bert-base-uncased, and [(text, the original's ids), ...]."""
    with gzip.open(shared("reference/wordpiece-strings.jsonl.gz"), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tokenizer = BertTokenizer(vocab, lower_case=request.param == "uncased")
    return tokenizer, [(row["text"], row[request.param]) for row in rows]


@pytest.fixture(scope="module")
def code_points(shared, vocab):
    """between(first, last) -> [(character, ids of a{character}b, expected), ...] for those that differ, of the telling
    ones.

    Asks for a thousand at a time, as the words of one text, and one by one only where such a text differs.
    """
    stored = json.loads(gzip.decompress(shared("reference/wordpiece-codepoints.json.gz").read_bytes()))
    assert stored["unidata_version"] == "14.0.0"
    assert sum(end - start + 1 for start, end, _ in stored["ranges"]) == 0x110000 - 2048  # all but surrogates
    tokenizer = BertTokenizer(vocab)

    def ids(chars):
        words = tokenizer.words(" ".join(f"a{char}b" for char in chars))
        return tokenizer.convert_tokens_to_ids([piece for word in words for piece in tokenizer.wordpiece(word)])

    def between(first, last):
        differing = []
        for start, end, expected in stored["ranges"]:
            chars = telling_characters(max(start, first), min(end, last))
            for block in (chars[at : at + 1000] for at in range(0, len(chars), 1000)):
                if ids(block) != expected * len(block):
                    differing += [(char, ids(char), expected) for char in block if ids(char) != expected]
        return differing

    yield between
    for rule in (clean_char, strip_mark, set_apart):  # by now they remember every character there is
        rule.cache_clear()


def is_news(char, found, expected):
    """Whether a character differs because the reference was made with Unicode 14.0 and this Python has other tables."""
    if unicodedata.unidata_version == "14.0.0":
        return False
    assigned_since = expected == [BASE_UNK] and unicodedata.category(char) != "Cn"
    not_yet_assigned = found == [BASE_UNK] and unicodedata.category(char) == "Cn"
    return assigned_since or not_yet_assigned or char == "\U0001171e"  # which Unicode 16.0 moved from Mn to Mc


@pytest.mark.fault("texts: empty, huge or with odd characters")
def test_equals_the_original_on_every_code_point(code_points):
    differing = code_points(0, 0x10FFFF)
    assert_all_equal((f"U+{ord(row[0]):04X}", *row[1:]) for row in differing if not is_news(*row))


def test_equals_the_original_on_5500_strings(reference, code_points):
    """Ids, and spans in order. With other Unicode tables, only texts with a character that differs may differ."""
    tokenizer, rows = reference
    assert len(rows) == 5500
    differing = []
    for text, expected in rows:
        found = tokenizer.tokenize_with_offsets(text)
        spans = [span for _, span in found]
        assert all(0 <= start < end <= len(text) for start, end in spans), ascii(text)
        assert spans == sorted(spans), ascii(text)
        if (ids := tokenizer.convert_tokens_to_ids([piece for piece, _ in found])) != expected:
            differing.append((text, ids, expected))
    chars = map(ord, set("".join(text for text, _, _ in differing)))
    news = {row[0] for char in chars for row in code_points(char, char) if is_news(*row)}
    assert_all_equal(row for row in differing if news.isdisjoint(row[0]))


@pytest.mark.parametrize("kind", ["uncased", "cased"])
def test_equals_the_reference_s_python_tokenizer_on_golden_texts(minilm, kind):
    """These need no files but our own and the vocabulary of a known model."""
    golden = json.loads((ROOT / "tests" / "golden" / "ids.json").read_text(encoding="utf-8"))
    tokenizer = BertTokenizer.from_pretrained(minilm, lower_case=kind == "uncased", strip_accents=None)
    found = tokenizer(golden["texts"], add_special_tokens=False).input_ids
    assert len(found) > 25
    assert_all_equal(zip(golden["texts"], found, golden[kind]))


# Where the Rust tokenizer differs, the original wins. On the 5500 strings there is no other kind of difference.

SMALL_VOCAB = [*SPECIAL, "a", "##a", "b", "[", "]", "sep", "mask", "σας", "σασ"]
RUST_DIFFERS = {  # kind: (text, the original's pieces, the Rust tokenizer's)
    "a word may have 200 characters, not 100": (101 * "a", "a" + 100 * " ##a", "[UNK]"),
    "a written [SEP] is text": ("a [SEP] b", "a [ sep ] b", "a [SEP] b"),
    "a written [MASK] is text, in a word too": ("a[MASK]b", "a [ mask ] b", "a [MASK] b"),
    "private-use characters stay": ("a \ue000 b", "a [UNK] b", "a b"),
    "private-use characters stay within words": ("a\ue000", "[UNK]", "a"),
    "a sigma that ends a word is ς": ("ΣΑΣ", "σας", "σασ"),
    "CJK extension E begins at U+2B820, not U+2B920": ("a\U0002b820b", "a [UNK] b", "[UNK]"),
    "CJK extension E, the last that Rust lacks": ("a\U0002b91fb", "a [UNK] b", "[UNK]"),
    # Rust's tables of categories are those of Unicode 8.0; Python's go on.
    "marks that are new since are stripped": ("a\u08e1", "a", "[UNK]"),
    "format characters that are new since are dropped": ("a\U000110cd", "a", "[UNK]"),
    "punctuation that is new since is set apart": ("a\u2e43b", "a [UNK] b", "[UNK]"),
    "what was punctuation but is a symbol since is not": ("a\u166db", "[UNK]", "a [UNK] b"),
}
every_kind = pytest.mark.parametrize(("text", "original", "rust"), RUST_DIFFERS.values(), ids=RUST_DIFFERS)


@pytest.mark.fault("texts: empty, huge or with odd characters")
@every_kind
def test_where_the_rust_tokenizer_differs_the_original_wins(text, original, rust):
    tokenizer = BertTokenizer(SMALL_VOCAB)
    encoding = tokenizer(text, add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(encoding.input_ids) == original.split()


@every_kind
def test_the_rust_tokenizer_still_differs(text, original, rust):
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.BertWordPieceTokenizer({token: id for id, token in enumerate(SMALL_VOCAB)}, lowercase=True)
    assert theirs.encode(text, add_special_tokens=False).tokens == rust.split() != original.split()


# Offsets


OFFSETS = {  # text: its pieces, and where in the text each stands
    "The film.": [("the", 0, 3), ("film", 4, 8), (".", 8, 9)],
    "  the\n\n film ": [("the", 2, 5), ("film", 8, 12)],
    "Unaffable!": [("un", 0, 2), ("##aff", 2, 5), ("##able", 5, 9), ("!", 9, 10)],
    "xylophone film": [("[UNK]", 0, 9), ("film", 10, 14)],
    "fílm wás": [("film", 0, 4), ("was", 5, 8)],
    "fi\u0301lm wa\u0301s": [("film", 0, 5), ("was", 6, 10)],
    "the\u0301 film": [("the", 0, 3), ("film", 5, 9)],  # an accent after the last letter is no part of it
    "una\u0301\u0323ffable": [("un", 0, 2), ("##aff", 2, 7), ("##able", 7, 11)],
    "fi\u200blm": [("film", 0, 5)],
    "\u200bfilm\u200b": [("film", 1, 5)],
    "İs": [("i", 0, 1), ("##s", 1, 2)],  # lower-cases to i and a dot above, the dot is stripped
    "aİs a": [("a", 0, 1), ("##is", 1, 3), ("a", 4, 5)],
    "a中文a": [("a", 0, 1), ("中", 1, 2), ("[UNK]", 2, 3), ("a", 3, 4)],
    "ΣΑΣ film": [("σας", 0, 3), ("film", 4, 8)],
    "한a": [("ᄒ", 0, 1), ("##ᅡ", 0, 1), ("##ᆫ", 0, 1), ("##a", 1, 2)],  # one character in, three pieces out
    "x\u302e\U0001d165": [("[UNK]", 0, 3)],  # NFD puts the second of these marks first, and neither is stripped
    "a \u302e\U0001d165": [("a", 0, 1), ("[UNK]", 2, 4)],
    "[SEP]": [("[", 0, 1), ("sep", 1, 4), ("]", 4, 5)],
    "": [],
    "\u200b \u0301": [],
}


@pytest.mark.parametrize("text", OFFSETS, ids=ascii)
def test_offsets_by_hand(text):
    tokenizer = BertTokenizer([*VOCAB, "i", "##is", "中", "σας", "ᄒ", "##ᅡ", "##ᆫ", "##a"])
    assert tokenizer.tokenize_with_offsets(text) == [(piece, (start, end)) for piece, start, end in OFFSETS[text]]


def test_offsets_where_one_character_lower_cases_to_two():
    tokenizer = BertTokenizer(["[UNK]", "i", "##\u0307", "##s"], strip_accents=False)
    assert tokenizer.tokenize_with_offsets("İS") == [("i", (0, 1)), ("##\u0307", (0, 1)), ("##s", (1, 2))]


def test_offsets_of_control_tokens_written_in_the_text(tokenizer):
    found = tokenizer.tokenize_with_offsets("film [SEP] [sep]", keep_special=True)
    assert found == [("film", (0, 4)), ("[SEP]", (5, 10)), ("[", (11, 12)), ("sep", (12, 15)), ("]", (15, 16))]


def test_every_character_of_a_word_has_its_position(tokenizer):
    found = list(tokenizer.words_with_offsets("Ab é\u0323 \u200b한c."))
    assert found == [("ab", (0, 1)), ("e", (3,)), ("\u1112\u1161\u11abc", (7, 7, 7, 8)), (".", (9,))]


def test_canonical_order_is_that_of_nfd():
    text = "a\u0301\u0323\u0327b\u0323\u0301\u302e\U0001d165"
    found = in_canonical_order([(char, at) for at, char in enumerate(text)])
    assert "".join(char for char, _ in found) == unicodedata.normalize("NFD", text) != text
    assert [at for _, at in found] == [0, 3, 2, 1, 4, 8, 5, 7, 6]


# Control tokens in texts, and whatever else there may be


@pytest.mark.fault("texts: [SEP] or [MASK] written in a text")
def test_a_control_token_in_a_text_is_text(tokenizer):
    text = "the film [SEP] was [MASK] [CLS] [PAD]"
    assert tokenizer(text).input_ids.count(SEP) == 1
    assert not {CLS, MASK, PAD} & set(tokenizer(text).input_ids[1:])
    assert tokenizer("film [SEP]").input_ids == ids("[CLS] film [ sep ] [SEP]")


def test_a_control_token_in_a_text_counts_where_allowed(tokenizer):
    found = tokenizer("film[SEP] [MASK] [sep]", allow_special=True).input_ids
    assert found == ids("[CLS] film [SEP] [MASK] [ sep ] [SEP]")


def test_tokenize_keeps_control_tokens_unless_told_not_to(tokenizer):
    assert tokenizer.tokenize("[CLS] film [SEP]") == ["[CLS]", "film", "[SEP]"]
    assert tokenizer.tokenize("[SEP]", keep_special=False) == ["[", "sep", "]"]


@pytest.mark.fault("texts: empty, huge or with odd characters")
@made_up
@given(TOKENIZERS, TEXTS)
def test_every_text_is_cut_as_by_the_original_with_every_vocabulary(tokenizer, content):
    fuzz.check(tokenizer, content)


@made_up
@given(st.lists(st.sampled_from([word for word in VOCAB if word.isalnum()] + ["unaffable", "wonderfuls"])))
def test_plain_words_survive_the_round_trip(words):
    tokenizer = BertTokenizer(VOCAB)
    assert tokenizer.decode(tokenizer(" ".join(words)).input_ids, skip_special_tokens=True) == " ".join(words)


@pytest.mark.fault("texts: [SEP] or [MASK] written in a text")
@made_up
@given(st.lists(st.one_of(st.sampled_from(fuzz.CONTROLS), UNITS), max_size=12).map("".join), st.booleans())
def test_no_control_token_is_smuggled_in(content, lower_case):
    tokenizer = BertTokenizer([*VOCAB, "mask", "cls", "SEP", "MASK"], lower_case)
    assert not {PAD, CLS, SEP, MASK} & set(tokenizer(content).input_ids[1:-1])


def test_random_texts(tmp_path):
    """A few of those of tests/fuzz."""
    outcomes = fuzz.fuzz(400, random.Random(0), tmp_path)
    assert outcomes["texts"] == 400
    assert outcomes["pieces"] > 2 * outcomes["unknown"] > 300  # neither kind is rare


@pytest.mark.fault("texts: empty, huge or with odd characters")
@pytest.mark.parametrize("unit", ENDLESS, ids=ascii)
@pytest.mark.parametrize(
    "options", [{}, {"return_offsets_mapping": True}, {"allow_special": True}, {"truncation": True, "max_length": 8}]
)
@pytest.mark.filterwarnings("ignore:.* were cut")
def test_twice_the_text_is_twice_the_work(unit, options):
    """Of one endless word too, and of a letter with endless marks."""

    def once(times):
        tokenizer = BertTokenizer([*VOCAB, "un" * 7])  # it remembers nothing
        return work(tokenizer, "a" + times * unit, **options)

    once(1)  # the rules remember these characters now
    times = 1200 // len(unit)
    assert 0 < once(2 * times) < 2.02 * once(times)


@pytest.mark.fault("texts: empty, huge or with odd characters")
def test_an_endless_word_endless_marks_and_an_endless_line(tokenizer):
    assert tokenizer(50_000 * "s").input_ids == [CLS, UNK, SEP]
    assert tokenizer("film" + 50_000 * "\u0301").input_ids == ids("[CLS] film [SEP]")
    assert tokenizer(50_000 * "the film ").input_ids == ids("[CLS]") + 50_000 * ids("the film") + ids("[SEP]")


def test_what_is_remembered_is_bounded(tokenizer, monkeypatch):
    monkeypatch.setattr("minbert.tokenizer.MOST_REMEMBERED", 10)
    words = [f"film{number}" for number in range(25)]
    for _ in range(2):
        assert [tokenizer.tokenize(word) for word in words] == [["[UNK]"]] * 25
        assert 0 < len(tokenizer.memo) <= 10
    tokenizer.tokenize(51 * "s")
    assert 51 * "s" not in tokenizer.memo


# Explained


def test_every_stage_is_shown():
    tokenizer = BertTokenizer([*VOCAB, "é", "##é", "Film"])
    assert (
        str(tokenizer.explain("A\tFílm\u200b, unaffable\xa0x"))
        == """\
text      'A\\tFílm\\u200b, unaffable\\xa0x'
cleaned   'A Fílm, unaffable x'
lowered   'a fílm, unaffable x'
stripped  'a film, unaffable x'

word       from-to  pieces           ids
a          0-1      a                18
film       2-6      film             6
,          7-8      ,                21
unaffable  9-18     un ##aff ##able  11 12 13
x          19-20    [UNK]            1"""
    )
    cased = BertTokenizer([*VOCAB, "Fílm"], lower_case=False).explain("Fílm")
    assert cased.lowered == cased.stripped == "Fílm"
    assert cased.words == [("Fílm", (0, 4), ["Fílm"], [len(VOCAB)])]
    assert str(tokenizer.explain("")).endswith("stripped  ''\n\nword  from-to  pieces  ids")


@made_up
@given(TOKENIZERS, TEXTS)
def test_what_is_explained_is_what_is_done(tokenizer, content):
    explained = tokenizer.explain(content)
    words = [word for word, *_ in explained.words]
    assert words == tokenizer.words(content)
    spaced = "".join(char if char.isspace() else set_apart(char) for char in explained.stripped)
    assert spaced.split() == words  # the stages that are shown are those of the text as a whole
    found = tokenizer.tokenize_with_offsets(content)
    assert [piece for *_, pieces, _ in explained.words for piece in pieces] == [piece for piece, _ in found]
    assert [id for *_, ids in explained.words for id in ids] == tokenizer.text_to_ids(content)
    starts = [at[0] for _, at, *_ in explained.words], [span[0] for _, span in found]
    assert set(starts[0]) <= set(starts[1])


# Pieces <-> ids <-> text


def test_ids_and_tokens(tokenizer):
    assert tokenizer.convert_tokens_to_ids(["film", "nonesuch", "[SEP]"]) == [VOCAB.index("film"), UNK, SEP]
    assert tokenizer.convert_tokens_to_ids("film") == VOCAB.index("film")
    assert tokenizer.convert_tokens_to_ids("nonesuch") == UNK
    assert tokenizer.convert_ids_to_tokens([SEP, UNK]) == ["[SEP]", "[UNK]"]
    assert tokenizer.convert_ids_to_tokens(torch.tensor([SEP, UNK])) == ["[SEP]", "[UNK]"]
    assert tokenizer.convert_ids_to_tokens(MASK) == "[MASK]"
    with pytest.raises(KeyError):
        tokenizer.convert_ids_to_tokens([len(VOCAB)])


def test_special_tokens_have_names(tokenizer):
    names = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(tokenizer, f"{name}_token_id") for name in names] == [PAD, UNK, CLS, SEP, MASK]
    assert [getattr(tokenizer, f"{name}_token") for name in names] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_the_length_is_the_vocabulary_s(tokenizer):
    assert len(tokenizer) == len(VOCAB)


def test_decode(tokenizer):
    found = tokenizer("The film was wonderful, not bad!").input_ids
    assert tokenizer.decode(found) == "[CLS] the film was wonderful, not bad! [SEP]"
    assert tokenizer.decode(found, skip_special_tokens=True) == "the film was wonderful, not bad!"
    assert tokenizer.decode(found, True, clean_up=False) == "the film was wonderful , not bad !"
    assert tokenizer.decode(torch.tensor(found)) == tokenizer.decode(found)
    assert tokenizer.decode(MASK) == "[MASK]"
    assert tokenizer.decode([]) == ""


def test_decode_leaves_out_padding_and_unknown_words_with_the_special_tokens(tokenizer):
    encoding = tokenizer("a xylophone", padding="max_length", max_length=6)
    assert tokenizer.decode(encoding.input_ids) == "[CLS] a [UNK] [SEP] [PAD] [PAD]"
    assert tokenizer.decode(encoding.input_ids, skip_special_tokens=True) == "a"


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("what ? no . yes ! so , so", "what? no. yes! so, so"),
        ("don ' t", "don't"),
        ("it ' s", "it's"),
        ("i ' m , we ' ve , you ' re", "i'm, we've, you're"),
        ("do n ' t", "don't"),  # as treebanks write it
        ("i 'm , we 've , you 're , it 's , do n't", "i'm, we've, you're, it's, don't"),
        ("a - b ; c", "a - b ; c"),
    ],
)
def test_decode_closes_gaps_as_hugging_face_does(tokens, text):
    tokenizer = BertTokenizer(["[UNK]", *dict.fromkeys(tokens.split())])
    assert tokenizer.decode(tokenizer.convert_tokens_to_ids(tokens.split())) == text


def test_simple_text_survives_the_round_trip(tokenizer):
    text = "the plot was not unaffable, the film was wonderful!"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


# Vocabularies and files


def test_a_vocabulary_may_be_a_dict_in_any_order():
    tokenizer = BertTokenizer({"film": 2, "[UNK]": 0, "the": 1})
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize("the film was")) == [1, 2, 0]
    assert tokenizer.convert_ids_to_tokens([0, 1, 2]) == ["[UNK]", "the", "film"]


def test_a_vocabulary_holds_no_token_twice_and_has_unk():
    with pytest.raises(UserError, match="'film' more than once"):
        BertTokenizer(["[UNK]", "film", "the", "film"])
    with pytest.raises(UserError, match=r"no \[UNK\]"):
        BertTokenizer(["film"])


def write(folder, vocab, settings=None):
    """A model's folder with these bytes, or tokens, as vocab.txt."""
    folder.joinpath("vocab.txt").write_bytes(vocab if isinstance(vocab, bytes) else "\n".join(vocab).encode() + b"\n")
    if settings is not None:
        folder.joinpath("tokenizer_config.json").write_text(settings, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lower_case": False},
        {"lower_case": False, "strip_accents": True},
        {"strip_accents": False, "max_length": 77},
    ],
    ids=str,
)
def test_saved_and_read_again_it_does_the_same(tmp_path, options):
    saved = BertTokenizer([*VOCAB, "Film", "fílm", "Fílm", "\u2028", "##é"], **options)
    saved.save_pretrained(tmp_path)
    read = BertTokenizer.from_pretrained(tmp_path)
    texts = ["The Film [SEP] was unaffable", "Fílm fílm fi\u0301lm", "good\u2028bad", "aé"]
    assert read(texts) == saved(texts)
    assert read.vocab == saved.vocab
    for name in ("lower_case", "strip_accents", "max_length"):
        assert getattr(read, name) == getattr(saved, name), name


def test_options_given_to_from_pretrained_win(tmp_path):
    folder = write(tmp_path, VOCAB, '{"do_lower_case": true, "model_max_length": 99}')
    tokenizer = BertTokenizer.from_pretrained(folder, lower_case=False)
    assert (tokenizer.lower_case, tokenizer.max_length) == (False, 99)


@pytest.mark.parametrize("settings", [None, "{}"])
@pytest.mark.parametrize(("extra", "lower_case"), [("[unusedA]", True), ("été", True), ("##S", False), ("Film", False)])
def test_where_no_file_says_it_a_vocabulary_with_capitals_is_a_cased_one(tmp_path, extra, lower_case, settings):
    folder = write(tmp_path, [*VOCAB, extra], settings)
    with nullcontext() if lower_case else pytest.warns(UserWarning, match=r"vocab.txt: has capital letters") as caught:
        assert BertTokenizer.from_pretrained(folder).lower_case is lower_case
    assert lower_case or [warning.filename for warning in caught] == [__file__]
    assert BertTokenizer.from_pretrained(folder, lower_case=True).lower_case is True  # said, so nobody is warned


def test_settings_count_for_more_than_the_looks_of_the_vocabulary(tmp_path):
    folder = write(tmp_path, [*VOCAB, "Film"], '{"do_lower_case": true}')
    assert BertTokenizer.from_pretrained(folder).lower_case is True
    assert BertTokenizer.from_pretrained(write(tmp_path, VOCAB, '{"do_lower_case": false}')).lower_case is False


@pytest.mark.fault("weights: a vocabulary with duplicates, odd line ends or no [UNK]")
@pytest.mark.parametrize(
    ("vocab", "named"),
    [
        ([*VOCAB, "film"], rf"vocab.txt:{len(VOCAB) + 1}: 'film' is already on line {VOCAB.index('film') + 1}"),
        ([token for token in VOCAB if token != "[UNK]"], r"vocab.txt: lacks \[UNK\]"),
        ([token for token in VOCAB if token not in ("[SEP]", "[PAD]")], r"vocab.txt: lacks \[PAD\], \[SEP\]"),
        (b"[PAD]\n[UNK]\n\xff\xfe\n", "vocab.txt:3: not UTF-8"),
        (b"", r"vocab.txt: lacks \[PAD\]"),
    ],
)
def test_a_vocabulary_at_fault_is_named_with_its_line(tmp_path, vocab, named):
    with pytest.raises(UserError, match=named):
        BertTokenizer.from_pretrained(write(tmp_path, vocab))


def test_a_folder_without_a_vocabulary_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"vocab\.txt"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.fault("weights: a vocabulary with duplicates, odd line ends or no [UNK]")
@pytest.mark.parametrize(
    ("start", "separator", "end"),
    [(b"", b"\n", b"\n"), (b"", b"\n", b""), (b"", b"\r\n", b"\r\n"), (b"\xef\xbb\xbf", b"\n", b"\n")],
    ids=["plain", "no newline at the end", "CRLF", "BOM"],
)
def test_a_vocabulary_may_be_written_in_these_ways(tmp_path, start, separator, end):
    data = start + separator.join(token.encode() for token in VOCAB) + end
    assert read_vocab(write(tmp_path, data) / "vocab.txt") == VOCAB


@pytest.mark.fault("weights: a vocabulary with duplicates, odd line ends or no [UNK]")
def test_only_a_newline_ends_a_token(tmp_path):
    vocab = [*VOCAB, "\u2028", "\x85", "a\u2029b", "\x0b", "\xa0"]
    assert read_vocab(write(tmp_path, vocab) / "vocab.txt") == vocab


@pytest.mark.parametrize("settings", ["{", "[]", '{"tokenize_chinese_chars": 0.5}'])
def test_settings_at_fault_are_named(tmp_path, settings):
    with pytest.raises(UserError, match=r"tokenizer_config\.json"):
        BertTokenizer.from_pretrained(write(tmp_path, VOCAB, settings))


@pytest.mark.parametrize(
    ("stored", "used"),
    [("128", 128), ("1e30", 512), (str(int(1e30)), 512), ("null", 512), ("Infinity", 512)],
)
def test_a_stored_length_beyond_reason_is_no_length(tmp_path, stored, used):
    folder = write(tmp_path, VOCAB, f'{{"model_max_length": {stored}}}')
    assert BertTokenizer.from_pretrained(folder).max_length == used
