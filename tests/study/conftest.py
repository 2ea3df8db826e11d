"""Made-up tweets of two stances by 30 authors, a tiny model that knows their words, and reference values."""

import csv
import json
import random
from pathlib import Path

import pytest
import torch

from minbert import BertForMaskedLM, BertTokenizer, Config
from minbert.__main__ import main
from tests.conftest import VOCAB
from tests.study.inferring import make_files

TOPICS = "tax vote law court judge senate health school climate border wall women rights senator party union jobs oil"
WORDS = {"against": ["bad", "terrible", "no", "never"], "support": ["great", "yes", "good", "always"]}


def tweets(count=90, seed=0, certain=0.8):
    """Rows (text, label, author): a word of the label's own is in `certain` of them."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        label = rng.choice(["against", "support", "support"])
        tells = rng.choice(WORDS[label]) if rng.random() < certain else "hm"
        rows.append((" ".join([*rng.choices(TOPICS.split(), k=7), tells, f"n{number}"]), label, f"a{number % 30}"))
    return rows


@pytest.fixture(scope="session")
def study_golden(shared):
    """study_golden["holm"] -> what scipy, statsmodels, ppi-python, krippendorff and cleanlab computed; or a skip."""
    return json.loads(Path(shared("reference/study/goldens.json")).read_text("utf-8"))


@pytest.fixture
def write(tmp_path):
    """write(rows) -> the path of a CSV with the columns tweet, stance, author."""

    def write(rows, name="tweets.csv", header=("tweet", "stance", "author"), delimiter=",", encoding="utf-8"):
        path = tmp_path / name
        with open(path, "w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=delimiter).writerows([header, *rows])
        return path

    return write


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of a tiny encoder with large random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    words = [*VOCAB, *TOPICS.split(), *(word for words in WORDS.values() for word in words)]
    vocabulary = list(dict.fromkeys(words))
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 16}
    config = Config(vocab_size=len(vocabulary), max_position_embeddings=40, initializer_range=0.5, **sizes)
    BertForMaskedLM(config).save_pretrained(folder)
    BertTokenizer(vocabulary).save_pretrained(folder)
    return folder


@pytest.fixture
def study(capsys):
    """study(*words) -> exit status, stdout, stderr of minbert study WORDS."""

    def study(*words):
        status = main(["study", *map(str, words)])
        return status, *capsys.readouterr()

    return study


@pytest.fixture
def files(tmp_path):
    """Texts, predictions and labels whose truth is known, for minbert study infer."""
    return make_files(tmp_path)
