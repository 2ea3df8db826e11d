"""Matrices stored in 8 bits: what is written, what comes back, and what is refused."""

import json
import logging

import pytest
import torch

from minbert import BertForMaskedLM, BertSentClassifier
from minbert.errors import UserError
from tests.weights.test_weights import shake, store, stored


@pytest.fixture
def model(tiny):
    return shake(BertForMaskedLM(tiny)).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "small", dtype=torch.int8)
    return tmp_path / "small"


def test_matrices_come_back_within_half_a_step_and_the_rest_as_it_was(model, folder):
    again = BertForMaskedLM.from_pretrained(folder, missing_head="error")
    assert again.config == model.config and not again.loaded.new and not again.loaded.dropped
    for name, tensor in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == torch.float32
        if tensor.ndim == 2:
            half_a_step = tensor.abs().amax(dim=1, keepdim=True) / 127 / 2
            assert ((found - tensor).abs() <= half_a_step * 1.001).all() and not torch.equal(found, tensor)
        else:
            assert torch.equal(found, tensor)


def test_what_was_read_is_written_with_the_same_bytes(folder, tmp_path):
    BertForMaskedLM.from_pretrained(folder).save_pretrained(tmp_path / "again", dtype=torch.int8)
    first, second = stored(folder), stored(tmp_path / "again")
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-6, atol=0)


def test_the_file_has_a_byte_for_each_number_of_a_matrix(tiny, tmp_path):
    model, sizes = BertForMaskedLM(tiny.change(vocab_size=5000, hidden_size=60)), []
    for dtype in (torch.float32, torch.int8):
        model.save_pretrained(tmp_path, dtype=dtype)
        sizes.append((tmp_path / "model.safetensors").stat().st_size)
    assert 0.25 < sizes[1] / sizes[0] < 0.30


def test_a_row_of_zeros_stays_zero(model, tmp_path):
    with torch.no_grad():
        model.bert.embeddings.token.weight[3] = 0
    model.save_pretrained(tmp_path, dtype=torch.int8)
    assert not BertForMaskedLM.from_pretrained(tmp_path).bert.embeddings.token.weight[3].any()


def test_a_state_dict_of_the_file_is_loaded_too(model, folder):
    model.load_state_dict(stored(folder))
    again = BertForMaskedLM.from_pretrained(folder)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.fault("weights: 8-bit matrices without their scales, or with scales that do not fit")
@pytest.mark.parametrize("change", ["no scale", "short scale", "no whole numbers", "a vector"])
def test_a_matrix_and_scales_that_do_not_fit_are_refused(folder, change):
    tensors, name = stored(folder), "bert.embeddings.word_embeddings.weight"
    if change == "no scale":
        del tensors[f"{name}.scale"]
    elif change == "short scale":
        tensors[f"{name}.scale"] = tensors[f"{name}.scale"][1:]
    elif change == "no whole numbers":
        tensors[f"{name}.int8"] = tensors[f"{name}.int8"].float()
    else:
        tensors[f"{name}.int8"] = tensors[f"{name}.int8"][0]
    store(folder, tensors)
    with pytest.raises(UserError, match=rf"{name}\.int8 is no matrix of 8-bit numbers with a scale for each row$"):
        BertForMaskedLM.from_pretrained(folder)


@pytest.mark.fault("weights: a matrix twice, once in 8 bits")
def test_a_matrix_that_is_there_twice_is_refused(model, folder):
    name = "bert.embeddings.word_embeddings.weight"
    store(folder, stored(folder) | {name: model.bert.embeddings.token.weight.detach().clone()})
    with pytest.raises(UserError, match=f"holds {name} twice, the second time in 8 bits"):
        BertForMaskedLM.from_pretrained(folder)


def test_scales_alone_are_unexpected(folder):
    tensors = stored(folder)
    del tensors["bert.embeddings.word_embeddings.weight.int8"]
    store(folder, tensors)
    with pytest.raises(UserError, match=r"unexpected .*word_embeddings\.weight\.scale"):
        BertForMaskedLM.from_pretrained(folder)


def test_a_classifier_is_refused_and_nothing_written(tiny, tmp_path):
    with pytest.raises(UserError, match="new: not written: a classifier is not stored in 8 bits"):
        BertSentClassifier(tiny).save_pretrained(tmp_path / "new", dtype=torch.int8)
    assert not (tmp_path / "new").exists()


def test_transformers_takes_no_whole_number_for_a_weight(folder, caplog):
    """It makes the matrices new, and says which."""
    library = pytest.importorskip("transformers", reason="needs the extra reference")
    with caplog.at_level(logging.WARNING):
        theirs, info = library.AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert "bert.embeddings.word_embeddings.weight" in set(info["missing_keys"])
    assert theirs.get_input_embeddings().weight.abs().max() < 1
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
