"""minbert translate: what it prints and writes, what it refuses, and training that is killed and goes on."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch

from minbert import translation
from minbert.__main__ import main
from minbert.chrf import chrf
from minbert.commands import translate
from minbert.runs.state import STATE
from tests import translators
from tests.conftest import ROOT
from tests.families import tiny_gpt

FLAGS = ["--vocab_size", "50", "--layers", "1", "--hidden", "32", "--heads", "2", "--max_length", "32"]
FLAGS += ["--epochs", "2", "--batch_size", "16", "--lr", "0.01", "--seed", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a small translator of numbers."""
    folder = tmp_path_factory.mktemp("numbers")
    model, tokenizer, _ = translators.trained()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(folder, capsys):
    """run("--sentence", "x") -> exit status, standard output, standard error"""

    def run(*words):
        status = main(["translate", "--model", str(folder), *map(str, words)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def pairs(tmp_path):
    translators.write_pairs(tmp_path / "pairs.tsv", [n for n in translators.NUMBERS if n not in translators.HELD_OUT])
    translators.write_pairs(tmp_path / "dev.tsv", translators.HELD_OUT)
    return tmp_path


def library(*texts, **search):
    model, tokenizer, _ = translators.trained()
    return [translation.joined(text, tokenizer) for text in translation.translate(model, tokenizer, texts, **search)]


def stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_sentences_are_answered_in_their_order(run):
    status, out, err = run("--sentence", "sixty-one", "--sentence", "twenty-two. Forty-three.")
    assert (status, out.splitlines()) == (0, library("sixty-one", "twenty-two. Forty-three."))
    assert re.fullmatch(r"2 lines, 4 beams, \d+\.\d s \([\d,]+ tokens/s\)\n", err)


def test_a_file_is_translated_line_by_line_and_empty_lines_stay(run, tmp_path):
    lines = ["fifty-six", "", "a, b, c", "  ", "ninety-eight. Sixty-one.", "fifty-six"]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    status, out, err = run("--text", tmp_path / "in.txt", "--out", tmp_path / "out.txt", "--beams", "2")
    assert (status, out) == (0, "") and err.startswith("6 lines, 2 beams")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "".join(f"{t}\n" for t in library(*lines, beams=2))
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()[1] == ""


def test_more_lines_than_are_held_at_once(run, tmp_path, monkeypatch):
    monkeypatch.setattr(translate, "WINDOW", 3)
    sources, _ = translators.columns(translators.NUMBERS[:10])
    (tmp_path / "in.txt").write_text("\n".join(sources), encoding="utf-8")
    assert run("--text", tmp_path / "in.txt")[1].splitlines() == library(*sources)


def test_the_standard_input(run, monkeypatch):
    for flags in (("--sentence", "-"), ("--text", "-")):
        stdin(monkeypatch, b"fifty-six\n\nsixty-one\n")
        status, out, _ = run(*flags)
        assert (status, out.splitlines()) == (0, library("fifty-six", "", "sixty-one"))


def test_show_beams_lists_them_with_their_scores(run):
    status, out, _ = run("--sentence", "sixty-one", "--show", "beams", "--beams", "3", "--length_penalty", "0.5")
    model, tokenizer, _ = translators.trained()
    (text,) = translation.translate(model, tokenizer, ["sixty-one"], beams=3, length_penalty=0.5)
    expected = [f"  {score:8.4f}  {tokenizer.decode(ids, True)}" for score, ids in text[0].beams]
    assert (status, out.splitlines()) == (0, ["sixty-one", *expected]) and len(expected) == 3


def test_show_attention_has_a_line_for_each_piece_that_fits_the_screen(run):
    status, out, _ = run("--sentence", "fifty-eight", "--show", "attention")
    first, *lines = out.splitlines()
    model, tokenizer, _ = translators.trained()
    (sentence,) = translation.translate(model, tokenizer, ["fifty-eight"])[0]
    pieces = [tokenizer.show(id).strip() for id in sentence.ids]
    assert (status, first) == (0, "fifty-eight")
    assert [line.split()[0] for line in lines] == [tokenizer.show(id).strip() for id in sentence.beams[0][1]]
    for line, shares in zip(lines, translation.looks(model, sentence)):
        assert len(line) <= 80
        shown = re.findall(r"(\S+) (\d+)%", line)
        assert shown[0] == (pieces[shares.argmax()], f"{100 * shares.max().item():.0f}")
        assert [int(share) for _, share in shown] == sorted((int(share) for _, share in shown), reverse=True)


def test_gold_gives_scores(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    sources, targets = translators.columns(translators.HELD_OUT)
    targets[0] = "anders"
    (tmp_path / "in.txt").write_text("\n".join(sources), encoding="utf-8")
    (tmp_path / "gold.txt").write_text("\n".join(targets), encoding="utf-8")
    translators.write_pairs(tmp_path / "pairs.tsv", translators.HELD_OUT)
    status, out, err = run("--text", tmp_path / "in.txt", "--gold", tmp_path / "gold.txt")
    found = library(*sources)
    exact = sum(map(str.__eq__, found, targets)) / 10
    assert (status, out.splitlines()) == (0, found) and exact < 1
    scores = f"10 translations: exact {exact:.3f}, chrF {chrf(found, targets):.1f}; BLEU needs sacrebleu"
    assert err.splitlines()[-1].startswith(scores)
    words = ["--text", tmp_path / "pairs.tsv", "--text_column", "source", "--pair_column", "target"]
    status, out, err = run(*words, "--out", tmp_path / "out.txt")
    assert status == 0 and out.startswith(f"10 translations: exact {exact + 0.1:.3f}")


def test_bleu_is_sacrebleus(run, tmp_path):
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs sacrebleu, which computes BLEU")
    bleu = sacrebleu.corpus_bleu(["a b c d e"], [["a b c d f"]]).score
    assert translate.scores(["a b c d e"], ["a b c d f"]).endswith(f", BLEU {bleu:.1f}")


def test_a_line_that_is_cut_is_said(run):
    status, _, err = run("--sentence", "one-" * 100, "--max_length", "8")
    assert status == 0
    assert "warning: 1 line had a sentence longer than 32 tokens, and it was cut" in err


def test_hostile_lines_each_have_an_answer(run, tmp_path):
    lines = ["e" * 10_000_000, "שלום", "a\x01\x1b[31mb\u202e", "fifty-six", "😀" * 99, "=1+1", "-"]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    status, out, err = run("--text", tmp_path / "in.txt", "--beams", "1", "--max_length", "6")
    assert status == 0 and err.splitlines()[-1].startswith("7 lines, 1 beam,")
    assert len(out.split("\n")) == len(lines) + 1
    assert out.split("\n")[3] == library("fifty-six", beams=1, max_length=6)[0]


@pytest.mark.fault("texts: a line to translate that is not UTF-8")
@pytest.mark.parametrize("line", [b"\xff\xfe\xfa", b"a\0b"])
def test_bytes_that_are_no_text_are_named_by_line(run, tmp_path, line):
    (tmp_path / "in.txt").write_bytes(b"fifty-six\n" + line + b"\n")
    status, _, err = run("--text", tmp_path / "in.txt", "--out", tmp_path / "out.txt")
    assert status == 2 and f"{tmp_path / 'in.txt'}:2: " in err and not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "--sentence TEXT and --text FILE are what is translated: give one of them"),
        (["--sentence", "a", "--text", "b"], "are two questions: ask one of them"),
        (["--sentence", "a", "--gold", "b"], "--gold is for --text: leave it out"),
        (["--sentence", "a", "--text_column", "b"], "--text_column is for --text"),
        (["--sentence", "a", "--sentence", "-"], "leave the others out"),
        (["--text", "a", "--pair_column", "b"], "--pair_column needs --text_column NAME"),
        (["--text", "-", "--gold", "-"], "cannot both be the standard input"),
        (["--text", "nowhere.txt"], "there is no file nowhere.txt"),
        (["--sentence", "a", "--epochs", "3"], "--epochs is for training: leave it out, or give --train FILE"),
        (["--sentence", "a", "--seed", "3"], "--seed is for training"),
        (["--sentence", "a", "--int8"], "--int8 is for training"),
        (["--sentence", "a", "--plain"], "--plain is for training"),
        (["--sentence", "a", "--max_length", "99"], "has 32 positions: give 32 or less"),
        (["--sentence", "a", "--language", "fra"], "the model has no token >>fra<<: it has one target language"),
        (["--sentence", "a", "--beams", "0"], "0 is not from 1 to 64"),
        (["--sentence", "a", "--show", "beam"], "did you mean beams?"),
    ],
)
def test_what_is_refused(run, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert (status, out) == (2, "") and said in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.csv.gz", "a.jsonl"])
def test_a_table_is_not_taken_for_lines(run, tmp_path, name):
    """Its header and its commas would be translated, too."""
    (tmp_path / name).write_text("text\ntwenty one\n")
    status, out, err = run("--text", tmp_path / name)
    assert (status, out) == (2, "") and "looks like a table: name a column with --text_column" in err


def test_gold_of_another_length_is_refused(run, tmp_path):
    (tmp_path / "in.txt").write_text("a\nb\n")
    (tmp_path / "gold.txt").write_text("a\n")
    status, _, err = run("--text", tmp_path / "in.txt", "--gold", tmp_path / "gold.txt")
    assert status == 2 and "in.txt has 2 texts, but " in err and "gold.txt 1 line" in err


@pytest.mark.fault("weights: a model that does not translate is given to translate")
def test_models_that_do_not_translate_are_refused(capsys, tmp_path):
    tiny_gpt.write(tmp_path / "gpt2")
    for name, title in (("tiny", "BERT"), (str(tmp_path / "gpt2"), "GPT-2")):
        assert main(["translate", "--model", name, "--sentence", "a"]) == 2
        assert f"{name}: there is no translation model of {title} here" in capsys.readouterr().err
    assert main(["translate", "--model", "nowhere/at-all", "--sentence", "a"]) == 2
    assert "nowhere/at-all" in capsys.readouterr().err


# Training


def train(place, *words, out="out"):
    words = ["translate", "--train", place / "pairs.tsv", "--dev", place / "dev.tsv", "--out", place / out, *words]
    return main([*map(str, words), *FLAGS])


def test_a_run_leaves_a_model_and_its_record(pairs, capsys):
    assert train(pairs) == 0
    out, folder = capsys.readouterr().out, pairs / "out"
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "source.spm", "target.spm"),
        *("tokenizer_config.json", "vocab.json", "translation.json"),
    }
    record = json.loads((folder / "translation.json").read_text(encoding="utf-8"))
    assert record["finished"] and record["text"]["train_pairs"] == 62 and len(record["history"]) == 2
    last = record["history"][-1]
    assert f"epoch 2  {last['train_seconds']:.0f} s  loss {last['loss']:.4f}  dev loss {last['dev_loss']:.4f}" in out
    assert "minbert translate --model" in out.splitlines()[-1]
    assert main(["translate", "--model", str(folder), "--sentence", "sixty-one"]) == 0


def test_two_runs_with_one_seed_end_with_the_same_bits(pairs):
    """However often they save on the way."""
    assert train(pairs, out="one") == 0
    assert train(pairs, "--save_minutes", "0", out="two") == 0
    one, two = (safetensors.torch.load_file(pairs / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)


def test_stored_in_eight_bits_it_takes_a_quarter(pairs):
    assert train(pairs) == train(pairs, "--int8", out="small") == 0
    sizes = [(pairs / name / "model.safetensors").stat().st_size for name in ("out", "small")]
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.fault("saving: a translator's training is killed")
def test_a_run_that_was_killed_goes_on_to_the_same_bits(pairs):
    assert train(pairs) == 0
    words = [sys.executable, "-m", "minbert", "translate", "--train", "pairs.tsv", "--dev", "dev.tsv"]
    words += ["--out", "killed", "--save_minutes", "0", *FLAGS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, cwd=pairs, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (pairs / "killed" / STATE).exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with contextlib.chdir(pairs) if hasattr(contextlib, "chdir") else contextlib.nullcontext():
        assert main(["translate", "--resume", "killed"]) == 0
    one, two = (safetensors.torch.load_file(pairs / name / "model.safetensors") for name in ("out", "killed"))
    assert one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)
    assert not (pairs / "killed" / STATE).exists()


@pytest.mark.fault("saving: Ctrl-C in a translator's training")
def test_ctrl_c_saves_and_says_how_to_go_on(pairs, capsys, monkeypatch):
    from minbert.pretraining.translator import Translation

    loss = Translation.loss

    def interrupted(self, progress):
        if progress["steps"] == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, progress)

    monkeypatch.setattr(Translation, "loss", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert train(pairs) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped; go on with: minbert translate --resume" in capsys.readouterr().err.replace("python -m ", "")
    assert (pairs / "out" / STATE).exists()
    assert train(pairs) == 2
    assert "holds a stopped run: go on with --resume" in capsys.readouterr().err
    monkeypatch.setattr(Translation, "loss", loss)
    (pairs / "dev.tsv").write_text((pairs / "dev.tsv").read_text(encoding="utf-8") + "one\teins\n", encoding="utf-8")
    assert main(["translate", "--resume", str(pairs / "out")]) == 2
    assert "the pairs have changed since the run in" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["learn_tokenizer", "encode", "begin"])
def test_ctrl_c_before_the_first_step_saves_nothing_and_the_same_command_begins_anew(pairs, capsys, monkeypatch, where):
    from minbert.pretraining import translator

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(translator, where, interrupted)
        assert train(pairs) == 130
    said = "stopped before the first step: nothing was saved, and the same command begins anew"
    assert said in capsys.readouterr().err
    assert train(pairs) == 0


@pytest.mark.parametrize(
    "words, said",
    [
        (["--train", "nowhere.tsv"], "there is no file nowhere.tsv"),
        (["--train", "pairs.tsv", "--sentence", "a"], "--sentence is for translating: leave it out with --train"),
        (["--train", "pairs.tsv", "--beams", "2"], "--beams is for translating"),
        (["--train", "pairs.tsv", "--half", "--int8"], "--half and --int8 are two ways"),
        (["--train", "pairs.tsv", "--hidden", "30"], "--hidden is 30, but must be even and 4 heads must divide it"),
        (["--train", "pairs.tsv", "--text_column", "x"], "pairs.tsv: no column x; the columns are"),
        (["--train", "one-sided.tsv"], "one-sided.tsv:3: "),
        (["--train", "pairs.tsv", "--out", "full"], "full is not empty, and would be written over"),
        (["--train", "pairs.tsv", "--out", "pairs.tsv"], "pairs.tsv is a file, not a folder"),
        (["--train", "pairs.tsv", "--vocab_size", "9"], "different characters, but there is room for 6 pieces"),
        (["--resume", "full"], "full holds no translation.json: no run of translate --train began there"),
        (["--resume", "full", "--epochs", "3"], "--resume goes on as the run began: leave out --epochs"),
    ],
)
def test_what_training_refuses(pairs, words, said, capsys, monkeypatch):
    monkeypatch.chdir(pairs)
    (pairs / "one-sided.tsv").write_text("source\ttarget\none\teins\ntwo\t\n")
    (pairs / "full").mkdir()
    (pairs / "full" / "notes.txt").touch()
    status, (_, err) = main(["translate", *words]), capsys.readouterr()
    assert status == 2 and said in err and err.count("\n") == 1
    assert not (pairs / "runs").exists() or not any((pairs / "runs").rglob("*.spm"))
