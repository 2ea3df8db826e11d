"""data/translation.py: what it writes is right, the same everywhere, and held out where it says so."""

import hashlib
import random
import re

import pytest

from data import translation

# SHA-256 of each file, in the first ten digits
FILES = {"train": "164abe55aa", "dev": "3b8d18e203", "test": "79800e9c33", "long": "6c8063a3e7"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "new"
    translation.main([str(folder)])
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    """{part: [(source, target), ...]}"""
    tables = {part: (folder / f"{part}.tsv").read_text(encoding="utf-8").splitlines() for part in FILES}
    assert {lines[0] for lines in tables.values()} == {"source\ttarget"}
    return {part: [tuple(line.split("\t")) for line in lines[1:]] for part, lines in tables.items()}


@pytest.mark.parametrize(
    "n, english, german",
    [
        (21, "twenty-one", "einundzwanzig"),
        (100, "one hundred", "einhundert"),
        (101, "one hundred and one", "einhunderteins"),
        (316, "three hundred and sixteen", "dreihundertsechzehn"),
        (1001, "one thousand and one", "eintausendeins"),
        (21_006, "twenty-one thousand and six", "einundzwanzigtausendsechs"),
        (
            345_677,
            "three hundred and forty-five thousand six hundred and seventy-seven",
            "dreihundertfünfundvierzigtausendsechshundertsiebenundsiebzig",
        ),
        (800_030, "eight hundred thousand and thirty", "achthunderttausenddreißig"),
    ],
)
def test_numbers(n, english, german):
    assert (translation.english(n), translation.german(n)) == (english, german)


@pytest.mark.parametrize(
    "n, english, german",
    [
        (1900, "nineteen hundred", "neunzehnhundert"),
        (1905, "nineteen oh five", "neunzehnhundertfünf"),
        (1984, "nineteen eighty-four", "neunzehnhundertvierundachtzig"),
        (2000, "two thousand", "zweitausend"),
        (2006, "two thousand and six", "zweitausendsechs"),
        (2026, "twenty twenty-six", "zweitausendsechsundzwanzig"),
    ],
)
def test_years(n, english, german):
    assert (translation.english_year(n), translation.german_year(n)) == (english, german)


def test_ordinals():
    ours = {n: (translation.english_ordinal(n), translation.german_ordinal(n)) for n in range(1, 32)}
    assert ours[1] == ("first", "erste") and ours[3] == ("third", "dritte") and ours[7] == ("seventh", "siebte")
    assert ours[8] == ("eighth", "achte") and ours[12] == ("twelfth", "zwölfte") and ours[19][1] == "neunzehnte"
    assert ours[20] == ("twentieth", "zwanzigste") and ours[31] == ("thirty-first", "einunddreißigste")


@pytest.mark.parametrize(
    "hour, minute, english, german",
    [
        (3, 0, "three o'clock", "drei Uhr"),
        (1, 0, "one o'clock", "ein Uhr"),
        (1, 5, "five past one", "fünf nach eins"),
        (12, 30, "half past twelve", "halb eins"),
        (3, 25, "twenty-five past three", "fünf vor halb vier"),
        (3, 35, "twenty-five to four", "fünf nach halb vier"),
        (11, 40, "twenty to twelve", "zwanzig vor zwölf"),
        (12, 45, "a quarter to one", "Viertel vor eins"),
    ],
)
def test_times(hour, minute, english, german, monkeypatch):
    writer = translation.Writer("train", random.Random(0))
    monkeypatch.setattr(writer, "value", lambda kind, draw: (hour % 12, minute))
    assert writer.time() == (english, german)


def test_the_files_are_the_same_everywhere(folder):
    found = {part: hashlib.sha256((folder / f"{part}.tsv").read_bytes()).hexdigest() for part in FILES}
    assert {part: digest[:10] for part, digest in found.items()} == FILES


def test_no_sentence_is_in_two_files_or_twice(rows):
    sources = [source for part in rows.values() for source, _ in part]
    assert len(sources) == len(set(sources)) == 42_500
    assert {part: len(found) for part, found in rows.items()} == translation.ROWS


def test_values_of_dev_and_test_are_held_out(rows):
    """Big numbers are told by their German word, which is one word; days and times by their words."""
    big = re.compile(r"\b\w*(?:tausend|hundert|und\w+zig)\w*\b")
    day = re.compile(r"the (\S+ of \w+)")
    time = re.compile(r"(?:at|is) ([a-z' -]+? (?:past|to) \w+|\w+ o'clock)")
    for pattern, side in ((big, 1), (day, 0), (time, 0)):
        found = {part: {value for row in pairs for value in pattern.findall(row[side])} for part, pairs in rows.items()}
        if pattern is big:  # ordinals and the years of a decade are made of smaller numbers
            found = {part: {word for word in words if "ste" not in word} for part, words in found.items()}
        assert all(found.values())
        for held_out in ("dev", "test"):
            assert len(found[held_out]) > 10
            assert found["train"] & found[held_out] == set()
        assert found["dev"] & found["test"] == set() and found["train"] & found["long"] == set()


def test_long_sentences_are_longer_than_all_others(rows):
    longest = {part: [len(source.split()) for source, _ in pairs] for part, pairs in rows.items()}
    assert max(longest["train"]) == max(longest["dev"] + longest["test"]) == 18 < min(longest["long"])


def test_a_german_verb_goes_to_the_end_and_numbers_turn_round(rows):
    german = dict(pair for part in rows.values() for pair in part)
    assert {target.split()[-1] for source, target in german.items() if " bought " in source} == {"gekauft."}
    turned = [target for source, target in german.items() if "forty-two " in source]
    assert turned and all("zweiundvierzig" in target for target in turned)
