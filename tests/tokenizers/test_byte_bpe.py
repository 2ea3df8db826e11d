"""minbert/tokenizers/byte_bpe.py: GPT-2's ids are tiktoken's, and decode gives back the text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minbert import UserError
from minbert.tokenizers import GPT2, ROBERTA, ByteBPETokenizer
from minbert.tokenizers.byte_bpe import BYTES, CHUNK, WORD, to_letters
from tests.texts import TEXTS, made_up
from tests.tokenizers.small import GPT2_VOCAB, MERGES, ROBERTA_VOCAB, gpt2, roberta, rows

WRITTEN = TEXTS.filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
SMALL, ROUND = gpt2(), roberta()


@pytest.fixture(scope="module")
def published(shared):
    """GPT-2's tokenizer."""
    return ByteBPETokenizer.from_files(shared("data/vocab/gpt2-vocab.json"), shared("data/vocab/gpt2-merges.txt"))


def test_the_ids_are_those_of_tiktoken(published, shared):
    found = rows(shared("reference/families/byte-bpe.jsonl.gz"))
    assert len(found) == 4000
    assert [row["text"] for row in found if published.encode(row["text"]) != row["ids"]] == []
    assert [row["text"] for row in found if published.decode(row["ids"]) != row["text"]] == []
    assert [row["text"] for row in found if ids_of_pieces(published, row["text"]) != row["ids"]] == []


def test_allow_special_takes_what_transformers_takes(published, shared):
    found = rows(shared("reference/families/byte-bpe.jsonl.gz"))
    special = [row for row in found if "transformers" in row]
    assert len(special) == 71
    for row in special:
        assert published.encode(row["text"], allow_special=True) == row["transformers"]


def ids_of_pieces(tokenizer, text):
    return [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(text)]


@made_up
@given(WRITTEN)
@example("<|endoftext|>")
@example(" \u3000\x85a  b\n")
def test_decode_gives_back_the_text(text):
    ids = SMALL.encode(text)
    assert SMALL.decode(ids) == text
    assert ids == ids_of_pieces(SMALL, text)


@made_up
@given(WRITTEN)
def test_no_word_reaches_from_one_chunk_into_another(text):
    assert [word for chunk in CHUNK.findall(text) for word in WORD.findall(chunk)] == WORD.findall(text)


@made_up
@given(st.lists(st.sampled_from([*" \n\t\x1c\x85\u3000'", "a", "1", "!", "'s"]), max_size=8).map("".join))
def test_chunks_of_spaces_are_cut_as_the_text_is(text):
    assert [word for chunk in CHUNK.findall(text) for word in WORD.findall(chunk)] == WORD.findall(text)


def test_every_byte_has_a_letter_of_its_own():
    assert len(BYTES) == 256 and set(BYTES.values()) == set(range(256))
    assert to_letters(" é\n") == "ĠÃ©Ċ"
    assert all(letter.isprintable() and not letter.isspace() for letter in BYTES)


@pytest.mark.parametrize(
    "text, words",
    [
        ("I don't", ["I", " don", "'t"]),
        ("DON'T", ["DON", "'", "T"]),
        ("a   b", ["a", "  ", " b"]),
        ("a \n b  ", ["a", " \n", " b", "  "]),
        ("x1½ ٣٤", ["x", "1½", " ٣٤"]),
        ("a\x1cb\x85c", ["a", "\x1c", "b", "\x85", "c"]),  # \x1c is no white space here, though it is to str.isspace
        ("it's 's", ["it", "'s", " '", "s"]),
    ],
)
def test_the_words_of_gpt2(text, words):
    assert SMALL.words(text) == words


def test_offsets_are_characters_and_a_part_of_a_character_stands_where_it_does():
    found = list(SMALL.pieces("The 中!"))
    assert [span for _, span in found] == [(0, 3), (3, 4), (4, 5), (4, 5), (4, 5), (5, 6)]
    encoding = SMALL("The 中!", return_offsets_mapping=True)
    assert encoding.offset_mapping == [span for _, span in found]
    assert ROUND("The", return_offsets_mapping=True).offset_mapping == [(0, 0), (0, 3), (0, 0)]


def test_the_space_of_a_word_is_no_part_of_its_place_in_roberta():
    text = "The  film é"
    pieces = [piece for piece, _ in ROUND.pieces(text)]
    assert ROUND("a film", return_offsets_mapping=True).offset_mapping[2] == (2, 6)
    for (piece, (start, end)), (_, (whole_start, whole_end)) in zip(ROUND.pieces(text), SMALL.pieces(text)):
        assert whole_start <= start <= end <= whole_end and not text[start:end].startswith(" ")
        assert (end - start < whole_end - whole_start) == piece.startswith("Ġ")
    assert pieces == [piece for piece, _ in SMALL.pieces(text)]


@made_up
@given(WRITTEN)
@example("  The film  ")
@pytest.mark.parametrize("framing", [GPT2, ROBERTA], ids=lambda framing: framing.title)
def test_offsets_are_those_of_the_tokenizers_library(framing, text):
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra reference")
    ours = SMALL if framing is GPT2 else ROUND
    merges = [tuple(pair) for pair in ours.ranks]
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(ours.in_words, merges))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.post_processor = tokenizers.processors.ByteLevel(False, framing.trim_offsets)
    found = theirs.encode(text)
    assert list(ours.pieces(text)) == list(zip(found.tokens, found.offsets))


def test_robertas_frame():
    ids = ROUND.encode("The", "film")
    assert ROUND.convert_ids_to_tokens(ids) == ["<s>", "The", "</s>", "</s>", *ROUND.tokenize("film"), "</s>"]
    assert set(ROUND("The", "film").token_type_ids) == {0}
    assert ROUND.encode("The", add_special_tokens=False) == [ROBERTA_VOCAB["The"]]
    assert ROUND.encode("Hello") != ROUND.encode(" Hello")
    assert (ROUND.cls_token_id, ROUND.pad_token_id, ROUND.sep_token_id, ROUND.unk_token_id) == (0, 1, 2, 3)
    assert ROUND.mask_token_id == len(ROBERTA_VOCAB) - 1
    assert ROUND.decode(ids, skip_special_tokens=True) == "Thefilm"
    assert SMALL.encode("The", "film") == SMALL.encode("The") + SMALL.encode("film")


def test_special_tokens_in_a_text_are_text_and_the_mask_takes_the_space_before_it():
    text = "film is <mask>."
    assert ROUND.mask_token_id not in ROUND.encode(text)
    assert ROUND.decode(ROUND.encode(text, add_special_tokens=False)) == text
    assert ROUND.tokenize(text)[-2:] == ["<mask>", "."]
    assert ROUND.tokenize(text)[-3] != "Ġ"
    assert ROUND.encode(text, allow_special=True)[-3] == ROUND.mask_token_id


@pytest.mark.fault("texts: half a character (a lone surrogate)")
def test_lone_surrogates_are_counted_and_become_the_replacement_character():
    with pytest.warns(UserWarning, match=r"lone surrogates\): 3,"):
        ids = SMALL.encode("a\ud800b \udfff\ud83d")
    assert SMALL.decode(ids) == "a\ufffdb \ufffd\ufffd"
    with pytest.warns(UserWarning, match="surrogates"):
        assert [span for _, span in SMALL.pieces("\ud800")] == [(0, 1)] * len(SMALL.encode("\ufffd"))


def test_half_a_character_is_decoded_and_shown():
    first, second = SMALL.encode("é")
    assert SMALL.decode([first]) == "\ufffd" and SMALL.decode([first, second]) == "é"
    assert SMALL.show(first) == r"\xc3"
    assert SMALL.show(SMALL.encode(" film")[0]).startswith(" ")
    assert SMALL.decode(first) == "\ufffd"


def test_empty_text():
    assert SMALL.encode("") == [] and SMALL.decode([]) == "" and SMALL.words("") == []
    assert ROUND.encode("") == [0, 2]
    assert SMALL([""], padding=True, return_tensors="pt").input_ids.shape == (1, 0)


def test_a_vocabulary_without_a_byte_is_refused():
    tokens = [token for token in GPT2_VOCAB if token not in ("Ġ", "é")]
    with pytest.raises(UserError, match=r"lacks 2 of the 256 bytes, first 32 \('Ġ'\)"):
        ByteBPETokenizer({token: id for id, token in enumerate(tokens)}, MERGES)


def test_the_ids_are_those_of_transformers():
    hf = pytest.importorskip("transformers", reason="needs the extra reference")
    texts = ["The film wasn't bad.", " The  film\n", "café 中 ☕!", "", "ha ha  ha\t2024", "a <s> b"]
    theirs = hf.RobertaTokenizer(vocab=ROBERTA_VOCAB, merges=MERGES)
    for text in texts[:-1]:
        assert ROUND.encode(text) == theirs(text)["input_ids"]
        assert ROUND.encode(text, "The film") == theirs(text, "The film")["input_ids"]
    theirs = hf.GPT2Tokenizer(vocab=GPT2_VOCAB, merges=MERGES)
    for text in texts:
        assert SMALL.encode(text) == theirs(text)["input_ids"]
    assert ROUND.framing is ROBERTA
