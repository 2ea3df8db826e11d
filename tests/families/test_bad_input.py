"""Bad files and bad texts at the command line: one line, exit status 2, nothing written. The files' own tests are in
tests/tokenizers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minbert.__main__ import main
from minbert.families.roberta import RobertaConfig, RobertaForMaskedLM, RobertaSentClassifier
from tests.conftest import ROOT
from tests.families import tiny_gpt
from tests.families.test_commands import SIZES, byte_bpe
from tests.tokenizers.small import whole, write_json

TEXT = "the film was"
WORDS = {  # kind of model: a command for it
    "gpt2": ("generate", "--prompt", TEXT, "--max_tokens", "2"),
    "gpt1": ("generate", "--prompt", TEXT, "--max_tokens", "2"),
    "roberta": ("predict", "--sentence", TEXT),
    "trained": ("train", "--train", "rows.csv", "--epochs", "1", "--no_baseline", "--out", "out"),
    "masked": ("probe", "--fill", f"{TEXT} [MASK]"),
}


def write(kind, folder):
    """The folder of a small model"""
    if kind.startswith("gpt"):
        {"gpt2": tiny_gpt.write, "gpt1": tiny_gpt.write_gpt1}[kind](folder)
        return
    sizes = SIZES | byte_bpe(folder)
    if kind == "masked":
        RobertaForMaskedLM(RobertaConfig(**sizes)).save_pretrained(folder)
    else:
        RobertaSentClassifier(RobertaConfig(**sizes, labels=("bad", "good"))).save_pretrained(folder)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """refused(kind, change) -> what the command for this kind says of the folder after change(folder)"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("text,label\nthe film,good\na plot,bad\n")

    def ask(kind, change=lambda folder: None, words=None):
        folder = tmp_path / "model"
        write(kind, folder)
        change(folder)
        before = sorted(tmp_path.rglob("*"))
        command, *more = words or WORDS[kind]
        status = main([command, "--model", "model", *more])
        out, err = capsys.readouterr()
        assert (status, out) == (2, ""), err
        assert err.startswith("error: ") and err.count("\n") == 1 and err.strip().isprintable()
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return ask


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def of_json(name, change):
    """change(the values of a JSON file), or its result in their place"""

    def write(folder):
        values = json.loads((folder / name).read_text("utf-8"))
        write_json(folder / name, change(values) or values)

    return write


def without(*tokens):
    """vocab.json without these, the ids without a gap; the merges that need them go, too."""

    def write(folder):
        vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
        kept = [token for token in sorted(vocab, key=vocab.get) if token not in tokens]
        write_json(folder / "vocab.json", {token: id for id, token in enumerate(kept)})

    return write


def more_merges(line):
    return lambda folder: (folder / "merges.txt").write_text((folder / "merges.txt").read_text("utf-8") + line, "utf-8")


def twice(folder):
    path = folder / "vocab.json"
    path.write_text(path.read_text("utf-8").rstrip()[:-1] + ', "t": 9999}', "utf-8")


def endless(folder):
    with open(folder / "vocab.json", "wb") as file:
        file.truncate(200_000_000)  # what 10^7 entries take; the file has no bytes of its own


def alone(**parts):
    """tokenizer.json in the place of the other files"""

    def write(folder):
        vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
        lines = (folder / "merges.txt").read_text("utf-8").splitlines()[1:]
        values = whole(vocab, [line.split(" ") for line in lines])
        write_json(folder / "tokenizer.json", values | {"model": values["model"] | parts})
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            (folder / name).unlink()

    return write


BINARY = bytes(range(256)) * 10
COMMANDS = ("gpt2", "roberta", "trained", "masked")
FILES = [  # what is wrong, how, what is said
    ("a byte is missing", without("\u0120", "\u00e9"), "the vocabulary lacks 2 of the 256 bytes, first 32"),
    ("a merge of unknown symbols", more_merges("zz qq\n"), "merge {} joins ('zz', 'qq'), but the vocabulary lacks"),
    ("two ids for a token", twice, "vocab.json: gives 't' two ids, "),
    ("a token has the id of another", of_json("vocab.json", lambda ids: ids | {"t": ids["u"]}), "the same id"),
    ("ten million tokens", endless, "vocab.json: has 200,000,000 bytes, but vocab.json may have up to 16,777,216"),
    ("binary merges", put("merges.txt", BINARY), "merges.txt:1: "),
    ("merges of zeros", put("merges.txt", bytes(1000)), "merges.txt:1: "),
    ("a binary vocabulary", put("vocab.json", BINARY), "vocab.json: not valid JSON"),
    ("another model in tokenizer.json", alone(type="WordLevel"), "tokenizer.json: model.type is 'WordLevel', but only"),
    ("WordPiece in tokenizer.json", alone(type="WordPiece", vocab={"a": 0}), "tokenizer.json: "),
]


@pytest.mark.fault("texts: the files of a tokenizer cut off or damaged")
@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("change, said", [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_a_damaged_tokenizer(refused, kind, change, said):
    err = refused(kind, change)
    assert err.startswith("error: model")
    first, *rest = said.split("{}")
    assert first in err and all(part in err for part in rest)


def setting(**values):
    return of_json("config.json", lambda config: config | values)


@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
@pytest.mark.parametrize(
    "kind, change, said",
    [
        ("gpt2", setting(n_head=5), "n_embd 24 cannot be split into 5 attention heads"),
        ("gpt2", setting(n_positions=0, n_ctx=0), "n_positions is 0, but must be a whole number from 1"),
        ("gpt2", setting(n_positions=10**9), "n_positions is 1000000000, but must be"),
        ("gpt2", setting(n_ctx=3), "n_ctx and n_positions differ"),
        ("gpt2", setting(activation_function="swish"), "activation_function is 'swish', but can be: gelu_new"),
        ("gpt2", setting(model_type="gptj"), "model_type is 'gptj', but minbert computes bert"),
        ("gpt1", setting(afn="swish"), "afn is 'swish', but can be: gelu, relu"),
        ("gpt1", setting(n_head=7), "n_embd 24 cannot be split into 7 attention heads"),
        ("gpt1", setting(n_layer="2"), "n_layer is '2', but must be a whole number"),
        *((kind, setting(num_attention_heads=4), "hidden_size 15 cannot be split") for kind in COMMANDS[1:]),
        *((kind, setting(max_position_embeddings=2), "but the first are padding's") for kind in COMMANDS[1:]),
        *((kind, setting(hidden_act="swish"), "hidden_act is 'swish', but can be:") for kind in COMMANDS[1:]),
    ],
)
def test_a_config_that_cannot_be(refused, kind, change, said):
    err = refused(kind, change)
    assert (
        err.startswith(f"error: model{os.sep}config.json: {said}"[: len("error: model/config.json: ")]) and said in err
    )


# Prompts and texts


@pytest.mark.fault("texts: longer than the model reads")
def test_a_prompt_of_nothing_and_one_that_is_too_long(refused):
    generate = ("generate", "--prompt")
    assert "--prompt is empty" in refused("gpt2", words=(*generate, ""))
    assert "the prompt is empty, and model has no token to begin with" in refused("gpt1", words=(*generate, " \t"))
    assert "the prompt has 41 tokens, but the model has 40 positions" in refused("gpt2", words=(*generate, "x" * 41))
    assert "the prompt has 40 tokens, but the model has 40 positions" in refused("gpt2", words=(*generate, "x" * 40))


@pytest.mark.fault("texts: half a character (a lone surrogate)")
@pytest.mark.parametrize("kind", ["gpt2", "roberta", "masked"])
@pytest.mark.parametrize("filters", [(), ("-W", "error")])
def test_half_a_character_is_named_in_one_line(tmp_path, kind, filters):
    """As a shell hands over bytes that are not UTF-8: the text is read, with U+FFFD in the place of each."""
    write(kind, tmp_path)
    command, flag, text, *more = WORDS[kind]
    words = [sys.executable, *filters, "-m", "minbert", command, "--model", str(tmp_path), flag]
    done = subprocess.run(
        [*map(os.fsencode, words), b"\xff\xfe " + text.encode(), *map(os.fsencode, more)],
        cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}, capture_output=True, timeout=300,
    )  # fmt: skip
    told = [line for line in done.stderr.decode().splitlines() if line != "ended by: the limit"]
    assert done.returncode == 0, told
    assert told == ["warning: the text holds halves of characters (lone surrogates): 2, read as U+FFFD"]


def test_a_whole_character_warns_of_nothing(tmp_path, capsys):
    write("gpt2", Path(tmp_path))
    assert main(["generate", "--model", str(tmp_path), "--prompt", "\U0001f600", "--max_tokens", "2"]) == 0
    assert capsys.readouterr().err == "ended by: the limit\n"
