"""Folders of tiny random models that transformers has saved, with what it computes from them."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from minbert import families

REFERENCE = "reference/families"
# Folder, kind of model: see the README of the reference files.
ENCODERS = {
    "roberta": "base",
    "roberta-mlm": "masked",
    "roberta-classifier": "classifier",
    "distilbert-mlm": "masked",
    "distilbert-classifier": "classifier",
    "electra-mlm": "masked",
    "electra-discriminator": "discriminator",
    "electra-classifier": "classifier",
}


@pytest.fixture(scope="session")
def encoder(shared):
    """encoder("roberta-mlm") -> its folder, kind, model, golden tensors, inputs, and the mask of real tokens."""

    def load(name, **options):
        folder, kind = shared(f"{REFERENCE}/{name}"), ENCODERS[name]
        golden = load_file(folder / "golden.safetensors")
        inputs = {key: golden[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in golden}
        model = families.load(folder, kind, missing_head="error", **options)
        real = golden["attention_mask"].bool()
        return SimpleNamespace(folder=folder, kind=kind, model=model, golden=golden, inputs=inputs, real=real)

    return load


@torch.no_grad()
def hidden_states(model, inputs):
    """L + 1 times [B, T, D]"""
    return getattr(model, "bert", model)(**inputs, output_hidden_states=True)["hidden_states"]


@torch.no_grad()
def outputs(found):
    """What a model of the fixture `encoder` computes of its inputs, of real tokens alone: a tensor"""
    output = found.model(**found.inputs)
    if found.kind == "base":
        return output["pooler_output"]
    if found.kind == "classifier":
        return output
    return output[0][found.real]


def expected(found):
    """The same from the golden tensors"""
    if found.kind == "base":
        return found.golden["pooler_output"]
    return found.golden["logits"] if found.kind == "classifier" else found.golden["logits"][found.real]


def close(found, wanted, atol=1e-5):
    """Equal but for the rounding of float32, which grows with the numbers."""
    largest = max(1.0, wanted.abs().max().item() / 10)
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol * largest)
