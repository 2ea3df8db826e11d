"""Part 1: WordPiece, the longest match first (`BertTokenizer.wordpiece`).

python -m pytest tests/parts/part1_wordpiece.py
"""

import pytest

from minbert import BertTokenizer
from minbert.course import mistakes
from minbert.course.diagnosis import check_equal
from tests.conftest import VOCAB

pytestmark = pytest.mark.part1

LONGEST_FIRST = ["[UNK]", "un", "una", "##a", "##f", "##ff", "##ffa", "##b", "##ble", "##affable"]
NEVER_TAKEN_BACK = ["[UNK]", "ab", "abc", "##cd"]
TELLING = [  # words that tell the known mistakes apart
    *((VOCAB, word) for word in ("unaffable", "unfilm", "filmx", "able", "un" + 198 * "s")),
    *((LONGEST_FIRST, "unaffable"), (NEVER_TAKEN_BACK, "abcd")),
]


def check(vocabulary, word, pieces):
    found = BertTokenizer(vocabulary).wordpiece(word)
    known = {} if found == pieces.split() else likely(mistakes.wordpieces(word, vocabulary))
    check_equal(f"WordPiece, {word[:20]!r}", found, pieces.split(), known)


def likely(known):
    """Of known mistakes, those that also give what the code under test makes of the telling words."""
    for vocabulary, word in TELLING:
        wrong, found = mistakes.wordpieces(word, vocabulary), BertTokenizer(vocabulary).wordpiece(word)
        known = {name: pieces for name, pieces in known.items() if wrong[name] == found}
    return known


@pytest.mark.parametrize(
    "word, pieces",
    [
        ("film", "film"),
        ("unaffable", "un ##aff ##able"),
        ("wonderfuls", "wo ##nder ##ful ##s"),
        ("notable", "not ##able"),
        (".", "."),
    ],
)
def test_a_word_is_cut_into_pieces_of_the_vocabulary(word, pieces):
    check(VOCAB, word, pieces)


def test_the_longest_piece_comes_first():
    check(LONGEST_FIRST, "unaffable", "una ##ffa ##ble")  # not un ##affable


def test_a_choice_is_never_taken_back():
    check(NEVER_TAKEN_BACK, "abcd", "[UNK]")  # ab ##cd would fit


@pytest.mark.parametrize(
    "word",
    [
        "xylophone",
        "filmx",  # the last character decides as much as the first
        "xfilm",
        "unfilm",  # film only begins words
        "able",  # ##able never does
        "Film",
    ],
)
def test_a_word_that_cannot_be_cut_is_unknown_as_a_whole(word):
    check(VOCAB, word, "[UNK]")


def test_a_word_may_have_200_characters():
    check(VOCAB, "un" + 198 * "s", "un" + 198 * " ##s")
    check_equal("WordPiece, 201 characters", BertTokenizer(VOCAB).wordpiece("un" + 199 * "s"), ["[UNK]"])


def test_a_vocabulary_may_hold_a_piece_of_200_characters():
    vocabulary = ["[UNK]", 200 * "s", 201 * "s"]
    check(vocabulary, 200 * "s", 200 * "s")
    check_equal("WordPiece, 201 characters", BertTokenizer(vocabulary).wordpiece(201 * "s"), ["[UNK]"])


def test_the_empty_word_has_no_pieces():
    check_equal("WordPiece, ''", BertTokenizer(VOCAB).wordpiece(""), [])
