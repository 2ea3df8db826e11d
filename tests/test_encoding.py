"""From ids to what the model reads: special tokens, pairs, truncation, padding, tensors; for every kind of template."""

import gc
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minbert import BertTokenizer, UserError
from minbert.encoding import Template, Tokenizer
from tests.conftest import VOCAB
from tests.stress.fuzz import text as fuzz
from tests.texts import TEXTS, made_up

PAD, UNK, CLS, SEP, MASK = range(5)  # their ids in VOCAB


def ids(words):
    """'the film [SEP]' -> their ids in VOCAB, looked up without the tokenizer"""
    return [VOCAB.index(word) for word in words.split()]


def test_one_text(tokenizer):
    assert tokenizer("The film was unaffable.") == {
        "input_ids": ids("[CLS] the film was un ##aff ##able . [SEP]"),
        "token_type_ids": 9 * [0],
        "attention_mask": 9 * [1],
    }


def test_a_list_of_texts_gives_a_list_for_each(tokenizer):
    encoding = tokenizer(["the film", "good"])
    assert encoding.input_ids == [ids("[CLS] the film [SEP]"), ids("[CLS] good [SEP]")]
    assert tokenizer(["good"]).input_ids == [tokenizer("good").input_ids]
    assert tokenizer(text for text in ("the film", "good")) == encoding  # anything that can be gone through once


def test_a_pair(tokenizer):
    encoding = tokenizer("the film", "was good .")
    assert encoding.input_ids == ids("[CLS] the film [SEP] was good . [SEP]")
    assert encoding.token_type_ids == [0, 0, 0, 0, 1, 1, 1, 1]
    assert encoding.attention_mask == 8 * [1]
    assert tokenizer(["the film"], ["was good ."]) == {name: [values] for name, values in encoding.items()}


def test_without_special_tokens(tokenizer):
    encoding = tokenizer("the film", "was good", add_special_tokens=False)
    assert encoding.input_ids == ids("the film was good")
    assert encoding.token_type_ids == [0, 0, 1, 1]


def test_encode_gives_the_ids_alone(tokenizer):
    assert tokenizer.encode("the film") == ids("[CLS] the film [SEP]")
    assert tokenizer.encode("the", "film", add_special_tokens=False) == ids("the film")


@pytest.mark.parametrize(
    ("padding", "missing"),
    [(False, [0, 0]), (True, [1, 0]), ("longest", [1, 0]), ("max_length", [3, 2])],
)
def test_padding(tokenizer, padding, missing):
    encoding = tokenizer(["good", "good"], ["bad", "bad film"], padding=padding, max_length=8)
    assert encoding.input_ids == [
        ids("[CLS] good [SEP] bad [SEP]") + missing[0] * [PAD],
        ids("[CLS] good [SEP] bad film [SEP]") + missing[1] * [PAD],
    ]
    assert encoding.token_type_ids == [[0, 0, 0, 1, 1] + missing[0] * [0], [0, 0, 0, 1, 1, 1] + missing[1] * [0]]
    assert encoding.attention_mask == [5 * [1] + missing[0] * [0], 6 * [1] + missing[1] * [0]]


def test_padding_uses_the_pad_token_s_own_id():
    tokenizer = BertTokenizer(["a", "[UNK]", "[CLS]", "[SEP]", "[PAD]"])
    assert tokenizer(["a a", "a"], padding=True).input_ids == [[2, 0, 0, 3], [2, 0, 3, 4]]


def test_padding_to_max_length_never_cuts(tokenizer):
    assert tokenizer("the film was", padding="max_length", max_length=4).input_ids == ids("[CLS] the film was [SEP]")


def test_max_length_is_the_tokenizer_s_own_unless_given():
    tokenizer = BertTokenizer(VOCAB, max_length=6)
    assert len(tokenizer("good", padding="max_length").input_ids) == 6
    assert len(tokenizer("good", padding="max_length", max_length=4).input_ids) == 4
    assert BertTokenizer(VOCAB).max_length == 512


def test_truncation_counts_the_special_tokens(tokenizer):
    with pytest.warns(UserWarning, match="longer than 4 tokens"):
        encoding = tokenizer("the film was good", truncation=True, max_length=4)
    assert encoding.input_ids == ids("[CLS] the film [SEP]")
    assert encoding.attention_mask == 4 * [1]
    with pytest.warns(UserWarning, match="longer than 3 tokens"):
        bare = tokenizer("the film was good", truncation=True, max_length=3, add_special_tokens=False)
    assert bare.input_ids == ids("the film was")


def test_a_text_of_exactly_max_length_is_not_cut(tokenizer):
    assert tokenizer("the film", truncation=True, max_length=4) == tokenizer("the film")


def test_without_truncation_nothing_is_cut(tokenizer):
    assert len(tokenizer(600 * "a ").input_ids) == 602


def test_offsets_are_cut_with_the_ids(tokenizer):
    with pytest.warns(UserWarning, match="longer than 4 tokens"):
        encoding = tokenizer("the film was", truncation=True, max_length=4, return_offsets_mapping=True)
    assert encoding.offset_mapping == [(0, 0), (0, 3), (4, 8), (0, 0)]


@pytest.mark.fault("texts: longer than the model reads")
@pytest.mark.parametrize(
    ("max_length", "first", "second"),
    [  # 4 and 3 pieces; the special tokens take 3
        (9, "the film was", "a bad plot"),
        (8, "the film was", "a bad"),  # of two equally long the second is cut
        (7, "the film", "a bad"),
        (6, "the film", "a"),
        (5, "the", "a"),
        (4, "the", ""),
        (3, "", ""),
    ],
)
def test_of_a_pair_the_longer_is_cut(tokenizer, max_length, first, second):
    with pytest.warns(UserWarning, match="longer than"):
        found = tokenizer("the film was good", "a bad plot", truncation=True, max_length=max_length)
    assert found.input_ids == ids(f"[CLS] {first} [SEP] {second} [SEP]")
    assert found.token_type_ids == (2 + len(first.split())) * [0] + (1 + len(second.split())) * [1]


def test_of_a_pair_the_second_is_cut_where_it_is_the_longer(tokenizer):
    with pytest.warns(UserWarning, match="longer than 7 tokens"):
        found = tokenizer("a bad", "the film was good", truncation=True, max_length=7).input_ids
    assert found == ids("[CLS] a bad [SEP] the film [SEP]")


def test_a_max_length_without_room_for_the_special_tokens_is_refused(tokenizer):
    with pytest.raises(UserError, match="max_length is 1, but the special tokens alone are 2"):
        tokenizer("good", truncation=True, max_length=1)
    with pytest.raises(UserError, match="max_length is 2, but the special tokens alone are 3"):
        tokenizer("good", "bad", truncation=True, max_length=2)


def test_a_vocabulary_without_special_tokens_encodes_without_them():
    tokenizer = BertTokenizer(["[UNK]", "a"])
    assert tokenizer("a b", add_special_tokens=False).input_ids == [1, 0]
    with pytest.raises(UserError, match=r"no \[CLS\] or no \[SEP\]"):
        tokenizer("a")
    with pytest.raises(UserError, match=r"no \[PAD\]"):
        tokenizer(["a", "a a"], add_special_tokens=False, padding=True)


@pytest.mark.fault("texts: longer than the model reads")
def test_one_warning_says_how_many_texts_were_cut(tokenizer):
    with pytest.warns() as caught:
        tokenizer(["the film was", "good", "the plot was"], truncation=True, max_length=4)
    assert [str(warning.message) for warning in caught] == ["2 of 3 texts were longer than 4 tokens and were cut"]
    assert caught[0].filename == __file__  # it points at the caller


def test_the_collector_of_cycles_sleeps_during_a_call_and_is_as_before_after_it(tokenizer):
    phases = []

    def note(phase, info):
        phases.append(phase)

    gc.callbacks.append(note)
    try:
        for was_on in (True, False):
            (gc.enable if was_on else gc.disable)()
            phases.clear()
            found = tokenizer(5000 * ["the film"])
            assert phases.count("start") <= 2  # before it and after it; without the pause, one for every 700 lists
            assert gc.isenabled() is was_on
            with pytest.raises(UserError):
                tokenizer(["good", None])
            assert gc.isenabled() is was_on
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert len(found.input_ids) == 5000


def test_tensors(tokenizer):
    encoding = tokenizer(["the film", "good"], padding=True, return_tensors="pt", return_offsets_mapping=True)
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in encoding.items()}
    assert shapes == {
        "input_ids": ((2, 4), torch.int64),
        "token_type_ids": ((2, 4), torch.int64),
        "attention_mask": ((2, 4), torch.int64),
        "offset_mapping": ((2, 4, 2), torch.int64),
    }
    assert encoding.input_ids.tolist() == [ids("[CLS] the film [SEP]"), ids("[CLS] good [SEP] [PAD]")]


def test_the_tensors_of_one_text_are_a_batch_of_one(tokenizer):
    assert tokenizer("the film", return_tensors="pt").input_ids.tolist() == [ids("[CLS] the film [SEP]")]


@pytest.mark.parametrize("texts", ["", ["", ""]])
def test_tensors_of_no_tokens_are_of_integers_too(tokenizer, texts):
    found = tokenizer(texts, add_special_tokens=False, return_tensors="pt").input_ids
    assert found.dtype == torch.int64
    assert found.shape == (1 if texts == "" else 2, 0)


def test_texts_of_different_lengths_make_no_tensor(tokenizer):
    with pytest.raises(UserError, match="padding=True"):
        tokenizer(["the film", "good"], return_tensors="pt")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"padding": "longset"}, "'longset'.*'longest'"),
        ({"return_tensors": "np"}, "'np'.*'pt'"),
        ({"pairs": ["bad"]}, "2 texts, but 1 pairs"),
        ({"pairs": "bad"}, "2 texts, but 1 pairs"),
    ],
)
def test_an_option_that_cannot_be_is_named(tokenizer, options, named):
    with pytest.raises(UserError, match=named):
        tokenizer(["the film", "good"], **options)


@pytest.mark.parametrize("wrong", [None, math.nan, 5, ["good"], b"good"], ids=repr)
def test_what_is_not_text_is_named_with_its_place(tokenizer, wrong):
    with pytest.raises(UserError, match=f"text 1 is an? {type(wrong).__name__}, not a string"):
        tokenizer(["good", wrong])


@pytest.mark.parametrize("wrong", [None, math.nan, 5], ids=repr)
def test_what_is_neither_text_nor_texts_is_an_error(tokenizer, wrong):
    with pytest.raises(UserError, match=f"{type(wrong).__name__}"):
        tokenizer(wrong)


def test_a_pair_that_is_not_text_is_named(tokenizer):
    with pytest.raises(UserError, match=r"text 1 is an? float"):
        tokenizer(["good", "bad"], ["film", math.nan])


def test_no_texts(tokenizer):
    assert tokenizer([]) == tokenizer([], padding=True, truncation=True, return_tensors="pt") == {}


@pytest.mark.parametrize("text", ["", " \n", "\u200b"], ids=ascii)
def test_a_text_without_words_is_special_tokens_alone(tokenizer, text):
    assert tokenizer(text).input_ids == [CLS, SEP]
    assert tokenizer([text, "good"], padding=True).input_ids == [[CLS, SEP, PAD], ids("[CLS] good [SEP]")]


def test_entries_are_attributes_too(tokenizer):
    encoding = tokenizer("good")
    assert encoding.attention_mask is encoding["attention_mask"]
    with pytest.raises(AttributeError, match="labels"):
        encoding.labels  # noqa: B018


def test_to_moves_every_tensor(tokenizer):
    encoding = tokenizer("the film", return_tensors="pt")
    moved = encoding.to("meta")
    assert {name: tensor.device.type for name, tensor in moved.items()} == dict.fromkeys(encoding, "meta")
    assert moved.input_ids.shape == (1, 4)
    assert encoding.input_ids.device.type == "cpu"


def test_offset_mapping_of_pairs_counts_within_each_text_and_special_tokens_are_nowhere(tokenizer):
    encoding = tokenizer(
        ["the film", "a"], ["was  good", "plot"], padding=True, return_offsets_mapping=True, return_tensors="pt"
    )
    nowhere = [0, 0]
    assert encoding.offset_mapping.tolist() == [
        [nowhere, [0, 3], [4, 8], nowhere, [0, 3], [5, 9], nowhere],
        [nowhere, [0, 1], nowhere, [0, 4], nowhere, nowhere, nowhere],
    ]


def test_asking_for_offsets_changes_nothing_else(tokenizer):
    texts, options = ["The film was unaffable!", "[SEP] a"], {"padding": True, "truncation": True, "max_length": 40}
    for allow_special in (False, True):
        plain = tokenizer(texts, allow_special=allow_special, **options)
        more = tokenizer(texts, allow_special=allow_special, return_offsets_mapping=True, **options)
        del more["offset_mapping"]
        assert plain == more


@made_up
@given(st.booleans(), st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.integers(3, 30))
def test_a_batch_is_its_texts_one_by_one_and_none_is_too_long(lower_case, rows, length):
    fuzz.check_cutting(BertTokenizer(VOCAB, lower_case), *map(list, zip(*rows)), length)


# Templates of other models


class Letters(Tokenizer):
    """Each letter is a token; its id is its number in the alphabet."""

    pad_token, pad_token_id, max_length = "<pad>", 27, 9
    vocab = {"<s>": 28, "</s>": 29, "<pad>": 27} | {
        letter: id for id, letter in enumerate(" abcdefghijklmnopqrstuvwxyz")
    }

    def __init__(self, *template):
        self.template = Template(*template)

    def pieces(self, text, keep_special=False):
        return [(letter, (at, at + 1)) for at, letter in enumerate(text)]


ROBERTA = Letters(["<s>"], ["</s>", "</s>"], ["</s>"])
TEMPLATES = {
    "RoBERTa": (ROBERTA, [28, 1, 2, 29], [28, 1, 2, 29, 29, 3, 29], [0, 0, 0, 0, 0, 0, 0]),
    "T5": (Letters([], ["</s>"], ["</s>"]), [1, 2, 29], [1, 2, 29, 3, 29], [0, 0, 0, 0, 0]),
    "GPT-2": (Letters(), [1, 2], [1, 2, 3], [0, 0, 0]),
    "segments": (
        Letters(["<s>"], [], ["</s>", "<s>"], 1),
        [28, 1, 2, 29, 28],
        [28, 1, 2, 3, 29, 28],
        [0, 0, 0, 1, 1, 1],
    ),
}


@pytest.mark.parametrize(("tokenizer", "one", "two", "segments"), TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_says_where_special_tokens_stand(tokenizer, one, two, segments):
    single, pair = tokenizer("ab", return_offsets_mapping=True), tokenizer("ab", "c", return_offsets_mapping=True)
    assert single.input_ids == one
    assert single.token_type_ids == [0] * len(one)
    assert pair.input_ids == two
    assert pair.token_type_ids == segments
    where = {1: (0, 1), 2: (1, 2), 3: (0, 1)}
    assert single.offset_mapping == [where.get(id, (0, 0)) for id in one]
    assert pair.offset_mapping == [where.get(id, (0, 0)) for id in two]
    assert tokenizer("ab", "c", add_special_tokens=False).input_ids == [1, 2, 3]


def test_cutting_and_padding_count_the_special_tokens_of_the_template():
    with pytest.warns(UserWarning, match="1 of 2 texts were longer than 9 tokens"):
        found = ROBERTA(["abcdefg", "a"], ["hijk", "b"], truncation=True, padding=True, return_tensors="pt")
    assert found.input_ids.tolist() == [[28, 1, 2, 3, 29, 29, 8, 9, 29], [28, 1, 29, 29, 2, 29, 27, 27, 27]]
    assert found.attention_mask.sum(1).tolist() == [9, 6]
    with pytest.raises(UserError, match="max_length is 3, but the special tokens alone are 4"):
        ROBERTA("a", "b", truncation=True, max_length=3)
    assert ROBERTA("a", truncation=True, max_length=3).input_ids == [28, 1, 29]


def test_a_special_token_that_the_vocabulary_lacks_is_named():
    with pytest.raises(UserError, match=r"^the vocabulary has no <bos> or no </s>: pass add_special_tokens=False$"):
        Letters(["<bos>"], ["</s>"], ["</s>"])("a")
