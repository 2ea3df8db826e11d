"""Tags of words and answers in passages: trained, resumed, scored again and predicted from the command line."""

import csv
import json
import re
from pathlib import Path

import pytest

from minbert.commands import predict, train

NAMES = [("good", "B-X"), ("bad", "B-Y"), ("wonderful", "B-X"), ("unaffable", "B-Y")]
SENTENCES = [[("the", "O"), (word, tag), ("film", tag.replace("B", "I")), ("was", "O")] for word, tag in NAMES] * 3
LONG = [pair for sentence in SENTENCES for pair in sentence]  # more words than a window of 16 has
PASSAGE = "The film was good , the plot was bad . Not wonderful !"
FAST = ("--model", "tiny", "--epochs", "12", "--lr", "0.01", "--device", "cpu", "--batch_size", "4")


def conll(*sentences):
    return "\n".join("".join(f"{' '.join(pair)}\n" for pair in sentence) for sentence in sentences)


def squad(*questions, passage=PASSAGE):
    def answers(texts):
        return [{"text": text, "answer_start": passage.index(text)} for text in texts]

    qas = [
        {"id": id, "question": asked, "answers": answers(texts), "is_impossible": not texts}
        for id, asked, texts in questions
    ]
    return json.dumps({"version": "v2.0", "data": [{"paragraphs": [{"context": passage, "qas": qas}]}]})


ANSWERED = [("one", "was the plot bad", ["bad"]), ("two", "film was", ["good"]), ("three", "not", ["wonderful"])]
    ("one", "was the plot bad", ["bad"]),
    ("two", "the film was", ["good"]),
    ("three", "not what", ["wonderful"]),
]


@pytest.fixture
def here(tiny_folder, tmp_path, monkeypatch):
    """A folder with a tiny model, files of tags and files of answers."""
    monkeypatch.chdir(tmp_path)
    Path("train.conll").write_text(conll(*SENTENCES, LONG))
    Path("dev.conll").write_text(conll(*SENTENCES[:3], LONG))
    Path("train.json").write_text(squad(*ANSWERED))
    Path("none.json").write_text(squad(*ANSWERED, ("four", "was it un", [])))
    return tmp_path


def table(name):
    with open(name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def said(capsys, *words):
    capsys.readouterr()
    train.main(list(words))
    return capsys.readouterr().out


def test_tags(here, capsys):
    words = ("--train", "train.conll", "--dev", "dev.conll", *FAST, "--max_length", "16")
    out = said(capsys, *words, "--out", "out")
    assert "13 sentences (96 words, X 12, Y 12); CoNLL" in out and "labels: 0 = O, 1 = B-X, 2 = I-X" in out
    assert "train: 13 sentences in 18 windows" in out and len(re.findall(r"epoch \d+ .* dev micro F1 \d", out)) == 12
    config = json.loads(Path("out/config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert [config["id2label"][str(at)] for at in range(5)] == ["O", "B-X", "I-X", "B-Y", "I-Y"]
    record = json.loads(Path("out/run.json").read_text())
    figures = record["scores"]["dev"]
    assert figures["micro_f1"] > 0.9 and figures["right_words_of_o"] == 0.5 and "f1_X" in figures
    assert f"micro F1 read strictly {figures['strict_micro_f1']:.4f}" in out and "of always saying O 0.5000" in out
    rows = table("out/dev_predictions.csv")
    assert list(rows[0]) == ["sentence", "gold", "word", "predicted"]
    gold = [(str(at), tag, word) for at, each in enumerate([*SENTENCES[:3], LONG], 1) for word, tag in each]
    assert [(row["sentence"], row["gold"], row["word"]) for row in rows] == gold  # no word of the long one is missing
    lines = [line.split() for line in Path("out/dev_out.conll").read_text().split("\n\n")[0].splitlines()]
    assert lines == [[row["word"], row["gold"], row["predicted"]] for row in rows[:4]]

    again = said(capsys, "--eval_only", "--model", "out", "--test", "dev.conll", "--max_length", "16", "--out", "again")
    assert table("again/test_predictions.csv") == rows and f"micro F1 {figures['micro_f1']:.4f}" in again
    predict.main(["--model", "out", "--text", "dev.conll", "--out", "p.csv", "--max_length", "16"])
    found = table("p.csv")
    assert [(row["row"], row["word"], row["predicted"]) for row in found] == [
        (row["sentence"], row["word"], row["predicted"]) for row in rows
    ]


def test_tags_of_plain_texts(here, capsys):
    train.main(["--train", "train.conll", *FAST, "--out", "out"])
    Path("words").write_text("the\ngood\n\nbad\nfilm\n")
    Path("texts").write_text("the good film was\nbad film, bad\n")
    seen = []
    for name in ("words", "texts"):
        predict.main(["--model", "out", "--text", name, "--out", "p.csv", "--precision", "int8-always"])
        seen.append([(row["row"], row["word"]) for row in table("p.csv")])
    assert seen[0] == [("1", "the"), ("1", "good"), ("2", "bad"), ("2", "film")]
    assert [word for _, word in seen[1]] == ["the", "good", "film", "was", "bad", "film", ",", "bad"]
    capsys.readouterr()
    predict.main(["--model", "out", "--sentence", "the good film was", "--with_text"])
    assert capsys.readouterr().out == "X good film\tthe O  good B-X  film I-X  was O\tthe good film was\n"


@pytest.mark.parametrize("file", ["train.json", "none.json"])
def test_answers(here, capsys, file):
    words = ("--train", file, "--dev", file, *FAST, "--epochs", "60", "--max_length", "16", "--overlap", "3")
    out = said(capsys, *words, "--out", "out")
    none = file == "none.json"
    assert f"{3 + none} questions ({int(none)} without an answer); SQuAD" in out and "windows" in out
    assert "dev exact match" in out
    assert json.loads(Path("out/config.json").read_text())["architectures"] == ["BertForQuestionAnswering"]
    record = json.loads(Path("out/run.json").read_text())
    assert record["learnt"] == {"pairs": True, "no_answer": none}
    figures = record["scores"]["dev"]
    assert figures["f1"] == 1 and figures.get("exact_match_of_none") == (0.25 if none else None)
    rows = table("out/dev_predictions.csv")
    assert list(rows[0]) == ["question", "gold", "id", "predicted", "start"]
    for row in rows:
        assert row["predicted"] == row["gold"]
        if row["gold"]:
            assert PASSAGE[int(row["start"]) :].startswith(row["predicted"])
    answers = json.loads(Path("out/dev_out.json").read_text())
    assert answers == {row["id"]: row["predicted"] for row in rows}

    more = ("--max_length", "16", "--overlap", "3")
    said(capsys, "--eval_only", "--model", "out", "--test", file, *more, "--out", "again")
    assert json.loads(Path("again/test_out.json").read_text()) == answers
    predict.main(["--model", "out", "--text", file, "--out", "p.csv", *more])
    assert {row["id"]: row["predicted"] for row in table("p.csv")} == answers
    capsys.readouterr()
    predict.main(["--model", "out", "--question", "the film was", "--passage", PASSAGE, *more])
    assert capsys.readouterr().out == f"good\tfrom character {PASSAGE.index('good')}\n"
    predict.main(["--model", "out", "--text", file, "--out", "p.csv", *more, "--null_threshold=-1000"])
    assert {row["predicted"] for row in table("p.csv")} == {""}
