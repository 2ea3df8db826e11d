"""fuzz: a share of `make fuzz`, and the fuzzers themselves; what a model's folder may hold besides ordinary files."""

import json
import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from minbert import BertSentClassifier, BertTokenizer, UserError, tokenizer_files
from minbert.commands import common as cli
from minbert.files import examples, labels
from minbert.weights import read
from tests.conftest import ROOT, VOCAB
from tests.stress.fuzz import __main__ as fuzz
from tests.stress.fuzz import checkpoints, families, folders, forms

SHARE = 300  # files


@pytest.fixture(autouse=True)
def no_watch():
    """A test takes its time; the watch is for `make fuzz`."""
    yield
    checkpoints.faulthandler.cancel_dump_traceback_later()


@pytest.mark.fault("weights: a safetensors file with a false header, or cut short")
@pytest.mark.parametrize("name", checkpoints.FUZZERS)
def test_a_share_of_every_fuzzer(name, tmp_path):
    outcomes = checkpoints.FUZZERS[name](SHARE, random.Random(f"{name} 0"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert sum(outcomes.values()) == SHARE
    refused = outcomes["refused"]
    assert SHARE / 20 < refused < SHARE  # neither is everything refused nor everything read


@pytest.mark.fault("texts: the files of a tokenizer cut off or damaged")
@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
@pytest.mark.parametrize("name", families.FUZZERS)
def test_a_share_of_the_families(name, tmp_path):
    outcomes = families.FUZZERS[name](SHARE, random.Random(f"{name} 0"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert sum(outcomes.values()) == SHARE
    assert SHARE / 20 < outcomes["refused"] < SHARE * 19 / 20


@pytest.mark.fault("tables: a well-formed file that means something else")
def test_a_share_of_the_forms(tmp_path):
    outcomes = forms.fuzz_forms(SHARE, random.Random("forms 0"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert min(outcomes[name] for name in ("read", "read, a row reported", "refused")) > SHARE / 20


@pytest.mark.fault("weights: a well-formed folder that means something else")
def test_a_share_of_the_folders(tmp_path):
    pytest.importorskip("transformers", reason="transformers computes what is compared")
    outcomes = folders.fuzz_folders(SHARE // 5, random.Random("folders 0"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert min(outcomes[name] for name in ("the same", "refused")) > SHARE / 20


def test_the_same_seed_makes_the_same_files(tmp_path):
    fuzzer = checkpoints.FUZZERS["vocab.txt"]
    first, second, other = (
        fuzzer(50, random.Random(seed), tmp_path / f"{number}") for number, seed in enumerate((1, 1, 2))
    )
    assert first == second != other


# A fuzzer sees what should not be


def test_weights_that_are_not_finite_are_a_fault(tmp_path, monkeypatch):
    fill = sys.modules["minbert.weights.fill"]  # the package has a function of this name
    mismatches = fill.mismatches

    def blind(*arguments, **named):
        return [line for line in mismatches(*arguments, **named) if not line.startswith("  NaN or Inf")]

    monkeypatch.setattr(fill, "mismatches", blind)
    outcomes = checkpoints.fuzz_safetensors(SHARE, random.Random(0), tmp_path)
    assert any("weights that are not finite" in outcome for outcome in outcomes)


def test_a_class_that_is_two_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "twin_labels", lambda values: [])
    outcomes = forms.fuzz_forms(SHARE, random.Random(0), tmp_path)
    assert any("fault: classes are mixed up" in outcome for outcome in outcomes)


def test_a_row_that_is_lost_is_a_fault(tmp_path, monkeypatch):
    add = examples.Examples.add
    monkeypatch.setattr(examples.Examples, "add", lambda self, *row: None if "row3" in row[1] else add(self, *row))
    outcomes = forms.fuzz_forms(20, random.Random(0), tmp_path)
    assert any("fault: 1 of 12 rows are lost" in outcome for outcome in outcomes)


def test_another_exception_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_files, "quoted", lambda text: 1 / 0)
    outcomes = checkpoints.fuzz_vocab(SHARE, random.Random(0), tmp_path)
    assert any(outcome.startswith("fault") and "ZeroDivisionError" in outcome for outcome in outcomes)


def test_code_that_is_run_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "unpickle", lambda path: path.with_name("canary").touch())
    outcomes = checkpoints.fuzz_bin(1, random.Random(0), tmp_path)
    assert list(outcomes) == ["fault in file 0: code was run"]


@pytest.mark.parametrize("message", ["elsewhere: is bad", "{}: is\nbad", "{}: is \x1b[2J", "{}: " + "x" * 20_000])
def test_a_message_of_another_kind_is_a_fault(tmp_path, message):
    def read():
        raise UserError(message.format(tmp_path))

    assert checkpoints.judge(7, tmp_path, read).startswith("fault in file 7: the message is ")


def test_faults_are_told_and_end_in_status_1(monkeypatch, capsys):
    broken = {"broken": lambda count, rng, folder: Counter({"refused": count - 1, "fault in file 3: KeyError: x": 1})}
    monkeypatch.setattr(fuzz, "fuzzers", lambda: broken)
    monkeypatch.setattr(fuzz, "limit_memory", lambda: None)
    assert fuzz.main(["--count", "5", "--seed", "9"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("broken: 5 tried, 4 refused, 1 faults; ")
    assert "\n  fault in file 3: KeyError: x  (python -m tests.stress.fuzz broken --seed 9 --count 5)\n" in out
    broken["broken"] = lambda count, rng, folder: [][count]
    assert fuzz.main([]) == 1
    assert "\n  fault: IndexError: list index out of range  (python" in capsys.readouterr().out
    with pytest.raises(UserError, match="no fuzzer is called other; there are broken"):
        fuzz.main(["other"])


# What is no ordinary file

FILES = ("config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors", "pytorch_model.bin")


def put_pipe(path):
    os.mkfifo(path)


def put_folder(path):
    path.mkdir()


def put_loop(path):
    path.symlink_to(path)


def put_endless(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [put_pipe, put_folder, put_loop, put_endless])
@pytest.mark.parametrize("file", FILES)
def test_what_is_no_file_is_refused_at_once(tiny_folder, file, put):
    if file == "pytorch_model.bin":
        (tiny_folder / "model.safetensors").unlink()
    (tiny_folder / file).unlink(missing_ok=True)
    put(tiny_folder / file)
    if file == "tokenizer_config.json" and put is put_loop:  # leads nowhere: as good as absent
        BertTokenizer.from_pretrained(tiny_folder)
        return
    missing = "model.safetensors" if file == "pytorch_model.bin" and put is put_loop else file
    with pytest.raises(UserError, match=rf"tiny(/{missing}: is not a file| holds no {missing})"):
        cli.load_tokenizer(tiny_folder, tiny_folder, BertSentClassifier.from_pretrained(tiny_folder).config)


def test_a_vocabulary_that_is_too_large(tiny_folder):
    with open(tiny_folder / "vocab.txt", "ab") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(UserError, match=r"vocab\.txt: has 16,777,217 bytes, but vocab\.txt may have up to 16,777,216$"):
        BertTokenizer.from_pretrained(tiny_folder)


def test_a_vocabulary_with_a_byte_order_mark_within(tiny_folder):
    """At the beginning it is none of the first token; elsewhere it makes another token of one."""
    data = (tiny_folder / "vocab.txt").read_bytes()
    (tiny_folder / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + data)
    assert BertTokenizer.from_pretrained(tiny_folder).vocab["[PAD]"] == 0
    (tiny_folder / "vocab.txt").write_bytes(data.replace(b"[UNK]", b"\xef\xbb\xbf[UNK]"))
    with pytest.raises(UserError, match=r"vocab\.txt: lacks \[UNK\]; is it a BERT vocabulary\?$"):
        BertTokenizer.from_pretrained(tiny_folder)


@pytest.mark.parametrize("odd", ["\u2028", "a\0b", "", " ", "\x85", "x" * 100_000])
def test_an_odd_token_is_a_token(tiny_folder, odd):
    vocab = [*VOCAB[:-1], odd]
    (tiny_folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer.from_pretrained(tiny_folder)
    assert [tokenizer.vocab[token] for token in vocab] == list(range(len(vocab)))
    assert tokenizer("the film " + odd)["input_ids"][:3] == [2, 5, 6]


@pytest.mark.filterwarnings("ignore:.*minbert does not know this setting")
def test_settings_as_deep_as_json_goes(tiny_folder):
    for depth in (500, 990, 1_000, 100_000):
        (tiny_folder / "tokenizer_config.json").write_text('{"x":' + "[" * depth + "]" * depth + "}")
        try:
            BertTokenizer.from_pretrained(tiny_folder)
        except UserError as error:
            assert str(error).startswith(f"{tiny_folder / 'tokenizer_config.json'}: not valid JSON")
            continue
        assert depth == 500 or sys.version_info >= (3, 12) or depth == 990


# Memory

MEASURE = """
import resource, sys
from minbert import BertSentClassifier, UserError, weights
from tests.stress.fuzz.__main__ import limit_memory
BertSentClassifier.from_pretrained(sys.argv[1])
limit_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[2:]:
    try:
        BertSentClassifier.from_pretrained(folder)
        print("read", folder)
    except UserError as error:
        print("refused", str(error).partition(chr(10))[0][-80:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
ABSURD = [
    {"vocab_size": 10_000_000, "hidden_size": 65_536, "num_attention_heads": 4_096},
    {"intermediate_size": 1_000_000, "num_hidden_layers": 1_000},
    {"max_position_embeddings": 1_000_000, "hidden_size": 3_000},
    {"max_position_embeddings": 1_000_000, "hidden_size": 3_000, "sinusoidal_positions": True},
    {"num_hidden_layers": 1_000},
    {"num_labels": 100_000, "id2label": None},
]


@pytest.mark.fault("weights: a safetensors file with a false header, or cut short")
def test_absurd_files_take_no_memory(tiny_folder, tmp_path):
    """A process of its own may take a GiB more than a good model took; it takes a fraction of that."""
    folders = []
    config, data = (
        json.loads((tiny_folder / "config.json").read_text()),
        (tiny_folder / "model.safetensors").read_bytes(),
    )
    lengths = [checkpoints.join(b"{}", b"", length) for length in (2**27, 2**32 - 1, 2**63, 2**64 - 1)]
    entry = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64]}
    files = [*lengths, checkpoints.join({"classifier.bias": entry}, b""), data[:-1]]
    for number, (sizes, file) in enumerate([(sizes, data) for sizes in ABSURD] + [({}, file) for file in files]):
        folders.append(tmp_path / f"{number}")
        folders[-1].mkdir()
        (folders[-1] / "config.json").write_text(json.dumps(config | sizes))
        (folders[-1] / "model.safetensors").write_bytes(file)
    bombs = [checkpoints.bomb(random.Random(seed)) for seed in range(40)]
    for number, bomb in enumerate(bombs):
        folders.append(tmp_path / f"bomb-{number}")
        folders[-1].mkdir()
        (folders[-1] / "config.json").write_text(json.dumps(config))
        (folders[-1] / "pytorch_model.bin").write_bytes(b"\x80\x02}" + checkpoints.word(b"a") + bomb + b"s.")
    arguments = [sys.executable, "-c", MEASURE, str(tiny_folder), *map(str, folders)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    *lines, kilobytes = done.stdout.splitlines()
    assert len(lines) == len(folders)
    assert [line for line in lines if not line.startswith("refused")] == []
    assert int(kilobytes) < 200_000, f"{kilobytes} kB more than a good model took"
