"""data/kits.py: the reviews in the form of the course kits."""

import csv
import subprocess
import sys

import pytest

from data import kits
from minbert.files.examples import read_examples
from tests.conftest import ROOT

PARTS = ("train", "dev", "test")


def test_the_same_texts_and_labels_are_read(tmp_path):
    command = [sys.executable, ROOT / "data" / "kits.py", "new/kits"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for part in PARTS:
        table = read_examples(ROOT / "data" / "reviews" / f"{part}.csv")
        kit = read_examples(tmp_path / "new" / "kits" / f"reviews-{part}.txt")
        assert kit.format == "pipes" and kit.problems == [] and kit.texts == table.texts
        assert kit.labels == [{"negative": "0", "positive": "1"}[label] for label in table.labels]
        assert f"reviews-{part}.txt: {len(table.texts)} rows\n" in said


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """reviews("text", "label") -> three tables that kits.py reads, the last with this row in line 3."""
    monkeypatch.setattr(kits, "REVIEWS", tmp_path)

    def write(text, label):
        for part in PARTS:
            rows = [("text", "label"), ("Fine.", "positive"), *([(text, label)] if part == "test" else [])]
            with open(tmp_path / f"{part}.csv", "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)

    return write


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", "one\rtwo", "one\u2028two", "one ||| two", "one|||", " "])
def test_a_text_that_the_form_cannot_hold_is_refused(text, reviews, tmp_path):
    reviews(text, "negative")
    with pytest.raises(SystemExit, match=r"test\.csv:[34]: the text is empty, or holds \|\|\| or a line break"):
        kits.main([str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_another_label_is_refused(reviews, tmp_path):
    reviews("Fine.", "1")
    with pytest.raises(SystemExit, match=r"test\.csv:3: label '1' is not one of: negative, positive"):
        kits.main([str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["| one || two |", "  a space before, a line break after\n", "naïve 😀"])
def test_what_the_form_can_hold_comes_back(text, reviews, tmp_path):
    reviews(text, "negative")
    kits.main([str(tmp_path / "out")])
    kit, table = (read_examples(tmp_path / name) for name in ("out/reviews-test.txt", "test.csv"))
    assert (kit.texts, kit.labels) == (table.texts, ["1", "0"]) and kit.texts[1] == text.strip()
