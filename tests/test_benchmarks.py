"""The flags in the tables of docs/tasks.md learn from files in each benchmark's layout, and print its score."""

import json
import re
import shlex
from pathlib import Path

import pytest

from minbert.commands import train
from tests.conftest import ROOT

ROWS = re.findall(
    r"^\| (.+?) \| (.+?) \| (.+?) \| `(--train .+?)` \|$", (ROOT / "docs" / "tasks.md").read_text("utf-8"), re.MULTILINE
)
TEXTS = ("the film was good", "bad plot", 'a "wonderful film', "not good")  # one has a quote that nothing closes
NLI = ("neutral", "entailment", "contradiction", "neutral")
# The columns of each file: the names, {n} is the number of the row, {a} and {b} are texts, {c} is its class.
LAYOUTS = {
    "CoLA": (None, "gj04", "{c}", "*", "{a}"),
    "SST-2": ("sentence label", "{a}", "{c}"),
    "MRPC": ("Quality|#1 ID|#2 ID|#1 String|#2 String", "{c}", "{n}", "{n}1", "{a}", "{b}"),
    "QQP": ("id qid1 qid2 question1 question2 is_duplicate", "{n}", "{n}1", "{n}2", "{a}", "{b}", "{c}"),
    "STS-B": (
        "index genre filename year old_index source1 source2 sentence1 sentence2 score",
        *("{n}", "main", "file", "2012", "{n}", "none", "none", "{a}", "{b}", "{n}.5"),
    ),
    "MNLI": (
        "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse "
        "sentence1 sentence2 label1 gold_label",
        *("{n}", "{n}", "{n}n", "fiction", "(x)", "(y)", "(x)", "(y)", "{a}", "{b}", "{nli}", "{nli}"),
    ),
    "QNLI": ("index question sentence label", "{n}", "{a}", "{b}", "{two}"),
    "RTE": ("index sentence1 sentence2 label", "{n}", "{a}", "{b}", "{two}"),
    "WNLI": ("index sentence1 sentence2 label", "{n}", "{a}", "{b}", "{c}"),
}
FIELDS = {  # of BLURB's files of JSON lines
    "ChemProt": {"sentence": "{a}", "label": "{relation}"},
    "DDI": {"sentence": "{a}", "label": "DDI-{relation}"},
    "GAD": {"sentence": "{a}", "label": "{c}"},
    "BIOSSES": {"sentence1": "{a}", "sentence2": "{b}", "label": "{n}.5"},
    "HoC": {"sentence": "{a}", "label": "{several}"},
    "PubMedQA": {"question": "{a}", "context": "{b}", "final_decision": "{answer}"},
    "BioASQ": {"question": "{a}", "context": "{b}", "label": "{answer}"},
}
SCORES = {
    "accuracy": "accuracy", "Matthews": "matthews", "F1": "f1", "Pearson": "pearson", "Spearman": "spearman",
    "micro F1": "micro_f1", "micro F1 without a class": "micro_f1", "by word, macro F1": "word_macro_f1",
}  # fmt: skip


def cells(at):
    """What the places in a layout stand for, in the row with this number."""
    return {
        "n": at, "a": TEXTS[at % 4], "b": TEXTS[(at + 1) % 4], "c": at % 2, "nli": NLI[at % 4],
        "two": ("entailment", "not_entailment")[at % 2], "relation": ("false", "CPR:3", "CPR:4", "false")[at % 4],
        "several": ("a|b", "none", "b", "a")[at % 4], "answer": ("yes", "no")[at % 2],
    }  # fmt: skip


def content(task):
    """Eight rows in the layout of a task's files."""
    if task in LAYOUTS:
        header, *row = LAYOUTS[task]
        names = header and header.split("|" if "|" in header else " ")
        rows = [[cell.format(**cells(at)) for cell in row] for at in range(8)]
        return "".join("\t".join(row) + "\n" for row in [*([names] if names else []), *rows])
    if task in FIELDS:
        rows = ({name: cell.format(**cells(at)) for name, cell in FIELDS[task].items()} for at in range(8))
        return "".join(json.dumps(row) + "\n" for row in rows)
    kind = "I-PAR" if task == "EBM PICO" else "B"
    words = ([(word, kind if word in ("good", "bad") else "O") for word in cells(at)["a"].split()] for at in range(8))
    return "\n".join("".join(f"{word}\t{tag}\n" for word, tag in each) for each in words)


def test_the_tables_have_all_tasks():
    assert len(ROWS) == 9 + 13 and len({name for name, *_ in ROWS}) == 22


@pytest.mark.parametrize("task, kind, score, flags", ROWS, ids=[name for name, *_ in ROWS])
def test_a_benchmark_is_learnt_and_scored(tiny_folder, tmp_path, monkeypatch, capsys, task, kind, score, flags):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(flags)
    for word in words:
        if "/" in word:
            Path(word).parent.mkdir(exist_ok=True)
            Path(word).write_text(content(task), encoding="utf-8")
    train.main([*words, "--model", "tiny", "--epochs", "1", "--device", "cpu", "--out", "out", "--no_baseline"])
    out, record = capsys.readouterr().out, json.loads(Path("out/run.json").read_text())
    assert record["arguments"]["label_kind"] == kind.rpartition(" ")[2]
    assert record["learnt"]["pairs"] == kind.startswith("pairs")
    sizes = {name: each["rows"] for name, each in record["data"].items()}
    assert set(sizes.values()) == {8} and len(sizes) == sum("/" in word for word in words)
    figures = record["scores"]["test" if "test" in sizes else "dev"]
    for name in score.split(", ") if "by word" not in score else [score]:
        found = figures[SCORES[name]]
        assert "none" in out if found is None else f"{found:.4f}" in out
