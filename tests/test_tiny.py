"""The shipped model is what its card says."""

import json
import re
import shlex
from fnmatch import fnmatchcase

import pytest

from minbert import BertForMaskedLM, BertTokenizer
from minbert.commands import common, pretrain
from minbert.config import Config
from minbert.probing import fill_mask
from minbert.weights import hub
from tests.conftest import ROOT

FOLDER = ROOT / "checkpoints" / "tiny"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
PROMPTS = re.findall(r"^\| (.*\[MASK\].*?) \| (.*) \|$", CARD, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def tiny_lm():
    return BertForMaskedLM.from_pretrained("tiny"), BertTokenizer.from_pretrained("tiny")


def test_it_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.find("tiny").samefile(FOLDER)


def test_it_is_small_and_whole():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(files.values()) <= 20e6
    assert set(files) == {
        *("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"),
        *("pretraining.json", "loss.svg", "README.md"),
    }


def test_all_of_it_is_loaded(tiny_lm):
    model, tokenizer = tiny_lm
    assert model.loaded.new == [] and model.loaded.dropped == []
    assert len(tokenizer) == model.config.vocab_size
    assert model.config == Config.from_json(FOLDER / "config.json")


def test_the_card_tells_the_run():
    record = json.loads((FOLDER / "pretraining.json").read_text(encoding="utf-8"))
    last, arguments = record["history"][-1], record["arguments"]
    assert record["finished"]
    for name, digits in (("heldout_loss", 3), ("heldout_accuracy", 3)):
        assert f"{last[name]:.{digits}f}" in CARD
    assert f"{last['steps']:,} steps" in CARD
    command = CARD[CARD.index("python pretrain_lm.py") :].split("```")[0].replace("\\\n", " ")
    said = common.parse("pretrain", "", pretrain.flags, shlex.split(command)[2:])
    for name, value in arguments.items():
        if name not in ("text", "exclude"):
            assert getattr(said, name) == value, name
    assert said.text == arguments["text"]
    files = [file for pattern in said.exclude for file in expanded(pattern)]
    excluded = arguments["exclude"]
    assert all(any(fnmatchcase(name, file) for file in files) for name in excluded)
    assert all(any(fnmatchcase(name, file) for name in excluded) for file in files)


def expanded(word):
    """A word with {one,or,another} in it -> the words it stands for."""
    found = re.fullmatch(r"(.*?)\{(.*?)\}(.*)", word)
    return [each for part in found[2].split(",") for each in expanded(found[1] + part + found[3])] if found else [word]


def test_there_are_ten_prompts():
    assert len(PROMPTS) == 10


@pytest.mark.parametrize("prompt, answers", PROMPTS)
def test_it_answers_as_the_card_says(tiny_lm, prompt, answers):
    rows = fill_mask(*tiny_lm, prompt)
    found = ", ".join(f"{row['token']} {row['score']:.3f}" for row in rows)
    assert [row["token"] for row in rows] == [answer.split()[0] for answer in answers.split(", ")], found
    for row, answer in zip(rows, answers.split(", ")):
        assert row["score"] == pytest.approx(float(answer.split()[-1]), abs=2e-3)
