"""weights: every tensor of a checkpoint in its place by its full name, dropped on purpose, or an error; and back."""

import json
import logging
import pickle
import re
import zipfile

import pytest
import safetensors.torch
import torch

from minbert import BertForMaskedLM, BertForPreTraining, BertModel, BertSentClassifier, UserError, weights
from minbert.atomic import atomic_write
from minbert.embeddings import sinusoids
from minbert.weights.fill import LISTED, fill
from minbert.weights.read import read_tensors

# A layer's modules as Hugging Face calls them and as the course kits do, without the number of the layer.
LAYER = {
    "attention.self.query": "self_attention.query",
    "attention.self.key": "self_attention.key",
    "attention.self.value": "self_attention.value",
    "attention.output.dense": "attention_dense",
    "attention.output.LayerNorm": "attention_layer_norm",
    "intermediate.dense": "interm_dense",
    "output.dense": "out_dense",
    "output.LayerNorm": "out_layer_norm",
}
KIT = {  # the whole model's
    "embeddings.word_embeddings": "word_embedding",
    "embeddings.position_embeddings": "pos_embedding",
    "embeddings.token_type_embeddings": "tk_type_embedding",
    "embeddings.LayerNorm": "embed_layer_norm",
    "pooler.dense": "pooler_dense",
    **{f"encoder.layer.0.{theirs}": f"bert_layers.0.{kit}" for theirs, kit in LAYER.items()},
    **{f"encoder.layer.1.{theirs}": f"bert_layers.1.{kit}" for theirs, kit in LAYER.items()},
}
ENCODER = [  # every tensor of a model of two layers, as Hugging Face's BertModel names them
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    *("embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"),
    *(f"encoder.layer.0.{module}.{leaf}" for module in LAYER for leaf in ("weight", "bias")),
    *(f"encoder.layer.1.{module}.{leaf}" for module in LAYER for leaf in ("weight", "bias")),
    *("pooler.dense.weight", "pooler.dense.bias"),
]
HEAD = ["classifier.weight", "classifier.bias"]
MASKED_LM = [
    "cls.predictions.bias",
    *("cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias"),
    *("cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.bias"),
]
NEXT_SENTENCE = ["cls.seq_relationship.weight", "cls.seq_relationship.bias"]
WORDS, DECODER = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("max_position_embeddings", "num_labels"),
)


def stored(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def store(folder, tensors, **config):
    """Replace a folder's weights, and change its config.json."""
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | config), encoding="utf-8")


def same(first, second):
    """Whether two state dicts hold the same names and the same bits."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def original(tiny_folder):
    """The classifier in tiny_folder, its norms no longer all 1 and 0, so that mixing them up would show."""
    model = BertSentClassifier.from_pretrained(tiny_folder)
    shake(model).save_pretrained(tiny_folder)
    return model


def shake(model):
    """Random numbers for what would be 0 or 1 in a new model, so that mixing them up would show."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.normal_()
    return model


@pytest.fixture
def pretrained(tiny, tmp_path):
    """A BertForPreTraining, and the folder where it is saved."""
    torch.manual_seed(1)
    model = shake(BertForPreTraining(tiny))
    model.save_pretrained(tmp_path / "pretrained")
    return model, tmp_path / "pretrained"


# Names


def old_norm(name):
    """As TensorFlow called the parts of a norm."""
    return re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name))


def kit_name(name):
    module, leaf = name.rsplit(".", 1)
    return f"{KIT[module]}.{leaf}"


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
@pytest.mark.parametrize("rename", [str, old_norm, kit_name], ids=["hugging face", "gamma and beta", "course kits"])
@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_names_of_other_peoples_checkpoints(tiny_folder, original, rename, prefix):
    encoder = {name.removeprefix("bert."): tensor for name, tensor in stored(tiny_folder).items() if name not in HEAD}
    renamed = {prefix + rename(name): tensor for name, tensor in encoder.items()}
    assert len(renamed) == len(ENCODER)
    store(tiny_folder, renamed)
    model = BertModel.from_pretrained(tiny_folder)
    assert same(model.state_dict(), original.bert.state_dict())
    assert str(model.loaded) == f"{tiny_folder}: 39 tensors loaded"


def test_a_pretraining_checkpoint_as_bert_base_uncased_is_stored(tiny_folder, original):
    """With gamma and beta everywhere, its two heads and the position ids."""
    head = [
        "cls.predictions.bias",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.gamma",
        "cls.predictions.transform.LayerNorm.beta",
        "cls.predictions.decoder.weight",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
    ]
    tensors = {old_norm(name): tensor for name, tensor in stored(tiny_folder).items() if name not in HEAD}
    tensors |= {name: torch.ones(3) for name in head}
    store(tiny_folder, tensors | {"bert.embeddings.position_ids": torch.arange(40)[None]})
    model = BertSentClassifier.from_pretrained(tiny_folder)
    assert same(model.bert.state_dict(), original.bert.state_dict())
    assert str(model.loaded) == (
        f"{tiny_folder}: 39 tensors loaded; new, with random weights: classifier; "
        "left out: masked-LM head, next-sentence head, position ids"
    )


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
@pytest.mark.parametrize(
    "name",
    [
        "model.bert.pooler.dense.weight",
        "bert.bert.pooler.dense.weight",
        "roberta.pooler.dense.weight",
        "pooler.dense.weight.1",
        "pooler.dense.gamma",
        "embeddings.word_embeddings.bias",
        "encoder.layer.0.my_output.dense.weight",
        "encoder.layer.0.crossattention.self.query.weight",
        "encoder.layer.00.output.dense.weight",
        "encoder.layer.-1.output.dense.weight",
        "encoder.layer.x.output.dense.weight",
        "encoder.layer.{}.output.dense.weight",
        "encoder.layer.0.0.output.dense.weight",
        "bert_layers.0.attention.self.query.weight",
        "encoder.layers.0.attention.query.weight",
        "cls.predictions.transform.dense.gamma",
        "classifier.dense.weight",
        "cls.predictions.weight",
        "cls.predictions.gamma",
        "cls.predictions.decoder.gamma",
        "cls.predictions.transform.weight",
        "cls.predictions.0.bias",
        "cls.seq_relationship.gamma",
        "predictions.bias",
        "next_sentence.weight",
        "",
    ],
)
def test_a_name_is_taken_whole_or_not_at_all(name):
    found, unexpected, dropped = BertModel.names.translate({name: torch.ones(1)})
    assert (found, unexpected, dropped) == ({}, [name], [])


@pytest.mark.parametrize(
    "first, second",
    [
        ("bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma"),
        ("pooler.dense.bias", "bert.pooler.dense.bias"),
        ("bert.encoder.layer.1.output.dense.bias", "bert_layers.1.out_dense.bias"),
    ],
)
def test_two_names_for_one_place_are_an_error(first, second):
    with pytest.raises(UserError, match=f"the same weights twice: {re.escape(first)} and {re.escape(second)}$"):
        BertModel.names.translate({first: torch.ones(15), second: torch.ones(15)})


# Strictness


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
@pytest.mark.fault("weights: NaN or infinity, or numbers too large for the file")
def test_one_message_lists_all_that_does_not_fit(tiny_folder, original):
    tensors = stored(tiny_folder)
    del tensors["bert.embeddings.LayerNorm.bias"]
    del tensors["bert.encoder.layer.1.attention.self.key.weight"]
    tensors["bert.encoder.layer.2.output.dense.bias"] = torch.zeros(15)
    tensors["bert.embeddings.extra.weight"] = torch.zeros(1)
    tensors["bert.embeddings.word_embeddings.weight"] = torch.zeros(27, 15)
    tensors["bert.encoder.layer.0.intermediate.dense.weight"] = torch.zeros(15, 23)
    tensors["bert.encoder.layer.0.output.dense.weight"][3, 4] = float("nan")
    tensors["bert.pooler.dense.bias"][0] = float("-inf")
    tensors["classifier.bias"] = torch.zeros(2, dtype=torch.int64)
    store(tiny_folder, tensors)
    with pytest.raises(UserError) as error:
        BertSentClassifier.from_pretrained(tiny_folder)
    first, *lines = str(error.value).split("\n")
    assert first == f"{tiny_folder} does not fit: 9 tensors"
    assert sorted(lines) == [
        "  NaN or Inf  bert.encoder.layer.0.output.dense.weight",
        "  NaN or Inf  bert.pooler.dense.bias",
        "  missing     bert.embeddings.LayerNorm.bias",
        "  missing     bert.encoder.layer.1.attention.self.key.weight",
        "  unexpected  bert.embeddings.extra.weight",
        "  unexpected  bert.encoder.layer.2.output.dense.bias",
        "  wrong shape bert.embeddings.word_embeddings.weight: [27, 15], but config.json makes it [28, 15]",
        "  wrong shape bert.encoder.layer.0.intermediate.dense.weight: [15, 23], but config.json makes it [23, 15]",
        "  wrong type  classifier.bias: int64",
    ]


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors: tensors.pop("bert.embeddings.LayerNorm.bias"),
        lambda tensors: tensors.update({"bert.unheard.of": torch.zeros(1)}),
        lambda tensors: tensors.update({"classifier.bias": torch.zeros(3)}),
        lambda tensors: tensors["classifier.weight"].fill_(float("inf")),
        lambda tensors: tensors.update({"bert.embeddings.LayerNorm.gamma": torch.ones(15)}),
    ],
    ids=["missing", "unexpected", "wrong shape", "infinite", "twice"],
)
def test_a_model_is_untouched_if_the_weights_do_not_fit(tiny, tiny_folder, spoil):
    tensors = stored(tiny_folder)
    model = BertSentClassifier(tiny)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    spoil(tensors)
    with pytest.raises(UserError):
        fill(model, tensors)
    assert same(model.state_dict(), before)
    fill(model, stored(tiny_folder))
    assert not torch.equal(model.classifier.weight, before["classifier.weight"])


def test_of_many_tensors_that_do_not_fit_the_first_are_listed(tiny_folder):
    store(tiny_folder, stored(tiny_folder), num_hidden_layers=20)
    with pytest.raises(UserError) as error:
        BertModel.from_pretrained(tiny_folder)
    first, *lines, last = str(error.value).split("\n")
    assert first == f"{tiny_folder} does not fit: {18 * 16} tensors"
    assert len(lines) == LISTED and last == f"  and {18 * 16 - LISTED} more"


def test_a_strangers_name_for_a_tensor_is_one_line(tiny_folder):
    names = {"a\nerror: b": r"'a\nerror: b'", "\x1b[2J": r"'\x1b[2J'", "x" * 1000: "'" + "x" * 59 + "..."}
    store(tiny_folder, stored(tiny_folder) | {name: torch.zeros(1) for name in names})
    with pytest.raises(UserError) as error:
        BertModel.from_pretrained(tiny_folder)
    assert sorted(str(error.value).split("\n")[1:]) == sorted(f"  unexpected  {shown}" for shown in names.values())


@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
def test_sizes_that_the_weights_do_not_fill_take_no_memory(tiny_folder, monkeypatch):
    huge = {"vocab_size": 10_000_000, "hidden_size": 65_536, "num_attention_heads": 4096}
    store(tiny_folder, stored(tiny_folder), **huge)
    monkeypatch.setattr(BertModel, "__init__", lambda *_: pytest.fail("a model was built"))
    with pytest.raises(
        UserError, match=r"config\.json: describes a model of 6\d\d,\d+,\d+,\d+ parameters, but the weights"
    ):
        BertSentClassifier.from_pretrained(tiny_folder)


@pytest.mark.fault("saving: a model written over the file that it was read from")
def test_read_edit_save_at_the_same_path(tiny_folder):
    """A file that is mapped into memory must not be cut short while its numbers are still wanted."""
    path = tiny_folder / "model.safetensors"
    tensors = read_tensors(tiny_folder)
    expected = {name: tensor.clone() for name, tensor in tensors.items()}
    tensors["classifier.bias"] = expected["classifier.bias"] = torch.tensor([5.0, 6.0])
    with atomic_write(path) as new:
        safetensors.torch.save_file(tensors, new, {"format": "pt"})
    assert same(stored(tiny_folder), expected) and same(tensors, expected)
    safetensors.torch.save_file(safetensors.torch.load_file(path), path)  # safetensors before 0.8 wrote zeros
    assert same(stored(tiny_folder), expected)


def test_weights_of_another_size_than_config_json_says(tiny_folder):
    store(tiny_folder, stored(tiny_folder), num_hidden_layers=3, vocab_size=30)
    with pytest.raises(UserError, match="does not fit: 17 tensors") as error:
        BertModel.from_pretrained(tiny_folder)
    assert "missing     encoder.layer.2.attention.self.query.weight" in str(error.value)
    assert "word_embeddings.weight: [28, 15], but config.json makes it [30, 15]" in str(error.value)


@pytest.mark.parametrize("model_class", [BertModel, BertSentClassifier])
def test_a_pooler_may_be_new_and_a_warning_says_so(tiny_folder, original, caplog, model_class):
    """What Hugging Face's BertForMaskedLM writes has none."""
    (original if model_class is BertSentClassifier else original.bert).save_pretrained(tiny_folder)
    tensors = {name: tensor for name, tensor in stored(tiny_folder).items() if "pooler" not in name}
    store(tiny_folder, tensors)
    caplog.clear()
    model = model_class.from_pretrained(tiny_folder, missing_head="error")
    assert str(model.loaded) == f"{tiny_folder}: {len(tensors)} tensors loaded; new, with random weights: pooler"
    assert caplog.record_tuples == [("minbert", logging.WARNING, str(model.loaded))]


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
@pytest.mark.parametrize("name", ["classifier.bias", "classifier.weight", "bert.pooler.dense.bias"])
def test_half_a_layer_is_not_new_but_an_error(tiny_folder, name):
    store(tiny_folder, {other: tensor for other, tensor in stored(tiny_folder).items() if other != name})
    with pytest.raises(UserError, match=f"missing     {name}$"):
        BertSentClassifier.from_pretrained(tiny_folder)


# Number types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_loaded_as_float32(tiny_folder, dtype):
    store(tiny_folder, {name: tensor.to(dtype) for name, tensor in stored(tiny_folder).items()})
    model = BertSentClassifier.from_pretrained(tiny_folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.classifier.weight, stored(tiny_folder)["classifier.weight"].float())


@pytest.mark.fault("weights: NaN or infinity, or numbers too large for the file")
def test_a_float64_too_large_for_float32_is_infinite(tiny_folder):
    tensors = stored(tiny_folder)
    tensors["classifier.bias"] = torch.tensor([1e300, 0.0], dtype=torch.float64)
    store(tiny_folder, tensors)
    with pytest.raises(UserError, match=r"1 tensor\n  NaN or Inf  classifier\.bias$"):
        BertSentClassifier.from_pretrained(tiny_folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_are_no_weights(tiny_folder, dtype):
    tensors = stored(tiny_folder)
    tensors["classifier.bias"] = torch.ones(2, dtype=dtype)
    store(tiny_folder, tensors)
    with pytest.raises(UserError, match=rf"wrong type  classifier\.bias: {str(dtype)[6:]}$"):
        BertSentClassifier.from_pretrained(tiny_folder)


# Files


class Canary:
    """What a malicious checkpoint holds: unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.fault("weights: a pickle that runs code")
@pytest.mark.parametrize("how", ["torch.save", "torch.save before 1.6", "pickle"])
def test_a_pickle_in_pytorch_model_bin_runs_no_code(tiny_folder, how):
    canary, path = tiny_folder / "canary", tiny_folder / "pytorch_model.bin"
    content = stored(tiny_folder) | {"bert.pooler.dense.bias": Canary(canary)}
    (tiny_folder / "model.safetensors").unlink()
    if how == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))  # as torch writes
        pickle.loads(path.read_bytes())
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch.save")
        torch.load(path, weights_only=False)
    canary.unlink()  # so it was there: the file does run code if it is let
    held = r"(builtins\.exec|torch\.storage\._load_from_bytes)"
    with pytest.raises(UserError, match=rf"pytorch_model\.bin: holds {held}, .*: refused, nothing in it was run$"):
        BertSentClassifier.from_pretrained(tiny_folder)
    assert not canary.exists()


@pytest.mark.fault("weights: a pickle that runs code")
@pytest.mark.parametrize("version", ["2.5.1+cu121", "2.9.1"])
def test_pickles_are_not_opened_by_a_torch_that_is_not_safe(tiny_folder, monkeypatch, version):
    tensors = stored(tiny_folder)
    torch.save(tensors, tiny_folder / "pytorch_model.bin")
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)(version))
    assert len(read_tensors(tiny_folder)) == 41  # of model.safetensors
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=rf"torch {re.escape(version)} cannot open pickles safely: .*torch>=2\.10"):
        read_tensors(tiny_folder)


def test_a_compressed_pytorch_model_bin_is_not_opened(tiny_folder):
    path = tiny_folder / "pytorch_model.bin"
    torch.save({"a": torch.zeros(1000)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert torch.load(path, weights_only=True)["a"].shape == (1000,)  # torch does
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin: is compressed, but torch\.save never compresses"):
        read_tensors(tiny_folder)


@pytest.mark.parametrize(
    "claim",
    [
        torch.zeros(1).expand(2**20, 2**20),
        torch.empty(10, device="meta"),
        torch.zeros(3).to_sparse(),
    ],
    ids=["repeated", "meta", "sparse"],
)
def test_tensors_without_numbers_of_their_own(tiny_folder, claim):
    torch.save(stored(tiny_folder) | {"bert.pooler.dense.bias": claim}, tiny_folder / "pytorch_model.bin")
    (tiny_folder / "model.safetensors").unlink()
    message = r"pytorch_model\.bin: (its tensors claim more numbers than|holds something other than named tensors)"
    with pytest.raises(UserError, match=message):
        BertSentClassifier.from_pretrained(tiny_folder)


@pytest.mark.fault("weights: a pickle that runs code")
@pytest.mark.parametrize("levels, deep", [(30, True), (70_000, False)], ids=["pairs of pairs", "one in another"])
def test_tuples_that_take_for_ever_are_not_opened(tiny_folder, levels, deep):
    """As the key of a dict they are hashed: 2**30 times, or 70,000 calls deep."""
    level = b"h%ch%c\x86q%c" if deep else b"\x85"
    nested = b"".join(level % (at, at, at + 1) if deep else level for at in range(levels))
    (tiny_folder / "pytorch_model.bin").write_bytes(b"\x80\x02}X\1\0\0\0a\x85q\0" + nested + b"Ns.")
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin: has nested tuples, which torch\.save never writes"):
        read_tensors(tiny_folder)


def test_pytorch_model_bin_is_read(tiny_folder):
    expected = BertSentClassifier.from_pretrained(tiny_folder)
    torch.save(stored(tiny_folder), tiny_folder / "pytorch_model.bin")
    (tiny_folder / "model.safetensors").unlink()
    assert same(BertSentClassifier.from_pretrained(tiny_folder).state_dict(), expected.state_dict())


def test_safetensors_come_first(tiny_folder):
    (tiny_folder / "pytorch_model.bin").write_bytes(b"not to be opened")
    assert len(read_tensors(tiny_folder)) == 41


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 1}, {1: torch.ones(1)}, {"model": torch.ones(1), "a": []}])
def test_something_other_than_named_tensors(tiny_folder, content):
    torch.save(content, tiny_folder / "pytorch_model.bin")
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin: holds something other than named tensors"):
        BertModel.from_pretrained(tiny_folder)


@pytest.mark.fault("weights: a safetensors file with a false header, or cut short")
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_file_cut_short(tiny_folder, file, kept):
    tensors = stored(tiny_folder)
    (tiny_folder / "model.safetensors").unlink()
    path = tiny_folder / file
    (safetensors.torch.save_file if file == "model.safetensors" else torch.save)(tensors, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError) as error:
        BertModel.from_pretrained(tiny_folder)
    assert str(error.value).startswith(f"{path}: cannot be read as weights; is the file complete? (")
    assert "\n" not in str(error.value)


def test_no_weights(tiny_folder):
    (tiny_folder / "model.safetensors").unlink()
    for attempt in (read_tensors, BertModel.from_pretrained):
        with pytest.raises(UserError, match=rf"{re.escape(str(tiny_folder))} holds no model\.safetensors"):
            attempt(tiny_folder)


# The head


def test_a_trained_folder_loads_back(tiny_folder, tokenizer, caplog):
    caplog.set_level(logging.INFO)
    first, second = (BertSentClassifier.from_pretrained(tiny_folder) for _ in range(2))
    assert first.config.labels == ("negative", "positive")
    assert caplog.record_tuples == [("minbert", logging.INFO, f"{tiny_folder}: 41 tensors loaded")] * 2
    assert same(first.state_dict(), second.state_dict())
    assert torch.equal(first.classifier.weight, stored(tiny_folder)["classifier.weight"])


@pytest.mark.parametrize(
    "changes, labels",
    [
        ({"num_labels": 5}, ()),
        ({"labels": ("negative", "neutral", "positive")}, ("negative", "neutral", "positive")),
        ({"labels": ("positive", "negative")}, ("positive", "negative")),
        ({"labels": ("no", "yes"), "num_labels": 2}, ("no", "yes")),
    ],
)
def test_for_other_labels_the_encoder_is_kept_and_the_head_is_new(tiny_folder, original, caplog, changes, labels):
    model = BertSentClassifier.from_pretrained(tiny_folder, **changes)
    assert same(model.bert.state_dict(), original.bert.state_dict())
    assert model.config.labels == labels
    assert len(model.classifier.weight) == model.config.num_labels == (len(labels) or 5)
    assert not torch.equal(model.classifier.weight[:2], original.classifier.weight)
    message = (
        f"{tiny_folder}: 39 tensors loaded; new, with random weights: classifier; left out: classifier of 2 classes"
    )
    assert caplog.record_tuples[-1] == ("minbert", logging.WARNING, message)


@pytest.mark.parametrize(
    "changes", [{}, {"labels": ("negative", "positive")}, {"num_labels": 2}, {"labels": ()}, {"option": "freeze"}]
)
def test_for_the_same_labels_the_head_is_kept(tiny_folder, original, changes):
    model = BertSentClassifier.from_pretrained(tiny_folder, **changes)
    assert same(model.state_dict(), original.state_dict())
    assert str(model.loaded) == f"{tiny_folder}: 41 tensors loaded"


def test_a_stored_head_without_label_names_is_kept_for_as_many(tiny_folder, original):
    unnamed = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    store(tiny_folder, stored(tiny_folder), **unnamed)
    model = BertSentClassifier.from_pretrained(tiny_folder, labels=("no", "yes"))
    assert torch.equal(model.classifier.weight, original.classifier.weight)


def test_an_encoder_from_a_trained_classifier_leaves_the_classifier_out(tiny_folder, original):
    model = BertModel.from_pretrained(tiny_folder)
    assert same(model.state_dict(), original.bert.state_dict())
    assert str(model.loaded) == f"{tiny_folder}: 39 tensors loaded; left out: classifier of 2 classes"


def test_a_classifier_on_a_saved_encoder(tiny_folder, tmp_path, original):
    original.bert.save_pretrained(tmp_path / "encoder")
    model = BertSentClassifier.from_pretrained(tmp_path / "encoder", num_labels=3)
    assert same(model.bert.state_dict(), original.bert.state_dict())
    assert str(model.loaded) == f"{tmp_path / 'encoder'}: 39 tensors loaded; new, with random weights: classifier"


# The heads of pretraining


@pytest.mark.parametrize("rename", [str, old_norm], ids=["hugging face", "gamma and beta"])
def test_heads_under_other_peoples_names(pretrained, rename):
    model, folder = pretrained
    store(folder, {rename(name): tensor for name, tensor in stored(folder).items()})
    again = BertForPreTraining.from_pretrained(folder, missing_head="error")
    assert same(again.state_dict(), model.state_dict())
    assert str(again.loaded) == f"{folder}: 46 tensors loaded"


def test_heads_that_a_model_does_not_have_are_left_out_by_name(pretrained):
    _, folder = pretrained
    assert str(BertModel.from_pretrained(folder).loaded) == (
        f"{folder}: 39 tensors loaded; left out: masked-LM head, next-sentence head"
    )
    assert str(BertForMaskedLM.from_pretrained(folder).loaded) == (
        f"{folder}: 44 tensors loaded; left out: next-sentence head"
    )


@pytest.mark.parametrize(
    "model_class, kept, lacking, loaded",
    [
        (BertForMaskedLM, [], ["masked-LM head (cls.predictions.*)"], 39),
        (BertForMaskedLM, NEXT_SENTENCE, ["masked-LM head (cls.predictions.*)"], 39),
        (BertForPreTraining, MASKED_LM, ["next-sentence head (cls.seq_relationship.*)"], 44),
        (
            BertForPreTraining,
            [],
            ["masked-LM head (cls.predictions.*)", "next-sentence head (cls.seq_relationship.*)"],
            39,
        ),
    ],
)
def test_a_head_that_the_checkpoint_lacks(pretrained, caplog, model_class, kept, lacking, loaded):
    """An error in one line that names it, or a new one that is announced: never random in silence."""
    model, folder = pretrained
    heads = set(MASKED_LM + NEXT_SENTENCE) - set(kept)
    store(folder, {name: tensor for name, tensor in stored(folder).items() if name not in heads})
    with pytest.raises(UserError) as error:
        model_class.from_pretrained(folder)
    assert str(error.value) == (
        f"{folder} has no {' and no '.join(lacking)}: its predictions would be random; "
        "use tiny or bert-base-uncased, or train a new one: pretrain_lm.py --model (in Python, missing_head='new')"
    )
    caplog.clear()
    new = model_class.from_pretrained(folder, missing_head="new")
    assert same(new.bert.state_dict(), model.bert.state_dict())
    titles = ", ".join(head.partition(" (")[0] for head in lacking)
    message = f"{folder}: {loaded} tensors loaded; new, with random weights: {titles}"
    assert str(new.loaded).removesuffix("; left out: next-sentence head") == message
    assert caplog.record_tuples == [("minbert", logging.WARNING, str(new.loaded))]


def test_a_classifier_that_may_not_be_new(tiny_folder):
    assert not BertSentClassifier.from_pretrained(tiny_folder, missing_head="error").loaded.new
    for changes in ({"num_labels": 3}, {"labels": ("positive", "negative")}):
        with pytest.raises(
            UserError, match=r"tiny has no classifier for these classes: its predictions would be ran.*"
        ):
            BertSentClassifier.from_pretrained(tiny_folder, missing_head="error", **changes)


@pytest.mark.parametrize("name", MASKED_LM + NEXT_SENTENCE)
@pytest.mark.parametrize("new_head", [False, True])
def test_half_a_head_is_an_error_that_names_the_tensor(pretrained, name, new_head):
    _, folder = pretrained
    store(folder, {other: tensor for other, tensor in stored(folder).items() if other != name})
    with pytest.raises(UserError) as error:
        BertForPreTraining.from_pretrained(folder, new_head)
    assert str(error.value) == f"{folder} does not fit: 1 tensor\n  missing     {name}"


def test_a_head_of_another_size_is_an_error(pretrained):
    _, folder = pretrained
    store(folder, stored(folder) | {"cls.predictions.bias": torch.zeros(27)})
    with pytest.raises(
        UserError, match=r"wrong shape cls\.predictions\.bias: \[27\], but config\.json makes it \[28\]$"
    ):
        BertForMaskedLM.from_pretrained(folder)


# The decoder of the masked-LM head: the embeddings of the tokens, stored once, twice, or a matrix of its own


def test_a_decoder_stored_beside_the_same_embeddings_is_left_out(pretrained):
    """As in pytorch_model.bin of the hub."""
    model, folder = pretrained
    tensors = stored(folder)
    assert DECODER not in tensors and "cls.predictions.decoder.bias" not in tensors
    twice = {DECODER: tensors[WORDS].clone(), "cls.predictions.decoder.bias": tensors["cls.predictions.bias"].clone()}
    store(folder, tensors | twice)
    again = BertForPreTraining.from_pretrained(folder)
    assert same(again.state_dict(), model.state_dict())
    assert str(again.loaded) == f"{folder}: 46 tensors loaded; left out: decoder, equal to the token embeddings"


def test_a_decoder_that_differs_is_an_error_unless_the_config_unties_it(pretrained):
    """transformers 5.23 would use it, whatever config.json says: see the test beside its classes, below."""
    _, folder = pretrained
    decoder = stored(folder)[WORDS].clone()
    decoder[27, 14] += 1e-7
    store(folder, stored(folder) | {DECODER: decoder})
    with pytest.raises(UserError) as error:
        BertForMaskedLM.from_pretrained(folder)
    assert str(error.value) == (
        f"{folder}: {DECODER} should equal the token embeddings, but differs; "
        "with tie_word_embeddings=False it is a separate matrix"
    )
    untied = BertForMaskedLM.from_pretrained(folder, tie_word_embeddings=False)
    assert torch.equal(untied.predictions.decoder.weight, decoder)
    assert torch.equal(untied.bert.embeddings.token.weight, stored(folder)[WORDS])
    store(folder, stored(folder), tie_word_embeddings=False)
    assert same(BertForMaskedLM.from_pretrained(folder).state_dict(), untied.state_dict())
    BertModel.from_pretrained(folder)  # which does not ask


def test_an_untied_decoder_must_be_there(pretrained):
    _, folder = pretrained
    with pytest.raises(UserError) as error:
        BertForMaskedLM.from_pretrained(folder, tie_word_embeddings=False)
    assert str(error.value) == f"{folder} does not fit: 1 tensor\n  missing     {DECODER}"


@pytest.mark.parametrize("tied", [True, False])
def test_the_bias_may_be_stored_under_either_name_or_both(tiny, tmp_path, tied):
    model = shake(BertForMaskedLM(tiny.change(tie_word_embeddings=tied)))
    model.save_pretrained(tmp_path)
    tensors = stored(tmp_path)
    bias = tensors.pop("cls.predictions.bias")
    assert ("cls.predictions.decoder.bias" in tensors) == (not tied)  # Hugging Face's untied class reads that one
    for names in (["decoder.bias"], ["bias"], ["bias", "decoder.bias"]):
        tensors.pop("cls.predictions.decoder.bias", None)
        store(tmp_path, tensors | {f"cls.predictions.{name}": bias.clone() for name in names})
        assert same(BertForMaskedLM.from_pretrained(tmp_path).state_dict(), model.state_dict())
    for other in (bias.to(torch.complex64), bias[:-1]):
        store(tmp_path, tensors | {"cls.predictions.bias": bias.clone(), "cls.predictions.decoder.bias": other})
        with pytest.raises(UserError, match=r"predictions\.(decoder\.)?bias"):
            BertForMaskedLM.from_pretrained(tmp_path)
    store(tmp_path, tensors | {"cls.predictions.bias": bias + 1, "cls.predictions.decoder.bias": bias})
    if tied:
        with pytest.raises(UserError, match=r"cls\.predictions\.bias and .*decoder\.bias must be equal$"):
            BertForMaskedLM.from_pretrained(tmp_path)
    else:  # what Hugging Face's untied class writes after training: it stores both and trains the decoder's
        again = BertForMaskedLM.from_pretrained(tmp_path)
        assert same(again.state_dict(), model.state_dict())
        assert again.loaded.dropped == ["cls.predictions.bias, which an untied decoder does not use"]


# Saving


LAYOUTS = [  # class, tied, Hugging Face's class, the tensors beside the encoder
    (BertModel, True, "BertModel", []),
    (BertSentClassifier, True, "BertForSequenceClassification", HEAD),
    (BertForMaskedLM, True, "BertForMaskedLM", MASKED_LM),
    (BertForMaskedLM, False, "BertForMaskedLM", [*MASKED_LM, DECODER, "cls.predictions.decoder.bias"]),
    (BertForPreTraining, True, "BertForPreTraining", MASKED_LM + NEXT_SENTENCE),
    (
        BertForPreTraining,
        False,
        "BertForPreTraining",
        [*MASKED_LM, *NEXT_SENTENCE, DECODER, "cls.predictions.decoder.bias"],
    ),
]
each_layout = pytest.mark.parametrize("model_class, tied, theirs, head", LAYOUTS)


@each_layout
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_each_class_is_saved_and_comes_back(tiny, tmp_path, model_class, tied, theirs, head, dtype):
    model = shake(model_class(tiny.change(tie_word_embeddings=tied)))
    model.save_pretrained(tmp_path, dtype=dtype)
    encoder = ENCODER if model_class is BertModel else [f"bert.{name}" for name in ENCODER]
    assert sorted(stored(tmp_path)) == sorted(encoder + head)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == [theirs] and config["tie_word_embeddings"] == tied
    again = model_class.from_pretrained(tmp_path, missing_head="error")
    assert again.config == model.config and not again.loaded.new and not again.loaded.dropped
    assert {tensor.dtype for tensor in stored(tmp_path).values()} == {dtype or torch.float32}
    assert {tensor.dtype for tensor in again.state_dict().values()} == {torch.float32}
    expected = {name: tensor.to(dtype or tensor.dtype).float() for name, tensor in model.state_dict().items()}
    assert same(again.state_dict(), expected)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}  # untouched by saving


def test_float16_halves_the_file(tiny, tmp_path):
    model = BertForMaskedLM(tiny.change(vocab_size=5000))
    sizes = []
    for dtype in (torch.float32, torch.float16):
        model.save_pretrained(tmp_path, dtype=dtype)
        sizes.append((tmp_path / "model.safetensors").stat().st_size)
    assert 0.5 < sizes[1] / sizes[0] < 0.51


@pytest.mark.fault("weights: NaN or infinity, or numbers too large for the file")
def test_what_float16_cannot_hold_is_not_written(original, tmp_path):
    with torch.no_grad():
        original.classifier.bias[0] = 70_000
    with pytest.raises(UserError, match=r"new: not written: NaN or Inf as float16 in classifier\.bias$"):
        original.save_pretrained(tmp_path / "new", dtype=torch.float16)
    assert not (tmp_path / "new").exists()
    original.save_pretrained(tmp_path / "new")
    assert BertSentClassifier.from_pretrained(tmp_path / "new").classifier.bias[0] == 70_000


def test_the_names_that_are_written(tiny_folder, tmp_path, original):
    original.bert.save_pretrained(tmp_path / "encoder")
    assert sorted(stored(tmp_path / "encoder")) == sorted(ENCODER)
    assert sorted(stored(tiny_folder)) == sorted([f"bert.{name}" for name in ENCODER] + HEAD)


def test_what_is_written_where(tmp_path, original):
    """Each of our modules under its own name: a value for each, so that two that changed places would show."""
    for number, parameter in enumerate(original.bert.parameters()):
        torch.nn.init.constant_(parameter, number)
    original.bert.save_pretrained(tmp_path)
    written = stored(tmp_path)
    assert written["embeddings.word_embeddings.weight"].unique() == 0
    assert torch.equal(written["embeddings.position_embeddings.weight"], original.bert.embeddings.position.weight)
    assert torch.equal(written["embeddings.token_type_embeddings.weight"], original.bert.embeddings.segment.weight)
    layer = original.bert.encoder.layers[1]
    ours = {
        "attention.self.query": layer.attention.query,
        "attention.self.key": layer.attention.key,
        "attention.self.value": layer.attention.value,
        "attention.output.dense": layer.attention.output,
        "attention.output.LayerNorm": layer.attention_norm,
        "intermediate.dense": layer.feed_forward.expand,
        "output.dense": layer.feed_forward.contract,
        "output.LayerNorm": layer.feed_forward_norm,
    }
    for name, module in ours.items():
        assert torch.equal(written[f"encoder.layer.1.{name}.weight"], module.weight), name
        assert torch.equal(written[f"encoder.layer.1.{name}.bias"], module.bias), name
    assert len({float(tensor.unique()) for tensor in written.values()}) == 39


@pytest.mark.fault("saving: a model written over the file that it was read from")
def test_saving_over_the_folder_that_was_loaded(tiny_folder):
    model = BertSentClassifier.from_pretrained(tiny_folder)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    model.save_pretrained(tiny_folder)
    assert set(torch.cat([tensor.flatten() for tensor in stored(tiny_folder).values()]).tolist()) == {0.5}
    assert same(BertSentClassifier.from_pretrained(tiny_folder).state_dict(), model.state_dict())


def test_saving_where_a_file_is(tiny_folder, tiny):
    with pytest.raises(UserError, match=r"vocab\.txt.config\.json: cannot be written"):
        BertModel(tiny).save_pretrained(tiny_folder / "vocab.txt")


def test_sinusoidal_positions_are_written_and_come_back_fixed(tiny, tmp_path):
    BertModel(tiny.change(sinusoidal_positions=True)).save_pretrained(tmp_path)
    assert torch.equal(stored(tmp_path)["embeddings.position_embeddings.weight"], sinusoids(40, 15))
    position = BertModel.from_pretrained(tmp_path).embeddings.position.weight
    assert torch.equal(position, sinusoids(40, 15)) and not position.requires_grad


def test_the_course_kits_checkpoint_needs_no_pickled_class(tmp_path, original):
    weights.save_course_checkpoint(original, tmp_path / "new folder" / "model.pt")
    saved = torch.load(tmp_path / "new folder" / "model.pt", weights_only=True)
    assert sorted(saved) == ["model", "model_config"] and saved["model_config"]["data_dir"] == "."
    model = BertSentClassifier(saved["model_config"])
    model.load_state_dict(saved["model"])
    assert model.config == original.config and same(model.state_dict(), original.state_dict())


# Hugging Face's own classes, and real weights


def sizes_of(config):
    """As transformers.BertConfig takes them."""
    return {name: getattr(config, name) for name in SIZES} | {"initializer_range": 0.5}


def compare(ours, theirs):
    """Whether both compute the same logits; BertModel's last hidden states and pooler."""
    ids, segments = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])
    mask = (ids > 0).long()
    with torch.no_grad():
        output, expected = ours(ids, mask, segments), theirs(ids, mask, segments)
    output = tuple(output.values()) if isinstance(output, dict) else output
    output = output if isinstance(output, tuple) else (output,)
    for got, wanted in zip((tensor for tensor in output if tensor is not None), expected.to_tuple(), strict=True):
        real = mask.bool().view(2, 4, *[1] * (wanted.ndim - 2)) if wanted.ndim > 2 else True
        torch.testing.assert_close(got * real, wanted * real, rtol=0, atol=1e-5)


def test_hugging_face_reads_what_was_written_bit_for_bit(tiny_folder, tmp_path, original):
    transformers = pytest.importorskip("transformers")
    original.bert.save_pretrained(tmp_path / "encoder")
    for name, folder in (("BertModel", tmp_path / "encoder"), ("BertForSequenceClassification", tiny_folder)):
        theirs, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        assert same(theirs.state_dict(), stored(folder))
    assert theirs.config.id2label == {0: "negative", 1: "positive"}
    assert theirs.config.num_attention_heads == 3 and theirs.config.layer_norm_eps == original.config.layer_norm_eps


def test_what_hugging_face_writes_is_read(tiny, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(**sizes_of(tiny.change(num_labels=3)))
    theirs = transformers.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = BertSentClassifier.from_pretrained(tmp_path)
    assert str(ours.loaded) == f"{tmp_path}: 41 tensors loaded"
    assert torch.equal(ours.classifier.weight, theirs.classifier.weight) and len(ours.classifier.weight) == 3
    compare(ours, theirs)


@each_layout
def test_hugging_face_computes_the_same_from_what_was_written(tiny, tmp_path, model_class, tied, theirs, head):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    model = shake(model_class(tiny.change(tie_word_embeddings=tied, initializer_range=0.5)))
    model.save_pretrained(tmp_path)
    theirs, info = getattr(transformers, theirs).from_pretrained(tmp_path, output_loading_info=True)
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"} if model_class is BertForMaskedLM else set()
    assert set(info.pop("unexpected_keys")) == pooler and not any(info.values()), info
    compare(model, theirs.eval())


@each_layout
def test_what_each_of_hugging_faces_classes_writes_is_read(tiny, tmp_path, model_class, tied, theirs, head):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    config = transformers.BertConfig(**sizes_of(tiny), tie_word_embeddings=tied)
    theirs = getattr(transformers, theirs)(config).eval()
    shake(theirs)
    theirs.save_pretrained(tmp_path)
    ours = model_class.from_pretrained(tmp_path, missing_head="error")
    assert ours.loaded.new == (["pooler"] if model_class is BertForMaskedLM else [])
    assert len(ours.loaded.dropped) == (not tied)  # a bias that theirs stores and does not use
    compare(ours, theirs)


def test_what_hugging_face_makes_of_a_decoder_that_differs(pretrained):
    """It takes the stored one, though the config ties them; so do we when told, and else it is an error."""
    transformers = pytest.importorskip("transformers")
    _, folder = pretrained
    store(folder, stored(folder) | {DECODER: stored(folder)[WORDS] + 1})
    theirs = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    assert theirs.config.tie_word_embeddings
    assert torch.equal(theirs.cls.predictions.decoder.weight, stored(folder)[DECODER])
    compare(BertForMaskedLM.from_pretrained(folder, tie_word_embeddings=False), theirs)


def test_real_weights(minilm):
    model = BertModel.from_pretrained(minilm)
    assert str(model.loaded) == f"{minilm}: 103 tensors loaded; left out: position ids"
    published = stored(minilm)
    assert torch.equal(model.embeddings.token.weight, published["embeddings.word_embeddings.weight"])
    assert torch.equal(
        model.encoder.layers[5].feed_forward_norm.bias, published["encoder.layer.5.output.LayerNorm.bias"]
    )
