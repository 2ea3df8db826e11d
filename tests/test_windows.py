"""Question and passage, or a long sentence, cut into windows and put together again."""

import itertools
import json

import pytest

from minbert import BertTokenizer
from minbert.errors import UserError
from minbert.windows import Window, choose, cut, cut_words

PASSAGE = "The film was good , the plot was bad . Not wonderful !"


@pytest.fixture(scope="module")
def reference(shared, minilm):
    """The cases of windows.json and choices.json, and a tokenizer with bert-base-uncased's vocabulary."""
    read = (
        json.loads(shared(f"reference/families2/{name}.json").read_text("utf-8")) for name in ("windows", "choices")
    )
    return *(each["cases"] for each in read), BertTokenizer.from_pretrained(minilm)


def windows_of(case, tokenizer):
    return cut(tokenizer, case["question"], case["context"], case["max_length"], case["stride"])


def test_windows_and_places_equal_the_reference(reference):
    cases, _, tokenizer = reference
    assert len(cases) > 40
    for case in cases:
        found = windows_of(case, tokenizer)
        assert len(found) == len(case["windows"])
        for ours, theirs in zip(found, case["windows"]):
            assert ours.input_ids == theirs["input_ids"] and ours.token_type_ids == theirs["token_type_ids"]
            assert [span and list(span) for span in ours.offsets] == theirs["offsets"]
        assert [list(window.places(case["answer"])) for window in found] == case["positions"]


def test_choices_equal_the_reference(reference):
    cases, choices, tokenizer = reference
    for choice in choices:
        case = cases[choice["case"]]
        windows = windows_of(case, tokenizer)
        for none, wanted in ((False, choice["answer"]), (True, choice["answer_or_none"])):
            span = choose(windows, choice["logits"], none)
            assert (span and list(span)) == wanted["span"]
            assert (case["context"][slice(*span)] if span else "") == wanted["text"]


def parts(windows, passage=PASSAGE):
    return [[passage[slice(*span)] for span in window.offsets if span] for window in windows]


def test_neighbours_share_their_overlap_and_nothing_is_lost(tokenizer):
    windows = cut(tokenizer, "Was the film good", PASSAGE, 13, 2)
    assert all(len(window.input_ids) == len(window.offsets) == len(window.token_type_ids) <= 13 for window in windows)
    shown = parts(windows)
    assert all(one[-2:] == two[:2] for one, two in itertools.pairwise(shown))
    pieces = [PASSAGE[slice(*span)] for _, span in tokenizer.pieces(PASSAGE)]
    assert shown[0] + [piece for part in shown[1:] for piece in part[2:]] == pieces


def test_a_short_passage_is_one_window(tokenizer):
    (window,) = cut(tokenizer, "good", PASSAGE, 40, 30)
    assert window.input_ids == tokenizer("good", PASSAGE)["input_ids"]
    assert window.token_type_ids == tokenizer("good", PASSAGE)["token_type_ids"]
    assert len(cut(tokenizer, "good", "", 40, 3)) == 1


def test_a_question_that_leaves_no_room(tokenizer):
    with pytest.raises(UserError, match="question 'good good good' has 3 tokens: in windows of 6 no room is left"):
        cut(tokenizer, "good good good", PASSAGE, 6, 0)
    with pytest.raises(UserError, match="room for 3 tokens of the passage: overlap is 3, but must be less"):
        cut(tokenizer, "good good good", PASSAGE, 9, 3)
    with pytest.raises(UserError, match="overlap is -1"):
        cut(tokenizer, "good", PASSAGE, 40, -1)


def test_an_answer_that_a_window_cuts_has_no_place_in_it(tokenizer):
    windows = cut(tokenizer, "good", PASSAGE, 12, 3)
    answer = PASSAGE.index("plot"), PASSAGE.index("bad") + 3
    places = [window.places(answer) for window in windows]
    assert (0, 0) in places and any(place != (0, 0) for place in places)
    for window, (first, last) in zip(windows, places):
        if first:
            assert PASSAGE[window.offsets[first][0] : window.offsets[last][1]] == "plot was bad"
    assert {window.places(None) for window in windows} == {(0, 0)}


def two_windows():
    """A first token, two tokens of a question, three of the passage "one two three four", and an end; then the rest."""
    spans = [(0, 3), (4, 7), (8, 13), (14, 18)]
    return [Window([0] * 7, [0] * 7, [None] * 3 + part + [None]) for part in (spans[:3], spans[1:])]


def logits(*marks):
    """Rows of 9 logits, of which the last two are padding's: all -5, but {place: logit} as marked."""
    return [[row.get(at, -5.0) for at in range(9)] for row in marks]


def test_the_best_sum_of_all_windows_wins():
    rows = [logits({3: 2.0}, {4: 1.0}), logits({4: 1.6}, {5: 1.5})]
    assert choose(two_windows(), rows) == (8, 18)  # 3.1 beats 3.0


def test_question_and_padding_are_never_the_answer():
    rows = [logits({1: 9.0, 7: 9.0, 8: 9.0, 4: 1.0}, {2: 9.0, 8: 9.0, 4: 1.0})] * 2
    assert choose(two_windows()[:1], rows[:1]) == (4, 7)


def test_an_answer_does_not_end_before_it_begins_and_is_not_too_long():
    rows = [logits({5: 3.0, 3: 1.0}, {3: 3.0})]
    assert choose(two_windows()[:1], rows) == (0, 3)  # 1 + 3; 3 + 3 would end before it begins
    rows = [logits({3: 3.0}, {5: 3.0, 4: 1.0})]
    assert choose(two_windows()[:1], rows) == (0, 13) and choose(two_windows()[:1], rows, longest=2) == (0, 7)


def test_no_answer_is_the_lowest_first_token_of_all_windows():
    rows = [logits({0: 4.0, 3: 1.0}, {0: 4.0, 3: 1.0}), logits({0: 0.5}, {0: 0.5})]
    assert choose(two_windows(), rows) == choose(two_windows(), rows, none=True) == (0, 3)  # 1 does not exceed 2
    assert choose(two_windows(), rows, none=True, threshold=-1.5) is None
    assert choose(two_windows()[:1], rows[:1], none=True) is None
    assert choose(two_windows()[:1], rows[:1], none=True, threshold=7.0) == (0, 3)


def test_an_answer_without_its_space():
    """Pieces of some tokenizers span the space in front of them."""

    class Spaced(BertTokenizer):
        def pieces(self, text, keep_special=False):
            for piece, (start, end) in super().pieces(text, keep_special):
                yield piece, (start - (start > 0 and text[start - 1] == " "), end)

    tokenizer = Spaced(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"])
    (window,) = cut(tokenizer, "good", "good film", 20, 0)
    assert [span for span in window.offsets if span] == [(0, 4), (5, 9)]


# Sentences of words


def test_each_word_is_read_once_at_its_first_piece(tokenizer):
    words = ["Unaffable", "films", ",", "not", "wonderful", "!"]
    windows = cut_words(tokenizer, words, 8)
    assert [number for window in windows for number in window.words if number is not None] == list(range(6))
    assert all(len(window.input_ids) == len(window.words) <= 8 for window in windows) and len(windows) == 2
    tokens = [tokenizer.convert_ids_to_tokens(window.input_ids) for window in windows]
    assert tokens[0] == ["[CLS]", "un", "##aff", "##able", "film", "##s", ",", "[SEP]"]
    assert windows[0].words == [None, 0, None, None, 1, None, 2, None]


def test_a_short_sentence_is_one_window(tokenizer):
    words = ["not", "a", "good", "film"]
    (window,) = cut_words(tokenizer, words, 40)
    assert window.input_ids == tokenizer(" ".join(words))["input_ids"]


def test_a_word_of_which_nothing_is_left_is_unknown(tokenizer):
    (window,) = cut_words(tokenizer, ["good", "\u200d", "film"], 40)
    assert tokenizer.convert_ids_to_tokens(window.input_ids) == ["[CLS]", "good", "[UNK]", "film", "[SEP]"]
    assert window.words == [None, 0, 1, 2, None]


def test_a_word_longer_than_a_window_keeps_its_beginning(tokenizer):
    windows = cut_words(tokenizer, ["wonderful", "film"], 4)
    assert [window.words for window in windows] == [[None, 0, None, None], [None, 1, None]]
    with pytest.raises(UserError, match="special tokens alone are 2"):
        cut_words(tokenizer, ["a"], 2)


def test_an_answer_that_reaches_one_character_out_of_a_window_is_not_in_it():
    window = Window([2, 9, 3, 7, 8, 3], [0, 0, 0, 1, 1, 1], [None, None, None, (4, 7), (7, 12), None])
    assert window.places((4, 12)) == (3, 4) and window.places((5, 6)) == (3, 3)
    assert window.places((3, 12)) == window.places((4, 13)) == window.places(None) == (0, 0)


ONE = Window([0] * 4, [0] * 4, [None, (0, 1), (2, 3), None])


def test_of_equal_answers_the_first_found_stays():
    even = [0.0, 1.0, 1.0, 0.0]
    assert choose([ONE], [(even, even)]) == (0, 1)
    later = Window([0] * 3, [0] * 3, [None, (8, 9), None])
    assert choose([ONE, later], [(even, even), (even[1:], [0.0, 1.0, 0.0])]) == (0, 1)


@pytest.mark.parametrize("empty, answer", [((1, 5), (0, 1)), ((5, 1), (0, 1)), ((2, 3), (0, 1)), ((2.5, 3), None)])
def test_no_answer_has_the_lowest_sum_of_all_windows_and_must_exceed_the_best(empty, answer):
    logits = [([sum_of_first, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]) for sum_of_first in map(float, empty)]
    assert choose([ONE, ONE], logits, none=True) == answer
