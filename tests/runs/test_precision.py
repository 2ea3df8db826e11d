"""The precision that was asked for is used, or what is used instead is said."""

import pytest
import torch

from minbert import BertSentClassifier, fast
from minbert.fast.int8 import Int8Linear, used_precision
from minbert.runs import precision

# The times of a layer in fp32 and in the other precision
SLOW, FAST = {"fp32": 1.0, "int8": 29.0, "bf16": 8.0}, {"fp32": 1.0, "int8": 0.4, "bf16": 0.5}
ABOUT_AS_FAST = {"fp32": 0.95, "int8": 1.0, "bf16": 1.0}


@pytest.fixture
def settle(tiny, monkeypatch, capsys):
    """settle(times, asked) -> the precision, the model, and what is said."""

    def call(times, asked, device="cpu"):
        monkeypatch.setattr(
            precision, "layer_times", lambda layer, other: {name: times[name] for name in ("fp32", other)}
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
