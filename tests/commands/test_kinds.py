"""Numbers, several labels and pairs: trained, resumed, scored again and predicted from the command line."""

import csv
import json
import re
from pathlib import Path

import pytest

from minbert.commands import predict, train
from minbert.errors import UserError
from tests.commands.stopping import stop_and_resume

PAIRS = [
    ("good film", "good plot", 4.5, "joy"), ("bad film", "bad plot", 1.0, "none"), ("good", "not bad", 3.5, "joy|calm"),
    ("the film was bad", "a bad film", 0.5, "calm"), ("wonderful", "good film", 4.0, "joy"),
    ("unaffable", "bad", 1.5, "calm"), ("good plot", "wonderful film", 4.0, "joy|calm"),
    ("not good", "bad", 1.0, "none"), ("a film", "good", 3.0, "calm"), ("a plot", "bad", 2.0, "joy"),
]  # fmt: skip


@pytest.fixture
def here(tiny_folder, tmp_path, monkeypatch):
    """A folder with a tiny model, train.csv, dev.csv and one.csv of single texts."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("train.csv", PAIRS), ("dev.csv", PAIRS[:4])):
        write(name, ("sentence1", "sentence2", "score", "moods"), rows)
    write("one.csv", ("text", "score", "moods"), [(a, *rest) for a, _, *rest in PAIRS])
    return tmp_path


def write(name, header, rows):
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def table(name):
    with open(name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


FAST = ("--model", "tiny", "--epochs", "3", "--lr", "0.01", "--device", "cpu", "--batch_size", "4")
NUMBER = ("--label_kind", "number", "--label_column", "score")


def test_numbers_of_pairs(here, capsys):
    train.main(["--train", "train.csv", "--dev", "dev.csv", *NUMBER, *FAST, "--out", "out", "--no_baseline"])
    out = capsys.readouterr().out
    assert "10 pairs (from 0.5 to 4.5, mean 2.5); table; columns sentence1, sentence2, score" in out
    assert len(re.findall(r"epoch \d .* dev Pearson \S+  Spearman ", out)) == 3
    assert "furthest off on dev" in out and "good film / good plot" in out
    config = json.loads(Path("out/config.json").read_text())
    assert config["problem_type"] == "regression" and len(config["id2label"]) == 1
    record = json.loads(Path("out/run.json").read_text())
    assert set(record["scores"]["dev"]) == {"pearson", "spearman", "error", "error_of_mean"}
    scored = table("out/dev_predictions.csv")
    assert [row["gold"] for row in scored] == ["4.5", "1.0", "3.5", "0.5"] and scored[0]["pair"] == "good plot"

    train.main(["--eval_only", "--model", "out", "--test", "dev.csv", "--label_column", "score", "--out", "again"])
    assert [row["predicted"] for row in table("again/test_predictions.csv")] == [row["predicted"] for row in scored]

    predict.main(["--model", "out", "--text", "dev.csv", "--out", "p.csv"])
    found = table("p.csv")
    assert list(found[0]) == ["row", "predicted"]
    assert [float(row["predicted"]) for row in found] == pytest.approx(
        [float(row["predicted"]) for row in scored], abs=1e-5
    )


def test_the_pair_is_read(here):
    """Two files that differ in their second texts alone get other numbers, and the order of the columns counts."""
    train.main(["--train", "train.csv", *NUMBER, *FAST, "--out", "out", "--no_baseline"])
    write("turned.csv", ("sentence1", "sentence2"), [(b, a) for a, b, *_ in PAIRS])
    write("other.csv", ("sentence1", "sentence2"), [(a, "the plot was not wonderful") for a, *_ in PAIRS])
    seen = []
    for name in ("train.csv", "turned.csv", "other.csv"):
        predict.main(["--model", "out", "--text", name, "--out", "p.csv", "--with_text"])
        seen.append([row["predicted"] for row in table("p.csv")])
    assert seen[0] != seen[1] != seen[2] != seen[0]
    assert table("p.csv")[0]["pair"] == "the plot was not wonderful"


def test_several_labels(here, capsys):
    named = ("--label_kind", "several", "--label_column", "moods", "--text_column", "text")
    train.main(["--train", "one.csv", "--dev", "one.csv", *named, *FAST, "--epochs", "20", "--out", "out"])
    out = capsys.readouterr().out
    assert (
        "10 rows (calm 5, joy 5, without any 2)" in out and "dev micro F1" in out and "labels: 0 = calm, 1 = joy" in out
    )
    assert json.loads(Path("out/config.json").read_text())["problem_type"] == "multi_label_classification"
    rows = table("out/dev_predictions.csv")
    assert list(rows[0]) == ["text", "gold", "predicted", "p_calm", "p_joy"]
    assert {row["predicted"] for row in rows} <= {"none", "calm", "joy", "calm|joy"}
    predict.main(["--model", "out", "--text", "one.csv", "--out", "p.csv", "--precision", "int8"])
    assert {row["predicted"] for row in table("p.csv")} <= {"none", "calm", "joy", "calm|joy"}


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_a_stopped_run_of_numbers_ends_with_the_same_bits(here, option, monkeypatch):
    words = ["--train", "train.csv", "--dev", "dev.csv", *NUMBER, *FAST, "--option", option, "--no_baseline"]
    train.main([*words, "--out", "whole"])
    stop_and_resume(words, 5, "cut", here, monkeypatch)
    assert Path("cut/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "words, reason",
    [
        ([*NUMBER, "--class_weights", "balanced"], "number has no use for --class_weights"),
        ([*NUMBER, "--labels", "1", "2"], "number has no use for --labels"),
        (["--label_kind", "number", "--label_column", "moods"], r"train.csv:2: 'joy' is no number such as 3.5"),
        ([*NUMBER, "--pair_column", "nothing"], "no column"),
    ],
)
def test_what_does_not_go_together(here, words, reason):
    with pytest.raises(UserError, match=reason):
        train.main(["--train", "train.csv", *words, *FAST, "--out", "out"])


def test_a_folder_knows_whether_it_learnt_pairs(here, capsys):
    train.main(["--train", "train.csv", *NUMBER, *FAST, "--out", "pairs", "--no_baseline"])
    train.main(["--train", "one.csv", *NUMBER, *FAST, "--text_column", "text", "--out", "one", "--no_baseline"])
    for words, reason in [
        (["pairs", "--text", "one.csv", "--text_column", "text"], r"and --text_column text names one of them: name"),
        (["pairs", "--sentence", "good film"], "--sentence: pairs learnt from pairs"),
        (["one", "--text", "dev.csv"], "dev.csv: has pairs, but one learnt from single texts"),
    ]:
        with pytest.raises(UserError, match=reason):
            predict.main(["--model", *words])
    predict.main(["--model", "one", "--text", "dev.csv", "--text_column", "sentence1", "--out", "p.csv"])
    assert len(table("p.csv")) == 4
    capsys.readouterr()
    predict.main(["--model", "one", "--sentence", "good film"])
    assert re.fullmatch(r"-?\d\.\d{4}\n", capsys.readouterr().out)


def test_benchmarks_of_two_classes_have_their_scores(here, capsys):
    """Of pairs, Matthews and the F1 of the last class; of balanced single texts neither, as accuracy tells enough."""
    rows = [(a, b, "1" if score > 2.5 else "0") for a, b, score, _ in PAIRS]
    write("mrpc.csv", ("sentence1", "sentence2", "label"), rows)
    write("sst.csv", ("sentence", "label"), [(a, label) for a, _, label in rows])
    words = (*FAST, "--no_baseline", "--out", "out")
    train.main(["--train", "mrpc.csv", "--dev", "mrpc.csv", *words])
    out = capsys.readouterr().out
    figures = json.loads(Path("out/run.json").read_text())["scores"]["dev"]
    line = f"dev: Matthews {figures['matthews']:.4f}, F1 of 1 {figures['f1']:.4f}, of always saying the commonest 0.5"
    assert line in out and "each row of train is read as a pair" in out
    train.main(["--train", "sst.csv", "--dev", "sst.csv", *words])
    assert "Matthews" not in capsys.readouterr().out


def test_one_class_is_left_out_of_the_micro_f1(here, capsys):
    rows = [(a, "effect" if score > 3 else "none at all" if score < 2 else "advice") for a, _, score, _ in PAIRS]
    write("ddi.csv", ("sentence", "label"), rows)
    words = ("--train", "ddi.csv", "--dev", "ddi.csv", *FAST, "--null_label", "none at all", "--out", "out")
    train.main([*words, "--no_baseline"])
    out = capsys.readouterr().out
    scores = table("out/dev_predictions.csv")
    right = sum(row["gold"] == row["predicted"] != "none at all" for row in scores)
    named = sum(row[side] != "none at all" for row in scores for side in ("gold", "predicted"))
    assert f"micro F1 without --null_label {2 * right / named:.4f}" in out
    assert len(re.findall(r"epoch \d .*micro F1", out)) == 3


def test_many_numbers_are_no_classes(here):
    write("scores.csv", ("text", "label"), [(f"text {at}", str(at)) for at in range(300)])
    with pytest.raises(UserError, match=r"300 different numbers, such as '0', .*: --label_kind number learns numbers"):
        train.main(["--train", "scores.csv", *FAST, "--out", "out"])
