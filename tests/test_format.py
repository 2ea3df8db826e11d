"""Old results stay readable, and what a newer minbert wrote says so."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from minbert import BertSentClassifier, Config
from minbert.commands import pretrain as pretrain_lm
from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.runs import state as checkpoint
from minbert.weights import save_course_checkpoint


def test_a_folder_says_its_format_and_hugging_face_s_keys_stay(tiny_folder):
    config = json.loads((tiny_folder / "config.json").read_text())
    assert config[KEY] == FORMAT == 1
    assert config["model_type"] == "bert"


@pytest.mark.parametrize("found", [{}, {KEY: 1}, {KEY: "1"}, None, []], ids=str)
def test_what_is_old_or_of_others_is_read(found):
    check_format("config.json", found)


@pytest.mark.parametrize("number", [2, "2", 10**9])
def test_what_is_newer_is_refused_with_what_to_do(number):
    with pytest.raises(UserError) as error:
        check_format("config.json", {KEY: number})
    said = f"written by a newer minbert (format {number}; this one knows 1): update minbert, with git pull or pip"
    assert said in str(error.value) and str(error.value).startswith("config.json: ")


@pytest.mark.parametrize("number", [0, -1, 1.5, "x", "", None, True, [1]], ids=repr)
def test_what_is_no_number_is_refused(number):
    with pytest.raises(UserError, match=f"{KEY} is .*, but must be a whole number"):
        check_format("config.json", {KEY: number})


@pytest.mark.fault("saving: files of an older or a newer minbert")
def test_a_model_of_a_newer_format_is_refused_and_one_without_is_read(tiny_folder):
    path = tiny_folder / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {KEY: 2, "hidden_act": "unheard of"}))  # the number comes first
    with pytest.raises(UserError, match="newer minbert"):
        BertSentClassifier.from_pretrained(tiny_folder)
    del values[KEY]
    path.write_text(json.dumps(values))
    BertSentClassifier.from_pretrained(tiny_folder)


def test_the_course_kits_file_says_it_too(tiny, tmp_path):
    save_course_checkpoint(BertSentClassifier(tiny), tmp_path / "model.pt")
    config = torch.load(tmp_path / "model.pt", weights_only=True)["model_config"]
    assert config[KEY] == FORMAT
    assert Config.of(config).hidden_size == tiny.hidden_size
    with pytest.raises(UserError, match="newer minbert"):
        BertSentClassifier(config | {KEY: 2})


@pytest.mark.fault("saving: files of an older or a newer minbert")
def test_a_stopped_run_of_a_newer_format_is_refused_and_one_without_is_read(tmp_path, monkeypatch):
    path, facts = tmp_path / "state.safetensors", {"done": 3}
    checkpoint.save_state(path, {"weight": torch.ones(2)}, facts)
    assert checkpoint.load_state(path)[1] == checkpoint.load_facts(path) == facts
    for number, newer in ((2, True), (1, False)):
        monkeypatch.setattr(checkpoint, "FORMAT", number)
        checkpoint.save_state(path, {"weight": torch.ones(2)}, facts)
        if newer:
            for read in (checkpoint.load_facts, checkpoint.load_state):
                with pytest.raises(UserError, match=r"^\S*state.safetensors: written by a newer minbert"):
                    read(path)
    told = '{"done": 3}'
    metadata = {"facts": told, "sha256": checkpoint.digest({"weight": torch.ones(2)}, told)}
    save_file({"weight": torch.ones(2)}, path, metadata=metadata)
    assert checkpoint.load_state(path)[1] == facts


def test_a_pretraining_run_of_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    save_file({"weight": torch.ones(2)}, path, metadata={"facts": json.dumps({"steps": 1, KEY: 2})})
    with pytest.raises(UserError, match=r"^\S*state.safetensors: written by a newer minbert"):
        checkpoint.load_state(path)
    (tmp_path / "pretraining.json").write_text(json.dumps({"finished": True, KEY: 2}))
    with pytest.raises(UserError, match=r"^\S*pretraining.json: written by a newer minbert"):
        pretrain_lm.read_record(tmp_path)


def test_every_place_that_writes_it_is_listed():
    """minbert/format.py says which files have the number: as many as there are places that write it."""
    sources = [*Path(__file__).parent.parent.glob("*.py"), *Path(__file__).parent.parent.glob("minbert/*.py")]
    writers = {source.name for source in sources if "KEY: FORMAT" in source.read_text(encoding="utf-8")}
    assert writers == {"config.py", "weights.py", "report.py", "pretrain_lm.py", "checkpoint.py"}
