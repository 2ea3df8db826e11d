"""What `minbert predict` leaves out between its call and its first answer: seen in a process of its own, not timed."""

import json
import subprocess
import sys

import pytest

from minbert import BertSentClassifier, BertTokenizer, Config
from tests.conftest import ROOT, VOCAB

SIZES = Config(
    vocab_size=len(VOCAB),
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=32,
    num_labels=2,
)
HEAVY = {  # packages that this command does not need, and parts of torch that it does not load by itself
    *("filelock", "huggingface_hub", "matplotlib", "onnx", "pandas", "ray", "requests", "scipy", "sklearn"),
    *("sympy", "tokenizers", "torch._dynamo", "torch._inductor", "torchvision", "transformers"),
}
PROGRAM = """
import gc, json, sys
searches = []
gc.callbacks.append(lambda phase, facts: searches.append("torch" in sys.modules and not gc.get_freeze_count()))
import minbert.__main__
status = minbert.__main__.main(sys.argv[1:])
import torch
print(json.dumps({
    "status": status, "modules": [*sys.modules], "frozen": gc.get_freeze_count(), "collects": gc.isenabled(),
    "searched": any(searches),
    "drawn": not torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(torch.initial_seed()).get_state()),
}))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """What a process knows of itself after it has answered one sentence."""
    folder = tmp_path_factory.mktemp("start")
    BertSentClassifier(SIZES).save_pretrained(folder)
    BertTokenizer(VOCAB).save_pretrained(folder)
    command = [sys.executable, "-c", PROGRAM, "predict", "--model", str(folder), "--sentence", "a good film"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    answer, facts = done.stdout.splitlines()
    return answer, json.loads(facts)


def test_it_answers(started):
    answer, facts = started
    label, probabilities = answer.split("\t")
    assert facts["status"] == 0 and label in probabilities.split()


def test_no_package_is_imported_that_it_does_not_need(started):
    modules = {*started[1]["modules"]}
    assert "torch" in modules and not HEAVY & modules


def test_of_minbert_no_part_is_imported_that_trains_compares_or_shows(started):
    rooms = {name.split(".")[1] for name in started[1]["modules"] if name.startswith("minbert.")}
    assert "families" in rooms and not rooms & {"study", "pages", "course", "pretraining", "probing", "search"}


def test_no_random_number_is_drawn(started):
    assert started[1]["drawn"] is False


def test_what_is_imported_is_not_searched_for_garbage_and_what_comes_after_it_is(started):
    facts = started[1]
    assert not facts["searched"] and facts["frozen"] > 100_000 and facts["collects"]
