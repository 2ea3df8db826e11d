"""What the doctor of a study finds, each planted once; and a stranger's file, which ends in a table or in one line."""

import numpy as np
import pytest

from minbert.study.doctor import OK, STOP, WARN, examine
from tests.study.conftest import tweets
from tests.study.making import dataset

COLUMNS = ("--text_column", "tweet", "--label_column", "stance")


def levels(rows, word, folds=5, **more):
    """The levels of the findings that say `word`."""
    return [found.level for found in examine(dataset(rows), folds, 16, 20, **more) if word in found.text]


def test_sound_texts_have_no_stop_and_the_rarer_class_is_named():
    rows = tweets(600, certain=0.3)
    found = examine(dataset(rows), 5, 16, 20)
    assert not [each for each in found if each.level == STOP]
    rest = sum(label == "against" for _, label, _ in rows) // 5
    assert levels(rows, f"5 folds leave {rest} texts of against in each test part") == [OK]


def test_a_text_with_two_labels_is_a_stop():
    rows = tweets(200)
    rows += [(rows[0][0].upper(), "against", ""), (rows[0][0], "support", "")]
    (found,) = [each for each in examine(dataset(rows), 5, 16, 20) if each.level == STOP]
    assert found.text == "1 text occurs with different labels: rows 2/202/203"


def test_near_copies_are_counted():
    rows = tweets(200)
    assert levels(rows, "near copies") == []
    assert levels(
        [*rows, (f"RT @x: {rows[5][0]}", rows[5][1], "")], "2 texts are copies or near copies, in 1 group"
    ) == [WARN]


def test_authors_of_a_fifth_are_named():
    rows = tweets(200)
    values = ["a", "b", "c"] * 14 + [f"x{number}" for number in range(158)]
    assert levels(rows, "3 authors wrote 21% of the texts", authors={"user": values}) == [WARN]
    assert levels(rows, "authors wrote", authors={"user": list(map(str, range(200)))}) == []


def test_a_class_with_fewer_groups_than_folds_is_a_stop():
    rows = [(f"{text} {number}", "support", "") for number, (text, *_) in enumerate(tweets(50))]
    assert levels([*rows, ("law", "against", ""), ("tax", "against", "")], "class against has 2 groups") == [STOP]


def test_a_word_that_tells_the_label_is_named():
    rows = [(f"{text} #maga" if label == "support" else text, label, a) for text, label, a in tweets(200, certain=0.3)]
    assert levels(rows, "'#maga' is in") == [WARN]
    assert levels(tweets(200, certain=0.3), "#maga") == []


def test_broken_letters_long_texts_and_few_steps_are_named():
    rows = [*tweets(100), ("cafÃ© law", "support", ""), ("tax " * 400, "against", "")]
    assert levels(rows, "1 texts hold characters") == [WARN]
    assert levels(rows, "1 texts have more than 350 words") == [WARN]
    found = examine(dataset(rows), 5, 16, 1)
    assert [each.level for each in found if "bert:flexible trains for 5 steps in a fold" in each.text] == [WARN]


def stranger(rows):
    """A fifth of the texts by three authors, some labels missing, letters of Latin-1, one tweet sent twice."""
    rows = [[f"{text}, très bien", label, author] for text, label, author in rows]
    for number, row in enumerate(rows[:18]):
        row[2] = f"prolific{number % 3}"
    rows[30][1] = rows[40][1] = ""
    return [*rows, rows[50]]


@pytest.mark.fault("studies: a stranger's file: semicolons, Latin-1, labels missing, prolific authors")
def test_a_strangers_file_is_refused_in_one_line_each_until_it_ends_in_a_table(study, write, tmp_path):
    path = write(stranger(tweets(90)), delimiter=";", encoding="latin-1")
    words = ["compare", "--data", path, *COLUMNS, "--systems", "nb+count", "--folds", 3, "--repeats", 1]
    words += ["--out", tmp_path / "out"]
    status, _, err = study(*words)
    assert status == 2 and "--encoding" in err
    words += ["--encoding", "latin-1"]
    status, _, err = study(*words)
    assert status == 2 and "2 bad of 91 rows" in err and "empty label" in err and "--skip_bad_rows" in err
    words += ["--skip_bad_rows", "--group_column", "author"]
    status, out, err = study(*words)
    assert status == 0 and "2 bad of 91 rows" in err
    assert "89 texts in" in out and "nb+count" in out
    groups = np.loadtxt(tmp_path / "out" / "folds.csv", delimiter=",", skiprows=1, usecols=(1, 3), dtype=int)
    assert len({tuple(row) for row in groups.tolist()}) == len(set(groups[:, 0].tolist()))


def test_the_doctor_of_a_strangers_file(study, write):
    path = write(stranger(tweets(90)), delimiter=";", encoding="latin-1")
    status, out, err = study("doctor", "--data", path, *COLUMNS, "--encoding", "latin-1")
    assert status == 2 and err == "error: 1 finding to mend before a study: see stop above\n"
    assert "stop  " in out and "2 bad of 91 rows" in out and "empty label" in out
    assert "3 authors wrote 20% of the texts  -> use --group_column author" in out
    status, out, err = study("doctor", "--data", path, *COLUMNS, "--encoding", "latin-1", "--skip_bad_rows")
    assert (status, err) == (0, "") and "stop" not in out


@pytest.mark.parametrize("word", [[], ["--help"]])
def test_the_words_are_listed_and_another_one_is_refused(study, word):
    assert "compare" in study(*word)[1]
    status, _, err = study("compair")
    assert status == 2 and "study has no compair; did you mean compare?" in err


def test_bad_rows_are_named_where_they_leave_one_class(study, write):
    """A file in Latin-1 whose second class has an umlaut: all of its rows are bad, and that is the reason to give."""
    rows = [(f"text {at}", "dafür" if at % 2 else "dagegen", "a") for at in range(20)]
    path = write(rows, encoding="latin-1")
    words = ("--data", path, "--text_column", "tweet", "--label_column", "stance")
    for command in (("doctor",), ("compare", "--skip_bad_rows")):
        status, _, err = study(*command, *words)
        assert status == 2 and err.count("\n") == 1
        assert "every row is labelled dagegen, but for 10 bad ones, the first in line 3: not UTF-8" in err
    status, out, _ = study("doctor", *words, "--encoding", "cp1252")
    assert "dafür 10 (50.0%), dagegen 10 (50.0%)" in out
    status, out, _ = study("doctor", "--data", write([*rows, ("x", "", "b")]), *words[2:], "--skip_bad_rows")
    assert "empty label  -> they are left out\n" in out
