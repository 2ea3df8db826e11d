"""The square of two labels: the same texts and folds, F1 on both, a warning where one is no measure of the other."""

import csv
import random

import numpy as np
import pytest

from minbert.errors import UserError
from minbert.study import transfer
from minbert.study.rows import Rows, read_rows
from minbert.study.scores import Score
from minbert.study.statistics import corrected_t
from tests.study.conftest import tweets
from tests.study.making import dataset

SAME = ("negative=against", "positive=support")


def two(count=90, equal=False):
    """Rows (tweet, stance, author, sentiment): sentiment follows a word of its own, or the stance."""
    rng = random.Random(4)
    rows = []
    for text, stance, author in tweets(count, certain=1):
        feeling = (
            {"against": "negative", "support": "positive"}[stance] if equal else rng.choice(["negative", "positive"])
        )
        rows.append((f"{text} {'sad' if feeling == 'negative' else 'happy'}", stance, author, feeling))
    return rows


@pytest.fixture
def square(study, write, tmp_path):
    def square(rows, *more):
        path = write(rows, header=("tweet", "stance", "author", "sentiment"))
        words = ("--data", path, "--text_column", "tweet", "--label_columns", "sentiment", "stance")
        folds = ("--folds", 3, "--repeats", 1, "--systems", "nb+count", "--out", tmp_path / "out")
        return study("transfer", *words, *folds, *more)

    return square


def test_a_label_that_is_another_thing_is_warned_of(square, tmp_path):
    status, out, err = square(two(), "--same", *SAME)
    assert (status, err) == (0, "")
    assert "warning: nb+count trained on sentiment is no measure of stance here" in out
    with open(tmp_path / "out" / "table.csv") as file:
        cells = {(row["trained_on"], row["tested_on"]): float(row["f1"]) for row in csv.DictReader(file)}
    assert cells["stance", "stance"] > 0.9 > 0.65 > cells["sentiment", "stance"]
    assert cells["sentiment", "sentiment"] > 0.9
    assert "over 3 folds of 1 x 3-fold cross-validation of 90 texts" in (tmp_path / "out" / "table.md").read_text()


def test_both_sides_have_the_same_folds_and_a_line_is_what_the_rows_say(square, tmp_path):
    square(two(), "--same", *SAME)
    sides = [read_rows(tmp_path / "out" / f"trained-on-{name}" / "rows.csv.gz") for name in ("sentiment", "stance")]
    assert sides[0].text == sides[1].text and sides[0].fold == sides[1].fold
    gold = dict(zip(sides[1].text, (("negative", "positive").index(label) for label in sides[1].gold)))
    assert transfer.cell(sides[0], gold, Score(2)).mean < 0.65


def test_the_same_label_twice_is_no_warning(square):
    _, out, _ = square(two(equal=True), "--same", *SAME)
    assert "warning:" not in out


def test_texts_with_a_label_of_one_side_alone_are_counted(square):
    rows = [(text, "none" if number < 7 else stance, *more) for number, (text, stance, *more) in enumerate(two())]
    _, out, _ = square(rows, "--same", *SAME)
    assert "7 of 90 texts are left out" in out and "cross-validation of 83 texts" in out


def test_labels_of_other_names_need_to_be_told(square):
    status, _, err = square(two())
    assert status == 2 and "sentiment has the labels negative, positive, and stance against, support" in err
    status, _, err = square(two(), "--same", "negative=against", "good=support")
    assert status == 2 and "the labels of sentiment are negative, positive" in err
    status, _, err = square(two(), "--same", "negative=against")
    assert status == 2 and "two or more pairs" in err
    status, _, err = square(two(), "--same", "negative=against", "positive")
    assert status == 2 and "--same positive: write A=B, a label of sentiment and one of stance" in err
    status, _, err = square(two(), "--same", "negative=against", "positive=suport")
    assert status == 2 and "--same: stance has no label suport; the labels of stance are against, support; did" in err
    status, _, err = square(two(), "--same", "negative=against", "support=positive")
    assert status == 2 and "--same: sentiment has no label support; the labels of sentiment are negative, pos" in err


def test_labels_of_the_same_names_need_not():
    data = dataset([("a", "against"), ("b", "support"), ("c", "against"), ("d", "support")])
    first, second, left_out = transfer.two_labels(data, ["against", "against", "support", ""], None, ("x", "y"))
    assert first.ids == second.ids == ["2", "3", "4"] and left_out == 1
    assert first.labels.tolist() == [0, 1, 0] and second.labels.tolist() == [0, 0, 1]
    with pytest.raises(UserError, match="no text has a label in both columns"):
        transfer.two_labels(data, [""] * 4, None, ("x", "y"))


def test_standard_errors_are_those_of_the_folds():
    columns = (["nb"] * 4, ["1", "2", "3", "4"], [1] * 4, [1, 1, 2, 2], [1] * 4, ["a"] * 4, ["a", "b", "b", "a"])
    rows = Rows(("a", "b"), *columns, probabilities=np.full((4, 2), 0.5))
    cell = transfer.cell(rows, {"1": 0, "2": 1, "3": 0, "4": 1}, Score(2))
    assert cell.values == [1.0, 0.0] and cell.mean == 0.5
    assert cell.se == pytest.approx(np.std([1, 0], ddof=1) / 2**0.5)


def test_the_gap_is_tested_as_folds_that_share_training_texts_are():
    """Three folds: each test part is half as large as its training part."""
    texts, folds_of = [str(at) for at in range(12)], [at // 4 + 1 for at in range(12)]
    gold = ["a", "b"] * 6
    guesses = {"x": ["a", "b", "b", "a", "a", "b", "a", "a", "b", "a", "b", "b"], "y": [*gold[:10], "b", "a"]}
    learnt = {}
    for name, guess in guesses.items():
        columns = (["nb"] * 12, texts, [1] * 12, folds_of, [1] * 12, gold, guess)
        learnt[name] = Rows(("a", "b"), *columns, probabilities=np.full((12, 2), 0.5))
    true = {text: "ab".index(label) for text, label in zip(texts, gold)}
    (square,) = transfer.squares(learnt, {"x": true, "y": true}, Score(2))
    away, home = (square.cells[name, "y"].values for name in ("x", "y"))
    wanted = corrected_t([one - other for one, other in zip(home, away)], 1 / 2)
    assert square.gap == wanted and wanted.low < 0.3 < wanted.high
