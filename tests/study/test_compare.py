"""minbert study compare: one table, whatever happens on the way to it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minbert.files.examples import read_examples
from minbert.study import bert, frozen
from minbert.study.rows import read_rows
from tests.conftest import ROOT
from tests.study.conftest import tweets
from tests.study.making import dataset

COLUMNS = ("--text_column", "tweet", "--label_column", "stance")
SMALL = (*COLUMNS, "--folds", 3, "--repeats", 1)
TABLES = ("table.csv", "table.md", "table.tex", "rows.csv.gz", "folds.csv")


def contents(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


@pytest.fixture
def words(write):
    return ("--data", write(tweets(60)), *SMALL, "--systems", "nb+count", "svm+tfidf", "--tune", 3)


def test_the_table_has_a_line_for_each_system_and_a_note(study, words, tmp_path):
    status, out, err = study("compare", *words, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert "Mean (SD) over 3 folds of 1 x 3-fold cross-validation of 60 texts in 60 groups" in out
    assert "Settings tried on 3 inner folds of each training part: nb+count (3), svm+tfidf (3)." in out
    rows = read_rows(tmp_path / "out" / "rows.csv.gz")
    assert rows.systems() == ["nb+count", "svm+tfidf"] and len(rows) == 120
    assert sorted(map(int, rows.of("nb+count").text)) == list(range(2, 62))
    latex = (tmp_path / "out" / "table.tex").read_text()
    assert r"\toprule" in latex and "svm+tfidf & 0." in latex and "95 \\% interval" in latex
    header, *lines = (tmp_path / "out" / "table.csv").read_text().splitlines()
    assert header.startswith("system,precision,precision_sd") and len(lines) == 2


def test_the_same_command_gives_the_same_bytes_and_computes_nothing_again(study, words, tmp_path):
    study("compare", *words, "--out", tmp_path / "one")
    study("compare", *words, "--out", tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    units = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "units").iterdir()}
    assert study("compare", *words, "--out", tmp_path / "one")[0] == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert units == {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "units").iterdir()}


def test_shares_joined_are_the_whole(study, words, tmp_path):
    study("compare", *words, "--out", tmp_path / "whole")
    for share in ("2/3", "1/3", "3/3"):
        status, out, err = study("compare", *words, "--out", tmp_path / "shared", "--shard", share)
        assert (status, err) == (0, "") and "2 of 6 units are done here" in out
        assert not (tmp_path / "shared" / "table.csv").exists()
    before = set((tmp_path / "shared" / "units").iterdir())
    assert study("compare", *words, "--out", tmp_path / "shared")[0] == 0
    assert set((tmp_path / "shared" / "units").iterdir()) == before
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


@pytest.mark.fault("studies: a run that is killed, or goes on with other data")
def test_another_study_in_the_folder_is_refused_by_what_differs(study, words, write, tmp_path):
    study("compare", *words, "--out", tmp_path / "out")
    status, _, err = study("compare", *words[:-1], 2, "--out", tmp_path / "out")
    assert status == 2 and "holds another study: --tune is 2, and was 3. Put it back, or name another --out" in err
    status, _, err = study(
        "compare", "--data", write(tweets(60, seed=5), "other.csv"), *words[2:], "--out", tmp_path / "out"
    )
    assert status == 2 and "another study: --data is another file, or has changed. Put" in err
    unit = next((tmp_path / "out" / "units").glob("nb+count-r1-f1-s1.json"))
    unit.write_text(json.dumps(json.loads(unit.read_text()) | {"depends": "of another"}))
    status, _, err = study("compare", *words, "--out", tmp_path / "out")
    assert status == 2 and "belongs to another study" in err


def test_folds_of_a_file_are_used_and_do_not_replace_those_of_another_study(study, words, tmp_path):
    study("compare", *words, "--out", tmp_path / "out")
    before = (tmp_path / "out" / "folds.csv").read_bytes()
    data, columns = words[:2], COLUMNS
    study("folds", *data, *columns, "--folds", 3, "--repeats", 1, "--seed", 5, "--out", tmp_path / "folds.csv")
    given = ("--folds_file", tmp_path / "folds.csv")
    assert study("compare", *words, *given, "--out", tmp_path / "new")[0] == 0
    assert (tmp_path / "new" / "folds.csv").read_bytes() == (tmp_path / "folds.csv").read_bytes() != before
    status, _, err = study("compare", *words, *given, "--out", tmp_path / "out")
    assert status == 2 and "another study: the folds are others" in err
    assert (tmp_path / "out" / "folds.csv").read_bytes() == before


def test_what_else_is_compared_does_not_change_a_system(study, words, tmp_path):
    study("compare", *words, "--out", tmp_path / "both")
    alone = (*words[: words.index("svm+tfidf")], "--tune", 3)
    study("compare", *alone, "--out", tmp_path / "alone")
    found = [list(read_rows(tmp_path / name / "rows.csv.gz").of("nb+count").lines()) for name in ("both", "alone")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--systems", "svm+tf"), "there is no system svm+tf; there are vader, words:FILE"),
        (("--systems", "vader,SVM+tfidf"), "there is no system SVM+tfidf; there are vader"),
        (("--systems", "svm+tfid"), "; did you mean svm+tfidf?"),
        (("--systems", "words:absent.tsv"), "absent.tsv: the word list cannot be read"),
        (("--positive", "neutral"), "--positive neutral: the classes are against, support"),
        (("--positive", "suport"), "the classes are against, support; did you mean support?"),
        (("--shard", "4/3"), "4/3 is not a share such as 2/3"),
        (("--lexicon_cuts", 1, -1), "the low cut comes first"),
        (("--folds", 40), "40 folds need as many groups of each class"),
        (("--data", "absent.csv"), "absent.csv"),
    ],
)
def test_a_mistake_is_one_line(study, words, tmp_path, more, reason):
    status, _, err = study("compare", *words, "--out", tmp_path / "out", *more)
    assert status == 2 and err.startswith("error: ") and err.count("\n") == 1 and reason in err


@pytest.mark.fault("studies: a run that is killed, or goes on with other data")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_run_that_is_killed_goes_on_to_the_same_bytes(write, encoder, tmp_path):
    """kill -9 at random moments, a flexible BERT's training among them. tests/study/killing.py kills more of them."""
    words = ("--data", write(tweets(60)), *SMALL, "--systems", "nb+count", "bert:flexible", "svm+tfidf", "--epochs", 4)
    command = [sys.executable, "-m", "tests.study.killing", tmp_path, 3, *words, "--model", encoder]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the same tables") == 3


def test_a_frozen_bert_is_what_minbert_train_makes_of_the_same_parts(encoder, write, tmp_path):
    """Trained on the same files with the same seed: probabilities equal but for the rounding of another batch."""
    from minbert.__main__ import main

    rows = tweets(60)
    parts = {"train": rows[:36], "dev": rows[36:44], "test": rows[44:]}
    words = [word for name, part in parts.items() for word in (f"--{name}", str(write(part, f"{name}.csv")))]
    common = ["--model", str(encoder), "--option", "pretrain", "--no_baseline", "--epochs", "5", "--lr", "0.01"]
    assert main(["train", *words, *COLUMNS, *common, "--seed", "7", "--out", str(tmp_path / "run")]) == 0
    data = dataset(rows)
    system = bert.Bert(frozen.Reader(encoder, data.texts, data.names), "frozen", {"lr": [0.01], "epochs": [5]})
    train, dev, _ = ((data.texts[a:b], data.labels[a:b]) for a, b in ((0, 36), (36, 44), (44, 60)))
    found = system.train(train, dev, 7).predict_proba(data.texts[44:])
    columns = [[float(line.rsplit(",", 2)[at]) for line in read_lines(tmp_path / "run")] for at in (1, 2)]
    assert np.abs(found - np.array(columns).T).max() < 1e-6
    assert (
        len(read_examples(tmp_path / "run" / "test_predictions.csv", text_column="text", label_column="gold").texts)
        == 16
    )


def read_lines(folder):
    return (folder / "test_predictions.csv").read_text().splitlines()[1:]


def test_pairs_go_to_a_bert_as_pairs_and_texts_that_are_cut_are_told(study, write, encoder, tmp_path):
    rows = [(*row, ("senate", "union")[number % 2]) for number, row in enumerate(tweets(60))]
    path = write(rows, header=("tweet", "stance", "author", "target"))
    words = ("--data", path, *SMALL, "--target_column", "target", "--systems", "bert:frozen", "nb+count")
    status, out, err = study("compare", *words, "--model", encoder, "--out", tmp_path / "out", "--max_length", 8)
    assert status == 0 and "60 texts in 60 groups" in out
    assert err == "warning: 60 of 60 texts were longer than 8 tokens and were cut\n"


def test_random_labels_are_at_chance(study, write, tmp_path):
    words = ("--data", write(tweets(90)), *COLUMNS, "--folds", 5, "--repeats", 1, "--permute")
    _, out, _ = study("compare", *words, "--systems", "nb+count", "--out", tmp_path / "out")
    assert "over 5 folds, at chance" in out
