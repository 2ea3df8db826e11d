"""convert: a course kit's one-file checkpoint becomes a folder that computes the same, and nothing in it is run."""

import argparse
import collections
import functools
import pickle
import random
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minbert import BertSentClassifier, Config, UserError
from minbert.commands import common, convert
from minbert.commands import train as train_classifier
from minbert.weights import hub, save_course_checkpoint
from minbert.weights.fill import fill
from tests.conftest import VOCAB
from tests.weights.test_weights import kit_name, shake

ARGS = {"train": "data/sst-train.txt", "seed": 11711, "option": "flexible", "lr": 1e-5, "use_gpu": False, "x": [1]}


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A classifier of the kits' proportions, 64 numbers a head; its vocabulary is vocab.txt."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = Config(
        vocab_size=len(VOCAB),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=23,
        max_position_embeddings=40,
        num_labels=3,
    )
    return shake(BertSentClassifier(config))


def content(model, **namespace):
    """What a kit saves: settings as namespaces, random states as they come."""
    names = {name: BertSentClassifier.names.published(name) for name in model.state_dict()}
    state = {
        "bert." + kit_name(names[name].removeprefix("bert.")) if name.startswith("bert.") else names[name]: tensor
        for name, tensor in model.state_dict().items()
    }
    optimizer = torch.optim.AdamW(model.parameters())
    model.classifier.bias.sum().backward()
    optimizer.step()
    config = {"hidden_dropout_prob": 0.25, "num_labels": 3, "hidden_size": 128, "data_dir": ".", "option": "flexible"}
    return {
        "model": collections.OrderedDict({name: tensor.clone() for name, tensor in state.items()})
        | {"bert.position_ids": torch.arange(40)[None]},
        "optim": optimizer.state_dict(),
        "args": argparse.Namespace(**ARGS),
        "model_config": SimpleNamespace(**config, **namespace),
        "system_rng": random.getstate(),
        "numpy_rng": np.random.get_state(),
        "torch_rng": torch.random.get_rng_state(),
    }


def logits(model):
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    with torch.no_grad():
        return model.eval()(ids, (ids > 0).long())


def make_folder(path="kit.pt", *flags):
    convert.main([str(path), "out", "--vocab", "vocab.txt", *flags])
    return BertSentClassifier.from_pretrained("out")


def refused(capsys, monkeypatch, *arguments):
    """The line that the command answers with; nothing may have been written."""
    monkeypatch.setattr("sys.argv", ["legacy", *map(str, arguments)])
    assert common.run(convert.main) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1 and out == ""
    return err


@pytest.mark.fault("saving: files of an older or a newer minbert")
@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "before torch 1.6"])
def test_a_kits_checkpoint_becomes_a_folder_that_computes_the_same(source, new_format, capsys):
    torch.save(content(source), "kit.pt", _use_new_zipfile_serialization=new_format)
    with pytest.raises(pickle.UnpicklingError):
        torch.load("kit.pt", weights_only=True)  # as torch opens files today
    source.load_state_dict(source.state_dict())
    kept = torch.load("kit.pt", weights_only=False)["model"]
    fill(source, kept, "kit.pt")
    model = make_folder()
    assert torch.equal(logits(model), logits(source))
    assert model.config == source.config.change(classifier_dropout=0.25)
    assert not model.loaded.new and not model.loaded.dropped
    out = capsys.readouterr().out
    assert out.startswith(
        "kit.pt: 41 tensors loaded; left out: position ids\n  2 attention heads of 64 numbers\n  optim:"
    )
    assert (
        "\n  args: train='data/sst-train.txt', seed=11711, option='flexible', lr=1e-05, use_gpu=False, x=a list" in out
    )
    assert "\n  model_config: hidden_dropout_prob=0.25, num_labels=3, hidden_size=128, data_dir='.', option=" in out
    for part in ("optim", "system_rng", "numpy_rng", "torch_rng"):
        assert f"\n  {part}: left out, the " in out


def test_the_folder_is_evaluated(source, tmp_path, capsys):
    torch.save(content(source), "kit.pt")
    tmp_path.joinpath("test.txt").write_text("0 ||| the film was good\n2 ||| the film was bad\n", encoding="utf-8")
    make_folder()
    train_classifier.main(["--eval_only", "--model", "out", "--test", "test.txt", "--device", "cpu", "--out", "scores"])
    assert "warning" not in capsys.readouterr().err
    assert BertSentClassifier.from_pretrained("out").config.labels == ()


def test_labels_can_be_named(source):
    torch.save(content(source), "kit.pt")
    assert make_folder("kit.pt", "--labels", "bad", "fair", "good").config.labels == ("bad", "fair", "good")


def test_a_classifier_of_another_name(source, capsys):
    saved = content(source)
    for leaf in ("weight", "bias"):
        saved["model"][f"sentiment.linear.{leaf}"] = saved["model"].pop(f"classifier.{leaf}")
    torch.save(saved, "kit.pt")
    expected = saved["model"]["sentiment.linear.weight"]
    assert torch.equal(make_folder().classifier.weight, expected)
    assert "\n  'sentiment.linear': taken for the classifier\n" in capsys.readouterr().out


def test_the_one_file_checkpoint_of_train_classifier(tiny, source):
    """Its config says everything, and its names are ours."""
    model = shake(BertSentClassifier(tiny.change(labels=("no", "yes"), classifier_dropout=0.5, pooling="mean")))
    save_course_checkpoint(model, "kit.pt")
    again = make_folder()
    assert again.config == model.config
    assert torch.equal(logits(again), logits(model))


def test_the_number_of_heads(source, tiny):
    torch.save(content(source), "kit.pt")
    assert make_folder("kit.pt", "--heads", "4").config.num_attention_heads == 4  # 32 numbers each, as in MiniLM
    saved = content(source)
    saved["model_config"].num_attention_heads = 2
    torch.save(saved, "kit.pt")
    shutil.rmtree("out")
    assert make_folder("kit.pt", "--heads", "4").config.num_attention_heads == 4  # what is said last counts
    torch.save(BertSentClassifier(tiny).state_dict(), "tiny.pt")
    with pytest.raises(UserError, match=r"^tiny\.pt: its hidden size is 15: pass --heads, the number of its "):
        convert.main(["tiny.pt", "new", "--vocab", "vocab.txt"])
    convert.main(["tiny.pt", "new", "--vocab", "vocab.txt", "--heads", "3"])
    assert BertSentClassifier.from_pretrained("new").config.num_attention_heads == 3


def test_bare_weights(source, capsys):
    torch.save(content(source)["model"], "kit.pt")
    assert make_folder().config == source.config
    assert capsys.readouterr().out.startswith(
        "kit.pt: 41 tensors loaded; left out: position ids\n  2 attention heads of 64 numbers\nout\n"
    )


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "_orig_mod.module.", "model.", "model.module."])
def test_a_wrapped_model(source, capsys, wrapper):
    """As DataParallel, torch.compile and programs that keep their model in an attribute name the weights."""
    saved = content(source)
    saved["model"] = {wrapper + name: tensor for name, tensor in saved["model"].items()}
    torch.save(saved, "kit.pt")
    assert torch.equal(logits(make_folder()), logits(source))
    words = {f"'{word}.'" for word in wrapper.split(".")[:-1]}
    (line,) = re.findall(r"\n  names of the weights: without (.*)\n", capsys.readouterr().out)
    assert set(line.split(" and ")) == words


def test_a_wrapped_part_of_a_model(source):
    saved = content(source)
    names = {name: name.replace("bert.", "bert._orig_mod.", 1) for name in saved["model"]}
    saved["model"] = {names[name]: tensor for name, tensor in saved["model"].items()}
    torch.save(saved, "kit.pt")
    assert torch.equal(logits(make_folder()), logits(source))


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model_state", "net"])
def test_weights_under_another_name(source, capsys, entry):
    """As Lightning and many a tutorial save them."""
    torch.save({"epoch": 3, entry: content(source)["model"], "loss": 0.3}, "kit.pt")
    assert torch.equal(logits(make_folder()), logits(source))
    out = capsys.readouterr().out
    assert f"\n  {entry}: taken for the weights\n  epoch: left out, unknown entry\n  loss: left out, unknown" in out


def test_settings_of_numpy_and_paths(source, capsys):
    """Numbers are read from their bytes; what is no number is an object that nobody looks into."""
    saved = content(source, num_attention_heads=np.int64(4))
    saved["model_config"].hidden_dropout_prob = np.float32(0.5)
    saved["args"] = argparse.Namespace(
        lr=np.float64(1e-5), quick=np.True_, table=np.arange(3), out=Path("runs"), big=np.array(7, ">i4")[()]
    )
    torch.save(saved, "kit.pt")
    assert make_folder().config == source.config.change(num_attention_heads=4, classifier_dropout=0.5)
    assert "\n  args: lr=1e-05, quick=True, table=an object, out=an object, big=7" in capsys.readouterr().out


# What is not opened


def spoil(saved, how):
    model = saved["model"]
    if how == "two heads":
        model |= {"other.weight": torch.ones(3, 128), "other.bias": torch.ones(3)}
    elif how == "no head":
        del model["classifier.weight"], model["classifier.bias"]
    elif how == "half an encoder":
        del model["bert.bert_layers.0.self_attention.key.weight"]
    elif how == "no embeddings":
        del model["bert.word_embedding.weight"]
    elif how == "another vocabulary":
        model["bert.word_embedding.weight"] = torch.ones(29, 128)
    elif how == "heads":
        saved["model_config"].num_attention_heads = 3
    elif how == "NaN":
        model["classifier.bias"][0] = float("nan")
    elif how == "no tensor":
        model["classifier.bias"] = argparse.Namespace()
    elif how == "claims":
        model["bert.word_embedding.weight"] = torch.ones(1).expand(2**20, 2**16)
    elif how == "wide":
        model["bert.word_embedding.weight"] = torch.ones(len(VOCAB), 2**16)
    return saved


@pytest.mark.parametrize(
    "how, message",
    [
        ("two heads", "there should be one linear layer, but there is 'classifier.weight', 'classifier.bias', 'other"),
        ("no head", "there should be one linear layer, but there is nothing"),
        ("no embeddings", "is no BERT with a classifier, it lacks embeddings.word_embeddings.weight"),
        ("another vocabulary", "has vectors for 29 tokens, but the vocabulary of vocab.txt has 28; name its own with"),
        ("heads", "hidden_size 128 cannot be split into 3 attention heads"),
        ("no tensor", "holds something other than named tensors"),
        ("claims", "its tensors claim more numbers than the file holds"),
        ("wide", "describes a model of"),
    ],
)
def test_what_does_not_fit(source, capsys, monkeypatch, tmp_path, how, message):
    torch.save(spoil(content(source), how), "kit.pt")
    assert f"error: kit.pt: {message}" in refused(capsys, monkeypatch, "kit.pt", "out", "--vocab", "vocab.txt").replace(
        "on top of bert.* ", ""
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "saved, message",
    [
        (
            {"state": {}, "param_groups": []},
            "holds 'state', 'param_groups', as an optimizer's state; a model's",
        ),
        ({"base_lrs": [0.1], "last_epoch": 3}, "holds 'base_lrs', 'last_epoch'; a model's weights would be under"),
        ([torch.ones(1)], "holds a list, not a checkpoint"),
    ],
)
def test_another_file_of_the_same_run(source, capsys, monkeypatch, saved, message):
    torch.save(saved, "kit.pt")
    assert f"error: kit.pt: {message}" in refused(capsys, monkeypatch, "kit.pt", "out", "--vocab", "vocab.txt")


@pytest.mark.parametrize("how", ["half an encoder", "NaN"])
def test_tensors_that_do_not_fit_are_listed(source, tmp_path, how):
    torch.save(spoil(content(source), how), "kit.pt")
    with pytest.raises(UserError, match=r"^kit\.pt does not fit: 1 tensor\n  (missing|NaN or Inf)  "):
        make_folder()
    assert not (tmp_path / "out").exists()


def test_the_place_for_the_folder(source, capsys, monkeypatch, tmp_path):
    torch.save(content(source), "kit.pt")
    for out in ("vocab.txt", "."):
        assert f"{out} is there already" in refused(capsys, monkeypatch, "kit.pt", out, "--vocab", "vocab.txt")
    assert "no such file" in refused(capsys, monkeypatch, "other.pt", "out")
    (tmp_path / "out").mkdir()
    make_folder()  # an empty one will do


def test_where_the_vocabulary_comes_from(source, tiny_folder, capsys, monkeypatch):
    torch.save(content(source), "kit.pt")
    assert "there is no model vocabb" in refused(capsys, monkeypatch, "kit.pt", "out", "--vocab", "vocabb")
    monkeypatch.setattr(hub, "installed", lambda *_: None)
    monkeypatch.setattr(hub, "cached", lambda *_: None)
    monkeypatch.setattr(hub, "unresolvable", lambda: OSError("no network here"))
    with pytest.raises(UserError, match=r"no network here.*--vocab all-MiniLM-L6-v2"):
        convert.main(["kit.pt", "out"])
    convert.main(["kit.pt", "out", "--vocab", str(tiny_folder)])


def test_who_names_the_file_as_a_model_is_told(source, tmp_path):
    torch.save(content(source), "kit.pt")
    with pytest.raises(UserError, match=r"kit\.pt is a file; .*`python -m minbert\.legacy kit\.pt OUT`"):
        hub.find("kit.pt")
    folder = tmp_path / "folder"
    source.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    for saved in (content(source), {"model": source.state_dict()}):
        torch.save(saved, folder / "pytorch_model.bin")
        with pytest.raises(UserError, match=r"`python -m minbert\.legacy .*pytorch_model\.bin OUT`"):
            BertSentClassifier.from_pretrained(folder)


# Files that would run code


class Call:
    """Unpickled, it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CODE = "open('canary', 'w').close()"


def with_state():
    """Classes that may stand in the file, told to become something else."""
    evil = argparse.Namespace()
    evil.__dict__["__setstate__"] = Call(exec, CODE)
    return evil


EVIL = {  # what the file holds: the code that is named
    "exec": (lambda: Call(exec, CODE), "builtins.exec"),
    "eval": (lambda: Call(eval, CODE), "builtins.eval"),
    "os.system": (lambda: Call(__import__("os").system, "touch canary"), "posix.system"),
    "open": (lambda: Call(open, "canary", "w"), "_?io.open"),
    "partial": (lambda: Call(functools.partial, exec, CODE), "functools.partial"),
    "getattr": (lambda: Call(getattr, Call(getattr, "canary", "upper"), "__call__"), "builtins.getattr"),
    "torch.load": (lambda: Call(torch.load, "other.pt"), "torch.serialization.load"),
    "import": (lambda: Call(__import__, "os"), "builtins.__import__"),
    "numpy": (lambda: Call(np.load, "other.npy"), "numpy.*load"),
    "object array": (lambda: np.array([Call(exec, CODE)], dtype=object), "builtins.exec"),
    "in a namespace": (lambda: SimpleNamespace(x=Call(exec, CODE)), "builtins.exec"),
    "as state": (with_state, "builtins.exec"),
    "in a tuple": (lambda: (1, [{"a": Call(exec, CODE)}]), "builtins.exec"),
    "as key": (lambda: {Call(eval, CODE): 1}, "builtins.eval"),
}


@pytest.mark.fault("weights: a pickle that runs code")
@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("where", ["args", "model_config", "numpy_rng", "more"])
@pytest.mark.parametrize("evil", EVIL)
def test_code_is_named_and_not_run(source, tmp_path, capsys, monkeypatch, evil, where, new_format):
    make, named = EVIL[evil]
    torch.save({"model": {"a": torch.ones(1)}, where: make()}, "kit.pt", _use_new_zipfile_serialization=new_format)
    line = refused(capsys, monkeypatch, "kit.pt", "out", "--vocab", "vocab.txt")
    assert re.match(rf"error: kit\.pt: holds {named}, neither a tensor nor a plain container: refused", line), line
    assert line.endswith(": refused, nothing in it was run\n")
    assert not (tmp_path / "canary").exists() and not (tmp_path / "out").exists()
