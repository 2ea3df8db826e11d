"""The search: a stopped one finds what one that never stopped finds, ranges hold, and nothing else gets in."""

import json

import pytest

from minbert.errors import UserError
from minbert.study import search
from tests.study.conftest import tweets

SPACE = {"lr": [1e-3, 1e-4, 1e-2], "epochs": [3, 6], "balanced": [False, True]}
FIRST = {"lr": 1e-3, "epochs": 3, "balanced": False}


def hill(settings):
    """Best at lr 0.003, 5 epochs, balanced"""
    import math

    score = -abs(math.log10(settings["lr"] / 0.003)) - abs(settings["epochs"] - 5) / 3 + settings["balanced"]
    return [score, score + 0.1]


def found(path, trials, score=hill, given=(), seed=1):
    space = search.ranges(SPACE, dict(given))
    return list(search.search(space, FIRST, score, trials, seed, path, {"data": "x"}))


def test_numbers_become_ranges_and_words_stay():
    space = search.ranges(SPACE | {"share": [0.5, 1.0]}, {"epochs": (1, 20)})
    assert space["lr"] == search.Range(2.5e-5, 0.04)
    assert space["epochs"] == search.Range(1, 20, whole=True)
    assert space["balanced"] == [False, True]
    assert space["share"] == search.Range(0.125, 1.0)  # a share has no more than all
    assert search.ranges(SPACE, {})["epochs"] == search.Range(3, 6, whole=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": (1, 2)}, "--range rate: the settings are lr, epochs, balanced"),
        ({"balanced": (1, 2)}, "it is no number, but one of False, True"),
        ({"lr": (0.1, 0.01)}, "the smaller one first"),
        ({"lr": (0, 0.01)}, "two numbers above 0"),
        ({"lr": (float("nan"), 1)}, "two numbers above 0"),
        ({"epochs": (1.5, 3)}, "whole numbers are needed"),
    ],
)
def test_ranges_that_are_none_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        search.ranges(SPACE, given)


def test_a_stopped_search_finds_what_one_that_never_stopped_finds(tmp_path):
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    whole = found(tmp_path / "whole.json", 14)
    asked = []

    def dies(settings):
        asked.append(settings)
        if len(asked) in (4, 9):
            raise KeyboardInterrupt
        return hill(settings)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            found(tmp_path / "parts.json", 14, dies)
    assert found(tmp_path / "parts.json", 14, dies) == whole
    assert (tmp_path / "parts.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert found(tmp_path / "parts.json", 14, lambda _: pytest.fail("computed again")) == whole
    longer = found(tmp_path / "parts.json", 16)
    assert longer[:14] == whole
    assert longer == found(tmp_path / "new.json", 16)
    assert found(tmp_path / "seed.json", 14, seed=2)[1:] != whole[1:]


def test_it_learns_from_its_trials_and_stays_in_its_ranges(tmp_path):
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    trials = found(tmp_path / "t.json", 60, given={"epochs": (1, 20)})
    assert trials[0].settings == FIRST
    assert all(2.5e-5 <= trial.settings["lr"] <= 0.04 and 1 <= trial.settings["epochs"] <= 20 for trial in trials)
    early, late = (sum(trial.score for trial in part) / 20 for part in (trials[:20], trials[40:]))
    assert late > early + 0.5
    assert trials[search.best(trials)].score == max(trial.score for trial in trials)


def test_another_search_is_not_gone_on_with(tmp_path):
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    path = tmp_path / "t.json"
    found(path, 2)
    with pytest.raises(UserError, match=r"holds another search: --seed is 2, and was 1\. Put"):
        found(path, 2, seed=2)
    with pytest.raises(UserError, match=r"search: --range lr is 0\.1 to 1, and was 2\.5e-05 to 0\.04\. Put"):
        found(path, 2, given={"lr": (0.1, 1)})
    broken = json.loads(path.read_text())
    broken["trials"][0]["scores"] = [float("nan")]
    path.write_text(json.dumps(broken))
    with pytest.raises(UserError, match=r"scores that are no numbers|not valid JSON|NaN"):
        found(path, 2)


def test_without_optuna_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UserError, match="pip install optuna"):
        found(tmp_path / "t.json", 2)


def test_the_command(write, study, tmp_path):
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    path, out = write(tweets(80)), tmp_path / "search"
    words = ["--data", path, "--text_column", "tweet", "--label_column", "stance", "--system", "logreg+count"]
    status, said, errors = study("search", *words, "--trials", "4", "--range", "C", "0.01", "10", "--out", out)
    assert status == 0, errors
    assert said.count("trial ") >= 4 and "best: " in said
    held = json.loads((out / "trials.json").read_text())["trials"]
    assert len(held) == 4 and all(len(trial["scores"]) == 3 for trial in held)
    assert all(0.01 <= trial["settings"]["C"] <= 10 for trial in held)
    status, again, _ = study("search", *words, "--trials", "4", "--range", "C", "0.01", "10", "--out", out)
    assert (status, again) == (0, said)


def test_the_command_for_a_bert_says_how_to_train(write, study, tmp_path, encoder):
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    path, out = write(tweets(60)), tmp_path / "search"
    words = ["--data", path, "--text_column", "tweet", "--label_column", "stance", "--system", "bert:frozen"]
    status, said, errors = study("search", *words, "--model", encoder, "--trials", "2", "--out", out)
    assert status == 0, errors
    assert "train with them: " in said and "--option pretrain" in said and "--lr " in said and "--epochs " in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--system", "vader"], "settings|vaderSentiment"),
        (["--range", "C", "a", "b"], "two numbers are needed"),
        (["--test", "x.csv"], "unrecognized arguments: --test"),
    ],
)
def test_what_cannot_be_searched_is_refused(write, study, tmp_path, words, said):
    path = write(tweets(60))
    columns = ["--text_column", "tweet", "--label_column", "stance", "--out", tmp_path / "s"]
    status, _, errors = study("search", "--data", path, *columns, "--system", "svm+tfidf", *words)
    assert status == 2
    assert __import__("re").search(said, errors), errors
