"""minbert/tokenizers/word_bpe.py: GPT-1's and BERTweet's ids are those of the reference."""

import importlib.util
import re
import warnings

import pytest
from hypothesis import given

from minbert import BertTokenizer, UserError
from minbert.added import NAMES
from minbert.tokenizers import GPTTokenizer, TweetTokenizer, original_words, word_bpe
from tests.texts import TEXTS, made_up
from tests.tokenizers.small import CODES, TWEET_TOKENS, WORD_VOCAB, gpt, number, rows

SMALL = gpt()
BERT = BertTokenizer(list(NAMES.values()))
needs_original = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ftfy", "spacy"))), reason="needs the extra original: ftfy and spacy"
)


@pytest.fixture(scope="module")
def files(shared):
    return shared("data/vocab/openai-gpt-vocab.json"), shared("data/vocab/openai-gpt-merges.txt")


@pytest.fixture(scope="module")
def gpt1_rows(shared):
    found = rows(shared("reference/families/gpt1-bpe.jsonl.gz"))
    assert len(found) == 2000
    return found


@pytest.fixture(scope="module")
def bertweet(shared):
    folder = shared("reference/families/bertweet")
    return lambda **options: TweetTokenizer.from_files(folder / "vocab.txt", folder / "bpe.codes", **options)


def tweets(**options):
    vocab = number([*word_bpe.FIRST, *TWEET_TOKENS, word_bpe.MASK])
    return TweetTokenizer(vocab, CODES, **options)


def test_the_ids_of_gpt1_are_those_of_the_reference(files, gpt1_rows):
    tokenizer = GPTTokenizer.from_files(*files)
    assert [row["text"] for row in gpt1_rows if tokenizer.encode(row["text"]) != row["ids"]] == []
    pieces = [(row, [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(row["text"])]) for row in gpt1_rows]
    assert [row["text"] for row, ids in pieces if ids != row["ids"]] == []


@needs_original
def test_with_ftfy_and_spacy_the_ids_are_those_the_model_learnt_from(files, gpt1_rows):
    tokenizer = GPTTokenizer.from_files(*files, words=original_words)
    wrong = [row for row in gpt1_rows if tokenizer.encode(row["text"]) != row.get("ftfy_spacy", row["ids"])]
    assert [row["text"] for row in wrong] == []
    assert tokenizer.decode(tokenizer.encode("I don't know.\nReally?")) == "i do n't know . \n really ?"
    with pytest.raises(UserError, match="no offsets"):
        tokenizer("a", return_offsets_mapping=True)


def test_without_ftfy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(word_bpe.original_tools, "__defaults__", ([],))
    monkeypatch.setitem(__import__("sys").modules, "ftfy", None)
    with pytest.raises(UserError, match=r"ftfy is missing.*pip install ftfy spacy"):
        original_words("a")


@made_up
@given(TEXTS)
def test_the_words_of_gpt1_are_berts(text):
    assert SMALL.words(text) == BERT.words(text)


def test_gpt1s_pieces_places_and_text():
    found = list(SMALL.pieces("The FÏLM, badx"))
    assert [piece for piece, _ in found] == ["the</w>", "film</w>", ",</w>", "ba", "d", "x</w>"]
    assert [span for _, span in found] == [(0, 3), (4, 8), (8, 9), (10, 12), (12, 13), (13, 14)]
    assert SMALL.decode(SMALL.encode("The FÏLM, badx")) == "the film , badx"
    assert SMALL.encode("中") == [WORD_VOCAB["<unk>"]] == [SMALL.unk_token_id]
    assert SMALL.encode("") == [] and SMALL("a", "b").input_ids == SMALL.encode("a b")


def test_words_can_be_handed_in():
    tokenizer = gpt(words=lambda text: ["bad", "", "\n"])
    assert tokenizer.tokenize("anything") == ["bad</w>", "\n</w>"]
    with pytest.raises(UserError, match="no offsets"):
        tokenizer("a", return_offsets_mapping=True)
    assert str(tokenizer.explain("x")).count("?") == 2  # places that are not known


def test_a_lone_surrogate_is_an_unknown_word():
    assert SMALL.encode("a\ud800") == [SMALL.unk_token_id] or SMALL.tokenize("a\ud800")[-1] == "<unk>"


def test_the_ids_of_bertweet_are_those_of_the_reference(bertweet, shared):
    found = rows(shared("reference/families/bertweet.jsonl.gz"))
    assert len(found) == 600
    plain = bertweet(normalization=False)
    assert [row["text"] for row in found if plain.encode(row["text"]) != row["ids_as_they_are"]] == []
    assert [row["text"] for row in found if plain.encode(row["normalized"]) != row["ids"]] == []
    assert [row["text"] for row in found if ids_of_pieces(plain, row["text"]) != row["ids_as_they_are"][1:-1]] == []


def ids_of_pieces(tokenizer, text):
    return [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(text)]


@pytest.mark.filterwarnings("ignore:emoji is not installed")
def test_the_normalised_ids_of_bertweet_are_those_of_the_reference(bertweet, shared):
    found = rows(shared("reference/families/bertweet.jsonl.gz"))
    if importlib.util.find_spec("emoji") is None:
        found = [row for row in found if not re.search(r":[\w-]+:", row["normalized"])]
    assert len(found) > 500
    tokenizer = bertweet()
    assert [row["text"] for row in found if tokenizer.encode(row["text"]) != row["ids"]] == []


def test_bertweets_frame_pieces_and_places():
    tokenizer = tweets(normalization=False)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("@USER film", "bad")) == [
        *("<s>", "@USER", "film", "</s>", "</s>", "bad", "</s>")
    ]
    assert tokenizer.tokenize("film zzz") == ["film", "<unk>", "<unk>", "<unk>"]
    assert list(tokenizer.pieces(" bad !")) == [("bad", (1, 4)), ("!", (5, 6))]
    assert tokenizer.decode(tokenizer.encode("film bad", add_special_tokens=False)) == "film bad"
    assert tokenizer.mask_token_id == len(tokenizer) - 1 and tokenizer.max_length == 128
    assert tokenizer.encode("") == [0, 2]


def test_a_tweet_is_normalised_and_then_has_no_places():
    tokenizer = tweets()
    with warnings.catch_warnings(record=True):
        assert tokenizer.words("@jo the film http://t.co/x") == ["@USER", "the", "film", "HTTPURL"]
    with pytest.raises(UserError, match="no offsets"):
        tokenizer("the film", return_offsets_mapping=True)


def test_what_is_no_vocabulary_of_theirs_is_refused():
    with pytest.raises(UserError, match="lacks <unk>; is it GPT-1's"):
        GPTTokenizer({"a": 0}, [])
    with pytest.raises(UserError, match="lacks <unk>; is it BERTweet's"):
        TweetTokenizer({"a": 0}, [])
    with pytest.raises(UserError, match="but the vocabulary lacks"):
        GPTTokenizer(WORD_VOCAB, [("q", "q")])
    with pytest.raises(UserError, match="lists '<mask>'"):
        word_bpe.number(["<mask>", "<mask>"])
