"""A device that computes wrongly is found out; the right ones are not accused."""

import platform
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from minbert import weights
from minbert.commands import common, predict, pretrain, train
from minbert.errors import UserError
from minbert.pretraining import corpus
from minbert.runs import selftest, stages
from minbert.runs.selftest import compare, pick_device, self_test

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("learns", [True, False])
def test_this_cpu_computes_rightly(precision, learns):
    compare(CPU, precision, learns)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_this_gpu_computes_rightly(precision):
    self_test("cuda", precision)


def spoilt(name, wrong):
    """A function of torch that is wrong in float32, as on some other device, and right in the reference's float64."""
    right = getattr(F, name)

    def kernel(x, *arguments, **options):
        y = right(x, *arguments, **options)
        return y if x.dtype == torch.float64 else wrong(y, x, arguments, options)

    return name, kernel


def backwards(y, x, arguments, options):
    """Right, but its gradient is not."""
    if y.requires_grad:
        y.register_hook(lambda grad: grad * 1.1)
    return y


@pytest.mark.fault("device: wrong results without an error")
@pytest.mark.parametrize(
    ("kernel", "stage"),
    [
        (spoilt("linear", lambda y, *_: y * 1.05), "the"),
        (spoilt("layer_norm", lambda y, *_: y + 0.1), "the"),
        (spoilt("layer_norm", lambda y, *_: y * float("nan")), "are no numbers"),
        (spoilt("layer_norm", backwards), "the gradients of"),
        (spoilt("embedding", lambda y, *_: y.roll(1, 0)), "the"),
        (
            spoilt(
                "scaled_dot_product_attention",
                lambda y, q, kv, _: F.scaled_dot_product_attention(q.double(), *(x.double() for x in kv[:2])).float(),
            ),
            "the",
        ),
        (spoilt("scaled_dot_product_attention", backwards), "the gradients of"),
        (spoilt("cross_entropy", lambda y, *_: y * 1.02), "the gradients of"),
    ],
    ids=["linear", "norm", "NaN", "norm backwards", "embedding", "mask ignored", "attention backwards", "loss"],
)
def test_a_wrong_kernel_is_found(kernel, stage, monkeypatch):
    monkeypatch.setattr(F, *kernel)
    with pytest.raises(UserError, match=r"cpu computes wrongly with torch .* Use --device cpu") as error:
        compare(CPU, "fp32", learns=False)
    assert stage in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.fault("device: wrong results without an error")
def test_an_optimizer_that_moves_nothing_is_found(monkeypatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    with pytest.raises(UserError, match=r"the moves of the optimizer of a tiny model differ by 100\.0%"):
        compare(CPU, "fp32", learns=True)
    compare(CPU, "fp32", learns=False)


def test_a_device_that_cannot_compute_at_all():
    with pytest.raises(UserError, match=r"meta cannot run a tiny model .* Use --device cpu"):
        self_test("meta")


def test_the_generator_of_random_numbers_is_left_as_it_is():
    before = torch.get_rng_state()
    compare(CPU, "bf16", learns=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.fault("device: wrong results without an error")
@pytest.mark.parametrize("program", [train, predict, pretrain], ids=lambda program: program.__name__)
def test_programs_ask_the_device_before_they_read_weights_or_text(program, tiny_folder, monkeypatch, capsys):
    monkeypatch.chdir(tiny_folder.parent)
    (tiny_folder.parent / "texts.txt").write_text("good\n")
    flags = {train: ["--model", "tiny"], pretrain: ["--text", "texts.txt"]}
    flags[predict] = ["--model", "tiny", "--text", "texts.txt"]
    for module, name in ((weights, "read_tensors"), (stages, "read_data"), (corpus, "read_texts")):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(F, *spoilt("layer_norm", lambda y, *_: y + 1))
    monkeypatch.setattr("sys.argv", [program.__name__, *flags[program], "--precision", "bf16", "--device", "cpu"])
    assert common.run(program.main) == 2
    assert "cpu computes wrongly with torch" in capsys.readouterr().err
    assert sorted(path.name for path in tiny_folder.parent.iterdir()) == ["texts.txt", "tiny"]


# Which device


@pytest.mark.fault("device: a GPU that is missing or unusable")
def test_a_device_that_is_not_there_is_refused_and_auto_finds_one():
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(UserError, match=f"no {name} device"):
                pick_device(name)


@pytest.fixture
def bare(monkeypatch):
    """A machine without a GPU or a driver of one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(selftest, "Path", lambda path: SimpleNamespace(exists=lambda: False))
    monkeypatch.setattr(selftest.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def driver(bare, monkeypatch):
    """The same with the driver of a GPU."""
    monkeypatch.setattr(selftest.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)


def test_a_machine_without_a_gpu_needs_no_warning(bare, capsys):
    assert pick_device("auto") == CPU
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match=r"there is no cuda device here; .* leave --device out"):
        pick_device("cuda")


@pytest.mark.fault("device: a GPU that is missing or unusable")
def test_a_gpu_that_torch_cannot_use_is_named_in_one_line(driver, monkeypatch, capsys):
    assert pick_device("auto") == CPU
    err = capsys.readouterr().err
    assert err.startswith("warning: there seems to be an NVIDIA GPU, but torch") and err.count("\n") == 1
    assert "was built without CUDA: this runs on the CPU" in err
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UserError, match=r"there is no cuda device here; .* was built for CUDA 13\.0"):
        pick_device("cuda")


@pytest.mark.parametrize(("asked", "shown"), [("cpu", "0"), ("auto", ""), ("auto", "-1")])
def test_who_asks_for_the_cpu_or_hides_the_gpu_is_not_warned(driver, asked, shown, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert pick_device(asked) == CPU
    assert capsys.readouterr().err == ""


def test_a_mac_whose_gpu_cannot_be_used(bare, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert pick_device("auto") == CPU
    assert "this Mac has a GPU" in capsys.readouterr().err
