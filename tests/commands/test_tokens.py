"""Tags of words and answers in passages: trained, resumed, scored again and predicted from the command line."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from minbert import BertTokenizer, families
from minbert.commands import predict, train
from minbert.errors import UserError
from tests.commands.stopping import stop_and_resume
from tests.conftest import VOCAB

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


ANSWERED = [
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
    words = ("--train", "train.conll", "--dev", "dev.conll", *FAST, "--epochs", "30", "--max_length", "16")
    out = said(capsys, *words, "--out", "out")
    assert "13 sentences (96 words, X 12, Y 12); CoNLL" in out and "labels: 0 = O, 1 = B-X, 2 = I-X" in out
    assert "train: 13 sentences in 17 windows" in out and len(re.findall(r"epoch \d+ .* dev micro F1 \d", out)) == 30
    config = json.loads(Path("out/config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert [config["id2label"][str(at)] for at in range(5)] == ["O", "B-X", "I-X", "B-Y", "I-Y"]
    record = json.loads(Path("out/run.json").read_text())
    figures = record["scores"]["dev"]
    assert figures["micro_f1"] > 0.9 and figures["right_words_of_o"] == 0.5 and "f1_X" in figures
    assert f"micro F1 read strictly {figures['strict_micro_f1']:.4f}" in out and "of always saying O 0.5000" in out
    assert f"F1 of X {figures['f1_X']:.4f}  F1 of Y {figures['f1_Y']:.4f}" in out
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
    words = ("--train", file, "--dev", file, *FAST, "--epochs", "80", "--max_length", "16", "--overlap", "3")
    out = said(capsys, *words, "--out", "out")
    none = file == "none.json"
    assert f"{3 + none} questions ({int(none)} without an answer); SQuAD" in out and "windows" in out
    assert "dev exact match" in out
    assert json.loads(Path("out/config.json").read_text())["architectures"] == ["BertForQuestionAnswering"]
    record = json.loads(Path("out/run.json").read_text())
    assert record["learnt"] == {"pairs": True, "no_answer": none}
    figures = record["scores"]["dev"]
    assert figures["f1"] >= 0.75 and figures.get("exact_match_of_none") == (0.25 if none else None)
    rows = table("out/dev_predictions.csv")
    assert list(rows[0]) == ["question", "gold", "id", "predicted", "start"]
    for row in rows:
        assert row["predicted"] in (row["gold"], "")
        if row["predicted"]:
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


TAGS = ("--train", "train.conll", "--dev", "dev.conll", *FAST, "--epochs", "3", "--max_length", "16")
SPANS = ("--train", "none.json", "--dev", "none.json", *FAST, "--epochs", "3", "--max_length", "16", "--overlap", "3")


@pytest.mark.parametrize("words", [TAGS, SPANS], ids=["tags", "spans"])
@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_a_stopped_run_ends_with_the_same_bits(here, option, words, monkeypatch):
    words = [*words, "--option", option, "--warmup", "0"]
    train.main([*words, "--out", "whole"])
    stop_and_resume(words, 8, "cut", here, monkeypatch)
    for name in ("model.safetensors", "dev_predictions.csv"):
        assert Path("cut", name).read_bytes() == Path("whole", name).read_bytes()
    encoders = [safetensors.torch.load_file(f"{name}/model.safetensors") for name in ("tiny", "whole")]
    before, after = (each["bert.encoder.layer.0.attention.self.query.weight"] for each in encoders)
    assert torch.equal(before, after) == (option == "pretrain")


def ids_of(folder, *texts):
    """Two texts as a batch, padded."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    encoding = tokenizer(*texts, padding=True)
    return {name: torch.tensor(rows) for name, rows in encoding.items()}


@pytest.mark.parametrize("words, name", [(TAGS, "Token"), (SPANS, "Question")], ids=["tags", "spans"])
def test_transformers_computes_the_same_from_the_folder(here, words, name):
    transformers = pytest.importorskip("transformers")
    train.main([*words, "--out", "out"])
    texts = ["the good film", "a wonderful plot was bad"], ["not good", "the film"]
    batch = ids_of("out", *(texts[:1] if name == "Token" else texts))
    kind = {"Token": "BertForTokenClassification", "Question": "BertForQuestionAnswering"}[name]
    theirs = getattr(transformers, kind).from_pretrained("out").eval()
    ours = families.load("out", {"Token": "tagger", "Question": "answers"}[name]).eval()
    with torch.no_grad():
        wanted, found = theirs(**batch), ours(**batch)
    wanted = wanted.logits if name == "Token" else torch.stack([wanted.start_logits, wanted.end_logits], dim=1)
    assert torch.allclose(found, wanted, atol=1e-5) and wanted.std() > 0.01
    if name == "Token":
        assert theirs.config.id2label[1] == "B-X"


def test_conlleval_reads_the_tags_and_squad_the_answers(here):
    """The last two columns are the tag and the predicted one, as the script wants it; a word may hold a blank."""
    Path("blank.conll").write_text("new york\tB-X\nis\tO\n\nbad\tB-Y\n")
    words = ("--test", "blank.conll", *FAST, "--epochs", "1", "--precision", "bf16")
    train.main(["--train", "train.conll", *words, "--out", "out"])
    lines = Path("out/test_out.conll").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines if line] == [["new york", "B-X"], ["is", "O"], ["bad", "B-Y"]]
    assert lines[2] == "" and all(len(line.split("\t")) == 3 for line in lines if line)


@pytest.mark.parametrize("name, content, words, reason", [
    ("t.conll", "a b O\nc O\n\nd e O\n", (), r"t.conll:2: ragged row: 2 columns, but the first row has 3"),
    ("t.conll", "a O\nb X-Y\n\nc O\nc O\nc O\n\nd B-X\n", (), r"t.conll:2: 'X-Y' is no tag"),
    ("t.conll", "a O\n\nb B-X\n", ("--label_kind", "class"), "is CoNLL.*needs --label_kind tags, not class"),
    ("t.conll", "a O\n\nb B-X\n", ("--label_kind", "spans"), "is CoNLL.*needs --label_kind tags, not spans"),
    ("t.csv", "text,label\na,b\nc,d\n", ("--label_kind", "spans"), "is not SQuAD's JSON.*spans needs that form"),
    ("t.csv", "text,label\na,b\nc,d\n", ("--label_kind", "tags"), "word, and its tag in the last column|is no tag"),
    ("t.csv", "text,label\na,b\nc,d\n", ("--overlap", "3"), "class has no use for --overlap"),
    ("t.csv", "text,label\na,b\nc,d\n", ("--null_threshold", "3"), "class has no use for --null_threshold"),
    ("t.csv", "text,label\na,b\nc,d\n", ("--null_label", "e"), "--null_label e: the labels are b, d"),
    ("t.conll", "a O\n\nb B-X\n", ("--labels", "O"), "tags has no use for --labels"),
    ("t.conll", "a O\n\nb B-X\n", ("--text_column", "O"), "tags has no use for --text_column"),
    ("t.conll", "a O\n\nb B-X\n", ("--pooling", "mean"), "tags has no use for --pooling"),
    ("t.json", squad(*ANSWERED), ("--tweets",), "spans has no use for --tweets"),
    ("t.json", squad(*ANSWERED), ("--label_kind", "tags"), "is SQuAD's JSON.*needs --label_kind spans"),
    ("t.json", squad(*ANSWERED).replace("33", "34"), (), r"t.json:1: question 'one': the answer 'bad' should stand"),
    ("t.json", squad(("one", "q", ["bad"])).replace('"bad"', '"worse"'), (), "it is nowhere in the passage"),
    ("t.json", squad(*ANSWERED), ("--max_length", "4"), r"t.json:1: the question .* no room is left for the passage"),
    ("t.json", squad(*ANSWERED), ("--max_length", "16", "--overlap", "15"), "overlap is 15, but must be less"),
])  # fmt: skip
def test_what_cannot_be_learnt(here, name, content, words, reason):
    Path(name).write_text(content)
    with pytest.raises(UserError, match=f"(?s){reason}"):
        train.main(["--train", name, *words, *FAST, "--out", "out"])
    assert not Path("out/config.json").exists()


def test_a_tag_that_training_never_saw(here):
    Path("other.conll").write_text("a O\n\nb B-Z\n")
    with pytest.raises(UserError, match=r"other.conll:3: tag 'B-Z' is not one of: O, B-X"):
        train.main(["--train", "train.conll", "--test", "other.conll", *FAST, "--out", "out"])


def test_what_cannot_be_predicted(here):
    train.main([*TAGS, "--epochs", "1", "--out", "tags"])
    train.main([*SPANS, "--epochs", "1", "--out", "spans"])
    Path("texts").write_text("good film\n")
    for words, reason in [
        (
            ["--model", "tags", "--question", "who", "--passage", "he"],
            "gives a tag for each word.*--question, --passage",
        ),
        (["--model", "spans", "--sentence", "who"], "gives answers in passages.*--sentence"),
        (["--model", "spans", "--question", "who"], "give both --question and --passage"),
        (["--model", "tiny", "--question", "who", "--passage", "he"], "gives a class of each text"),
        (["--model", "tags", "--sentence", "who", "--overlap", "3"], "has no use for --overlap"),
        (["--model", "spans", "--text", "texts"], "texts: cannot be read as JSON"),
        (["--model", "spans", "--question", "who", "--passage", " "], "--passage ' ' holds no text"),
    ]:
        with pytest.raises(UserError, match=reason):
            predict.main(words)
    for model, file in (("tags", "none.json"), ("spans", "dev.conll")):
        with pytest.raises(UserError, match="needs --label_kind"):
            train.main(["--eval_only", "--model", model, "--test", file, "--out", "x"])


@pytest.mark.parametrize("name", ["bert-tokens", "bert-qa"])
def test_a_published_model_is_scored_as_it_is(here, shared, name):
    """Nothing records how it was trained: labels come from its config, and the file shows that all have an answer."""
    shutil.copytree(shared(f"reference/families2/{name}"), "published")
    vocabulary = [*VOCAB, *(f"[unused{number}]" for number in range(99))][:37]
    Path("published/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    words = ["the", "good", "film"]
    Path("test.conll").write_text(conll([(word, "O") for word in words], [("bad", "B-PER")]))
    Path("test.json").write_text(squad(("one", "was it", ["film was"]), passage="the film was good"))
    file, kind = {"bert-tokens": ("test.conll", "tagger"), "bert-qa": ("test.json", "answers")}[name]
    train.main(["--eval_only", "--model", "published", "--test", file, "--device", "cpu", "--out", "out"])
    rows, model = table("out/test_predictions.csv"), families.load("published", kind)
    predict.main(["--model", "published", "--text", file, "--out", "p.csv"])
    assert [row["predicted"] for row in table("p.csv")] == [row["predicted"] for row in rows]
    with torch.no_grad():
        if kind == "tagger":
            best = model(**ids_of("published", [" ".join(words)]))[0].argmax(-1)
            assert [row["predicted"] for row in rows[:3]] == [model.config.labels[at] for at in best[1:4].tolist()]
        else:
            starts, ends = model(**ids_of("published", ["was it"], ["the film was good"]))[0, :, 4:8]
            sums = (starts[:, None] + ends[None]).triu()
            at, to = divmod(sums.masked_fill(torch.ones(4, 4).tril(-1).bool(), -99).argmax().item(), 4)
            assert rows[0]["predicted"] == " ".join(["the", "film", "was", "good"][at : to + 1])
