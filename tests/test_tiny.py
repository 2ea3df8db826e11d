"""The shipped models are what their cards say."""

import json
import re
import shlex
from fnmatch import fnmatchcase

import pytest

from minbert import BertForMaskedLM, BertTokenizer, families, tokenizers
from minbert.commands import common, pretrain
from minbert.generation import generate
from minbert.probing import fill_mask
from minbert.weights import hub
from tests.conftest import ROOT

FOLDERS = {name: ROOT / "checkpoints" / name for name in ("tiny", "tiny-gpt2")}
CARDS = {name: (folder / "README.md").read_text(encoding="utf-8") for name, folder in FOLDERS.items()}
PROMPTS = re.findall(r"^\| (.*\[MASK\].*?) \| (.*) \|$", CARDS["tiny"], flags=re.MULTILINE)
BEGINNINGS = re.findall(r"^\| (.+?) \| (\".*) \|$", CARDS["tiny-gpt2"], flags=re.MULTILINE)
STORIES = re.findall(r"^> (.*)$", CARDS["tiny-gpt2"], flags=re.MULTILINE)
FILES = {
    "tiny": {"vocab.txt"},
    "tiny-gpt2": {"vocab.json", "merges.txt"},
}
MEGABYTES = {"tiny": 20, "tiny-gpt2": 8}
by_name = pytest.mark.parametrize("name", FOLDERS)


@pytest.fixture(scope="module")
def tiny_lm():
    return BertForMaskedLM.from_pretrained("tiny"), BertTokenizer.from_pretrained("tiny")


@pytest.fixture(scope="module")
def tiny_gpt2():
    return families.load("tiny-gpt2", "causal"), tokenizers.from_pretrained("tiny-gpt2")


@by_name
def test_it_is_found_by_its_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.find(name).samefile(FOLDERS[name])


@by_name
def test_it_is_small_and_whole(name):
    files = {path.name: path.stat().st_size for path in FOLDERS[name].iterdir()}
    assert sum(files.values()) <= MEGABYTES[name] * 1e6
    assert set(files) == FILES[name] | {
        *("config.json", "model.safetensors", "tokenizer_config.json"),
        *("pretraining.json", "loss.svg", "README.md"),
    }


@by_name
def test_all_of_it_is_loaded(name, tiny_lm, tiny_gpt2):
    model, tokenizer = {"tiny": tiny_lm, "tiny-gpt2": tiny_gpt2}[name]
    assert model.loaded.new == [] and model.loaded.dropped == []
    assert len(tokenizer) == model.config.vocab_size
    assert model.config == families.read_config(FOLDERS[name])


@by_name
def test_the_card_tells_the_run(name):
    card = CARDS[name]
    record = json.loads((FOLDERS[name] / "pretraining.json").read_text(encoding="utf-8"))
    last, arguments = record["history"][-1], record["arguments"]
    assert record["finished"]
    for name, digits in (("heldout_loss", 3), ("heldout_accuracy", 3)):
        assert f"{last[name]:.{digits}f}" in card
    assert f"{last['steps']:,} steps" in card
    command = card[card.index("python pretrain_lm.py") :].split("```")[0].replace("\\\n", " ")
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
    assert len(PROMPTS) == len(BEGINNINGS) == len(STORIES) == 10


@pytest.mark.parametrize("prompt, answers", PROMPTS)
def test_it_answers_as_the_card_says(tiny_lm, prompt, answers):
    rows = fill_mask(*tiny_lm, prompt)
    found = ", ".join(f"{row['token']} {row['score']:.3f}" for row in rows)
    assert [row["token"] for row in rows] == [answer.split()[0] for answer in answers.split(", ")], found
    for row, answer in zip(rows, answers.split(", ")):
        assert row["score"] == pytest.approx(float(answer.split()[-1]), abs=2e-3)


@pytest.mark.parametrize("prompt, answers", BEGINNINGS)
def test_it_expects_what_the_card_says(tiny_gpt2, prompt, answers):
    model, tokenizer = tiny_gpt2
    top = generate(model, tokenizer(prompt)["input_ids"], max_tokens=1)[0].steps[0].top
    found = [(json.dumps(tokenizer.show(id)), p) for id, p in top]
    said = re.findall(r'(".*?") ([.\d]+)', answers)
    assert [token for token, _ in found] == [token for token, _ in said], found
    assert [p for _, p in found] == pytest.approx([float(p) for _, p in said], abs=2e-3)


@pytest.mark.parametrize("number", range(10))
def test_it_writes_what_the_card_says(tiny_gpt2, number):
    model, tokenizer = tiny_gpt2
    prompt = BEGINNINGS[number][0]
    settings = {"max_tokens": 30, "temperature": 0.7, "decode": tokenizer.decode, "end": tokenizer.eos_token_id}
    made = generate(model, tokenizer(prompt)["input_ids"], **settings)[0]
    assert prompt + made.text == STORIES[number]
