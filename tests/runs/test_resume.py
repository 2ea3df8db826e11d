"""A run that was stopped, or killed, goes on as if it had not been: the same weights and losses, bit for bit."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from minbert import BertSentClassifier, UserError, __main__
from minbert.batch import epoch_order
from minbert.format import KEY
from minbert.runs import classifier, loop, report, stages, state
from minbert.training import Data, NotFinite, Settings
from tests.conftest import ROOT

EPOCHS, STEPS = 3, 3  # of each epoch
SETTINGS = Settings(epochs=EPOCHS, batch_size=3, lr=0.02, warmup=2, max_grad_norm=0.5, balanced=True, seed=5)
TEXTS = [
    *("the film was good", "the film was bad", "a wonderful plot!", "a bad plot, unaffable"),
    *("good, good.", "bad, bad. the film", "not good", "the plot was not good"),
]


@pytest.fixture
def lessons(tokenizer):
    return Data(tokenizer(TEXTS), [1, 0, 1, 0, 1, 0, 0, 0])


@pytest.fixture(params=["flexible", "pretrain"])
def begin(request, tiny, lessons):
    """begin() -> a Loop, always the same, with dropout everywhere."""

    def begin():
        torch.manual_seed(0)
        changes = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2, "initializer_range": 0.2}
        model = BertSentClassifier(tiny.change(option=request.param, pooling="mean", **changes))
        dev = Data({name: rows[::-1] for name, rows in lessons.encoding.items()}, lessons.labels[::-1])
        return classifier.begin(model, lessons, dev, SETTINGS)

    return begin


class Cut(Exception):
    """Where a run is killed."""


def train(run, watch=None, **more):
    """Train to the end. Returns the losses of the steps, the figures of the epochs but seconds, and the weights."""
    losses = []

    def step(progress, figures, rate):
        losses.append((figures["loss"], rate))
        if watch:
            watch(progress, figures, rate)

    epochs = run.train(watch=step, **more)
    epochs = [{name: value for name, value in epoch.items() if "seconds" not in name} for epoch in epochs]
    return losses, epochs, {name: weight.clone() for name, weight in run.task.model.state_dict().items()}


def save(run, path):
    tensors, progress = run.state()
    state.save_state(path, tensors, {"progress": progress})


def killed(run, path, steps):
    """Kill a run after a number of steps; its state is in path. Returns the losses until then."""
    losses = []

    def watch(progress, figures, rate):
        losses.append((figures["loss"], rate))
        if len(losses) == steps:
            save(run, path)
            raise Cut

    with pytest.raises(Cut):
        run.train(watch=watch)
    return losses


def resumed(run, path):
    torch.manual_seed(99)  # whatever the new process has drawn
    tensors, facts = state.load_state(path)
    run.restore(tensors, facts["progress"])
    return run


def same(one, other):
    assert one[:2] == other[:2]
    assert one[2].keys() == other[2].keys()
    assert all(torch.equal(one[2][name], other[2][name]) for name in one[2])


@pytest.mark.fault("saving: a resumed training that ends differently")
@pytest.mark.parametrize("steps", range(1, EPOCHS * STEPS + 1))
def test_killed_after_any_step_it_goes_on_bit_for_bit(begin, tmp_path, steps):
    whole = train(begin())
    losses = killed(begin(), tmp_path / "state", steps)
    more, epochs, weights = train(resumed(begin(), tmp_path / "state"))
    same(whole, (losses + more, epochs, weights))


def test_a_process_that_was_not_there_before_draws_its_own_dropout(begin, tmp_path, monkeypatch):
    """A run of one process goes on with two: the state holds no random numbers for the second."""
    killed(begin(), tmp_path / "state", 2)
    tensors, facts = state.load_state(tmp_path / "state")
    run = begin()
    monkeypatch.setattr(loop.parallel, "rank", lambda: 1)
    torch.manual_seed(6)
    before = torch.get_rng_state()
    run.restore(tensors, facts["progress"])
    assert torch.equal(torch.get_rng_state(), before) and run.progress["steps"] == 2
    monkeypatch.undo()
    del tensors["random/0/cpu"]
    with pytest.raises(UserError, match="does not fit this run"):
        begin().restore(tensors, facts["progress"])


@pytest.mark.fault("saving: a resumed training that ends differently")
def test_killed_again_and_again(begin, tmp_path):
    whole, losses = train(begin()), killed(begin(), tmp_path / "state", 2)
    for _ in range(3):
        losses += killed(resumed(begin(), tmp_path / "state"), tmp_path / "state", 2)
    more, epochs, weights = train(resumed(begin(), tmp_path / "state"))
    same(whole, (losses + more, epochs, weights))


@pytest.mark.fault("saving: a resumed training that ends differently")
@pytest.mark.parametrize("place", ["report", "bar"])
def test_killed_between_two_epochs_or_while_one_is_measured(begin, tmp_path, place):
    whole, run = train(begin()), begin()

    def kill(*arguments):
        if len(run.progress["history"]) == 1:
            save(run, tmp_path / "state")
            raise Cut
        return arguments[0]

    losses = []
    if place == "bar" and run.task.model.config.option == "pretrain":
        pytest.skip("a frozen encoder has read everything before the first epoch")
    with pytest.raises(Cut):
        run.train(watch=lambda progress, figures, rate: losses.append((figures["loss"], rate)), **{place: kill})
    more, epochs, weights = train(resumed(begin(), tmp_path / "state"))
    same(whole, (losses + more, epochs, weights))


@pytest.mark.fault("saving: a resumed training that ends differently")
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_taken_from_it(begin, tmp_path):
    killed(begin(), tmp_path / "state", 2)
    tensors, facts = state.load_state(tmp_path / "state")
    name = next(name for name in tensors if name.startswith("optimizer/") and name.endswith("exp_avg"))
    run = begin()
    before = {name: weight.clone() for name, weight in run.task.model.state_dict().items()}
    for spoilt in (
        {**tensors, name: tensors[name][..., :1]},
        {key: value for key, value in tensors.items() if key != name},
        {key: value for key, value in tensors.items() if not key.startswith("random")},
        {**tensors, "weight/more": torch.zeros(1)},
    ):
        with pytest.raises(UserError, match="does not fit"):
            run.restore(spoilt, facts["progress"])
    progress = facts["progress"]
    for spoilt in ({"steps": 1}, progress | {"steps": 99}, progress | {"steps": -1}, progress | {"loss": None}):
        with pytest.raises(UserError, match="does not fit"):
            run.restore(tensors, spoilt)
    assert all(torch.equal(before[name], weight) for name, weight in run.task.model.state_dict().items())


# A loss or a gradient that is no number


class Poisoned(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float("inf")


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
def test_a_gradient_that_is_infinite_stops_before_any_weight_moves(begin, monkeypatch):
    run = begin()
    losses, forward = [], type(run.task.module).forward

    def poisoned(self, *inputs):
        logits = forward(self, *inputs)
        return Poisoned.apply(logits) if len(losses) == 4 else logits

    monkeypatch.setattr(type(run.task.module), "forward", poisoned)
    weights = {}

    def watch(progress, figures, rate):
        losses.append(figures["loss"])
        weights.update((name, weight.clone()) for name, weight in run.task.current().items())

    with pytest.raises(
        NotFinite, match=r"the loss is [0-9.]+, its gradient norm is (nan|inf); stopped before"
    ) as error:
        run.train(watch=watch)
    assert error.value.rows == epoch_order(len(TEXTS), SETTINGS.seed, 2)[3:6].tolist() and error.value.step == 4
    assert all(torch.equal(weights[name], weight) for name, weight in run.task.current().items())


# Files


@pytest.mark.fault("saving: two runs in one folder")
def test_two_runs_cannot_have_one_folder(tmp_path):
    refused = pytest.raises(UserError, match="another run is writing into")
    with state.claim(tmp_path), refused, state.claim(tmp_path):
        pass
    with state.claim(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no", b"\x08" + bytes(7) + b"{}      ", bytes(100)])
def test_what_is_no_state_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    for read in (state.load_state, state.load_facts):
        with pytest.raises(UserError, match="is damaged, or not the state") as error:
            read(tmp_path / "state")
        assert "\n" not in str(error.value)


# The program


@pytest.fixture
def place(tiny_folder, tmp_path, monkeypatch):
    """A working directory with the model tiny/ and train.txt; dev.txt is the same."""
    monkeypatch.chdir(tmp_path)
    Path("train.txt").write_text("".join(f"{label} ||| {text}\n" for text, label in zip(TEXTS, [1, 0] * 4)))
    shutil.copy("train.txt", "dev.txt")


ARGUMENTS = ("--model", "tiny", "--train", "train.txt", "--dev", "dev.txt", "--epochs", "3", "--batch_size", "3")


@pytest.fixture
def run(place, monkeypatch, capsys):
    """run("--out", "out") -> exit status, stdout and stderr; with stop=N a signal comes during step N."""

    def run(*arguments, stop=None, number=signal.SIGTERM):
        steps, update = [], loop.update

        def step(*given, **more):
            steps.append(None)
            if len(steps) == stop:
                os.kill(os.getpid(), number)
            return update(*given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "update", step)
            patch.setattr("sys.argv", ["train_classifier.py", *arguments])
            status = __main__.main(["train", *arguments])
        return status, *capsys.readouterr()

    return run


def results(folder):
    """All files of a run that should be the same."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name != "run.json"}


@pytest.mark.fault("saving: Ctrl-C, or a signal to end")
@pytest.mark.parametrize("option", ["flexible", "pretrain"])
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_step_finish_and_the_run_goes_on_later(run, option, number, expected):
    arguments = (*ARGUMENTS, "--option", option, "--seed", "3")
    assert run(*arguments, "--out", "whole")[0] == 0
    status, _, err = run(*arguments, "--out", "out", stop=5, number=number)
    assert status == expected and err.endswith("stopped; go on with: python train_classifier.py --resume out\n")
    assert [path.name for path in Path("out").iterdir()] == ["state.safetensors"]
    status, out, err = run("--resume", "out", stop=2, number=number)
    assert status == expected and "going on after epoch 1 and 2 batches" in out
    status, out, err = run("--resume", "out")
    assert status == 0 and "when the run began" not in err
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  epoch ")] == ["1", "2", "3"]
    assert results("out") == results("whole")


def test_a_run_goes_on_from_another_working_directory_and_in_a_folder_that_has_moved(run, tmp_path, monkeypatch):
    assert run(*ARGUMENTS, "--out", "whole")[0] == 0
    assert run(*ARGUMENTS, "--out", "out", stop=4)[0] == 143
    (tmp_path / "elsewhere").mkdir()
    Path("out").rename(tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("--resume", "moved", "--plot", "--filepath", "kit.pt")[0] == 0
    assert Path("kit.pt").exists() and Path("moved/learning_curve.svg").exists()
    (tmp_path / "whole" / "learning_curve.svg").touch()
    assert results("moved")["model.safetensors"] == results(tmp_path / "whole")["model.safetensors"]


@pytest.fixture
def stopped(run):
    """A run that was stopped in out/, and what it takes to be refused when it is to go on."""
    assert run(*ARGUMENTS, "--out", "out", stop=4)[0] == 143

    def refused(*arguments):
        before = results("out")
        status, _, err = run(*arguments)
        assert status == 2 and err.startswith("error: ") and err.count("\n") == 1
        assert results("out") == before
        return err

    return refused


@pytest.mark.fault("saving: a run resumed with other data, flags, model or threads")
def test_what_the_result_depends_on_may_not_have_changed(stopped):
    Path("dev.txt").write_text(Path("dev.txt").read_text() + "1 ||| good\n")
    assert "the file of --dev changed since the run began" in stopped("--resume", "out")
    shutil.copy("train.txt", "dev.txt")
    BertSentClassifier.from_pretrained("tiny", labels=("negative", "positive")).save_pretrained("other")
    shutil.copy("other/config.json", "tiny/config.json")
    with open("tiny/config.json", "a") as config:
        config.write("\n")
    assert "the model's config.json changed since the run began" in stopped("--resume", "out")


@pytest.mark.fault("saving: a run resumed with other data, flags, model or threads")
def test_flags_go_with_the_run_that_they_began(stopped):
    err = stopped("--resume", "out", "--lr", "0.1", "--limit", "3")
    assert "--resume goes on as the run began: leave out --limit, --lr" in err


@pytest.mark.fault("saving: a run resumed on another machine or with another version")
def test_what_the_run_began_with_may_have_moved(run, stopped):
    for there in ("train.txt", "dev.txt", "tiny"):
        Path(there).rename(f"moved-{there}")
    assert "; if it has moved, add --train" in stopped("--resume", "out")
    moved = ["--train", "moved-train.txt", "--dev", "moved-dev.txt"]
    assert "; if it has moved, add --model" in stopped("--resume", "out", *moved)
    shutil.copy("moved-train.txt", "moved-dev.txt")
    Path("other.txt").write_text(Path("moved-train.txt").read_text() + "1 ||| good\n")
    moved += ["--model", "moved-tiny"]
    assert "the file of --train changed" in stopped("--resume", "out", *moved, "--train", "other.txt")
    assert run("--resume", "out", *moved)[0] == 0


@pytest.mark.fault("saving: a run resumed on another machine or with another version")
def test_the_settings_of_the_tokenizer_may_not_have_changed(stopped):
    Path("tiny/tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert "the model's tokenizer_config.json changed since the run began" in stopped("--resume", "out")


def edit_facts(path, **kinds):
    tensors, facts = state.load_state(path)
    state.save_state(path, tensors, {kind: facts[kind] | kinds.get(kind, {}) for kind in facts})


@pytest.mark.fault("saving: a run resumed on another machine or with another version")
def test_another_version_is_said_and_a_flag_of_another_version_is_refused(run, stopped):
    path = Path("out/state.safetensors")
    whole = path.read_bytes()
    edit_facts(path, model={"pytorch_model.bin": "0"})  # a file that is gone
    assert "the model's pytorch_model.bin changed since the run began" in stopped("--resume", "out")
    path.write_bytes(whole)
    edit_facts(path, arguments={"momentum": 0.9})
    assert "the run began with 'momentum', a flag that this minbert does not know" in stopped("--resume", "out")
    path.write_bytes(whole)
    edit_facts(path, versions={"torch": "1.0"})
    status, _, err = run("--resume", "out")
    assert status == 0 and err.startswith("warning: torch: '1.0' when the run began, ")


@pytest.mark.fault("saving: two runs in one folder")
def test_a_new_run_does_not_write_over_a_stopped_one(stopped):
    assert "go on with --resume out, name another --out, or delete out/state.safetensors" in stopped(
        *ARGUMENTS, "--out", "out"
    )


@pytest.mark.fault("saving: two runs in one folder")
def test_another_run_in_the_same_folder_is_refused(stopped):
    with state.claim(Path("out")):
        assert "another run is writing into out" in stopped("--resume", "out")
        assert "another run is writing into out" in stopped(*ARGUMENTS, "--out", "out")


@pytest.mark.fault("saving: a resumed training that ends differently")
def test_one_bit_that_has_changed_is_seen(run, stopped):
    path = Path("out/state.safetensors")
    whole = path.read_bytes()
    for place in (len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        status, _, err = run("--resume", "out")
        assert status == 2 and "out/state.safetensors: is damaged, its SHA-256 is another" in err.splitlines()[-1]


def test_a_state_that_is_damaged_is_refused(stopped):
    path = Path("out/state.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert "out/state.safetensors: is damaged, or not the state" in stopped("--resume", "out")


def spoil(value, rng):
    """A JSON value of which one part is something else, or gone."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        chosen = rng.choice(keys)
        items = {key: spoil(value[key], rng) if key == chosen else value[key] for key in keys}
        if rng.random() < 0.2:
            del items[chosen]
        return items if isinstance(value, dict) else list(items.values())
    return rng.choice([None, True, -1, 10**30, 0.5, "", "x" * 1000, "--help", [], {}, [None], {"a": 1}, "\n"])


def test_a_stranger_s_state_is_refused_in_one_line_or_goes_on(run, stopped):
    """Facts are spoilt, 60 times over: nothing is written but where the run is told to write now."""
    path, rng = Path("out/state.safetensors"), random.Random(0)
    tensors, facts = state.load_state(path)
    whole, there, ends = path.read_bytes(), {path.name for path in Path().iterdir()}, Counter()
    for _ in range(60):
        text = json.dumps(spoil(facts | {KEY: state.STATE_FORMAT}, rng))
        metadata = {"facts": text, "sha256": state.sha256_of(tensors, text)}
        safetensors.torch.save_file(tensors, path, metadata=metadata)
        status, _, err = run("--resume", "out")
        assert status == 0 or (status == 2 and err.count("error: ") == 1), err
        assert {path.name for path in Path().iterdir()} == there
        ends[status] += 1
        shutil.rmtree("out")
        Path("out").mkdir()
        path.write_bytes(whole)
    assert ends[2] > 20 and ends[0] > 5


@pytest.mark.fault("saving: a run resumed with other data, flags, model or threads")
@pytest.mark.parametrize("kind", ["versions", "machine"])
def test_what_may_change_the_last_bits_is_warned_of(run, stopped, monkeypatch, kind):
    if kind == "versions":
        monkeypatch.setattr(report, "versions", lambda: {"torch": "9.9"})
        expected = r"warning: torch: '\S+' when the run began, '9.9' now;"
    else:
        threads = torch.get_num_threads()
        monkeypatch.setattr(stages.torch, "get_num_threads", lambda: threads + 7)
        expected = rf"warning: threads: {threads} when the run began, {threads + 7} now;"
    status, _, err = run("--resume", "out")
    assert status == 0 and re.search(expected, err)


def test_what_cannot_be_resumed_says_why(run):
    Path("empty").mkdir()
    for folder, why in (
        ("nothing", "--resume: there is no folder nothing"),
        ("train.txt", "--resume: there is no folder train.txt"),
        ("empty", "empty holds no stopped run: there is no state.safetensors in it"),
    ):
        assert run("--resume", folder)[::2] == (2, f"error: {why}\n")
    Path("empty/pretraining.json").touch()
    assert "python pretrain_lm.py --resume empty" in run("--resume", "empty")[2]
    assert run(*ARGUMENTS, "--out", "out")[0] == 0
    status, _, err = run("--resume", "out")
    assert status == 2 and "the run in out is done; use it with --eval_only --model out --test FILE" in err


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
def test_a_loss_that_is_no_number_keeps_the_last_good_state_and_names_the_lines(run, monkeypatch):
    cross_entropy, calls = nn.functional.cross_entropy, []

    def spoilt(*given, **more):
        calls.append(None)
        return cross_entropy(*given, **more) * (float("nan") if len(calls) == 5 else 1)

    with monkeypatch.context() as patch:
        patch.setattr("minbert.training.F.cross_entropy", spoilt)
        status, _, err = run(*ARGUMENTS, "--out", "out", "--seed", "3")
    rows = epoch_order(len(TEXTS), 3, 2)[3:6]
    assert status == 2 and f"from lines {', '.join(str(row + 1) for row in rows)} of train.txt" in err
    assert "the last good state is kept: --resume out" in err
    assert run(*ARGUMENTS, "--out", "whole", "--seed", "3")[0] == run("--resume", "out")[0] == 0
    assert results("out") == results("whole")


@pytest.mark.fault("saving: Ctrl-C, or a signal to end")
def test_a_second_ctrl_c_ends_at_once(place):
    """In a process of its own, whose first step never ends."""
    program = (
        "import os, signal, sys, time; from minbert import __main__; from minbert.runs import loop\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "def step(*given):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('first', flush=True)\n"
        "    while True: time.sleep(0.01)\n"
        "loop.update = step\n"
        "sys.exit(__main__.main(['train', *sys.argv[1:]]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", program, *ARGUMENTS, "--out", "out"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while "first" not in process.stdout.readline():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
