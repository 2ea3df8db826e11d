"""A folder goes on with its own study; what is another now, and what is misspelt, is named."""

from pathlib import Path

import pytest

from minbert.commands.study_data import expand
from minbert.study.data import read_dataset
from tests.study.conftest import tweets
from tests.study.test_compare import SMALL


@pytest.fixture
def words(write):
    return ("--data", write(tweets(60)), *SMALL, "--systems", "nb+count")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--permute",), "--permute: the folder was made without"),
        (("--limit", 50), "--limit is 50, and was 60"),
        (("--seed", 7), "--seed is 7, and was 11711"),
        (("--positive", "support"), "--positive is support, and was against"),
        (("--lexicon_cuts", -1, 1), "words:list.tsv: --lexicon_cuts is -1.0, 1.0, and was not given"),
    ],
)
def test_the_setting_that_differs_is_named(study, write, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    Path("list.tsv").write_text("bad\t-1\ngood\t1\n")
    words = ("--data", write(tweets(60)), *SMALL, "--systems", "words:list.tsv", "--out", tmp_path / "out")
    assert study("compare", *words)[0] == 0
    status, _, err = study("compare", *words, *more)
    assert status == 2
    assert err == f"error: {tmp_path / 'out'} holds another study: {said}. Put it back, or name another --out\n"
    assert study("compare", *words)[0] == 0


def test_a_command_that_fails_leaves_nothing_that_hides_the_next_mistake(study, words, tmp_path):
    for wrong in (("--positive", "neutral"), ("--systems", "svm+tf"), ("--systems", "words:absent.tsv")):
        assert study("compare", *words, "--folds", 4, *wrong, "--out", tmp_path / "out")[0] == 2
        assert not (tmp_path / "out" / "folds.csv").exists()
    assert study("compare", *words, "--out", tmp_path / "out")[0] == 0


def test_systems_may_be_parted_by_commas(tmp_path):
    (tmp_path / "a,b.tsv").write_text("bad\t-1\n")
    named = [f"words:{tmp_path / 'a,b.tsv'}", "nb+count,", "svm+tfidf, vader", "vader"]
    assert expand(named) == [named[0], "nb+count", "svm+tfidf", "vader"]
    assert expand(["classic,bert:frozen"])[-2:] == ["xgb+vectors", "bert:frozen"]


def test_a_label_that_nobody_has_is_named(study, words):
    for place in (("--labels", "against", "suport"), ("--labels", "against=con", "suport=pro")):
        status, _, err = study("compare", *words, *place)
        assert status == 2 and err.count("\n") == 1
        assert "--labels suport: no row has this label; did you mean support? There are against, support" in err


def test_another_word_list_is_another_study(study, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--data", write(tweets(60)), *SMALL, "--systems", "words:list.tsv", "--out", tmp_path / "out")
    for text, status in (("bad\t-1\ngood\t1\n", 0), ("bad\t-1\ngreat\t1\n", 2)):
        Path("list.tsv").write_text(text)
        found, _, err = study("compare", *words)
        assert found == status
    assert "words:list.tsv: the word list is another. Put it back" in err


def test_a_class_that_no_row_has_is_left_out(write):
    rows = [(f"text {at}", ("against", "support")[at % 2], "a") for at in range(6)]
    data = read_dataset(write(rows), "stance", labels=["against", "neutral", "support"], text_column="tweet")
    assert data.names == ("against", "support") and data.labels.tolist() == [0, 1] * 3
