"""Old notebooks still run: the cells of one, as they stand, on a checkpoint that this project trained."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minbert import BertSentClassifier, BertTokenizer
from minbert.commands import train
from tests.conftest import VOCAB

NOTEBOOK = "seeds/000_82d79004173973b8.txt"
TRAIN = [
    ("positive", "the film was wonderful"),
    ("negative", "the film was terrible"),
    ("positive", "a masterpiece, a brilliant plot"),
    ("negative", "a weak plot, poor and predictable"),
    ("positive", "delicious and exceptional"),
    ("negative", "unbearable and slow"),
]
WORDS = sorted(set(re.findall(r"\w+", " ".join(text for _, text in TRAIN))) - set(VOCAB))


@pytest.fixture
def trained(tiny, tmp_path, monkeypatch):
    """A working directory as the notebook expects it: flexible-10-1e-05.pt, and bert-base-uncased's tokenizer by name.

    Here that name stands for a vocabulary of a few words. The trained model is in the folder out/, too.
    """
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    BertSentClassifier(tiny.change(vocab_size=len(VOCAB + WORDS))).save_pretrained("checkpoints/bert-base-uncased")
    BertTokenizer(VOCAB + WORDS).save_pretrained("checkpoints/bert-base-uncased")
    with open("train.txt", "w") as stream:
        stream.writelines(f"{label} ||| {text}\n" for label, text in TRAIN)
    files = ["--train", "train.txt", "--out", "out", "--filepath", "flexible-10-1e-05.pt"]
    settings = ["--option", "flexible", "--epochs", "30", "--lr", "0.03", "--hidden_dropout_prob", "0.1"]
    train.main(["--model", "bert-base-uncased", *files, *settings, "--device", "cpu"])


@pytest.fixture
def section(shared):
    """The notebook's part 4.1: code and prose."""
    text = shared(NOTEBOOK).read_text(encoding="utf-8")
    return text[text.index("\n4.1 ") : text.index("\n4.2 ")]


def cells(text):
    """The code cells of a notebook that a PDF was made of, and text of the PDF.

    Some lines after a cell's first are shifted by the width of its prompt; a page break cuts a cell into two blocks.
    """
    prompt, found = "In [ ]: ", []
    for block in re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        first, *rest = block.splitlines()
        if all(line.startswith(" " * len(prompt)) for line in rest if line):
            rest = [line[len(prompt) :] for line in rest]
        if first.startswith(prompt):
            found.append("\n".join([first.removeprefix(prompt), *rest]))
        else:
            found[-1] += "\n" + block
    return found


def printed_sentences(text):
    """The sentences in full, from the output; the cell that lists them is cut at the right margin."""
    return re.findall(r"^(.+) --- Class Label: ", text, re.MULTILINE)


def test_the_notebook_runs_as_it_stands(section, trained, capsys):
    sentences = printed_sentences(section)
    code = [cell for cell in cells(section) if not cell.startswith("sentences = [")]
    assert len(code) == 4
    assert len(sentences) == 5
    imports = {"torch": torch, "np": np, "BertTokenizer": BertTokenizer, "BertSentClassifier": BertSentClassifier}
    namespace = imports | {"sentences": sentences}
    capsys.readouterr()
    for cell in code:
        exec(compile(cell, NOTEBOOK, "exec"), namespace)
    out = capsys.readouterr().out

    assert "model loaded" in out
    assert "'option': 'flexible'" in out
    blocks = re.findall(
        r"^(.+) --- Class Label: (Positive|Negative)\n"
        r"Positive Probability: (.+)\nNegative Probability: (.+)\n-----$",
        out,
        re.MULTILINE,
    )
    assert [sentence for sentence, *_ in blocks] == sentences
    printed = torch.tensor([[float(negative), float(positive)] for *_, positive, negative in blocks])
    assert [label for _, label, *_ in blocks] == [("Negative", "Positive")[id] for id in printed.argmax(1)]

    model, tokenizer = BertSentClassifier.from_pretrained("out"), BertTokenizer.from_pretrained("out")
    ours = model.predict_proba(**tokenizer(sentences, padding=True, return_tensors="pt"))
    assert (printed - ours).abs().max() < 1e-6
    assert ours[:, 1].std() > 0.01  # sentences that differ, or else a wrong order would pass


def test_the_same_calls_without_the_notebook(trained):
    saved = torch.load("flexible-10-1e-05.pt")
    model = BertSentClassifier(SimpleNamespace(**saved["model_config"]))
    model.load_state_dict(saved["model"])
    tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
    texts = ["A masterpiece!", "the plot was predictable, slow, and unbearable"]
    encoding = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
    assert encoding["input_ids"].shape == encoding["token_type_ids"].shape == (2, 11)
    assert encoding["attention_mask"].sum(1).tolist() == [5, 11]
    assert encoding["input_ids"][0].tolist() == tokenizer.encode(texts[0]) + [tokenizer.pad_token_id] * 6

    logits = model(encoding["input_ids"], encoding["attention_mask"])
    assert logits.shape == (2, 2)
    assert logits.requires_grad
    alone = torch.cat([model(tokenizer(text, return_tensors="pt")["input_ids"]) for text in texts])
    assert (logits - alone).abs().max() < 1e-6
    assert torch.equal(logits, model(encoding["input_ids"], encoding["attention_mask"]))  # no dropout is left on
    assert logits.argmax(1).tolist() == [1, 0]


def test_the_notebooks_own_config_is_bert_base():
    config = SimpleNamespace(data_dir=".", hidden_dropout_prob=0.3, hidden_size=768, num_labels=2, option="flexible")
    with torch.device("meta"):
        model = BertSentClassifier(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 109_482_240 + 2 * 768 + 2
    assert model.dropout.p == 0.3
    assert model.config.hidden_dropout_prob == 0.1  # the encoder keeps its own
