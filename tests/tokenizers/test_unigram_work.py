"""unigram: twice the text, twice the work, counted in pieces and rules that are looked up."""

import random

import pytest

from minbert.tokenizers import unigram_files
from minbert.tokenizers.unigram import Unigram
from tests.tokenizers.tiny_unigram import CHARS, model


class Counting(dict):
    """A dictionary that counts how often it is asked."""

    asked = 0

    def get(self, key, default=None):
        self.asked += len(key)
        return super().get(key, default)


def letters(size):
    return "".join(random.Random(size).choices(CHARS, k=size))


TEXTS = {
    "words": lambda size: " ".join(letters(size)[at : at + 7] for at in range(0, size, 7)),
    "no spaces": letters,
    "one letter": lambda size: "a" * size,
    "digits, equal sums": lambda size: "0" * size,
    "unknown letters": lambda size: "ϟ" * size,
    "spaces": lambda size: " " * size + "a",
    "marks": lambda size: "e" + "\u0301" * size,
}


def work(text):
    """How many characters of pieces, and bytes of rules, are looked at for a text's ids."""
    found, rules = Unigram(unigram_files.parse(model())), []
    found.in_text, found.lengths = Counting(found.in_text), Counting(found.lengths)
    rule, goes_on, cut = found.charsmap.rule, found.charsmap.goes_on, found.cut
    cuts = []
    found.charsmap.rule = lambda data, at: rules.append(1) or rule(data, at)
    found.charsmap.goes_on = lambda data, at: rules.append(1) or goes_on(data, at)
    found.cut = found.cuts.rule = lambda word, before=0.0: cuts.append(len(word)) or cut(word, before)
    found.ids(text)
    return found.in_text.asked + found.lengths.asked + len(rules) + sum(cuts)


@pytest.mark.fault("texts: a text made to take long")
@pytest.mark.parametrize("kind", TEXTS)
def test_twice_the_text_is_twice_the_work(kind):
    once, twice, four = (work(TEXTS[kind](size)) for size in (4_000, 8_000, 16_000))
    assert twice <= 2.1 * once and four <= 2.1 * twice, (once, twice, four)
    assert once <= 60 * 4_000


def test_work_that_grows_with_the_square_is_seen(monkeypatch):
    """A rule that is looked for up to the text's end at every place is asked more, the longer the text."""
    replace = Unigram.replace

    def again(self, text):
        [self.charsmap.rule(text.encode(), 0) for _ in range(len(text) ** 2 // 1000)]
        return replace(self, text)

    monkeypatch.setattr(Unigram, "replace", again)
    with pytest.raises(AssertionError):
        test_twice_the_text_is_twice_the_work("no spaces")
