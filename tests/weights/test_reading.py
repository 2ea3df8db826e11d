"""A model that only predicts: its weights are read once, into memory of their own, and no random number is drawn."""

import pytest
import safetensors.torch
import torch
from torch import nn

from minbert import BertForMaskedLM, BertSentClassifier, families
from minbert.weights.fill import NotDrawn
from minbert.weights.read import TYPES, read_safetensors

FOLDERS = ("roberta-classifier", "distilbert-classifier", "electra-classifier", "roberta-mlm", "electra-discriminator")
KINDS = {"classifier": "classifier", "mlm": "masked", "discriminator": "discriminator"}


@pytest.fixture
def drawn(monkeypatch):
    """A list of the shapes for which torch has drawn random numbers."""
    found = []

    def watch(name):
        draw = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, *args, **options: found.append(self.shape) or draw(self))

    for name in ("normal_", "uniform_"):
        watch(name)
    return found


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_is_read_is_not_drawn_before(tiny_folder, drawn):
    before = torch.get_rng_state()
    read = BertSentClassifier.from_pretrained(tiny_folder, random=False)
    assert not drawn and torch.equal(torch.get_rng_state(), before)
    assert same(read, BertSentClassifier.from_pretrained(tiny_folder)) and drawn


@pytest.mark.parametrize("name", FOLDERS)
def test_so_it_is_in_every_family(shared, name, drawn):
    folder, kind = shared(f"reference/families/{name}"), KINDS[name.partition("-")[2]]
    read = families.load(folder, kind, missing_head="error", random=False)
    assert not drawn and same(read, families.load(folder, kind))


@pytest.mark.parametrize(("name", "kind"), [("tiny-gpt2", "causal"), ("tiny-translate", "translation")])
def test_so_it_is_in_models_that_write(name, kind, drawn):
    read = families.load(name, kind, random=False)
    assert not drawn and same(read, families.load(name, kind)) and drawn


@pytest.mark.parametrize("layer", [nn.Linear, nn.Bilinear, nn.Embedding, nn.Conv1d, nn.LayerNorm])
def test_a_layer_of_torch_draws_nothing(layer, drawn):
    with NotDrawn():
        layer(*{nn.Bilinear: (3, 4, 5), nn.Conv1d: (3, 4, 5), nn.LayerNorm: (3,)}.get(layer, (3, 4)))
    assert not drawn


def test_a_head_that_the_checkpoint_lacks_is_0(tiny_folder):
    model = BertForMaskedLM.from_pretrained(tiny_folder, missing_head="new", random=False)
    assert model.loaded.new == ["masked-LM head"]
    assert not any(weight.any() for weight in model.predictions.parameters())


def test_numbers_of_other_types_become_those_of_the_model(tiny_folder):
    model = BertSentClassifier.from_pretrained(tiny_folder)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        model.save_pretrained(tiny_folder, dtype)
        read = BertSentClassifier.from_pretrained(tiny_folder, random=False)
        assert {weight.dtype for weight in read.parameters()} == {torch.float32}
        assert same(read, BertSentClassifier.from_pretrained(tiny_folder))


def test_what_learns_and_what_is_frozen_stays_so(tiny_folder):
    read = BertSentClassifier.from_pretrained(tiny_folder, option="pretrain", random=False)
    learns = {name for name, weight in read.named_parameters() if weight.requires_grad}
    assert learns == {"classifier.weight", "classifier.bias"}


def test_a_file_of_any_types_and_shapes_is_read_as_safetensors_reads_it(tmp_path):
    shapes, path = [(), (0, 3), (1,), (5, 7), (3, 1, 2)], tmp_path / "odd.safetensors"
    types = [*TYPES.values(), torch.bool, torch.int64, torch.uint8, torch.complex64, torch.float8_e4m3fn]
    tensors = {f"{dtype} {shape}": (9 * torch.rand(shape)).to(dtype) for shape in shapes for dtype in types}
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    found = read_safetensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        assert torch.equal(found[name].flatten().view(torch.uint8), tensor.flatten().view(torch.uint8)), name


@pytest.mark.fault("weights: a file that is written over while its model is used")
def test_a_file_that_is_written_over_does_not_change_a_model(tiny_folder):
    path = tiny_folder / "model.safetensors"
    model = BertSentClassifier.from_pretrained(tiny_folder, random=False)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with open(path, "r+b") as file:  # in its place, not by a new file of that name
        file.seek(-10_000, 2)
        file.write(bytes(10_000))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_weights_begin_where_torchs_own_begin(tiny_folder):
    """MKL rounds in another way elsewhere: the same weights would give other bits."""
    model = BertSentClassifier.from_pretrained(tiny_folder, random=False)
    assert {weight.data_ptr() % 64 for weight in model.parameters()} == {0}
