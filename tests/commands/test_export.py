"""minbert export: what it writes, and what it refuses."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from minbert import BertForMaskedLM, BertModel, BertSentClassifier
from minbert.__main__ import main
from minbert.commands.export import Job, load
from minbert.errors import UserError
from minbert.runs.onnx import check_packages
from minbert.tokenizer import BertTokenizer
from tests.runs.test_onnx import Program


def test_it_writes_a_file_with_all_that_a_program_needs(tiny_folder, tokenizer, tmp_path, capsys):
    pytest.importorskip("onnxscript", reason="needs onnxscript, which writes ONNX")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime to compute with what is written")
    words = ["export", "--model", str(tiny_folder), "--out", str(tmp_path / "new" / "a b.onnx")]
    assert main([*words, "--max_length", "30"]) == 0
    out, err = capsys.readouterr()
    assert "the largest difference from the model, by onnxruntime: " in out and err == ""
    names = ["a b.onnx", "tokenizer_config.json", "vocab.txt"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    session = runtime.InferenceSession(tmp_path / "new" / "a b.onnx", providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert (json.loads(facts["labels"]), facts["max_length"]) == (["negative", "positive"], "30")
    assert BertTokenizer.from_pretrained(tmp_path / "new").vocab == tokenizer.vocab


@pytest.fixture
def refused(tiny_folder, tmp_path, capsys, monkeypatch):
    """refused("--out", "x.onnx") -> the message with which the command refuses to export the tiny classifier."""
    monkeypatch.chdir(tmp_path)

    def refused(*words):
        assert main(["export", "--model", str(tiny_folder), *words]) == 2
        return capsys.readouterr().err

    return refused


def test_it_refuses_before_it_works(refused, tiny, tokenizer, tmp_path):
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
    assert not (tmp_path / "new").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_head_is_what_the_checkpoint_has_whatever_its_config_says(tiny, tmp_path):
    for kind in (BertSentClassifier, BertForMaskedLM, BertModel):
        kind(tiny).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
        job = Job(tmp_path, None, "it", tmp_path / "x.onnx", None, 40)
        assert type(load(job)) is kind
    with pytest.raises(UserError, match="has no masked-LM head"):
        load(replace(job, head="words"))
    with pytest.raises(UserError, match="it has no trained classifier"):
        load(replace(job, head="classifier"))


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(package, refused, monkeypatch):
    for name in ("onnx", "onnxscript"):  # the other one is there, also on a machine that has neither
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    assert "pip install 'minbert[export]'" in refused("--out", "model.onnx")
    with pytest.raises(UserError, match=f"export needs {package}"):
        check_packages()


def test_without_onnxruntime_the_file_is_not_compared_and_it_says_so(refused, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxscript", reason="needs onnxscript, which writes ONNX")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(torch.onnx, "export", Program)
    assert main(["export", "--model", str(tmp_path / "tiny"), "--out", "new/model.onnx"]) == 0
    assert "not compared with the model: pip install onnxruntime" in capsys.readouterr().err
    assert (tmp_path / "new" / "model.onnx").read_bytes() == b"ONNX"
