"""The screen of a first run in README.md is what a first run shows."""

import os
import re
import subprocess
import sys

import pytest

from minbert.commands.train import PARTS
from minbert.files.examples import read_examples
from minbert.runs import baseline, findings
from tests.conftest import ROOT

SCREEN = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
NUMBER = re.compile(r"\d+(?:\.\d+)?")
NEAR = 0.05  # another processor rounds differently, and training amplifies that
MISTAKE = re.compile(r"  (positive|negative) +(positive|negative) +0\.\d{3}  (.*)")


@pytest.fixture(scope="module")
def reviews():
    return {part: read_examples(ROOT / "data" / "reviews" / f"{part}.csv") for part in PARTS}


def test_its_baselines_are_those_of_the_reviews(reviews):
    names = ("negative", "positive")
    texts = {part: examples.texts for part, examples in reviews.items()}
    gold = {part: [names.index(label) for label in examples.labels] for part, examples in reviews.items()}
    found = baseline.baselines(texts, gold, names)
    for rival in found.values():
        for part in ("dev", "test"):
            assert findings.shown_score(rival.scores[part]) in SCREEN


def test_its_mistakes_are_texts_of_the_test_file(reviews):
    lines = [MISTAKE.fullmatch(line) for line in SCREEN.splitlines()]
    mistakes = [line.groups() for line in lines if line]
    assert len(mistakes) == findings.MISTAKES
    for gold, predicted, text in mistakes:
        assert gold != predicted
        begin = text.removesuffix("…")
        assert gold in [
            label for label, full in zip(reviews["test"].labels, reviews["test"].texts) if full.startswith(begin)
        ]


def test_it_is_what_the_command_prints(tmp_path):
    """The same words, and numbers that are near."""
    if not os.environ.get("MINBERT_FIRST_RUN"):
        pytest.skip("takes a minute or two: MINBERT_FIRST_RUN=1 runs it")
    command = [sys.executable, "train_classifier.py", "--out", str(tmp_path / "run")]
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    shown = done.stdout[done.stdout.index("scores (") :].replace(str(tmp_path / "run"), "runs/flexible-1-0.0002")
    ours, theirs = ([line for line in text.splitlines() if not MISTAKE.fullmatch(line)] for text in (SCREEN, shown))
    assert [words(line) for line in ours] == [words(line) for line in theirs]
    for line, other in zip(ours, theirs):
        if not line.startswith("time:"):
            for number, near in zip(NUMBER.findall(line), NUMBER.findall(other)):
                difference = abs(float(number) - float(near))
                assert difference <= (NEAR if "." in number and float(number) <= 1 else 30), (line, other)


def words(line):
    """A line without its numbers and without the width of its columns."""
    return " ".join(NUMBER.sub("#", line).replace("+", "").replace("-", " ").split())
