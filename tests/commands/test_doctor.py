"""What minbert doctor says of a machine, and of one that is not as it should be."""

import csv
import json
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from torch.nn import functional as F

from minbert import shipped
from minbert.__main__ import main
from minbert.commands import doctor
from minbert.fast import linear, measure, memory, reading
from minbert.fast.linear import KERNEL
from minbert.runs import precision, selftest
from minbert.weights import hub
from tests.conftest import ROOT

GROUPS = ["machine", "memory", "kernels", "GPU", "files", "packages"]
both = pytest.mark.skipif("onednn" not in linear.kernels(), reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Times that are made up, and a machine without a GPU; the settings of this process stay."""
    monkeypatch.setattr(memory, "retain_freed_memory", lambda: True)
    monkeypatch.setattr(measure, "race", lambda ways: {name: 0.001 * number for number, name in enumerate(ways, 1)})
    monkeypatch.setattr(memory, "page_costs", lambda: {"small": 0.02, "large": 0.005, "again": 0.0001})
    monkeypatch.setattr(memory, "is_kept", lambda: True)
    monkeypatch.setattr(memory, "in_large_pages", lambda: 0.9)
    monkeypatch.setattr(memory, "large_pages", lambda: "madvise")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(selftest, "unusable_gpu", lambda: "")
    for kernel in (KERNEL, reading.KERNEL):
        for name in ("chosen", "because", "seconds"):
            monkeypatch.setattr(kernel, name, getattr(kernel, name))
        kernel.forget()
        monkeypatch.delenv(kernel.variable, raising=False)


@pytest.fixture
def ask(capsys):
    """ask() -> exit status, {name of a line: what is found and the verdict}, stderr."""

    def ask():
        status = main(["doctor"])
        out, err = capsys.readouterr()
        lines = [line for line in out.splitlines() if line.startswith("  ")]
        assert [line for line in out.splitlines() if not line.startswith("  ")] == GROUPS
        return status, {line[2:18].strip(): line[19:] for line in lines}, err

    return ask


def verdict(lines, name):
    return lines[name][39:]


def rows_of(part):
    with open(ROOT / "data" / "reviews" / f"{part}.csv", encoding="utf-8", newline="") as file:
        return str(sum(1 for _ in csv.DictReader(file)))


def test_all_is_well(ask):
    status, lines, err = ask()
    assert (status, err) == (0, "")
    assert verdict(lines, "fp32 results") == verdict(lines, "bf16 results") == "correct"
    assert verdict(lines, "tiny") == "the shipped model: loads, 19,056,768 parameters"
    assert verdict(lines, "reviews") == f"the shipped texts: {' + '.join(map(rows_of, ('train', 'dev', 'test')))} rows"
    assert verdict(lines, "freed memory") == "is kept for the next batch"
    assert lines["large pages"].startswith("32 MB: small 20.0 ms, large 5.0 ms ")
    assert verdict(lines, "large pages") == "torch gets 90% of a tensor in large pages (Linux: madvise)"
    assert verdict(lines, "GPU") == "everything runs on the CPU"
    assert not any("BROKEN" in line for line in lines.values())


def test_json_holds_the_same(ask, capsys):
    _, lines, _ = ask()
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True and answer["kernels"] == measure.choices()
    assert list(answer["parts"]) == GROUPS
    told = [line for part in answer["parts"].values() for line in part]
    assert {line["name"].strip() for line in told} == set(lines)
    assert not any(line["broken"] for line in told)


@both
@pytest.mark.parametrize(("onednn", "chosen"), [(0.0005, "onednn"), (0.002, "torch")])
def test_the_faster_kernel_is_named(onednn, chosen, ask, monkeypatch):
    others = dict.fromkeys(("fp32", "int8", "bf16", "minbert", "plain", "packed"), 0.001)
    monkeypatch.setattr(
        measure, "race", lambda ways: {name: ({"torch": 0.001, "onednn": onednn} | others)[name] for name in ways}
    )
    _, lines, _ = ask()
    assert lines["float32"].startswith(f"torch 1 ms, onednn {1000 * onednn:g} ms ")
    assert verdict(lines, "float32") == f"{chosen} is used"


@both
def test_a_pinned_kernel_is_named_with_what_pins_it(ask, monkeypatch):
    monkeypatch.setenv("MINBERT_LINEAR", "onednn")
    status, lines, _ = ask()
    assert status == 0
    assert verdict(lines, "float32") == "onednn is used (MINBERT_LINEAR)"
    assert lines["float32"].startswith("torch 1 ms, onednn 2 ms ")  # measured all the same


@pytest.mark.skipif("packed" not in reading.ways(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(("packed", "chosen"), [(0.0005, "packed"), (0.002, "plain")])
def test_how_an_encoder_predicts_is_named(packed, chosen, ask, monkeypatch):
    """And int8 and bf16 are compared with that."""
    race, compared = measure.race, []
    monkeypatch.setattr(
        measure, "race", lambda ways: {"plain": 0.001, "packed": packed} if "packed" in ways else race(ways)
    )
    monkeypatch.setattr(
        precision, "layer_times", lambda layer, name, packed: compared.append(packed) or {"fp32": 0.001, name: 0.001}
    )
    _, lines, _ = ask()
    assert lines["reading"].startswith(f"plain 1 ms, packed {1000 * packed:g} ms ")
    assert verdict(lines, "reading") == f"{chosen} predicts"
    assert compared == [chosen == "packed"] * 2


def test_a_pinned_way_to_predict_is_named_with_what_pins_it(ask, monkeypatch):
    monkeypatch.setenv("MINBERT_READING", "plain")
    assert verdict(ask()[1], "reading") == "plain predicts (MINBERT_READING)"


@pytest.mark.parametrize(
    ("slower", "says"),
    [
        (29.0, "29.0 times slower than fp32: --precision int8 goes on in fp32"),
        (1.05, "1.0 times as fast as fp32"),
        (0.5, "2.0 times as fast as fp32"),
    ],
)
def test_what_int8_costs_here(slower, says, ask, monkeypatch):
    monkeypatch.setattr(precision, "layer_times", lambda layer, name, packed: {"fp32": 0.001, name: 0.001 * slower})
    _, lines, _ = ask()
    assert verdict(lines, "int8") == says
    assert verdict(lines, "bf16") == says.replace("--precision int8 goes on in fp32", "leave --precision bf16 out")


def test_what_cannot_be_measured_is_said(ask, monkeypatch):
    monkeypatch.setattr(memory, "page_costs", dict)
    monkeypatch.setattr(memory, "is_kept", lambda: None)
    monkeypatch.setattr(memory, "in_large_pages", lambda: None)
    status, lines, _ = ask()
    assert status == 0
    for name in ("freed memory", "large pages"):
        assert lines[name].split() == ["not", "measured", "not", "measured"]


# What is broken: exit status 2, and one line that says what


def broken(ask, name, words):
    status, lines, err = ask()
    assert status == 2
    assert verdict(lines, name).startswith("BROKEN: ") and words in lines[name]
    assert err.startswith("error: broken here: ") and words in err and err.count("\n") == 1


def test_a_cpu_that_computes_wrongly(ask, monkeypatch):
    right = F.layer_norm
    monkeypatch.setattr(F, "layer_norm", lambda x, *more: right(x, *more) + (x.dtype != torch.float64))
    broken(ask, "fp32 results", "cpu computes wrongly")


def test_a_kernel_that_is_not_there(ask, monkeypatch):
    monkeypatch.setenv("MINBERT_LINEAR", "mkl")
    broken(ask, "float32", "the linear kernel 'mkl' is unknown")


def test_a_way_to_predict_that_is_not_there(ask, monkeypatch):
    monkeypatch.setenv("MINBERT_READING", "packet")
    broken(ask, "reading", "the reading kernel 'packet' is unknown")


def test_a_gpu_that_computes_wrongly(ask, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    facts = type("Properties", (), {"name": "Some GPU", "total_memory": 8 * 2**30})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts)
    compare, meta = selftest.compare, torch.device("meta")  # which computes nothing
    monkeypatch.setattr(
        selftest,
        "compare",
        lambda device, *more, **named: compare(device if device.type == "cpu" else meta, *more, **named),
    )
    broken(ask, "fp32", "cannot run a tiny model")


def test_a_gpu_that_torch_cannot_use_is_named(ask, monkeypatch):
    monkeypatch.setattr(selftest, "unusable_gpu", lambda: "there seems to be an NVIDIA GPU")
    status, lines, _ = ask()
    assert status == 0 and verdict(lines, "GPU") == "there seems to be an NVIDIA GPU"


def test_a_shipped_model_that_is_damaged(ask, monkeypatch, tmp_path):
    shutil.copytree(hub.find("tiny"), tmp_path / "tiny")
    weights = tmp_path / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setattr(hub, "find", lambda name: tmp_path / "tiny")
    broken(ask, "tiny", "model.safetensors")


def test_shipped_texts_that_are_missing(ask, monkeypatch, tmp_path):
    folder = shipped.folder
    monkeypatch.setattr(shipped, "folder", lambda name: tmp_path if name == "data" else folder(name))
    broken(ask, "reviews", "train.csv")


@pytest.mark.parametrize(
    ("versions", "words"), [({}, "pip install torch"), ({"torch": "2.9.1"}, "too old: pip install 'torch>=2.10'")]
)
def test_a_package_that_is_missing_or_too_old(versions, words, monkeypatch):
    def version(name):
        if name == "torch" and name not in versions:
            raise PackageNotFoundError(name)
        return versions.get(name, "99")

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["torch>=2.10", "numpy", "pytest; extra == 'test'"])
    lines = {line.name: line for line in doctor.packages()}
    assert list(lines) == ["python", "torch", "numpy"]
    assert lines["torch"].broken and lines["torch"].verdict == words
    assert not lines["numpy"].broken


# What it asks


@pytest.mark.parametrize(
    ("text", "name", "instructions"),
    [
        (
            "model name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_vnni\n",
            "Some CPU",
            ["AVX2", "AVX-512", "VNNI (8 bits)"],
        ),
        ("model name\t: Old CPU\nflags\t\t: fpu sse2\n", "Old CPU", []),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp bf16\n", None, ["dot products (8 bits)", "bfloat16"]),
        (None, None, []),
    ],
)
def test_the_processor_and_its_instructions(text, name, instructions, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "CPUINFO", tmp_path / "cpuinfo")
    if text:
        doctor.CPUINFO.write_text(text)
    found = doctor.describe_processor()
    assert found[1] == instructions
    assert found[0] == name or (name is None and found[0])


@pytest.mark.parametrize(
    ("quota", "cores"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("900000 100000", 8), (None, 8)]
)
def test_cores_are_those_that_a_container_may_use(quota, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(doctor, "QUOTAS", tmp_path / "cpu.max")
    if quota:
        doctor.QUOTAS.write_text(quota + "\n")
    assert doctor.usable_cores() == cores


def test_more_threads_than_cores_are_too_many(ask, monkeypatch):
    monkeypatch.setattr(doctor, "usable_cores", lambda: 0)
    _, lines, _ = ask()
    assert verdict(lines, "threads") == "too many: OMP_NUM_THREADS=0 would be faster"


def test_a_version_is_compared_by_its_numbers():
    assert doctor.numbers("2.13.0+cpu") == [2, 13, 0] > doctor.numbers("2.9.1")
    assert doctor.numbers("") == []


def test_the_manual_is_shown_before_anything_heavy_is_loaded():
    code = (
        "import sys, contextlib\n"
        "from minbert.__main__ import call\n"
        "with contextlib.suppress(SystemExit):\n    call(['doctor', '--help'])\n"
        "print([m for m in ('torch', 'numpy', 'tqdm', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "MINBERT_LINEAR=torch" in done.stdout and done.stdout.splitlines()[-1] == "[]"
