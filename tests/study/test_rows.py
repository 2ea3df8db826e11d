"""Rows of predictions: what is written is read again, the same bytes for the same rows, and nothing else is taken."""

import gzip

import numpy as np
import pytest

from minbert.errors import UserError
from minbert.study.rows import Rows, join, read_out_of_fold, read_rows, write_rows

HEADER = "system,text,repeat,fold,seed,gold,predicted,p_against,p_for it\n"
ROW = 'svm,17,1,2,1,against,"for it",0.25,0.75\n'


def rows():
    return Rows(
        ("against", "for it"),
        *(["svm", "vader"], ["17", "x,1"], [1, 1], [2, 1], [1, 1], ["against", ""], ["for it", "against"]),
        np.array([[0.25, 0.75], [2 / 3, 1 / 3]]),
    )


def test_rows_are_read_as_they_were_written(tmp_path):
    write_rows(tmp_path / "rows.csv.gz", rows())
    found = read_rows(tmp_path / "rows.csv.gz")
    assert found.names == ("against", "for it")
    assert (found.system, found.text, found.fold, found.gold) == (
        ["svm", "vader"],
        ["17", "x,1"],
        [2, 1],
        ["against", ""],
    )
    assert np.allclose(found.probabilities, rows().probabilities, rtol=1e-8, atol=0)
    write_rows(tmp_path / "again.csv.gz", found)
    assert (tmp_path / "again.csv.gz").read_bytes() == (tmp_path / "rows.csv.gz").read_bytes()
    assert (tmp_path / "rows.csv.gz").read_bytes()[3:8] == bytes(5)  # no name, no time
    assert gzip.decompress((tmp_path / "rows.csv.gz").read_bytes()).startswith(HEADER.encode())


def test_rows_of_a_system_and_joined_rows():
    assert rows().of("vader").text == ["x,1"]
    with pytest.raises(UserError, match=r"no rows of nb; there are: svm, vader"):
        rows().of("nb")
    both = join([rows().of("vader"), rows().of("svm")])
    assert both.systems() == ["vader", "svm"] and both.probabilities.shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEADER + ROW + ROW.replace("0.75", "none"), "row 3 is no prediction"),
        (HEADER + ROW.replace("0.75", "inf"), "row 2 is no prediction"),
        (HEADER + ROW.replace("against", "neutral"), "row 2 is no prediction"),
        (HEADER + "svm,17\n", "row 2 is no prediction"),
        ("text,label\nhello,1\n", "holds no predictions of minbert study"),
        ("", "no rows can be read"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(tmp_path, text, reason):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(UserError, match=reason):
        read_rows(tmp_path / "rows.csv")


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    write_rows(tmp_path / "rows.csv.gz", rows())
    (tmp_path / "cut.csv.gz").write_bytes((tmp_path / "rows.csv.gz").read_bytes()[:-12])
    with pytest.raises(UserError, match="no rows can be read"):
        read_rows(tmp_path / "cut.csv.gz")
    with pytest.raises(UserError, match="No such file"):
        read_rows(tmp_path / "absent.csv.gz")


def test_out_of_fold_probabilities_are_means_over_repeats_and_seeds(tmp_path):
    columns = (["nb"] * 3, ["7", "8", "7"], [1, 1, 2], [1, 2, 1], [1] * 3, ["a", "b", "a"], ["a", "b", "a"])
    rows = Rows(("a", "b"), *columns, probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]))
    write_rows(tmp_path / "rows.csv.gz", rows)
    ids, names, gold, p = read_out_of_fold(tmp_path / "rows.csv.gz", None)
    assert (ids, names, gold.tolist()) == (["7", "8"], ("a", "b"), [0, 1])
    assert p == pytest.approx(np.array([[0.7, 0.3], [0.2, 0.8]]))
