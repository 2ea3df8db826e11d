"""ONNX: the file computes what the model does, for any batch; and torch exports and compiles the models as they are."""

import argparse
import json
import sys

import pytest
import torch

from minbert import BertForPreTraining, BertModel, BertSentClassifier, export, fast
from minbert.__main__ import main
from minbert.errors import UserError
from minbert.export import INPUTS, OUTPUTS, Outputs, example, export_onnx
from minbert.fast.int8 import quantize
from minbert.heads import MaskedLMHead
from minbert.tokenizer import BertTokenizer

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
    monkeypatch.setattr(export, "LARGEST", 10)
    with pytest.raises(UserError, match="do not fit into one ONNX file"):
        export_onnx(model, tmp_path / "model.onnx")
    monkeypatch.undo()
    monkeypatch.setattr(torch.onnx, "export", Program)
    for difference, words in ((float("nan"), "nan"), (1.1e-4, "1.1e-04")):
        monkeypatch.setattr(export, "compare", lambda *given, value=difference: value)
        with pytest.raises(UserError, match=f"not written: its numbers differ by {words}"):
            export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_file_with_all_that_a_program_needs(tiny, tokenizer, session, tmp_path, capsys):
    model = build(tiny, "pooler", BertSentClassifier)
    model.save_pretrained(tmp_path / "run")
    tokenizer.save_pretrained(tmp_path / "run")
    words = ["export", "--model", str(tmp_path / "run"), "--out", str(tmp_path / "new" / "a b.onnx")]
    assert main([*words, "--max_length", "30"]) == 0
    out, err = capsys.readouterr()
    assert "the largest difference from the model, by onnxruntime: " in out and err == ""
    names = ["a b.onnx", "tokenizer_config.json", "vocab.txt"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    facts = session(tmp_path / "new" / "a b.onnx").get_modelmeta().custom_metadata_map
    assert (json.loads(facts["labels"]), facts["max_length"]) == (["böse", "gut"], "30")
    assert BertTokenizer.from_pretrained(tmp_path / "new").vocab == tokenizer.vocab


@pytest.fixture
def refused(tiny_folder, tmp_path, capsys, monkeypatch):
    """refused("--out", "x.onnx") -> the message with which the command refuses to export the tiny classifier."""
    monkeypatch.chdir(tmp_path)

    def refused(*words):
        assert main(["export", "--model", str(tiny_folder), *words]) == 2
        return capsys.readouterr().err

    return refused


def test_the_command_refuses_before_it_works(refused, tiny, tokenizer, tmp_path):
    pytest.importorskip("onnxscript", reason="needs onnxscript, which writes ONNX")
    assert "should be a file that ends in .onnx" in refused("--out", "model.bin")
    assert "--max_length is 41, but" in refused("--out", "model.onnx", "--max_length", "41")
    (tmp_path / "vocab.txt").write_text("mine")
    assert "vocab.txt belongs to another model: write into another folder with --out" in refused("--out", "model.onnx")
    BertModel(tiny).save_pretrained("encoder")
    tokenizer.save_pretrained("encoder")
    assert "has no trained classifier" in refused(
        "--model", "encoder", "--head", "classifier", "--out", "new/model.onnx"
    )
    config = json.loads((tmp_path / "encoder" / "config.json").read_text())
    (tmp_path / "encoder" / "config.json").write_text(json.dumps(config | {"architectures": None}))
    assert "pass --head classifier, words, none" in refused("--model", "encoder", "--out", "new/model.onnx")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(package, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'minbert[export]'" in refused("--out", "model.onnx")
    with pytest.raises(UserError, match=f"export needs {package}"):
        export.check_packages()


def test_without_onnxruntime_the_file_is_not_compared_and_the_command_says_so(refused, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxscript", reason="needs onnxscript, which writes ONNX")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(torch.onnx, "export", Program)
    assert main(["export", "--model", str(tmp_path / "tiny"), "--out", "new/model.onnx"]) == 0
    assert "not compared with the model: pip install onnxruntime" in capsys.readouterr().err
    assert (tmp_path / "new" / "model.onnx").read_bytes() == b"ONNX"
