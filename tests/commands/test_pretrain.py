"""The command line from end to end: small texts, tiny models, every file and message that a run leaves."""

import gzip
import io
import json
import logging
import random
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
import safetensors.torch
import torch

import minbert
from minbert import BertForMaskedLM, BertForPreTraining, BertModel, BertSentClassifier, BertTokenizer, fast
from minbert.__main__ import main
from minbert.commands.common import SCRIPTS
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.pretraining import corpus, stages
from minbert.runs import loop, plots, report, state
from minbert.tokenizer import SPECIAL
from minbert.tokenizers import ByteBPETokenizer

TOKENS = "bert.embeddings.word_embeddings.weight"
MODEL = {"model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json"}
LEFT = MODEL | {"pretraining.json", "loss.svg"}
SMALL = (
    *("--vocab_size", "60", "--layers", "1", "--hidden", "12", "--heads", "2", "--max_length", "16"),
    *("--batch_tokens", "2048", "--steps", "5", "--device", "cpu"),
)
WORDS = [
    *("the", "film", "was", "not", "good", "bad", "a", "plot", "story", "actor", "scene", "ending", "music", "funny"),
    *("dull", "long", "great", "poor", "and", "it"),
]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def sentences(number, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=14)) + "." for _ in range(number)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with texts.txt."""
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("\n".join(sentences(200)) + "\n", encoding="utf-8")


@pytest.fixture
def drawn(monkeypatch):
    """A picture takes longer than all the rest: only one test looks at a real one."""
    monkeypatch.setattr(plots, "loss_curve", lambda history, path: path.write_text("<svg/>"))


@pytest.fixture
def run(place, drawn, monkeypatch, capsys):
    """run("--text", "texts.txt") -> Ran: what the program answers to this command line."""
    level = logging.getLogger("minbert").level

    def run(*arguments, command="pretrain"):
        monkeypatch.setattr("sys.argv", [SCRIPTS.get(command, command), *arguments])
        status = main([command, *arguments])
        return Ran(status, *capsys.readouterr())

    yield run
    logging.getLogger("minbert").setLevel(level)


@pytest.fixture
def make(run):
    """The same for a small run on texts.txt that ends well; what it writes goes to out/."""

    def make(*arguments, text=("--text", "texts.txt"), small=SMALL):
        ran = run(*text, *small, "--out", "out", *arguments)
        assert ran.status == 0, ran.err
        return ran

    return make


def everything():
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}


@pytest.fixture
def refused(run):
    """The same for a run that must be refused; returns what it says on stderr.

    Exit status 2, one line, and every file is as it was: nothing new, nothing lost, nothing half-written.
    """

    def refused(*arguments, text=("--text", "texts.txt"), small=SMALL):
        before = everything()
        status, _, err = run(*text, *small, "--out", "out", *arguments)
        assert status == 2, err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert everything() == before
        return err

    return refused


def record(folder="out"):
    return json.loads(Path(folder, "pretraining.json").read_text(encoding="utf-8"))


def config(folder="out"):
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))


def tensors(folder="out"):
    return safetensors.torch.load_file(f"{folder}/model.safetensors")


def new_model(*without):
    """Sizes of a new model are settled by --model: SMALL without these flags"""
    kept = [SMALL[at : at + 2] for at in range(0, len(SMALL), 2) if SMALL[at] not in without]
    return [word for pair in kept for word in pair]


GOING_ON = new_model("--vocab_size", "--layers", "--hidden", "--heads")


# What a run leaves


def test_one_folder_holds_all_that_a_run_leaves(make):
    make("--whole_words", "--dropout", "0.1", "--mask", "0.3")
    assert {file.name for file in Path("out").iterdir()} == LEFT
    assert {path.name for path in Path().iterdir()} == {"texts.txt", "out"}


def test_the_folder_is_a_model_like_any_other(make):
    make()
    tokenizer = BertTokenizer.from_pretrained("out")
    assert len(tokenizer) == 60
    assert list(tokenizer.vocab)[:5] == list(SPECIAL)
    assert (tokenizer.lower_case, tokenizer.max_length) == (True, 16)
    model = BertForMaskedLM.from_pretrained("out")
    assert not model.loaded.new or model.loaded.new == []
    assert (
        vars(model.config).items()
        >= {
            "vocab_size": 60,
            "hidden_size": 12,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "max_position_embeddings": 16,
            "pooling": "mean",
        }.items()
    )
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == 0.1  # to learn more with
    assert config()["architectures"] == ["BertForMaskedLM"]
    assert BertModel.from_pretrained("out").config.hidden_size == 12
    assert BertSentClassifier.from_pretrained("out").config.pooling == "mean"


def test_the_other_programs_take_it(make, run):
    make()
    Path("train.csv").write_text("label,text\n" + "".join(f"{n % 2},{s}\n" for n, s in enumerate(sentences(8))))
    ran = run("--model", "out", "--train", "train.csv", "--epochs", "1", "--out", "c", command="train")
    assert ran.status == 0, ran.err
    ran = run("--model", "out", "--fill", "the film was [MASK].", "--top", "3", command="probe")
    assert ran.status == 0, ran.err


def test_the_record_says_what_was_asked_on_what_with_what_and_what_came_out(make):
    make("--seed", "7", "--steps", "8", "--lr", "0.01")
    kept = record()
    assert kept["finished"] is True
    assert kept["arguments"].items() >= {"text": ["texts.txt"], "steps": 8, "seed": 7, "lr": 0.01, "out": "out"}.items()
    assert kept["arguments"].items() >= {"minutes": None, "hidden": 12, "mask": 0.15, "precision": "fp32"}.items()
    tokenizer = BertTokenizer.from_pretrained("out")
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) + 1 for text in sentences(200))
    digests = kept["text"].pop("sha256")
    assert kept["text"] == {"texts": 200, "tokens": tokens, "left_out": 0}
    assert list(digests) == ["train.ids", "heldout.ids"] and all(len(digest) == 64 for digest in digests.values())
    assert [figures["steps"] for figures in kept["history"]] == list(range(1, 9))
    assert kept["history"][-1].keys() >= {"tokens", "seconds", "loss", "accuracy", "heldout_loss", "heldout_accuracy"}
    assert kept["versions"].items() >= {"minbert": minbert.__version__, "torch": torch.__version__}.items()
    assert kept["machine"]["threads"] == torch.get_num_threads()


def test_what_a_person_reads(make):
    ran = make("--steps", "10")
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert re.fullmatch(r"minbert \S+, torch \S+, cpu, \d+ threads", lines[0])
    assert re.fullmatch(r"text   200 texts, [\d,]+ tokens of 60 kinds", lines[1])
    numbers = sum(tensor.numel() for tensor in tensors().values())
    assert lines[2] == f"model  1 layer, hidden size 12, 2 heads, {numbers:,} parameters"
    assert lines[3] == "training for 10 steps, 2048 tokens a step, learning rate 0.001, fp32"
    measured = [figures for figures in record()["history"] if "heldout_loss" in figures]
    assert len(measured) == 2
    for line, figures in zip(lines[4:6], measured):
        spent = f"{figures['spent']:.0%}"
        loss, held = figures["loss"], figures["heldout_loss"]
        assert re.fullmatch(
            rf" +{spent} .*{figures['steps']} steps .*loss {loss:.3f}  held-out loss {held:.3f}, .*", line
        )
    assert lines[6] == f"written to out: {', '.join(sorted(LEFT))}"
    assert "train_classifier.py --model out" in lines[7] and "probe_lm.py --model out" in lines[8]


def test_on_a_terminal_there_is_a_bar(make, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    make()
    shown = terminal.getvalue().split("\r")
    for name in ("counting words: 200 texts", "learning vocabulary: 100%", "packing: 200 texts"):
        assert any(name in line for line in shown), name
    bars = [line for line in shown if "tokens/s" in line and "vocabulary" not in line]
    assert bars
    for bar in bars:
        assert re.fullmatch(r" *\d+% \|.+\| [\d,]+ tokens/s, loss \d\.\d{3}, lr \d\.\de[+-]\d\d, 0 min left *", bar)


def test_the_loss_curve_is_a_picture_with_the_figures_run_through(place, monkeypatch):
    history = [{"tokens": 1e6 * n, "loss": 5.0 / n} for n in range(1, 11)]
    for figures in history[4::5]:
        figures |= {"heldout_loss": 4.0, "heldout_accuracy": 0.5}
    plots.loss_curve(history, Path("loss.svg"))
    picture = ElementTree.parse("loss.svg").getroot()
    words = {"".join(element.itertext()).strip() for element in picture.iter() if element.tag.endswith("text")}
    assert picture.tag.endswith("svg")
    assert {"Pretraining", "tokens read (millions)", "masked-LM loss (nats)", "held-out loss", "training loss"} <= words
    assert [path.name for path in Path().glob("loss*")] == ["loss.svg"]


def test_without_matplotlib_there_is_no_curve_and_a_warning(make, monkeypatch):
    def curve(history, path):
        raise minbert.errors.UserError("plots need matplotlib")

    monkeypatch.setattr(plots, "loss_curve", curve)
    ran = make()
    assert ran.err == "warning: no loss curve: plots need matplotlib\n"
    assert {file.name for file in Path("out").iterdir()} == LEFT - {"loss.svg"}


def test_help_has_every_default_filled_in(run):
    ran = run("--help")
    assert ran.status == 0 and "--vocab_size" in (out := ran.out)
    assert "None" not in out and "%(" not in out


# What can be asked for


@pytest.mark.fault("numbers: one seed, two results")
def test_the_same_seed_gives_the_same_bytes(make):
    for folder in ("first", "second"):
        make("--dropout", "0.2", "--out", folder)
    make("--dropout", "0.2", "--seed", "8", "--out", "third")
    first, second, third = (Path(folder, "model.safetensors").read_bytes() for folder in ("first", "second", "third"))
    assert first == second != third


def test_minutes_are_a_budget_too(make):
    ran = make("--minutes", "0.01", small=new_model("--steps"))
    assert "training for 0.01 minutes" in ran.out
    assert record()["history"][-1]["seconds"] >= 0.6
    assert all(entry["seconds"] < 0.6 for entry in record()["history"][:-1])


def test_a_model_that_learns_which_text_follows(make):
    make("--next_sentence")
    model = BertForPreTraining.from_pretrained("out")
    assert config()["architectures"] == ["BertForPreTraining"]
    assert model.config.pooling == "pooler"
    assert {figures["order_loss"] > 0 for figures in record()["history"]} == {True}
    assert {file.name for file in Path("out").iterdir()} == LEFT


def test_capital_letters_are_kept_on_demand(make):
    Path("texts.txt").write_text("\n".join(text.title() for text in sentences(200)), encoding="utf-8")
    make("--cased")
    tokenizer = BertTokenizer.from_pretrained("out")
    assert not tokenizer.lower_case and {"F", "T"} < set(tokenizer.vocab) and not {"f", "t"} & set(tokenizer.vocab)


def test_gzipped_and_plain_texts_are_one(make):
    texts = sentences(200)
    Path("a.txt").write_text("\n".join(texts[:77]), encoding="utf-8")
    Path("b.txt.gz").write_bytes(gzip.compress("\n".join(texts[77:]).encode()))
    make("--out", "one")
    make("--out", "two", text=("--text", "a.txt", "b.txt.gz"))
    assert Path("one/model.safetensors").read_bytes() == Path("two/model.safetensors").read_bytes()


def test_texts_that_repeat_others_are_left_out_and_counted(make):
    texts = sentences(200)
    Path("test.csv").write_text("label,text\n" + "".join(f"1,So: {text}\n" for text in texts[:30]))
    Path("more.txt").write_text("\n".join(["1 ||| " + text for text in texts[30:35]]))
    ran = make("--exclude", "test.csv", "more.txt")
    assert "text   165 texts" in ran.out and "35 texts left out that repeat --exclude" in ran.out
    assert record()["text"]["texts"] == 165 and record()["text"]["left_out"] == 35
    Path("rest.txt").write_text("\n".join(texts[35:]), encoding="utf-8")
    make("--out", "rest", text=("--text", "rest.txt"))
    assert Path("out/model.safetensors").read_bytes() == Path("rest/model.safetensors").read_bytes()
    assert "left out" not in make("--out", "all").out


def test_half_the_size(make):
    make("--half", "--out", "half")
    make("--out", "full")
    half, full = tensors("half"), tensors("full")
    assert {tensor.dtype for tensor in half.values()} == {torch.float16}
    assert all(torch.equal(half[name], full[name].half()) for name in full)
    assert BertForMaskedLM.from_pretrained("half").config.hidden_size == 12


def test_a_quarter_of_the_size(make, refused):
    make("--int8", "--out", "small")
    make("--out", "full")
    small, full = tensors("small"), tensors("full")
    matrices = {name for name, tensor in full.items() if tensor.ndim == 2}
    assert {name.removesuffix(".int8") for name, tensor in small.items() if tensor.dtype == torch.int8} == matrices
    again = BertForMaskedLM.from_pretrained("small", missing_head="error")
    torch.testing.assert_close(again.bert.embeddings.token.weight, full[TOKENS], rtol=0, atol=0.01)
    assert "--half and --int8 are two ways to store the weights: give one" in refused("--half", "--int8")


def test_a_head_size_that_divides_is_found(make):
    make("--hidden", "200", "--steps", "1", small=new_model("--hidden", "--heads"))
    assert config()["num_attention_heads"] == 2  # 200 / 64 = 3 does not divide
    make("--hidden", "64", "--steps", "1", "--out", "b", small=new_model("--hidden", "--heads"))
    assert config("b")["num_attention_heads"] == 1


def test_going_on_with_a_model(make):
    make("--steps", "40", "--lr", "0.01")
    before = tensors()
    ran = make("--model", "out", "--out", "more", small=GOING_ON)
    assert "training for 5 steps, 2048 tokens a step, learning rate 0.0001, fp32" in ran.out
    assert Path("more/vocab.txt").read_bytes() == Path("out/vocab.txt").read_bytes()
    assert "new, with random weights" not in ran.out and "out:" in ran.out
    assert record("more")["history"][0]["loss"] < record()["history"][0]["loss"] - 0.5
    after = tensors("more")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "bert.embeddings.word_embeddings.weight" in moved
    assert all((before[name] - after[name]).abs().max() < 0.01 for name in before)


def test_going_on_with_an_encoder_that_has_no_head(make, tiny_folder):
    ran = make("--model", "tiny", "--next_sentence", small=GOING_ON)
    assert "new, with random weights: masked-LM head, next-sentence head; left out: classifier of 2 classes" in ran.out
    assert BertForPreTraining.from_pretrained("out").config.num_hidden_layers == 2
    assert {file.name for file in Path("out").iterdir()} == LEFT


def test_a_teacher(make, tiny_folder):
    torch.manual_seed(3)
    BertModel(BertModel.from_pretrained("tiny").config.change(initializer_range=0.5)).save_pretrained("tiny")
    ran = make("--teacher", "tiny")
    assert "parameters; taught by tiny" in ran.out
    assert all(figures["distance"] > 0 for figures in record()["history"])
    assert "distance" not in str(sorted(tensors()))
    make("--out", "alone")
    assert record("alone")["history"][0]["loss"] != record()["history"][0]["loss"]
    assert tensors("alone").keys() == tensors().keys()


HEIR = (*("--vocab_size", "20", "--layers", "1", "--max_length", "16", "--batch_tokens", "64"), "--device", "cpu")


def test_an_heir_starts_with_the_teachers_layers_and_commonest_tokens(make, tiny_folder):
    Path("texts.txt").write_text("the unaffable film was good .\n" * 90 + "the wonderful film\n" * 30)
    ran = make("--teacher", "tiny", "--inherit", "--lr", "1e-9", "--steps", "1", small=HEIR)
    assert "1 layer, hidden size 15, 3 heads" in ran.out
    assert "taught by tiny, whose first layers it inherits" in ran.out
    theirs, ours = tensors("tiny"), tensors()
    layer = "bert.encoder.layer.0.attention.self.query.weight"
    assert (theirs[layer] - ours[layer]).abs().max() < 1e-6
    vocab = Path("out/vocab.txt").read_text().split()
    assert len(vocab) == 20 and {"film", "the", "un", "##aff", "##able"} <= set(vocab)
    word = "bert.embeddings.word_embeddings.weight"
    at = Path("tiny/vocab.txt").read_text().split().index("film")
    assert (theirs[word][at] - ours[word][vocab.index("film")]).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--teacher", "tiny", "--hidden", "15"), "with the sizes and capitals of the teacher: leave --hidden out"),
        (("--teacher", "tiny", "--model", "tiny"), "leave --model out"),
        ((), "--inherit needs a teacher to inherit from: name one with --teacher"),
        (("--teacher", "tiny", "--layers", "3"), "--layers: tiny has 2 to inherit, not 3"),
        (("--teacher", "tiny", "--vocab_size", "500"), "--vocab_size: tiny has 28 to inherit, not 500"),
        (("--teacher", "tiny", "--max_length", "41"), "--max_length is 41, but tiny has 40 positions"),
        (
            ("--teacher", "tiny", "--vocab_size", "28"),
            "kinds of tokens, not 28: give more text or a smaller --vocab_size",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_inherited(refused, tiny_folder, flags, named):
    sizes = {"--layers": "1", "--vocab_size": "20", "--max_length": "16"}
    given = [
        word for flag, value in sizes.items() if flag not in flags and "--model" not in flags for word in (flag, value)
    ]
    assert named in refused("--inherit", *flags, small=("--steps", "1", "--device", "cpu", *given))


def test_a_tokenizer_whose_special_tokens_would_change_is_not_inherited(refused, tiny_folder):
    path = tiny_folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "film"}))
    said = refused("--inherit", "--teacher", "tiny", small=HEIR)
    assert "--inherit: tiny has added tokens, or special ones with other names than [PAD] [UNK] [CLS]" in said


@pytest.mark.parametrize("options", [(), ("--teacher", "tiny")], ids=str)
def test_plain_computes_the_same_but_for_rounding_by_other_classes(make, tiny_folder, monkeypatch, options):
    swapped, swap_in = Counter(), fast.swap_in

    def see(model_or_tokenizer):
        swapped[isinstance(model_or_tokenizer, torch.nn.Module)] += 1
        return swap_in(model_or_tokenizer)

    monkeypatch.setattr(fast, "swap_in", see)
    make("--out", "fast", *options)
    assert swapped[True] == 1 + len(options) // 2 and swapped[False]  # models, and tokenizers
    swapped.clear()
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", None)
    make("--plain", *options)
    assert not swapped and record()["arguments"]["plain"] is True
    losses = [[figures["loss"] for figures in record(folder)["history"]] for folder in ("out", "fast")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    expected = tensors("fast")
    for name, tensor in tensors().items():
        if "key.bias" not in name:  # its gradient is 0 but for rounding, which Adam makes as large as any
            assert torch.allclose(tensor, expected[name], atol=1e-3), name


def test_the_state_is_saved_every_few_minutes(run, monkeypatch):
    saved = []
    monkeypatch.setattr(state, "save_state", lambda path, tensors, facts: saved.append(facts["progress"]["steps"]))
    for minutes, steps in (("0", [*range(1, 13)]), ("10", [5, 10, 12])):
        saved.clear()
        ran = run("--text", "texts.txt", *SMALL, "--steps", "12", "--out", f"out{minutes}", "--save_minutes", minutes)
        assert ran.status == 0, ran.err
        assert sorted(set(saved)) == steps


def test_a_loss_that_is_not_finite_names_the_step_and_the_state(run, monkeypatch):
    update = loop.update

    def spoilt(module, loss, *given):
        return update(module, loss * (float("nan") if len(calls) == 7 else 1), *given)

    calls = []
    monkeypatch.setattr(loop, "update", lambda *given: (calls.append(1), spoilt(*given)))
    ran = run("--text", "texts.txt", *SMALL, "--steps", "12", "--out", "out")
    assert ran.status == 2
    assert "error: the loss is nan, its gradient norm is nan; stopped before updating the weights" in ran.err
    assert "It came at step 6; the last good state is kept: --resume out" in ran.err
    monkeypatch.setattr(loop, "update", update)
    assert run("--resume", "out").status == 0


# Stopped and resumed


class Killed(BaseException):
    pass


@pytest.fixture
def stopped(run, monkeypatch, capsys):
    """stopped("--dropout", "0.1"): a run of 12 steps in out/ that dies when it has saved its state, after 5 steps."""

    def stopped(*arguments, by=Killed, small=SMALL):
        save = state.save_state

        def die(*args):
            save(*args)
            raise by

        monkeypatch.setattr(state, "save_state", die)
        try:
            ran = run("--text", "texts.txt", *small, "--steps", "12", "--out", "out", *arguments)
        except Killed:
            ran = capsys.readouterr()
        monkeypatch.setattr(state, "save_state", save)
        return ran

    return stopped


def same_history(*folders):
    histories = [[{**figures, "seconds": 0} for figures in record(folder)["history"]] for folder in folders]
    return all(history == histories[0] for history in histories)


@pytest.mark.fault("saving: a resumed pretraining that ends differently")
@pytest.mark.parametrize(
    "options", [("--dropout", "0.2"), ("--teacher", "tiny"), ("--next_sentence", "--half")], ids=str
)
def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(make, run, stopped, tiny_folder, options):
    make("--steps", "12", *options, "--out", "whole")
    stopped(*options)
    assert {file.name for file in Path("out").iterdir()} == {
        *("train.ids", "heldout.ids", "state.safetensors", "vocab.txt", "tokenizer_config.json", "pretraining.json")
    }
    assert record()["finished"] is False and record()["history"] == []
    Path("texts.txt").unlink()  # it was packed
    ran = run("--resume", "out")
    assert ran.status == 0, ran.err
    assert {file.name for file in Path("out").iterdir()} == LEFT
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert record()["finished"] is True and same_history("out", "whole")
    assert record()["arguments"] == record("whole")["arguments"] | {"out": "out"}
    assert "  42%" not in ran.out and " 100%" in ran.out


def test_a_run_may_go_on_where_its_folder_has_been_moved_to(make, run, stopped):
    make("--steps", "12", "--out", "whole")
    stopped()
    Path("elsewhere").mkdir()
    shutil.move("out", "elsewhere/moved")
    ran = run("--resume", "elsewhere/moved")
    assert ran.status == 0, ran.err
    assert not Path("out").exists()
    assert Path("elsewhere/moved/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


@pytest.mark.fault("saving: a process killed or a disk full while a model is written")
def test_what_was_being_written_when_a_run_was_killed_does_not_matter(make, run, stopped):
    make("--steps", "12", "--out", "whole")
    stopped()
    for name in ("state.safetensors", "model.safetensors", "pretraining.json", "config.json"):
        Path(f"out/{name}.new").write_bytes(b"half")
    assert run("--resume", "out").status == 0
    assert {file.name for file in Path("out").iterdir()} == LEFT
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_ctrl_c_before_a_state_was_saved_leaves_nothing(run, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    for place, step in ((stages, "prepare"), (stages, "build"), (report.Meter, "line")):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, interrupt)
            before = everything()
            ran = run("--text", "texts.txt", *SMALL, "--out", "out")
            assert (ran.status, ran.err) == (130, "\nstopped\n")
            assert everything() == before


@pytest.mark.fault("saving: Ctrl-C, or a signal to end")
def test_ctrl_c_after_a_state_was_saved_leaves_what_can_go_on(run, stopped):
    assert stopped(by=KeyboardInterrupt).status == 130
    assert run("--resume", "out").status == 0


def resuming(run, *flags):
    """What --resume out is refused with, every file being as it was."""
    before = everything()
    status, _, err = run("--resume", "out", *flags)
    assert status == 2
    assert err.startswith("error: ") and err.count("\n") == 1
    assert everything() == before
    return err


@pytest.mark.fault("saving: a run resumed with other data, flags, model or threads")
@pytest.mark.parametrize("flags", [["--steps", "20"], ["--text", "texts.txt", "--half"], ["--out", "out"]], ids=str)
def test_a_run_goes_on_as_it_began(run, stopped, flags):
    stopped()
    given = ", ".join(flag for flag in flags if flag.startswith("--"))
    assert f"--resume goes on as the run began: leave out {given}\n" in resuming(run, *flags)


@pytest.mark.fault("saving: a run resumed with other data, flags, model or threads")
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda: shutil.rmtree("out"), "out holds no pretraining.json: no run"),
        (lambda: Path("out/pretraining.json").unlink(), "out holds no pretraining.json: no run"),
        (lambda: Path("out/pretraining.json").write_text("{"), "out/pretraining.json: is not the record of a run"),
        (lambda: Path("out/pretraining.json").write_text("[]"), "out/pretraining.json: is not the record of a run"),
        (lambda: Path("out/pretraining.json").write_text("{}"), "out/pretraining.json: is not the record of a run"),
        (lambda: Path("out/pretraining.json").write_bytes(b"\xff"), "out/pretraining.json: is not the record of a run"),
        (lambda: Path("out/state.safetensors").unlink(), "stopped before it first saved its state: begin again"),
        (
            lambda: Path("out/state.safetensors").write_bytes(b"x" * 99),
            "is damaged, or not the state",
        ),
        (lambda: Path("out/train.ids").unlink(), "out has lost train.ids"),
        (
            lambda: Path("out/train.ids").write_bytes(bytes(99)),
            "the packed text in out has changed since",
        ),
        (lambda: Path("out/vocab.txt").unlink(), "vocab.txt"),
    ],
    ids=[
        "folder",
        "record",
        "no JSON",
        "a list",
        "empty",
        "no UTF-8",
        "no state",
        "bad state",
        "no ids",
        "other ids",
        "no vocabulary",
    ],
)
def test_what_cannot_go_on_is_told_why(run, stopped, damage, named):
    stopped()
    damage()
    assert named in resuming(run)


def test_a_finished_run_does_not_go_on(make, run):
    make()
    assert "the run in out is done; go on with --model out" in resuming(run)


# Where it goes


def test_a_finished_model_is_not_written_over(make, refused):
    make()
    assert "out is not empty, and would be written over: name another folder with --out" in refused()


@pytest.mark.fault("command line: an output that would overwrite or cannot be written")
@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors", "vocab.txt"])
def test_other_peoples_files_are_not_written_over(place, refused, name):
    Path("out").mkdir()
    Path("out", name).write_text("mine")
    assert "out is not empty" in refused()


def test_a_model_is_not_written_over_itself(refused, tiny_folder):
    assert "tiny is not empty" in refused("--model", "tiny", "--out", "tiny", small=GOING_ON)


@pytest.mark.fault("saving: two runs in one folder")
def test_a_stopped_run_is_not_written_over(refused, stopped):
    stopped()
    assert "out holds a stopped run: go on with --resume out, or delete it to begin again" in refused()


def test_a_run_that_came_to_nothing_may_begin_again(make, stopped):
    stopped()
    Path("out/state.safetensors").unlink()
    make()
    assert {file.name for file in Path("out").iterdir()} == LEFT


def test_an_empty_folder_is_filled(make):
    Path("out").mkdir()
    make()
    assert {file.name for file in Path("out").iterdir()} == LEFT


@pytest.mark.parametrize("name", ["texts.txt", "texts.txt/out", "/proc/out"])
def test_where_nothing_can_be_written(refused, name):
    err = refused("--out", name)
    assert name in err and ("is a file, not a folder" in err or "cannot be written" in err)


# A GPT-2

GPT2 = ("--family", "gpt2", "--vocab_size", "270")
GPT2_LEFT = LEFT - {"vocab.txt"} | {"vocab.json", "merges.txt"}


def test_a_gpt2_learns_each_next_token(make, run):
    make(*GPT2, "--steps", "30", "--lr", "0.01")
    assert {file.name for file in Path("out").iterdir()} == GPT2_LEFT
    sizes = {"n_embd": 12, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 270, "embd_pdrop": 0.1}
    assert config().items() >= (sizes | {"model_type": "gpt2", "eos_token_id": 269}).items()
    losses = [entry["heldout_loss"] for entry in record()["history"] if "heldout_loss" in entry]
    assert losses[-1] < losses[0] - 0.5
    assert record()["arguments"]["mask"] is None and record()["arguments"]["family"] == "gpt2"
    tokenizer, model = ByteBPETokenizer.from_pretrained("out"), GPT2LMHeadModel.from_pretrained("out")
    assert not model.loaded.new and tokenizer.eos_token_id == 269 and tokenizer.max_length == 16
    text = sentences(1, seed=5)[0]
    ids = torch.tensor([tokenizer.text_to_ids(text)[:16]])
    assert tokenizer.decode(ids[0].tolist()) == text[: len(tokenizer.decode(ids[0].tolist()))]
    assert model(ids, labels=ids)[1] < 5  # log 270 = 5.6, of a model that has learnt nothing
    ran = run("--model", "out", "--prompt", "the film", "--max_tokens", "4", command="generate")
    assert ran.status == 0 and ran.out.strip(), ran.err


@pytest.mark.parametrize("options", [("--dropout", "0.2", "--int8"), ("--model", "given")], ids=str)
def test_a_gpt2_goes_on_with_the_same_bits(make, run, stopped, options):
    make(*GPT2)
    Path("out").rename("given")
    small, sizes = (GOING_ON, ()) if "--model" in options else (SMALL, GPT2)
    make(*sizes, "--steps", "12", *options, "--out", "whole", small=small)
    stopped(*sizes, *options, small=small)
    ran = run("--resume", "out")
    assert ran.status == 0, ran.err
    assert {file.name for file in Path("out").iterdir()} == GPT2_LEFT
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert same_history("out", "whole")
    if "--int8" in options:
        assert tensors()["transformer.wte.weight.int8"].dtype == torch.int8
    else:
        assert record()["arguments"]["family"] == "gpt2"  # told by its folder


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        *((flag, f"{flag[0]} is for a BERT, not for a GPT-2") for flag in (("--cased",), ("--mask", "0.2"))),
        (("--whole_words",), "--whole_words is for a BERT, not for a GPT-2"),
        (("--next_sentence",), "--next_sentence is for a BERT, not for a GPT-2"),
        (("--teacher", "tiny"), "--teacher is for a BERT, not for a GPT-2"),
        (("--inherit", "--teacher", "tiny"), "--inherit starts a new model"),
        (("--vocab_size", "256"), "--vocab_size: a GPT-2's is at least 257"),
        (("--vocab_size", "5000"), "the text supports a vocabulary of"),
        (("--heads", "5"), "hidden_size 12 cannot be split into 5 attention heads"),
        (("--model", "tiny"), "--family is settled by --model tiny"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_about_a_gpt2(refused, tiny_folder, flags, named):
    assert named in refused(*GPT2, *flags)


def test_a_model_of_another_family_does_not_go_on(refused, tiny_folder):
    path = Path("tiny/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "roberta"}))
    err = refused("--model", "tiny", small=GOING_ON)
    assert "model_type is 'roberta'" in err or "RobertaModel" in err


# Mistakes


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--minutes", "3"), "--minutes and --steps are two budgets"),
        (("--model", "tiny"), "--layers is settled by --model tiny: leave one of them out"),
        (("--heads", "5"), "hidden_size 12 cannot be split into 5 attention heads"),
        (("--text", "nowhere.txt"), "nowhere.txt: there is no such file"),
        (("--text", "texts.txt", "nowhere.gz"), "nowhere.gz: there is no such file"),
        (("--text", "."), ".: is a folder"),
        (("--exclude", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("--teacher", "tinny"), "there is no model tinny: "),
        (("--teacher", "all-MiniLM-L6-v3"), "did you mean all-MiniLM-L6-v2?"),
        (("--steps", "0"), "--steps: 0 is not 1 or more"),
        (("--steps", "many"), "invalid whole number value: 'many'"),
        (("--minutes", "0"), "--minutes: 0 is not 0.01 or more"),
        (("--vocab_size", "9"), "--vocab_size: 9 is not from 10 to 32000"),
        (("--vocab_size", "32001"), "--vocab_size: 32001 is not from 10 to 32000"),
        (("--vocab_size", "5000"), "the text supports a vocabulary of"),
        (("--max_length", "7"), "--max_length: 7 is not 8 or more"),
        (("--mask", "0"), "--mask: 0 is not from 0.01 to below 1"),
        (("--mask", "15"), "--mask: 15 is not from 0.01 to below 1"),
        (("--lr", "nan"), "--lr: nan is not above 0"),
        (("--dropout", "1"), "--dropout: 1 is not from 0 to below 1"),
        (("--warmup", "-0.1"), "--warmup"),
        (("--short", "1.5"), "--short: 1.5 is not from 0 to 1"),
        (("--precision", "fp16"), "--precision"),
        (("--device", "tpu"), "--device"),
        (("--hiden", "12"), "did you mean --hidden?"),
        (("--text", ""), "--text is empty"),
        (("--max_length", "3000"), "too little text"),
        (("--layers", "1001"), "num_hidden_layers is 1001"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_answered_by_one_line(refused, tiny_folder, flags, named):
    assert named in refused(*flags)


def test_something_to_read_is_needed(refused):
    assert "--text is missing: name a file of texts, one a line" in refused(text=())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--model", "tinny"), "did you mean tiny?"),
        (("--model", "tiny", "--cased"), "--cased is settled by --model tiny"),
        (("--model", "tiny", "--vocab_size", "500"), "--vocab_size is settled by --model tiny"),
        (("--model", "tiny", "--max_length", "41"), "--max_length is 41, but tiny has 40 positions"),
        (("--model", "texts.txt"), "texts.txt is a file"),
        (("--model", "broken"), "broken: vocab.txt has 29 tokens, but the model has vectors for 28"),
        (("--teacher", "broken"), "broken: vocab.txt has 29 tokens, but the model has vectors for 28"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_about_the_model_to_go_on_with(refused, tiny_folder, flags, named):
    shutil.copytree("tiny", "broken")
    with open("broken/vocab.txt", "a") as file:
        file.write("more\n")
    assert named in refused(*flags, small=GOING_ON)


def test_mistakes_are_found_before_the_text_is_read(refused, tiny_folder, monkeypatch):
    """Reading may take minutes."""
    monkeypatch.setattr(corpus, "read_texts", lambda paths: 1 / 0)
    refused("--heads", "5")
    refused("--teacher", "tinny")
    refused("--model", "tiny", "--max_length", "41", small=GOING_ON)
    Path("out").mkdir()
    Path("out/mine").write_text("")
    refused()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "texts.txt: no text in it"),
        (b"\n \n<br />\n", "texts.txt: no text in it"),
        (b"one line of text\n", "the text supports a vocabulary of 5 tokens, not of 60"),
        ("\n".join(sentences(25)).encode(), r"too little text: 24 tokens held out"),
        (" ".join(sentences(200)).encode(), r"too little text: 0 tokens held out (one text in 20)"),
        ("\n".join([*sentences(50), "schön"]).encode("latin-1"), "texts.txt:51: not UTF-8"),
    ],
    ids=["empty", "blank", "one line", "too little", "all in one line", "not UTF-8"],
)
def test_texts_that_are_no_corpus(refused, data, named):
    Path("texts.txt").write_bytes(data)
    assert named in refused()


def test_a_text_that_repeats_others_as_a_whole(refused):
    Path("test.txt").write_text("\n".join(f"1 ||| {text}" for text in sentences(200)))
    assert "texts.txt: no text in it but what repeats --exclude" in refused("--exclude", "test.txt")


def test_a_vocabulary_of_another_model_too_large_for_packed_text(refused, tiny_folder):
    config = json.loads(Path("tiny/config.json").read_text())
    with open("tiny/vocab.txt", "a") as file:
        file.writelines(f"w{number}\n" for number in range(65_537 - config["vocab_size"]))
    Path("tiny/config.json").write_text(json.dumps(config | {"vocab_size": 65_537}))
    err = refused("--model", "tiny", small=GOING_ON)
    assert "the vocabulary has 65537 tokens, but packed text can hold at most 65536" in err


# A full disk


def full(name):
    """A write that fails for lack of room, if it is to the file of this name."""

    def write(original):
        def half(path, data, *args, **options):
            if path.name != f"{name}.new":
                return original(path, data, *args, **options)
            original(path, data[: len(data) // 2], *args, **options)
            raise OSError(28, "No space left on device")

        return half

    return write


@pytest.mark.fault("command line: an output that would overwrite or cannot be written")
@pytest.mark.parametrize("name", ["pretraining.json", "vocab.txt", "tokenizer_config.json"])
def test_a_disk_that_is_full_at_the_beginning(refused, monkeypatch, name):
    for method in ("write_text", "write_bytes"):
        monkeypatch.setattr(Path, method, full(name)(getattr(Path, method)))
    assert f"out/{name}: cannot be written (No space left on device)" in refused()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_disk_that_is_full_at_the_end(run, make, monkeypatch, name):
    """The model is not there, what it was made from is: with some room the run goes on."""
    make("--steps", "12", "--out", "whole")
    with monkeypatch.context() as patch:
        for method in ("write_text", "write_bytes"):
            patch.setattr(Path, method, full(name)(getattr(Path, method)))
        ran = run("--text", "texts.txt", *SMALL, "--steps", "12", "--out", "out")
    assert (ran.status, ran.err) == (2, f"error: out/{name}: cannot be written (No space left on device)\n")
    assert not {"model.safetensors", "config.json"} & {file.name for file in Path("out").iterdir()}
    assert not list(Path("out").glob("*.new"))
    assert run("--resume", "out").status == 0
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_a_state_that_cannot_be_saved_stops_the_run_and_leaves_nothing(refused, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise safetensors.SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert "out/state.safetensors: cannot be written (No space left" in refused("--steps", "12")
