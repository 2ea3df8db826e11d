"""Mistakes on the command line: one line that names the thing and says what to do, before anything is read or made."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from minbert import BertForMaskedLM, BertTokenizer, training, weights
from minbert.__main__ import main
from minbert.commands import common
from minbert.commands.common import SCRIPTS
from minbert.commands.train import replaceable
from minbert.errors import UserError
from minbert.pretraining import corpus, fit
from minbert.runs import report, stages
from minbert.tasks import Task
from minbert.weights import hub
from tests.conftest import ROOT, VOCAB

COMMANDS = {script: command for command, script in SCRIPTS.items()}
TRAIN = ("train_classifier.py", "--model", "tiny", "--train", "train.csv")
PREDICT = ("predict.py", "--model", "tiny", "--text", "texts.txt")
PROBE = ("probe_lm.py", "--model", "words")
PRETRAIN = ("pretrain_lm.py", "--text", "texts.txt", "--steps", "1")

MISTAKES = [
    # A file that is not there, is a folder, is below a file, holds nothing, or cannot be unpacked
    (TRAIN, "--train trian.csv", "there is no file trian.csv; did you mean train.csv?"),
    (TRAIN, "--dev nowhere/dev.csv", "there is no file nowhere/dev.csv, nor a folder nowhere"),
    (TRAIN, "--test tiny", "tiny is a folder, not a file of examples"),
    (TRAIN, "--dev notes.txt/dev.csv", "notes.txt/dev.csv: cannot be read"),
    (TRAIN, "--dev empty.csv", "empty.csv: the file is empty"),
    (TRAIN, "--dev half.gz", "half.gz: cannot be read"),
    (PREDICT, "--text text.txt", "there is no file text.txt; did you mean texts.txt?"),
    (PREDICT, "--text tiny", "tiny is a folder, not a file of examples"),
    (PREDICT, "--text notes.txt/texts", "notes.txt/texts: cannot be read"),
    (PREDICT, "--text empty.csv", "empty.csv: the file is empty"),
    (PROBE, "--file text.txt", "there is no file text.txt; did you mean texts.txt?"),
    (PROBE, "--file tiny", "tiny is a folder, not a file of examples"),
    (PROBE, "--file empty.csv", "empty.csv: the file is empty"),
    (PROBE, "--show attention --file text.txt", "there is no file text.txt; did you mean texts.txt?"),
    (PRETRAIN, "--text text.txt", "text.txt: there is no such file"),
    (PRETRAIN, "--exclude tiny", "tiny: is a folder; name a file in it"),
    # A column, a label
    (TRAIN, "--label_column stance", "train.csv: no column stance; the columns are 'label', 'text'"),
    (TRAIN, "--text_column texts", "Did you mean text?"),
    (TRAIN, "--text_column tweet", "train.csv: no column tweet; the columns are 'label', 'text'"),
    (TRAIN, "--labels a=x b=x", "the labels name 'x' twice"),
    (PREDICT, "--text train.csv --text_column tweet", "no column tweet; the columns are 'label', 'text'"),
    # A place that cannot be written, or must not be
    (TRAIN, "--out notes.txt", "notes.txt is a file, not a folder"),
    (TRAIN, "--out notes.txt/x", "notes.txt/x/run.json: cannot be written (notes.txt is a file, not a folder)"),
    (TRAIN, f"--out {'x' * 300}", "cannot be written (File name too long)"),
    (TRAIN, "--out tiny", "tiny/model.safetensors is read in this run and would be overwritten: give another"),
    (TRAIN, "--test_out notes.txt/x", "notes.txt/x: cannot be written (notes.txt is a file, not a folder)"),
    (TRAIN, "--dev_out tiny", "tiny: cannot be written (Is a directory)"),
    (TRAIN, "--dev_out ./train.csv", "train.csv would be overwritten"),
    (TRAIN, "--dev_out same --filepath tiny/../same", "same would be overwritten"),
    (TRAIN, "--filepath tiny/vocab.txt", "tiny/vocab.txt exists and is not a checkpoint: name another file"),
    (TRAIN, "--filepath notes.txt", "notes.txt exists and is not a checkpoint: name another file with --filepath"),
    (TRAIN, "--filepath papers.zip", "papers.zip exists and is not a checkpoint"),
    (PREDICT, "--out texts.txt", "texts.txt would overwrite what is read here: give another file with --out"),
    (PREDICT, "--out tiny", "tiny is a folder: --out should be a file"),
    (PREDICT, "--out notes.txt/x.csv", "notes.txt/x.csv: cannot be written (notes.txt is a file, not a folder)"),
    (PREDICT, "--out tiny/vocab.txt", "tiny/vocab.txt would overwrite what is read here"),
    (PRETRAIN, "--out tiny", "tiny is not empty, and would be written over: name another folder with --out"),
    (PRETRAIN, "--out notes.txt", "notes.txt is a file, not a folder"),
    (PRETRAIN, "--out notes.txt/x", "notes.txt/x: cannot be written"),
    # A model
    (
        TRAIN,
        "--model tinny",
        "there is no model tinny: no such folder, nothing in checkpoints/tinny; did you mean tiny?",
    ),
    (TRAIN, "--model bert-base-uncasd", "did you mean bert-base-uncased?"),
    (TRAIN, "--model notes.txt", "notes.txt is a file; name the folder of a model"),
    (TRAIN, "--model checkpoints", "checkpoints holds no config.json and no model.safetensors"),
    (TRAIN, "--model many", "many: vocab.txt has 29 tokens, but the model has vectors for 28"),
    (TRAIN, "--model newer", "newer/config.json: written by a newer minbert (format 2; this one knows 1): update"),
    (PREDICT, "--model tinny", "did you mean tiny?"),
    (PREDICT, "--model many", "many: vocab.txt has 29 tokens, but the model has vectors for 28"),
    (PREDICT, "--model newer", "written by a newer minbert"),
    (PROBE, "--model wrods", "did you mean words?"),
    (PROBE, "--model newer", "written by a newer minbert"),
    (PRETRAIN, "--model tinny", "did you mean tiny?"),
    (PRETRAIN, "--model newer", "written by a newer minbert"),
    (PRETRAIN, "--teacher newer", "written by a newer minbert"),
    (TRAIN, "--eval_only --train= --dev train.csv", "--train is empty"),
    # A number
    (TRAIN, "--max_length 41", "--max_length is 41, but tiny has 40 positions: give 40 or less"),
    (TRAIN, "--max_length 2", "--max_length: 2 is not 3 or more"),
    (TRAIN, "--epochs 0", "--epochs: 0 is not 1 or more"),
    (TRAIN, "--epochs 1e3", "--epochs: invalid whole number value: '1e3'"),
    (TRAIN, "--batch_size 99999999999999999999", "--batch_size: 99999999999999999999 is too large"),
    (TRAIN, "--lr 5", None),  # no mistake: the next line would also pass if every number were refused
    (TRAIN, "--lr 50", "--lr: 50 is not above 0 and below 10"),
    (TRAIN, "--weight_decay inf", "--weight_decay: inf is not 0 or more"),
    (TRAIN, "--warmup 1e12", "--warmup: 1e12 is too large"),
    (PREDICT, "--max_length 41", "--max_length is 41, but tiny has 40 positions: give 40 or less"),
    (PREDICT, "--shard 3/99999999999999999999", "3/99999999999999999999 is not I/N"),
    (PROBE, "--top many", "--top: invalid whole number value: 'many'"),
    (PRETRAIN, "--model tiny --max_length 41", "--max_length is 41, but tiny has 40 positions"),
    (PRETRAIN, "--batch_tokens 1e9", "--batch_tokens: invalid whole number value: '1e9'"),
    # A word to choose
    (TRAIN, "--schedule liner", "invalid choice: 'liner' (choose from 'linear', 'constant'); did you mean linear?"),
    (TRAIN, "--option flexibel", "flexibel is neither pretrain nor flexible; did you mean flexible?"),
    (TRAIN, "--option finetun", "did you mean finetune?"),
    (TRAIN, "--pooling Pooler", "did you mean pooler?"),
    (TRAIN, "--device gpu", "'gpu' (choose from 'auto', 'cpu', 'cuda', 'mps')"),
    (PREDICT, "--precision bf61", "did you mean bf16?"),
    (PROBE, "--show attentoin", "did you mean attention?"),
    (PROBE, "--fill nothing", "the text has no [MASK]: write one"),
    (PROBE, "--prompt nothing", "the prompt 'nothing' needs one {}"),
    (PROBE, "--words good q1x", "the model's vocabulary cannot spell 'q1x': choose another word"),
    (PROBE, "--compare good q1x", "cannot spell 'q1x'"),
    (PRETRAIN, "--precision fp3", "did you mean fp32?"),
    # A flag
    (TRAIN, "--epoch=3", "--epoch=3; did you mean --epochs?"),
    (TRAIN, "-epochs 3", "did you mean --epochs?"),
    (TRAIN, "--nonsense", "unrecognized arguments: --nonsense (--help lists all flags)"),
    (("predict.py",), "--modle tiny --text texts.txt", "unrecognized arguments: --modle; did you mean --model?"),
    (
        ("predict.py",),
        "--model tiny",
        "there is nothing to label: give --sentence TEXT or --text FILE (--help lists all",
    ),
    (PROBE, "--fil [MASK]", "did you mean --file or --fill?"),
    (PRETRAIN, "--txt texts.txt", "did you mean --text?"),
    (TRAIN, "--precision int8", "--precision int8 is for inference on a CPU; add --eval_only, and leave out the GPU"),
    (TRAIN[:3], "--eval_only --plain --precision int8", "leave out --plain or --precision int8"),
    # A GPU
    (TRAIN, "--device cuda", "there is no cuda device here"),
    (PREDICT, "--device cuda", "there is no cuda device here"),
    (PRETRAIN, "--device cuda", "there is no cuda device here"),
]


@pytest.fixture
def place(tmp_path, tiny, tiny_folder, monkeypatch):
    """A working directory with models and files, good and bad."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("checkpoints").mkdir()
    BertForMaskedLM(tiny).save_pretrained("words")
    BertTokenizer(VOCAB).save_pretrained("words")
    for name in ("many", "newer"):
        shutil.copytree("tiny", name)
    with open("many/vocab.txt", "a") as file:
        file.write("extra\n")
    config = json.loads(Path("newer/config.json").read_text())
    Path("newer/config.json").write_text(json.dumps(config | {"minbert_format": 2}))
    Path("train.csv").write_text("label,text\npositive,good\nnegative,bad\n")
    Path("texts.txt").write_text("good\nbad\n")
    Path("notes.txt").write_text("mine")
    Path("empty.csv").write_text("\n\n")
    Path("half.gz").write_bytes(gzip.compress(b"good\n" * 100)[:-12])
    with zipfile.ZipFile("papers.zip", "w") as file:
        file.writestr("paper.txt", "mine")


class Reached(Exception):
    """What comes after the last check has begun."""


@pytest.fixture
def answer(place, monkeypatch, capsys):
    """answer("predict.py", "--modle", ...) -> status, stderr; Reached if weights are read, or a text is encoded."""

    def reached(*arguments, **options):
        raise Reached

    monkeypatch.setattr(weights, "read_tensors", reached)
    monkeypatch.setattr(training, "predict", reached)
    monkeypatch.setattr(stages, "encode", reached)
    monkeypatch.setattr(stages, "train", reached)
    monkeypatch.setattr(Task, "encode", reached)
    monkeypatch.setattr(corpus, "read_texts", reached)
    monkeypatch.setattr(fit, "begin", reached)

    def answer(program, *words):
        monkeypatch.setattr("sys.argv", [program, *words])
        monkeypatch.setattr("sys.stdin", None)
        status = main([COMMANDS[program], *words])
        return status, capsys.readouterr().err

    return answer


def everything():
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}


@pytest.mark.fault("weights: a vocabulary with duplicates, odd line ends or no [UNK]")
@pytest.mark.fault("command line: an output that would overwrite or cannot be written")
@pytest.mark.fault("command line: a file, column, number, choice or flag that is wrong")
@pytest.mark.fault("device: a GPU that is missing or unusable")
@pytest.mark.parametrize(("command", "words", "said"), MISTAKES, ids=[f"{row[0][0]} {row[1]}"[:60] for row in MISTAKES])
def test_a_mistake_is_answered_by_one_line_before_weights_are_read(answer, command, words, said):
    before = everything()
    if said is None:
        with pytest.raises(Reached):
            answer(*command, *words.split())
        return
    status, err = answer(*command, *words.split())
    assert said in err
    assert (status, err.count("\n")) == (2, 1) and err.startswith("error: ")
    assert everything() == before


@pytest.mark.parametrize("command", [TRAIN, PREDICT, PROBE, PRETRAIN], ids=lambda command: command[0])
def test_without_a_mistake_work_begins(answer, command):
    with pytest.raises(Reached):
        answer(*command)


@pytest.mark.fault("command line: a file, column, number, choice or flag that is wrong")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--test test.csv", "there is no file test.csv"),
        ("--dev tiny", "tiny is a folder"),
        ("--dev notes.txt/dev.csv", "notes.txt/dev.csv: cannot be read"),
        ("--out notes.txt", "notes.txt is a file"),
    ],
)
def test_the_paths_are_looked_at_before_the_training_file_is_read_or_a_model_sought(answer, monkeypatch, words, said):
    def reached(*arguments):
        raise Reached

    monkeypatch.setattr(stages, "read_data", reached)
    monkeypatch.setattr(hub, "find", reached)  # which may download it
    status, err = answer(*TRAIN, *words.split())
    assert status == 2 and said in err


@pytest.mark.fault("tables: labels unknown, missing, all the same or in another order")
def test_more_labels_than_a_trained_model_knows(answer):
    command = ("train_classifier.py", "--eval_only", "--model", "tiny", "--dev", "train.csv", "--labels", "a", "b", "c")
    status, err = answer(*command)
    said = "--labels names 3 classes, but tiny knows 2: negative, positive; leave --labels out to use these"
    assert (status, err) == (2, f"error: {said}\n")


def test_a_label_that_is_not_among_those_named(answer):
    status, err = answer(*TRAIN, "--labels", "positive")
    assert status == 2 and "train.csv:3: label 'negative' is not one of: positive" in err


@pytest.mark.fault("command line: an output that would overwrite or cannot be written")
def test_what_may_be_overwritten_with_a_checkpoint(place):
    torch.save({"model": {}}, "old.pt")
    Path("empty.pt").touch()
    for name in ("old.pt", "empty.pt", "new.pt"):
        assert replaceable(Path(name)), name
    for name in ("notes.txt", "papers.zip", "half.gz"):
        assert not replaceable(Path(name)), name


@pytest.mark.fault("command line: no permission to read or write")
@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (TRAIN, "--dev secret.csv", "secret.csv: cannot be read"),
        (TRAIN, "--out locked/out", "locked/out/run.json: cannot be written (Permission denied)"),
        (TRAIN, "--dev_out secret.csv", "secret.csv: cannot be written (Permission denied)"),
        (PREDICT, "--text secret.csv", "secret.csv: cannot be read"),
        (PREDICT, "--out locked/x.csv", "locked/x.csv: cannot be written (Permission denied)"),
    ],
)
def test_what_may_not_be_read_or_written(answer, command, words, said):
    Path("secret.csv").write_text("label,text\n")
    Path("secret.csv").chmod(0)
    Path("locked").mkdir(mode=0o500)
    if os.access("secret.csv", os.R_OK):
        pytest.skip("permissions do not bind root")
    status, err = answer(*command, *words.split())
    assert status == 2 and said in err and err.count("\n") == 1


@pytest.mark.fault("command line: no permission to read or write")
def test_a_place_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    """As above, for root too: the system's answer is made up."""
    (tmp_path / "file").touch()
    report.writable(tmp_path / "file")
    report.writable(tmp_path / "new" / "file")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for name in ("file", "new/file"):
        with pytest.raises(UserError, match=rf"{name}: cannot be written \(Permission denied\)"):
            report.writable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pipe_is_not_opened_before_it_is_read(tmp_path):
    """Opened and closed, it would lose what is sent through it, or wait for a sender forever."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "pipe")
    common.readable(tmp_path / "pipe")


@pytest.mark.fault("numbers: too little memory for a long batch")
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_a_full_memory_is_answered_by_one_line(error, capsys):
    def main(arguments):
        raise error

    assert common.run(main) == 2
    assert capsys.readouterr().err == "error: the memory is full; a smaller --batch_size or --max_length needs less\n"


def test_other_errors_keep_their_traceback():
    def main(arguments):
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="ours"):
        common.run(main)


def test_programs_begin_without_what_few_of_them_need():
    """matplotlib, scikit-learn and the hub's client take longer to load than all the rest but torch."""
    heavy = ("matplotlib", "sklearn", "scipy", "pandas", "huggingface_hub", "torch._dynamo")
    modules = "train_classifier, predict, probe_lm, pretrain_lm"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.fault("command line: a file, column, number, choice or flag that is wrong")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict.py", "--modle", "tiny"], "did you mean --model?"),
        (
            ["train_classifier.py", "--model", "tiny", "--train", "train.csv", "--out", "notes.txt/x"],
            "is a file, not a",
        ),
    ],
)
def test_as_a_process(place, words, said):
    before = everything()
    command = [sys.executable, str(ROOT / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
    assert everything() == before
