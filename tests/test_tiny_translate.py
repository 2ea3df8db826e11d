"""The shipped translator is what its card says, and docs/translation.md shows what it prints."""

import json
import re
import shlex

import pytest

from data import translation as data
from minbert import families, tokenizers, translation
from minbert.__main__ import main
from minbert.chrf import chrf
from minbert.commands import common, translate
from minbert.pretraining import translator
from minbert.weights import hub
from tests.conftest import ROOT

FOLDER = ROOT / "checkpoints" / "tiny-translate"
HARD = "twenty-five past"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "translation.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| (.+?\.) \| (.+?) \| (.+?) \|$", CARD, flags=re.MULTILINE)
SCORES = re.findall(r"^\| (dev|test.*|long) \| ([\d,]+) \| ([\d.]+) \|$", CARD, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def made():
    return families.load("tiny-translate", "translation"), tokenizers.from_pretrained("tiny-translate")


def test_it_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.find("tiny-translate").samefile(FOLDER)


def test_it_is_small_and_whole():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(files.values()) <= 900_000
    assert set(files) == {
        *("README.md", "config.json", "generation_config.json", "model.safetensors", "source.spm", "target.spm"),
        *("tokenizer_config.json", "translation.json", "vocab.json"),
    }


def test_all_of_it_is_loaded(made):
    model, tokenizer = made
    assert model.loaded.new == [] and model.loaded.dropped == [] and len(tokenizer) == model.config.vocab_size


def test_the_card_tells_the_run():
    record = json.loads((FOLDER / "translation.json").read_text(encoding="utf-8"))
    command = re.search(r"^minbert translate (--train .*?)\n```", CARD, re.MULTILINE | re.DOTALL)[1]
    said = common.parse("translate", "", translate.flags, shlex.split(command.replace("\\\n", " ")))
    assert record["finished"] and said.train == record["arguments"]["train"]
    unset = common.parse("translate", "", translate.flags, [])
    for name, value in record["arguments"].items():
        if getattr(said, name) != getattr(unset, name):
            assert getattr(said, name) == value, name
    given = {name for name in vars(said) if getattr(said, name) != getattr(unset, name)}
    assert given - {"out"} <= record["arguments"].keys()


def test_there_are_five_scores_and_ten_examples():
    parts = ["dev", "test", f'test, with "{HARD}"', "test, all others", "long"]
    assert [part for part, *_ in SCORES] == parts and len(EXAMPLES) == 10


def test_the_times_that_the_card_calls_hard_were_not_learnt_with_these_hours():
    hours = {
        part: {source.split(HARD)[1].split()[0].strip(".") for source, _ in data.pairs(part) if HARD in source}
        for part in ("train", "dev", "test")
    }
    assert hours["test"] == {"two", "six", "eight"} and len(hours["train"]) == 9 and not hours["dev"]


@pytest.mark.parametrize("part, rows, exact", SCORES)
def test_it_is_as_good_as_the_card_says(made, part, rows, exact):
    """The share of translations that are exactly right with one beam. Elsewhere, near ties may fall otherwise."""
    part, _, which = part.partition(", ")
    pairs = [pair for pair in data.pairs(part) if not which or (HARD in pair[0]) == which.startswith("with")]
    assert f"{len(pairs):,}" == rows
    encoded, left_out = translator.encode(made[1], *zip(*pairs), 128)
    assert left_out == 0
    assert translator.evaluate(made[0], encoded)[1] == pytest.approx(float(exact), abs=0.003)


def test_the_examples_are_the_first_ten_sentences_and_are_translated_so(made):
    """They were not chosen."""
    pairs = data.pairs("test")[:10]
    assert [source for source, *_ in EXAMPLES] == [source for source, _ in pairs]
    found = [translation.joined(text, made[1]) for text in translation.translate(*made, [pair[0] for pair in pairs])]
    assert found == [german for _, german, _ in EXAMPLES]
    right = ["yes" if ours == gold else f"no: {gold}" for ours, (_, gold) in zip(found, pairs)]
    assert right == [judged for *_, judged in EXAMPLES]


def test_the_page_shows_what_the_command_prints(capsys):
    """But for percentages, which elsewhere may round otherwise."""
    shown = re.search(
        r"^minbert translate ([^\n]*--show attention)\n```\n+```text\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL
    )
    assert main(["translate", *shlex.split(shown[1])]) == 0
    ours, theirs = (re.split(r"(\d+)%", text) for text in (shown[2], capsys.readouterr().out))
    assert ours[::2] == theirs[::2] and len(ours) > 20
    assert [int(share) for share in ours[1::2]] == pytest.approx([int(share) for share in theirs[1::2]], abs=2)


def test_four_beams_on_the_first_hundred_sentences(made):
    pairs = data.pairs("test")[:100]
    found = [translation.joined(text, made[1]) for text in translation.translate(*made, [pair[0] for pair in pairs])]
    assert sum(map(str.__eq__, found, (gold for _, gold in pairs))) == pytest.approx(88, abs=2)
    assert chrf(found, [gold for _, gold in pairs]) == pytest.approx(98.74, abs=0.3)
