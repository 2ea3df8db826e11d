"""Added tokens in a text: which are found, where they begin and end, and at what cost."""

import pytest

from minbert.added import AddedToken, Finder
from tests.texts import work


def find(text, *tokens, **flags):
    finder = Finder({content: AddedToken(content, **flags) for content in tokens})
    return [(text[start:end], token.content if token else None) for start, end, token in finder.cut(text)]


def test_what_is_between_tokens_is_left_as_it_is():
    assert find("a covid  b", "covid") == [("a ", None), ("covid", "covid"), ("  b", None)]
    assert find("covidcovid", "covid") == [("covid", "covid"), ("covid", "covid")]
    assert find("a b", "covid") == find("a b") == [("a b", None)]
    assert find("", "covid") == []


def test_the_leftmost_is_found_and_of_those_the_longest():
    assert find("abcd", "bcd", "ab", "abc") == [("abc", "abc"), ("d", None)]
    assert find("a+b", "a+b", "a") == [("a+b", "a+b")]  # no pattern


@pytest.mark.parametrize("text", ["xa", "ax", "a1", "_a", "a\u0301", "aé", "a\u200d", "aⅣ"])
def test_a_single_word_has_no_part_of_a_word_beside_it(text):
    assert find(text, "a", single_word=True) == [(text, None)]
    assert ("a", "a") in find(text, "a")


def test_a_single_word_may_stand_at_an_end_and_beside_punctuation():
    assert find("a,a", "a", single_word=True) == [("a", "a"), (",", None), ("a", "a")]


def test_white_space_is_taken_with_a_token_on_the_side_that_it_says():
    text = "b \t a \n b"
    assert find(text, "a", lstrip=True) == [("b", None), (" \t a", "a"), (" \n b", None)]
    assert find(text, "a", rstrip=True) == [("b \t ", None), ("a \n ", "a"), ("b", None)]
    assert find("a  a", "a", lstrip=True, rstrip=True) == [("a  ", "a"), ("a", "a")]


@pytest.mark.parametrize("unit", ["a", " a", "a ", "xa", "b"])
def test_twice_the_text_is_twice_the_work(unit):
    finder = Finder({"a": AddedToken("a", single_word=True, lstrip=True, rstrip=True), "ab": AddedToken("ab")})
    once, twice = (work(lambda times=times: list(finder.cut(times * unit))) for times in (500, 1000))
    assert 0 < twice < 2.02 * once + 100
