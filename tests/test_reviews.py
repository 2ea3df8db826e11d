"""The reviews of data/reviews: as many as its card says, balanced, none twice or nearly twice, none in two files."""

import csv
import re
from collections import Counter, defaultdict

import pytest

from tests.conftest import ROOT

PARTS = ("train", "dev", "test")
RUN = 3  # words in a row
ALIKE = 0.5  # a share of a text's runs of words that another text may have


@pytest.fixture(scope="module")
def reviews():
    found = {}
    for part in PARTS:
        with open(ROOT / "data" / "reviews" / f"{part}.csv", encoding="utf-8", newline="") as file:
            found[part] = list(csv.DictReader(file))
    return found


def words(text):
    return re.findall(r"\w+", text.lower())


def test_the_card_counts_right(reviews):
    card = (ROOT / "data" / "README.md").read_text("utf-8")
    for part, rows in reviews.items():
        kinds = Counter(row["kind"] for row in rows)
        numbers = [len(rows), kinds["plain"], kinds["mixed"], kinds["ironic"]]
        assert f"| {part} | {' | '.join(f'{number:,}' for number in numbers)} |" in card
        assert kinds.total() == len(rows) == sum(numbers[1:])


def test_half_of_the_texts_are_positive_in_each_topic(reviews):
    for rows in reviews.values():
        labels = Counter((row["topic"], row["label"]) for row in rows)
        topics = {topic for topic, _ in labels}
        assert len(topics) == 11 and len(labels) == 22
        assert all(labels[topic, "positive"] == labels[topic, "negative"] for topic in topics)


def test_six_in_ten_are_plain_and_three_in_ten_mixed(reviews):
    rows = [row for part in reviews.values() for row in part]
    shares = Counter(row["kind"] for row in rows)
    assert [round(shares[kind] / len(rows), 1) for kind in ("plain", "mixed", "ironic")] == [0.6, 0.3, 0.1]


def test_no_text_is_there_twice(reviews):
    texts = Counter(" ".join(words(row["text"])) or row["text"] for rows in reviews.values() for row in rows)
    assert [text for text, count in texts.items() if count > 1] == []


def test_no_two_texts_are_nearly_the_same(reviews):
    assert alike([row["text"] for rows in reviews.values() for row in rows]) == []


def test_texts_that_are_nearly_the_same_are_found():
    first = "We waited forty minutes for a table and the soup was cold when it came"
    assert alike([first, first.replace("forty", "twenty"), "Another text of some words"]) == [(0, 1)]


def alike(texts):
    """Pairs of texts that share half of the runs of words of the shorter one."""
    runs = [{tuple(found[at : at + RUN]) for at in range(len(found) - RUN + 1)} for found in map(words, texts)]
    places = defaultdict(list)
    for number, found in enumerate(runs):
        for run in found:
            places[run].append(number)
    shared = Counter()
    for numbers in places.values():
        shared.update((a, b) for at, a in enumerate(numbers) for b in numbers[at + 1 :])
    sizes = {pair: min(len(runs[pair[0]]), len(runs[pair[1]])) for pair in shared}
    return sorted(pair for pair, count in shared.items() if sizes[pair] > 6 and count >= ALIKE * sizes[pair])


def test_the_form_is_one_that_is_read(reviews):
    from minbert.files.examples import read_examples
    from minbert.files.labels import LabelSet

    examples = read_examples(ROOT / "data" / "reviews" / "test.csv")
    assert examples.problems == [] and examples.texts == [row["text"].strip() for row in reviews["test"]]
    assert LabelSet.collect(examples).values == ("negative", "positive")
