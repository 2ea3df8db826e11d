"""Kernels are chosen by their times on this machine: which, when, and how the choice is pinned."""

import subprocess
import sys

import pytest
import torch

from minbert.errors import UserError
from minbert.fast import linear, measure
from minbert.fast.linear import KERNEL, Linear
from minbert.fast.measure import choices, fastest, race, use

both = pytest.mark.skipif("onednn" not in linear.kernels(), reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    """No kernel has been chosen yet, and afterwards the choice is as it was before."""
    monkeypatch.delenv("MINBERT_LINEAR", raising=False)
    for name in ("chosen", "because", "seconds"):
        monkeypatch.setattr(KERNEL, name, getattr(KERNEL, name))
    KERNEL.forget()


@pytest.fixture
def times(monkeypatch):
    """times(torch=1.0, onednn=0.5): what a race will find. The list it returns counts the races."""

    def pretend(**seconds):
        races = []
        monkeypatch.setattr(measure, "race", lambda ways: races.append(set(ways)) or seconds)
        return races

    return pretend


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        ((1.0, 0.5), "other"),
        ((1.0, 0.92), "usual"),
        ((1.0, 0.9), "other"),
        ((1.0, 1.0), "usual"),
        ((1.0, 9.0), "usual"),
    ],
)
def test_the_usual_way_is_kept_unless_another_is_clearly_faster(seconds, name):
    assert fastest(dict(zip(("usual", "other"), seconds)), "usual") == name


@both
@pytest.mark.parametrize(
    ("torch_s", "onednn_s", "name"), [(1.0, 0.5, "onednn"), (1.0, 0.95, "torch"), (1.0, 2.0, "torch")]
)
def test_each_outcome_is_chosen(times, torch_s, onednn_s, name):
    times(torch=torch_s, onednn=onednn_s)
    assert choices() == {"linear": name}
    assert (KERNEL.because, KERNEL.seconds) == ("measured", {"torch": torch_s, "onednn": onednn_s})


@both
def test_a_layer_computes_by_what_was_chosen_and_measures_once(times, monkeypatch):
    races, calls = times(torch=1.0, onednn=0.5), []
    multiply = linear.multiply
    layer, x = Linear(5, 7), torch.ones(3, 5)
    monkeypatch.setattr(linear, "multiply", lambda *tensors: calls.append(1) or multiply(*tensors))
    assert not races  # not when the layer is made
    for _ in range(3):
        layer(x)
    assert len(races) == 1 and len(calls) >= 3
    used = len(calls)
    use({"linear": "torch"}, "a test")
    layer(x)
    assert len(calls) == used


@both
def test_a_kernel_that_computes_wrongly_is_not_chosen(times, monkeypatch):
    times(torch=1.0, onednn=0.1)
    multiply = linear.multiply
    monkeypatch.setattr(linear, "multiply", lambda *tensors: multiply(*tensors) * 1.01)
    monkeypatch.setattr(KERNEL, "ways", lambda: linear.kernels() | {"onednn": linear.step(linear.multiply)})
    assert choices() == {"linear": "torch"}
    assert "computes wrongly" in KERNEL.because


def test_nothing_is_measured_on_import_and_a_gpu_needs_no_choice():
    code = (
        "from minbert.fast import measure, swap_in; from minbert import BertModel, Config;"
        "measure.race = None;"
        "swap_in(BertModel(Config(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=2,"
        " intermediate_size=4, max_position_embeddings=4)));"
        "print(measure.CHOICES['linear'].chosen, measure.choices('cuda'))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "None {}\n"


def test_a_race_counts_the_best_time_of_each_after_one_call_that_does_not_count(monkeypatch):
    clock, spent = [0.0], {"a": iter([50, 3, 1, 2]), "b": iter([50, 4, 4, 5])}
    threads = torch.get_num_threads()
    monkeypatch.setattr(measure, "CLOCK", lambda: clock[0])

    def way(name):
        def run():
            assert torch.get_num_threads() == 1
            clock[0] += next(spent[name])

        return run

    assert race({name: way(name) for name in spent}, rounds=3, budget=1000) == {"a": 1, "b": 4}
    assert torch.get_num_threads() == threads


def test_a_race_of_slow_ways_ends_early(monkeypatch):
    clock, runs = [0.0], []
    monkeypatch.setattr(measure, "CLOCK", lambda: clock[0])

    def slow():
        runs.append(1)
        clock[0] += 1.0

    race({"slow": slow}, rounds=8, budget=0.2)
    assert len(runs) == 1 + 3


def test_measuring_draws_no_random_numbers_and_leaves_the_threads():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert set(choices()) == {"linear"}
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


# Pinned


@both
@pytest.mark.parametrize("name", ["torch", "onednn"])
def test_the_environment_decides_before_everything_else(name, monkeypatch):
    monkeypatch.setattr(measure, "race", None)
    monkeypatch.setenv("MINBERT_LINEAR", name)
    assert choices() == {"linear": name}
    assert KERNEL.because == "MINBERT_LINEAR"
    use({"linear": "torch" if name == "onednn" else "onednn"}, "the run that is resumed")
    assert choices() == {"linear": name}


@both
@pytest.mark.parametrize("name", ["torch", "onednn"])
def test_a_resumed_run_goes_on_with_its_kernel(name, monkeypatch):
    monkeypatch.setattr(measure, "race", None)
    use({"threads": 2, "linear": name}, "the run that is resumed")
    assert choices() == {"linear": name}
    assert KERNEL.because == "the run that is resumed"


def test_a_run_that_recorded_no_kernel_is_measured():
    use({"threads": 2}, "the run that is resumed")
    assert KERNEL.chosen is None


@pytest.mark.parametrize("name", ["mkl", "", 3, None, ["torch"]])
def test_an_unknown_kernel_is_refused(name, monkeypatch):
    with pytest.raises(
        UserError, match=r"^the run that is resumed: the linear kernel .* is unknown; set MINBERT_LINEAR="
    ):
        use({"linear": name}, "the run that is resumed")
    if name == "mkl":
        monkeypatch.setenv("MINBERT_LINEAR", name)
        with pytest.raises(UserError, match=r"^MINBERT_LINEAR: the linear kernel 'mkl' is unknown; choose torch"):
            Linear(2, 2)(torch.ones(1, 2))


def test_a_kernel_that_this_torch_lacks_is_refused_and_not_raced(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(measure, "race", None)
    assert choices() == {"linear": "torch"} and KERNEL.because == "the only one here"
    with pytest.raises(UserError, match=r"'onednn' is not in torch .* on this machine; set MINBERT_LINEAR=torch"):
        use({"linear": "onednn"}, "the run that is resumed")
    KERNEL.forget()
    monkeypatch.setenv("MINBERT_LINEAR", "onednn")
    with pytest.raises(UserError, match=r"^MINBERT_LINEAR: .* is not in torch .*; choose torch$"):
        choices()


@both
@pytest.mark.parametrize("name", ["torch", "onednn"])
def test_a_pinned_kernel_computes_the_same_bits_as_a_measured_one(name, times):
    layer, x = Linear(33, 65), torch.randn(17, 33)
    times(**{"torch": 1.0, "onednn": 1.0} | {name: 0.1})
    measured = layer(x)
    KERNEL.forget()
    use({"linear": name}, "the run that is resumed")
    assert torch.equal(layer(x), measured)
