"""ONNX: the file computes what the model does, for any batch; and torch exports and compiles the models as they are."""

import argparse
import os
import subprocess
import sys

import pytest
import torch

from minbert import BertForPreTraining, BertModel, BertSentClassifier, fast
from minbert.errors import UserError
from minbert.fast.int8 import quantize
from minbert.heads import MaskedLMHead
from minbert.runs import onnx
from minbert.runs.onnx import INPUTS, OUTPUTS, Outputs, example, export_onnx
from tests.conftest import ROOT

POOLINGS = [("pooler", BertSentClassifier), ("cls", BertSentClassifier), ("mean", BertSentClassifier)]
KINDS = [*POOLINGS, ("", BertModel), ("", BertForPreTraining)]
SIZES = [(1, 1), (1, 2), (1, 40), (5, 1), (4, 9)]  # texts, tokens: one of each, a batch of one, the longest, padded


def build(tiny, pooling, kind):
    torch.manual_seed(0)
    model = kind(tiny.change(pooling=pooling or "pooler", labels=("böse", "gut"), num_hidden_layers=1))
    for weight in model.parameters():  # of which each one shows in the result
        torch.nn.init.normal_(weight, std=0.3)
    return model


def flat(output):
    output = [output] if torch.is_tensor(output) else output.values() if isinstance(output, dict) else output
    return [tensor for tensor in output if tensor is not None]


@pytest.fixture(scope="module")
def session():
    pytest.importorskip("onnxscript", reason="needs onnxscript, which writes ONNX")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime to compute with what is written")
    return lambda path: runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("pooling", "kind"), [("mean", BertSentClassifier), ("", BertForPreTraining)])
def test_the_file_computes_what_the_model_does(pooling, kind, tiny, session, tmp_path):
    """The test below has all poolings; torch's own exporter takes seconds for each model."""
    model = fast.swap_in(build(tiny, pooling, kind)).train()
    names = list(model.state_dict())
    assert export_onnx(model, tmp_path / "model.onnx") < 1e-5
    assert model.training and list(model.state_dict()) == names  # left as it was
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # all in one file
    written = session(tmp_path / "model.onnx")
    assert [(put.name, put.shape) for put in written.get_inputs()] == [(name, ["batch", "tokens"]) for name in INPUTS]
    assert tuple(put.name for put in written.get_outputs()) == OUTPUTS[kind]
    plain = fast.swap_out(model).eval()
    for rows, tokens in SIZES:
        inputs = example(tiny, rows, tokens)
        found = written.run(None, dict(zip(INPUTS, (tensor.numpy() for tensor in inputs))))
        with torch.no_grad():
            wanted = flat(plain(*inputs))
        for ours, theirs in zip(wanted, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("swapped", [False, True], ids=["plain", "swapped"])
@pytest.mark.parametrize(("pooling", "kind"), KINDS)
def test_torch_exports_and_compiles_each_model(pooling, kind, swapped, tiny):
    """For batches of other sizes than the one it was shown; a model with the twins, too."""
    model = build(tiny, pooling, kind)
    inputs, others = example(tiny, 2, 8), example(tiny, 4, 13)
    with torch.no_grad():
        wanted = [flat(model(*batch)) for batch in (inputs, others)]
    model = fast.swap_in(model) if swapped else model
    any_size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=40)}
    exported = torch.export.export(model, tuple(inputs), dynamic_shapes=(any_size,) * 3, strict=False).module()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for recorded in (exported, compiled):
        with torch.no_grad():
            found = [flat(recorded(*batch)) for batch in (inputs, others)]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_model_in_half_precision_is_computed_in_float32_and_stays_as_it_is(tiny):
    model = build(tiny, "mean", BertSentClassifier).bfloat16()
    (logits,) = Outputs(model)(*example(tiny, 2, 8))
    assert (logits.dtype, model.classifier.weight.dtype) == (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(("kind", "names"), OUTPUTS.items())
def test_the_outputs_have_their_names_and_are_those_of_the_model(kind, names, tiny):
    model, inputs = build(tiny, "cls", kind), example(tiny, 2, 8)
    assert len(Outputs(model)(*inputs)) == len(names)
    assert all(map(torch.equal, Outputs(model)(*inputs), flat(model(*inputs))))


class Program:
    """Takes the place of what torch.onnx.export returns."""

    def __init__(self, *given, **options):
        self.model = argparse.Namespace(metadata_props={})

    def save(self, path, external_data):
        path.write_bytes(b"ONNX")


def test_what_cannot_be_exported_is_refused(tiny, session, tmp_path, monkeypatch):
    model = build(tiny, "mean", BertSentClassifier)
    with pytest.raises(UserError, match="int8 model cannot be exported: export it before quantizing"):
        export_onnx(quantize(build(tiny, "mean", BertSentClassifier)), tmp_path / "model.onnx")
    with pytest.raises(UserError, match="a MaskedLMHead cannot be exported, but: BertForPreTraining, BertForMaskedLM"):
        export_onnx(MaskedLMHead(tiny), tmp_path / "model.onnx")
    monkeypatch.setattr(onnx, "LARGEST", 10)
    with pytest.raises(UserError, match="do not fit into one ONNX file"):
        export_onnx(model, tmp_path / "model.onnx")
    monkeypatch.undo()
    monkeypatch.setattr(torch.onnx, "export", Program)
    for difference, words in ((float("nan"), "nan"), (1.1e-4, "1.1e-04")):
        monkeypatch.setattr(onnx, "compare", lambda *given, value=difference: value)
        with pytest.raises(UserError, match=f"not written: its numbers differ by {words}"):
            export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_published_case_of_the_old_exporter(shared, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx to export")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    script = shared("cases/onnx-export/export.py")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.onnx").stat().st_size > 10_000_000
