"""The precision that was asked for is used, or what is used instead is said."""

import json
import signal
from pathlib import Path

import pytest
import torch

from minbert import BertSentClassifier, fast
from minbert.__main__ import main
from minbert.fast import int8, linear, measure, reading
from minbert.fast.int8 import Int8Linear, used_precision
from minbert.fast.linear import KERNEL
from minbert.pretraining.record import RECORD
from minbert.runs import loop, precision

# The times of a layer in fp32 and in the other precision
SLOW, FAST = {"fp32": 1.0, "int8": 29.0, "bf16": 8.0}, {"fp32": 1.0, "int8": 0.4, "bf16": 0.5}
ABOUT_AS_FAST = {"fp32": 0.95, "int8": 1.0, "bf16": 1.0}


@pytest.fixture
def settle(tiny, monkeypatch, capsys):
    """settle(times, asked) -> the precision, the model, and what is said."""

    def call(times, asked, device="cpu"):
        monkeypatch.setattr(
            precision, "layer_times", lambda layer, other, packed: {name: times[name] for name in ("fp32", other)}
        )
        model = fast.swap_in(BertSentClassifier(tiny))
        used = precision.settle(model, asked, device)
        assert used_precision(model, asked) == used
        assert any(isinstance(module, Int8Linear) for module in model.modules()) == (used == "int8")
        return used, capsys.readouterr().err

    return call


def test_int8_goes_on_in_fp32_where_that_is_faster(settle):
    used, said = settle(SLOW, "int8")
    assert used == "fp32"
    assert said == (
        "warning: int8 is 29.0 times slower than fp32 on this machine: fp32 is used; "
        "--precision int8-always uses int8 all the same\n"
    )


@pytest.mark.parametrize("times", [FAST, ABOUT_AS_FAST])
def test_int8_is_used_where_it_is_not_slower(settle, times):
    assert settle(times, "int8") == ("int8", "")


def test_int8_is_used_in_any_case_if_the_user_insists(settle):
    assert settle(None, "int8-always") == ("int8", "")


def test_slow_bf16_is_used_but_named(settle):
    used, said = settle(SLOW, "bf16")
    assert used == "bf16"
    assert said == ("warning: bf16 is 8.0 times slower than fp32 on this machine; leave --precision out for fp32\n")
    assert settle(FAST, "bf16") == ("bf16", "")


@pytest.mark.parametrize(("asked", "device"), [("fp32", "cpu"), ("bf16", "cuda"), ("fp32", "cuda")])
def test_nothing_is_measured_that_is_not_asked_for(settle, asked, device):
    assert settle(None, asked, device) == (asked, "")


@pytest.mark.parametrize("other", ["int8", "bf16"])
def test_a_layer_is_timed_in_both_precisions(other, monkeypatch):
    dtypes = []

    def race(ways):
        dtypes.extend(run() for run in ways.values())
        return dict.fromkeys(ways, 1.0)

    layer = torch.nn.Linear(6, 6)
    monkeypatch.setattr(precision.measure, "race", race)
    layer.register_forward_hook(lambda module, inputs, y: dtypes.append(y.dtype))
    before = torch.get_rng_state()
    assert precision.layer_times(layer, other) == {"fp32": 1.0, other: 1.0}
    assert dtypes[0] == torch.float32
    assert (torch.bfloat16 in dtypes) == (other == "bf16")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif("packed" not in reading.ways(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(("kernel", "used"), [("packed", "fp32"), ("plain", "int8")])
def test_int8_races_with_what_fp32_would_really_use(kernel, used, tiny, monkeypatch, capsys):
    """Here int8 is faster than a plain layer, and slower than one in oneDNN's order."""
    monkeypatch.setenv("MINBERT_READING", kernel)
    for name in ("chosen", "because", "seconds"):
        monkeypatch.setattr(reading.KERNEL, name, getattr(reading.KERNEL, name))
    reading.KERNEL.forget()
    for other in (KERNEL, int8.KERNEL):  # whose own races are not meant here
        monkeypatch.setattr(other, "chosen", "torch")
    product, turns, packed = reading.Product.__call__, [], []
    monkeypatch.setattr(reading.Product, "__call__", lambda *given: packed.append(1) or product(*given))

    def race(ways):
        ways["fp32"]()
        turns.append(bool(packed))
        return {"fp32": 1.0 if packed else 4.0, "int8": 2.0}

    monkeypatch.setattr(measure, "race", race)
    model = fast.for_reading(fast.swap_in(BertSentClassifier(tiny)))
    assert precision.settle(model, "int8") == used
    assert turns == [kernel == "packed"]
    assert ("2.0 times slower than fp32" in capsys.readouterr().err) == (used == "fp32")


@pytest.mark.skipif("packed" not in reading.ways(), reason="this torch has no oneDNN")
def test_what_learns_races_with_a_plain_layer(tiny, monkeypatch):
    """Although prediction would use another order."""
    monkeypatch.setattr(reading.KERNEL, "chosen", "packed")
    raced = []
    monkeypatch.setattr(
        precision, "layer_times", lambda layer, other, packed: raced.append(packed) or {"fp32": 1.0, other: 1.0}
    )
    precision.settle(fast.swap_in(BertSentClassifier(tiny)), "bf16")
    precision.settle(fast.for_reading(fast.swap_in(BertSentClassifier(tiny))), "bf16")
    assert raced == [False, True]


# In whole runs


TEXTS = "label,text\n" + "positive,the film was good\nnegative,a bad plot\n" * 4


@pytest.fixture
def place(tiny_folder, monkeypatch):
    """A folder with a tiny model and texts; no kernel is chosen or pinned, and onednn would win a race."""
    monkeypatch.chdir(tiny_folder.parent)
    Path("texts.csv").write_text(TEXTS)
    monkeypatch.delenv("MINBERT_LINEAR", raising=False)
    for name in ("chosen", "because", "seconds"):
        monkeypatch.setattr(KERNEL, name, getattr(KERNEL, name))
    KERNEL.forget()
    monkeypatch.setattr(measure, "race", lambda ways: {name: 1.0 if name != "onednn" else 0.5 for name in ways})
    Path("mine.txt").write_text("the film was good .\na bad plot !\nnot good\nwo film was not bad\n" * 20)


def record(folder, file="run.json"):
    return json.loads(Path(folder, file).read_text())


@pytest.mark.parametrize(("asked", "used"), [("int8", "fp32"), ("int8-always", "int8"), ("fp32", "fp32")])
def test_run_json_says_what_was_used(asked, used, place, monkeypatch, capsys):
    monkeypatch.setattr(precision, "layer_times", lambda layer, other, packed: {"fp32": 1.0, other: 2.0})
    assert main(["train", "--model=tiny", "--eval_only", "--dev=texts.csv", "--out=out", f"--precision={asked}"]) == 0
    assert ("int8 is 2.0 times slower than fp32" in capsys.readouterr().err) == (asked == "int8")
    found = record("out")
    assert (found["precision"], found["arguments"]["precision"]) == (used, asked)
    assert found["machine"]["linear"] == KERNEL.chosen


@pytest.mark.skipif("onednn" not in linear.kernels(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(
    ("command", "flags", "file"),
    [
        ("train", ["--model=tiny", "--train=texts.csv", "--epochs=2", "--batch_size=4"], "run.json"),
        (
            "pretrain",
            ["--text=mine.txt", "--vocab_size=40", "--layers=1", "--hidden=8", "--steps=6", "--max_length=8"],
            RECORD,
        ),
    ],
)
def test_a_resumed_run_goes_on_with_the_kernel_it_began_with(command, flags, file, place, monkeypatch, capsys):
    """Although another one would be chosen now."""
    update, done = loop.update, []

    def stop_at_the_third(*arguments, **options):
        done.append(KERNEL.chosen)
        if len(done) == 3:
            signal.raise_signal(signal.SIGINT)
        return update(*arguments, **options)

    monkeypatch.setattr(loop, "update", stop_at_the_third)
    assert main([command, *flags, "--out=out", "--save_minutes=0"]) == 130
    KERNEL.forget()
    monkeypatch.setattr(measure, "race", lambda ways: {name: 1.0 if name != "torch" else 0.5 for name in ways})
    assert main([command, "--resume=out"]) == 0
    assert set(done) == {"onednn"} and len(done) > 3
    assert record("out", file)["machine"]["linear"] == "onednn"
    assert "linear" not in capsys.readouterr().err
