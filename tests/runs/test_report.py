"""The CSV of predictions: every text comes back as it was, and no cell is a formula where that is asked for."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minbert.commands import train as train_classifier
from minbert.files.examples import Examples, read_examples
from minbert.files.labels import LabelSet
from minbert.runs import report
from minbert.tasks import TASKS

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\0=1+1", '=HYPERLINK("http://x","y")']
HARMLESS = ["1+1", "a=b", "", "'", '"=1"', " =1", "(-1)", "é", "\n=1"]
PIECES = ['"', '""', ",", ";", "\t", "\n", "\r", "\r\n", "'", "=", "a", " ", "\u2028", "\ufeff", "\x1c"]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), max_size=12).map("".join)


def cells_of(content):
    """CSV -> rows, by RFC 4180 alone: character by character, with one bit of memory."""
    rows, row, cell, quoted, at = [], [], "", False, 0
    while at < len(content):
        char, at = content[at], at + 1
        if quoted and char == '"' and content[at : at + 1] == '"':
            cell, at = cell + '"', at + 1
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            row, cell = [*row, cell], ""
        elif char == "\r" and not quoted:
            assert content[at] == "\n"
            rows, row, cell, at = [*rows, [*row, cell]], [], "", at + 1
        else:
            cell += char
    assert (row, cell, quoted) == ([], "", False)
    return rows


def written(texts, names, folder, **options):
    """write_predictions of these texts, each in truth of the first class and predicted to be of the last."""
    task, labels = TASKS["class"], LabelSet(tuple(names), tuple(names))
    logits = torch.where(torch.arange(len(names)) == len(names) - 1, 0.0, -torch.inf).expand(len(texts), -1)
    outputs = {"course_files": {"dev": folder / "dev_out.txt"}, "folder": folder, "task": task, "excel_safe": False}
    job, found = SimpleNamespace(**outputs | options), task.columns(logits, labels)
    report.write_predictions(job, "dev", Examples("", "", texts), [0] * len(texts), found, labels)
    return folder / "dev_predictions.csv"


@pytest.mark.fault("tables: predictions that a spreadsheet would run, or with line breaks")
@settings(derandomize=True, database=None, deadline=None, max_examples=150)
@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, min_size=2, max_size=3))
def test_every_text_and_label_comes_back_as_it_was(tmp_path_factory, texts, names):
    path = written(texts, names, tmp_path_factory.getbasetemp())
    header = ["text", "gold", "predicted", *(f"p_{name}" for name in names)]
    numbers = [*["0.0"] * (len(names) - 1), "1.0"]
    expected = [header, *([text, names[0], names[-1], *numbers] for text in texts)]
    content = path.read_bytes().decode()
    assert cells_of(content) == expected
    assert list(csv.reader(io.StringIO(content, newline=""), strict=True)) == expected


def test_our_own_reader_takes_them_too(tmp_path):
    texts = ['a "b"', "one\ntwo, three", "a\rb", '"', ",", "two\r\nlines", "\u2028x", "=1"]
    examples = read_examples(written(texts, ("no", "yes"), tmp_path), label_column="predicted")
    assert examples.problems == []
    assert examples.texts == [text.replace("\r\n", "\n").strip() for text in texts]
    assert examples.labels == ["yes"] * len(texts)


@pytest.mark.fault("tables: predictions that a spreadsheet would run, or with line breaks")
def test_formulas_are_guarded_on_request_in_texts_and_labels(tmp_path):
    texts = [*FORMULAS, *HARMLESS]
    exact = cells_of(written(texts, FORMULAS, tmp_path).read_bytes().decode())
    assert [row[0] for row in exact[1:]] == texts
    guarded = cells_of(written(texts, FORMULAS, tmp_path, excel_safe=True).read_bytes().decode())
    assert [row[0] for row in guarded[1:]] == [f"'{text}" for text in FORMULAS] + HARMLESS
    assert {tuple(row[1:3]) for row in guarded[1:]} == {("'=1+1", f"'{FORMULAS[-1]}")}
    assert [row[3:] for row in guarded] == [row[3:] for row in exact]  # probabilities are numbers


@pytest.mark.parametrize("flags", [[], ["--excel_safe"]])
def test_train_classifier_has_the_flag(tiny_folder, tmp_path, capsys, flags):
    Path(tmp_path, "dev.txt").write_text("negative ||| =1+1\npositive ||| good\n")
    files = ["--dev", str(tmp_path / "dev.txt"), "--out", str(tmp_path / "out")]
    train_classifier.main(["--eval_only", "--device", "cpu", "--model", str(tiny_folder), *files, *flags])
    found = cells_of((tmp_path / "out" / "dev_predictions.csv").read_bytes().decode())
    assert [row[0] for row in found[1:]] == [("'=1+1" if flags else "=1+1"), "good"]
    assert (tmp_path / "out" / "dev_out.txt").read_text().splitlines()[0].endswith("||| =1+1")


def test_columns_stand_below_each_other_in_every_script(capsys):
    """A terminal gives a Chinese character, a Korean syllable and an emoji two places, and an accent none."""
    report.table(
        ["token", "sequence"],
        [["电影", "a"], ["영화", "b"], ["e\u0301te\u0301", "c"], ["👍", "d"], ["film\u200b", "e"]],
    )
    lines = capsys.readouterr().out.splitlines()
    widths = {"电": 2, "影": 2, "영": 2, "화": 2, "👍": 2, "\u0301": 0, "\u200b": 0}
    ends = {sum(widths.get(char, 1) for char in line[: line.rindex(line.split()[-1])]) for line in lines}
    assert ends == {9}
