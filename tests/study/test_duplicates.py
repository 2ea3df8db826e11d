"""Copies and near copies of texts are one group; texts that only share words are not."""

import random

import pytest

from minbert.study import duplicates
from minbert.study.duplicates import groups

TWEET = "The senator voted against the health bill again tonight, shame on all of them and on the party"


def together(*texts, authors=None):
    """Which texts are in the group of the first one."""
    found = groups(list(texts), authors)
    return [group == found[0] for group in found][1:]


@pytest.mark.parametrize(
    "copy",
    [
        TWEET.upper(),
        f"RT @someone: {TWEET}",
        f"{TWEET}  https://t.co/abc",
        TWEET.replace("tonight", "tonite"),
        TWEET + "!!",
    ],
)
def test_a_retweet_is_in_the_group_of_its_tweet(copy):
    first = f"{TWEET} http://t.co/xyz" if "https" in copy else TWEET
    assert together(first, copy) == [True]


@pytest.mark.parametrize(
    "other",
    ["The senator voted for the climate bill today, well done to all of them and to the union", TWEET[:40], "shame"],
)
def test_another_text_is_in_another_group(other):
    assert together(TWEET, other) == [False]


def test_long_texts_are_compared_by_their_words():
    rng = random.Random(1)
    words = [f"w{rng.randrange(500)}" for _ in range(200)]
    changed = [*words[:100], "other", *words[101:]]
    rearranged = words[:]
    rng.shuffle(rearranged)
    assert together(*(" ".join(each) for each in (words, changed, rearranged))) == [True, False]


def test_minhash_misses_nothing_that_the_pieces_find():
    """All pairs by the coefficient itself, against the buckets."""
    rng = random.Random(2)
    base = [" ".join(rng.choices(["abc", "def", "ghi", "jkl", "mno", "pqr", "stu"], k=6)) for _ in range(12)]
    texts = [*base, *(text + rng.choice(["", " x", " yz", " something else"]) for text in base)]
    sets = [duplicates.pieces(duplicates.normalise(text)) for text in texts]
    found = groups(texts)
    for one in range(len(texts)):
        for two in range(one):
            if duplicates.jaccard(sets[one], sets[two]) >= duplicates.NEAR:
                assert found[one] == found[two]
    assert 1 < len(set(found.tolist())) < len(texts)


def test_texts_of_one_author_are_one_group_and_nobody_is_no_author():
    assert together("tax", "vote", "law", "court", authors=["x", "x", "", ""]) == [True, False, False]
    assert groups(["law", "court"], ["", ""]).tolist() == [0, 1]


def test_groups_join():
    assert together("tax bill", "jobs", "TAX bill", authors=["a", "b", "b"]) == [True, True]


def test_pairs_go_by_their_first_text_and_are_the_same_in_either_order():
    pairs = [(TWEET, "atheism"), (TWEET + "!", "abortion"), ("atheism", TWEET), ("other", "atheism")]
    assert groups(pairs).tolist() == [0, 0, 0, 1]


def test_groups_are_numbered_in_the_order_of_their_first_texts():
    assert groups(["b", "a", "b", "c", "a"]).tolist() == [0, 1, 0, 2, 1]
    assert duplicates.sizes(groups(["b", "a", "b"])) == {0: 2}
