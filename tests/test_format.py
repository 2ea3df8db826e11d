"""Old results stay readable, and what a newer minbert wrote says so."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from minbert import BertSentClassifier, Config
from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.pretraining.record import read_record
from minbert.runs import state
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
def test_a_stopped_run_of_another_format_is_refused_with_what_to_do(tmp_path):
    """States have a number of their own: a run is finished with the minbert that began it."""
    path, tensors, facts = tmp_path / "state.safetensors", {"weight": torch.ones(2)}, {"progress": {"steps": 3}}
    state.save_state(path, tensors, facts)
    assert state.load_state(path)[1] == state.load_facts(path) == facts
    for number, said in (
        ({}, "saved by an older minbert (format 1; this one reads 2): finish the run with that one, or begin again"),
        ({KEY: 1}, "saved by an older minbert (format 1; this one reads 2)"),
        ({KEY: 3}, "written by a newer minbert (format 3; this one knows 2): update minbert"),
    ):
        text = json.dumps(facts | number)
        metadata = {"facts": text, "sha256": state.sha256_of(tensors, text)}
        save_file(tensors, path, metadata=metadata)
        for read in (state.load_facts, state.load_state):
            with pytest.raises(UserError) as error:
                read(path)
            assert str(error.value).startswith(f"{path}: {said}")


def test_a_pretraining_run_of_a_newer_format_is_refused(tmp_path):
    (tmp_path / "pretraining.json").write_text(json.dumps({"finished": True, KEY: 2}))
    with pytest.raises(UserError, match=r"^\S*pretraining.json: written by a newer minbert"):
        read_record(tmp_path)


def test_every_place_that_writes_it_is_listed():
    """minbert/format.py says which files have the number: as many as there are places that write it."""
    root = Path(__file__).parents[1] / "minbert"
    sources = {path: path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    writers = {str(path.relative_to(root)) for path, text in sources.items() if "KEY: FORMAT" in text}
    assert {name for name in writers if name.startswith("config")} and len(writers) == 9
    assert writers >= {"weights/__init__.py", "runs/report.py", "pretraining/stages.py", "files/mentions.py"}
    assert writers >= {f"study/{name}.py" for name in ("crossval", "facts", "search")}
    assert [str(path.relative_to(root)) for path, text in sources.items() if "KEY: STATE_FORMAT" in text] == [
        "runs/state.py"
    ]
