"""minbert/tokenizers/bpe.py: joining pairs, and what all BPE tokenizers share."""

import copy
import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minbert import UserError, fast
from minbert.added import AddedToken
from minbert.tokenizers import ByteBPETokenizer
from minbert.tokenizers.bpe import LONG, BPETokenizer, merge, merge_long
from tests.texts import made_up
from tests.tokenizers.small import GPT2_VOCAB, MERGES, gpt, gpt2, roberta


@st.composite
def pairs_and_word(draw):
    """Pairs of symbols that can arise, in any order, and a word of the same letters."""
    symbols, pairs = ["a", "b", "c"], []
    for _ in range(draw(st.integers(1, 20))):
        pair = draw(st.sampled_from(symbols)), draw(st.sampled_from(symbols))
        pairs += [pair] * (pair not in pairs)
        symbols.append("".join(pair))
    pairs = draw(st.permutations(pairs))
    return {pair: rank for rank, pair in enumerate(pairs)}, draw(st.lists(st.sampled_from("abc"), max_size=40))


def test_the_pair_learnt_first_is_joined_first_from_the_left():
    ranks = {("a", "a"): 0, ("aa", "b"): 1, ("b", "a"): 2}
    assert merge(list("aaaab"), ranks) == ["aa", "aab"]
    assert merge(list("aaab"), ranks) == ["aa", "a", "b"]
    assert merge(list("baa"), ranks) == ["b", "aa"]  # not "ba", "a": that pair was learnt later
    assert merge([], ranks) == [] and merge(["x"], ranks) == ["x"]


@made_up
@given(pairs_and_word())
def test_the_heap_joins_what_the_plain_way_joins(drawn):
    ranks, word = drawn
    assert merge_long(word, ranks) == merge(word, ranks)


def test_all_occurrences_of_a_pair_go_before_a_pair_that_arises_from_them():
    ranks = {("x", "ab"): 0, ("a", "b"): 1, ("b", "x"): 2}
    for way in (merge, merge_long):
        assert way(list("xabxab"), ranks) == ["xab", "xab"]
    ranks = {("ab", "a"): 0, ("a", "b"): 1}
    for way in (merge, merge_long):
        assert way(list("abab"), ranks) == ["ab", "ab"]  # one by one from the left, "aba" would come first


@pytest.mark.fault("texts: a word without end")
def test_a_long_word_goes_through_the_heap(monkeypatch):
    tokenizer = gpt2()
    word = " film" * 3 + "ha" * LONG
    expected = tokenizer.text_to_ids(word)
    monkeypatch.setattr("minbert.tokenizers.bpe.LONG", 10**9)
    tokenizer.forget()
    assert tokenizer.text_to_ids(word) == expected
    monkeypatch.undo()
    monkeypatch.setattr("minbert.tokenizers.bpe.merge", lambda parts, ranks: pytest.fail("quadratic"))
    ids = tokenizer.text_to_ids("ha" * 50_000)
    assert tokenizer.decode(ids) == "ha" * 50_000


@pytest.mark.parametrize(
    "vocab, message",
    [
        ({}, "no table of tokens and ids"),
        ({"a": 0, "b": "1"}, "no table of tokens and ids"),
        ({"a": 0, "b": True}, "no table of tokens and ids"),
        ({"a": 0, "b": 0}, "gives 'a' and 'b' the same id, 0"),
        ({"a": 0, "b": 2}, "2 tokens, but none with the id 1"),
        ({"a": -1, "b": 0}, "2 tokens, but none with the id 1"),
        (GPT2_VOCAB | {"q": 10**12}, "none with the id"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(vocab, message):
    with pytest.raises(UserError, match=message):
        ByteBPETokenizer(vocab, [])


def test_a_merge_of_unknown_symbols_is_refused_and_one_that_is_there_twice():
    last = len(MERGES) + 1
    with pytest.raises(UserError, match=rf"merge {last} joins \('zz', 'q'\), but the vocabulary lacks 'zz'"):
        gpt2_with([*MERGES, ("zz", "q")])
    with pytest.raises(UserError, match=f"merge {last} joins .*, but the vocabulary lacks 'qz'"):
        gpt2_with([*MERGES, ("q", "z")])
    with pytest.raises(UserError, match=f"merge 3, .*, is the same as merge {last}"):
        gpt2_with([*MERGES, MERGES[2]])


def gpt2_with(merges):
    return ByteBPETokenizer(GPT2_VOCAB, merges)


def test_without_a_padding_token_another_fills_the_places_that_the_mask_hides():
    batch = gpt2()(["The film", "The"], padding=True, return_tensors="pt")
    assert batch.attention_mask.tolist()[1] == [1] + [0] * (batch.input_ids.size(1) - 1)
    assert batch.input_ids[1, -1] == GPT2_VOCAB["<|endoftext|>"]
    assert gpt().pad_token == "<unk>" and roberta().pad_token == "<pad>"
    assert gpt2(names={"pad_token": "a"}).pad_token_id == GPT2_VOCAB["a"]


def test_added_tokens_are_found_whole_and_get_the_next_ids():
    tokenizer = gpt2(added=[AddedToken("<name>", single_word=True), AddedToken("é!", lstrip=True)])
    assert tokenizer.convert_tokens_to_ids(["<name>", "é!"]) == [len(GPT2_VOCAB), len(GPT2_VOCAB) + 1]
    ids = tokenizer.text_to_ids("The <name> film  é!.")
    assert tokenizer.convert_ids_to_tokens(ids)[1:3] == ["Ġ", "<name>"]
    assert tokenizer.decode(ids) == "The <name> filmé!."  # lstrip: the space belongs to the token, and is lost
    assert len(tokenizer) == len(GPT2_VOCAB) + 2
    assert "<name>" not in tokenizer.tokenize("a<name>")
    assert list(tokenizer.pieces("The é!"))[-1] == ("é!", (3, 6))


def test_the_explanation_is_a_table():
    shown = str(roberta().explain("The film")).splitlines()
    assert shown[0].split() == ["word", "from-to", "pieces", "ids"]
    assert [line.split()[0] for line in shown[1:]] == ["'The'", "'"]
    assert "4-8" in shown[2] and "3-8" in str(gpt2().explain("The film"))  # RoBERTa's leaves out the space


@pytest.mark.parametrize("tokenizer", [gpt2(), roberta(), gpt()], ids=["gpt2", "roberta", "gpt"])
def test_ids_are_those_of_the_pieces_whatever_was_cut_before(tokenizer):
    assert isinstance(tokenizer, BPETokenizer)
    texts = ["The film", " The film\n\n is  bad", "", " ", "x\t\x1c \x85 y", "café 中 ☕", "it's 's 'S"]
    for one, other in itertools.product(texts, texts):
        tokenizer.text_to_ids(one)
        ids = tokenizer.text_to_ids(other)
        assert ids == [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(other)]
        tokenizer.forget()
        assert ids == tokenizer.text_to_ids(other)


@pytest.mark.parametrize("tokenizer", [gpt2(), roberta(), gpt()], ids=["gpt2", "roberta", "gpt"])
def test_a_copy_cuts_as_the_tokenizer_does_and_swap_in_leaves_it_as_it_is(tokenizer):
    ids = tokenizer.encode("The film wasn't bad")
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer)), fast.swap_in(tokenizer)):
        assert type(other) is type(tokenizer)
        assert other.encode("The film wasn't bad") == ids


def test_only_byte_bpe_has_the_space_before_a_word_in_its_token():
    assert gpt2().mask_takes_space and roberta().mask_takes_space and not gpt().mask_takes_space
