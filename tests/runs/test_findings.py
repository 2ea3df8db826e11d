"""What a run shows of its scores: lines that fit, that no text can break, and sentences that the figures bear out."""

import pytest
import torch

from minbert.metrics import places, score
from minbert.runs import findings
from minbert.runs.baseline import Verdict
from minbert.runs.scored import Scored


@pytest.fixture
def shown(capsys, monkeypatch):
    """shown(function, ..., width=100) -> the lines that it prints."""

    def shown(function, *arguments, width=100):
        monkeypatch.setenv("COLUMNS", str(width))
        function(*arguments)
        return capsys.readouterr().out.splitlines()

    return shown


def scored(gold, sureness, classes=2):
    """A Scored of the last class throughout, so sure of each row."""
    probabilities = torch.zeros(len(gold), classes)
    probabilities[:, -1] = torch.tensor(sureness)
    probabilities[:, 0] = 1 - torch.tensor(sureness)
    predicted = [classes - 1] * len(gold)
    names = [str(id) for id in range(classes)]
    return Scored(gold, predicted, probabilities, score(gold, predicted, names))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo\r\n\tthree", "one\\ntwo\\r\\n\\tthree"),
        ("\x1b[2Jgone\x07\0", "\\x1b[2Jgone\\x07\\x00"),
        ("a\u202eb\u2028c\ufeff", "a\\u202eb\\u2028c\\ufeff"),
        ("a\xa0b\u3000c", "a b c"),
        ("é 好 👩\u200d🚀 می\u200cخواهم", "é 好 👩\u200d🚀 می\u200cخواهم"),
        ("\ud800", "\\ud800"),
    ],
    ids=ascii,
)
def test_control_characters_are_shown_as_escapes(text, line):
    assert findings.on_one_line(text) == line


@pytest.mark.parametrize("text", ["short", "ten places", "eleven char", "好好好好好", "好好好好好好", "e\u0301" * 12])
def test_a_line_is_cut_to_its_places(text):
    found = findings.cut(text, 10)
    assert (found == text) == (places(text) <= 10)
    assert 9 <= places(found) <= 10 or found == text
    assert found == text or (found.endswith("…") and text.startswith(found[:-1]))


@pytest.mark.parametrize(
    ("difference", "interval", "sentence"),
    [
        (0.051, (0.0125, 0.088), "clearly better than TF-IDF: difference in accuracy +5.1 points (1.2 to 8.8)"),
        (0.02, (-0.01, 0.05), "not clearly better than TF-IDF: difference in accuracy +2.0 points (-1.0 to 5.0)"),
        (-0.02, (-0.05, 0.0), "not clearly better than TF-IDF: difference in accuracy -2.0 points (-5.0 to 0.0)"),
        (0.02, (0.0, 0.05), "not clearly better than TF-IDF: difference in accuracy +2.0 points (0.0 to 5.0)"),
        (-0.1, (-0.15, -0.05), "worse than TF-IDF: difference in accuracy -10.0 points (-15.0 to -5.0)"),
    ],
)
def test_the_sentence_about_the_simple_systems(difference, interval, sentence):
    verdict = Verdict("test", "TF-IDF", difference, interval)
    assert findings.judgement(verdict) == f"on test the model is {sentence}"


def test_the_surest_mistakes_come_first_and_are_ten(shown):
    sureness = [0.51 + 0.03 * row for row in range(14)]
    gold = [1 if row == 13 else 0 for row in range(14)]
    header, *lines = shown(findings.mistakes, "dev", scored(gold, sureness), [f"text {n}" for n in range(14)], "ab")
    assert header.startswith("surest mistakes on dev")
    assert lines == [f"  a  b  {sureness[row]:.3f}  text {row}" for row in range(12, 2, -1)]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_mistake_takes_one_line_of_the_screen(shown, width):
    texts = ["a\nb" * 200, "好" * 300, "short"]
    _, *lines = shown(findings.mistakes, "dev", scored([0, 0, 0], [0.9, 0.8, 0.7]), texts, ["好的", "x"], width=width)
    assert [places(line) in (width - 1, width - 2) for line in lines] == [True, True, False]
    assert lines[0].startswith("  好的  x  0.900  a\\nba\\nba") and lines[0].endswith("…")
    assert lines[2] == "  好的  x  0.700  short"


def test_labels_of_mistakes_stand_below_each_other_in_every_script(shown):
    three = scored([0, 1, 0], [0.9, 0.8, 0.7], classes=3)
    _, *lines = shown(findings.mistakes, "dev", three, ["one", "two", "three"], ["好", "terrible", "x\x1b"])
    assert lines == [
        "  好        x\\x1b  0.900  one",
        "  terrible  x\\x1b  0.800  two",
        "  好        x\\x1b  0.700  three",
    ]


def test_no_mistake_is_said(shown):
    assert shown(findings.mistakes, "dev", scored([1, 1], [0.9, 0.8]), ["a", "b"], "ab") == ["no mistakes on dev"]


def test_a_line_for_each_class_with_what_was_predicted(shown):
    figures = score([0, 0, 0, 1], [0, 0, 1, 1], ["好", "terrible"])
    assert shown(findings.classes, "dev", figures, ["好", "terrible"]) == [
        "  true, dev  rows  precision  recall      F1  as 好  as terrible",
        "  好            3     1.0000  0.6667  0.8000      2            1",
        "  terrible      1     0.5000  1.0000  0.6667      0            1",
    ]


def test_a_matrix_too_wide_for_the_screen_is_left_out_and_that_is_said(shown):
    names = [f"a class number {number}" for number in range(9)]
    figures = score([*range(9)], [*range(9)], names)
    header, *rows, note = shown(findings.classes, "dev", figures, names)
    assert header.split() == ["true,", "dev", "rows", "precision", "recall", "F1"]
    assert len(rows) == 9
    assert "too wide" in note and "run.json" in note
    assert "as a class" in shown(findings.classes, "dev", figures, names, width=300)[0]


def test_slices_of_two_parts_stand_side_by_side(shown):
    found = {
        "kind": {"plain": {"dev": (4, 3, 0.3, 0.95), "test": (10, 9, 0.6, 0.98)}, "a\x1b": {"test": (1, 0, 0.0, 0.79)}},
        "topic": {"x" * 60: {"dev": (4, 3, 0.3, 0.95)}},
    }
    lines = shown(findings.slices, found, ["dev", "test"])
    assert [line.split() for line in lines[1:3]] == [
        ["kind", "plain", "4", "0.750", "(0.30-0.95)", "10", "0.900", "(0.60-0.98)"],
        ["kind", "a\\x1b", "0", "-", "1", "0.000", "(0.00-0.79)"],
    ]
    assert lines[3].split()[:3] == ["topic", "x" * 23 + "…", "4"]
    assert shown(findings.slices, {}, ["dev"]) == []
