"""Weights in one file or in shards; and folders that hold something else, named for what it is."""

import json
import re

import pytest
import safetensors.torch
import torch

from minbert import BertSentClassifier, UserError
from minbert.weights import hub
from minbert.weights.folders import weight_files
from minbert.weights.read import read_tensors
from tests.weights.test_weights import same, stored

KINDS = [  # a file, what its folder is called
    ("adapter_config.json", "an adapter without its base model (adapter_config.json): merge the two"),
    (
        "bert_model.ckpt.index",
        "Google's TensorFlow checkpoint, to be converted (bert_model.ckpt.index): transformers",
    ),
    ("bert_model.ckpt.data-00000-of-00001", "Google's TensorFlow checkpoint"),
    ("model.ckpt-1000.meta", "Google's TensorFlow checkpoint"),
    ("tf_model.h5", "a TensorFlow model, to be converted (tf_model.h5): transformers 4 can, with tensorflow installed"),
    ("tf_model-00001-of-00002.h5", "a TensorFlow model"),
    ("saved_model.pb", "a TensorFlow model"),
    (
        "flax_model.msgpack",
        "a Flax model, to be converted (flax_model.msgpack): transformers 4 can, with flax",
    ),
    (
        "openvino_model.xml",
        "an OpenVINO model (openvino_model.xml): it is a program for another runtime: name",
    ),
    ("model.onnx", "an ONNX model (model.onnx)"),
    ("model_quantized.onnx", "an ONNX model"),
    ("onnx/model.onnx", "an ONNX model (onnx/model.onnx)"),
    ("openvino/openvino_model.xml", "an OpenVINO model"),
    ("bert-base-q4_0.gguf", "a GGUF model"),
    ("model.tflite", "an exported model"),
    ("rust_model.ot", "an exported model"),
    ("state.safetensors", "a stopped run of minbert, and no model yet (state.safetensors): finish it with --resume"),
    ("flexible-10-1e-05.pt", "a checkpoint of torch.save (flexible-10-1e-05.pt): `minbert convert FILE OUT` opens"),
]


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize("file, said", KINDS)
def test_a_folder_of_something_else_is_named(tiny_folder, file, said, config):
    (tiny_folder / "model.safetensors").unlink()
    if not config:
        (tiny_folder / "config.json").rename(tiny_folder / "bert_config.json")
    (tiny_folder / file).parent.mkdir(exist_ok=True)
    (tiny_folder / file).touch()
    with pytest.raises(UserError) as error:
        hub.find(tiny_folder)
    assert str(error.value).startswith(f"{tiny_folder} holds {said}")
    assert hub.find(tiny_folder, tokenizer_only=True) == tiny_folder  # its vocabulary is as good as any


def test_beside_a_model_another_form_of_it_is_no_harm_but_an_adapter_is(tiny_folder):
    for file, _ in KINDS[1:]:
        (tiny_folder / file).parent.mkdir(exist_ok=True)
        (tiny_folder / file).touch()
    assert hub.find(tiny_folder) == tiny_folder
    (tiny_folder / "adapter_config.json").touch()  # transformers would add it to the model
    with pytest.raises(UserError, match="holds an adapter without its base model"):
        hub.find(tiny_folder)


def test_a_folder_of_models_names_them(tiny_folder):
    for name in ("checkpoint-500", "checkpoint-1000", "logs"):
        (tiny_folder / name).mkdir()
    for name in ("config.json", "model.safetensors"):
        (tiny_folder / "checkpoint-500" / name).write_bytes((tiny_folder / name).read_bytes())
        (tiny_folder / name).rename(tiny_folder / "checkpoint-1000" / name)
    said = rf"holds 2: name one of {re.escape(str(tiny_folder / 'checkpoint-1000'))}, \S*checkpoint-500$"
    with pytest.raises(UserError, match=said):
        hub.find(tiny_folder)
    for number in range(5):
        (tiny_folder / f"{number}").mkdir()
        (tiny_folder / f"{number}" / "config.json").touch()
    with pytest.raises(UserError, match=r"holds 7: name one of (\S+, ){4}\S+2 and 2 more$"):
        hub.find(tiny_folder)


def test_a_folder_of_one_model_names_it(tiny_folder):
    (tiny_folder / "inside").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tiny_folder / name).rename(tiny_folder / "inside" / name)
    with pytest.raises(UserError, match=r"is no model, but holds one: name \S*inside$"):
        hub.find(tiny_folder)


# Shards

OUTSIDE = ["../secret.bin", "/etc/passwd", "a/b.bin", "..", "", "x.pt", 3, None, ["a.bin"]]


@pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
def shards(tiny_folder, request):
    """tiny_folder with its weights in two shards; .rewrite(index=..., first=..., second=...) changes them."""
    tensors, (stem, ending) = stored(tiny_folder), request.param.rsplit(".", 1)
    (tiny_folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = [f"{stem}-0000{number}-of-00002.{ending}" for number in (1, 2)]

    def rewrite(change=lambda parts, places: None):
        parts = [{name: tensors[name] for name in names[:20]}, {name: tensors[name] for name in names[20:]}]
        places = {name: file for file, part in zip(files, parts) for name in part}
        change(parts, places)
        for file, part in zip(files, parts):
            (safetensors.torch.save_file if ending == "safetensors" else torch.save)(part, tiny_folder / file)
        index = {"metadata": {"total_size": 1}, "weight_map": places}
        (tiny_folder / f"{request.param}.index.json").write_text(json.dumps(index), encoding="utf-8")
        return tiny_folder

    rewrite.tensors, rewrite.files, rewrite.names = tensors, files, names
    return rewrite


def test_shards_are_read(shards):
    folder = shards()
    assert same(read_tensors(folder), shards.tensors)
    assert [path.name for path in weight_files(folder)][1:] == shards.files
    assert str(BertSentClassifier.from_pretrained(folder).loaded) == f"{folder}: 41 tensors loaded"


def test_a_missing_shard_is_named(shards):
    folder = shards()
    (folder / shards.files[1]).unlink()
    with pytest.raises(UserError, match=rf"index\.json: names files that are not there: {shards.files[1]}$"):
        BertSentClassifier.from_pretrained(folder)


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
@pytest.mark.parametrize(
    "change",
    [
        lambda parts, places: parts[1].update(dict(list(parts[0].items())[:1])),
        lambda parts, places: parts[0].pop("bert.embeddings.LayerNorm.bias"),
        lambda parts, places: places.pop("bert.embeddings.LayerNorm.bias"),
        lambda parts, places: places.update({"bert.embeddings.LayerNorm.bias": places["classifier.bias"]}),
    ],
    ids=["twice", "missing", "not in the index", "in the other shard"],
)
def test_each_tensor_is_where_the_index_says_and_there_alone(shards, change):
    folder = shards(change)
    with pytest.raises(UserError, match=r"expects in it: (bert\.embeddings\.Layer.+|classifier\.bias)$") as error:
        BertSentClassifier.from_pretrained(folder)
    assert "-of-00002." in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("file", OUTSIDE)
def test_an_index_names_files_beside_it_alone(shards, file):
    folder = shards(lambda parts, places: places.update({"classifier.bias": file}))
    with pytest.raises(UserError, match=r"index\.json: .* is no file of weights beside it$"):
        BertSentClassifier.from_pretrained(folder)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": []}', "[]", "{"])
def test_an_index_without_a_map(shards, content):
    folder = shards()
    index = next(folder.glob("*.index.json"))
    index.write_text(content)
    with pytest.raises(UserError, match=r"index\.json: (has no weight_map|holds a list|not valid JSON)"):
        BertSentClassifier.from_pretrained(folder)


def test_what_transformers_writes_in_shards_is_read(tiny_folder):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    theirs = transformers.BertForSequenceClassification.from_pretrained(tiny_folder)
    theirs.save_pretrained(tiny_folder / "shards", max_shard_size="5KB")
    assert len(list((tiny_folder / "shards").glob("*.safetensors"))) > 1
    assert same(read_tensors(tiny_folder / "shards"), stored(tiny_folder))
