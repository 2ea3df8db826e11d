"""bench.study: how tweeteval's files are read, and that docs/results.md holds the tables of the results."""

import json

import pytest

from bench import study
from tests.conftest import ROOT


def test_tweets_are_read_with_the_names_of_their_labels(tmp_path):
    there = tmp_path / "tweeteval" / "stance" / "climate"
    there.mkdir(parents=True)
    (there.parent / "mapping.txt").write_text("0\tnone\n1\tagainst")
    (there / "train_text.txt").write_text("a tweet\n\u2028 one more\n")
    (there / "train_labels.txt").write_text("1\n0\n")
    assert study.tweets(tmp_path, "stance/climate") == [("a tweet", "against"), ("\u2028 one more", "none")]
    (there / "train_labels.txt").write_text("1\n")
    with pytest.raises(ValueError, match="shorter"):
        study.tweets(tmp_path, "stance/climate")


def test_the_page_holds_the_tables_of_the_results():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert text.count(study.MARKS[0]) == 1
    held = text.partition(study.MARKS[0])[2].partition(study.MARKS[1])[0].strip()
    assert held == study.page(json.loads(study.PATH.read_text(encoding="utf-8")))
    assert all(f"| {system} |" in held for system in study.COMPARED)
