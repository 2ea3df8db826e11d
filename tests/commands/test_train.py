"""The command line from end to end: a tiny random BERT, small files, every file and message that a run leaves."""

import csv
import hashlib
import json
import logging
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import load_file, save_file

import minbert
from minbert import BertSentClassifier, BertTokenizer, training
from minbert.__main__ import main
from minbert.commands.train import SHIPPED
from minbert.runs import classifier, loop
from tests.conftest import ROOT, VOCAB

TRAIN = [
    ("positive", "the film was good"),
    ("negative", "the film was bad"),
    ("positive", "a good plot!"),
    ("negative", "a bad plot!"),
    ("positive", "good, good."),
    ("negative", "bad, bad."),
    ("positive", "the plot was good!"),
    ("negative", "the plot was bad!"),
]
DEV = [
    ("negative", 'bad, "bad",\nand bad again'),
    ("positive", 'the "good" film'),
    ("positive", "good, wonderful ||| a plot"),
    ("negative", "a bad film; it's un##affable"),
    ("negative", "the film was so bad"),
]
NEVER_SEEN = ["wonderful!", 'a "plot",\n  a film', "wonderful!"]
LEARN = ("--lr", "0.03", "--epochs", "25", "--hidden_dropout_prob", "0")  # enough to know TRAIN by heart


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def write(name, rows, header=("label", "text")):
    with open(name, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return name


@pytest.fixture
def place(tiny_folder, tmp_path, monkeypatch):
    """A working directory with the model tiny/, train.csv, dev.csv, and test.csv, which has no labels."""
    monkeypatch.chdir(tmp_path)
    write("train.csv", TRAIN)
    write("dev.csv", DEV)
    write("test.csv", [[text] for text in NEVER_SEEN], header=["text"])


@pytest.fixture
def run(place, monkeypatch, capsys):
    """run("--epochs", "2") -> Ran: what the program answers to this command line."""
    level = logging.getLogger("minbert").level

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["train_classifier.py", "--device", "cpu", *arguments])
        status = main(["train", "--device", "cpu", *arguments])
        return Ran(status, *capsys.readouterr())

    yield run
    logging.getLogger("minbert").setLevel(level)  # which the program has raised


@pytest.fixture
def train(run):
    """The same for a run on train.csv that ends well; what it writes goes to out/."""

    def train(*arguments):
        ran = run("--model", "tiny", "--train", "train.csv", "--out", "out", "--epochs", "2", *arguments)
        assert ran.status == 0, ran.err
        return ran

    return train


@pytest.fixture
def refused(run):
    """The same for a run that must be refused; returns what it says on stderr.

    Exit status 2, one message, and every file is as it was: nothing new, nothing lost, nothing half-written.
    """

    def everything():
        return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}

    def refused(*arguments):
        before = everything()
        status, _, err = run("--model", "tiny", "--train", "train.csv", "--out", "out", "--epochs", "1", *arguments)
        assert status == 2
        assert err.startswith("error: ")
        assert err.count("error: ") == 1
        assert everything() == before
        return err

    return refused


def predictions(part, folder="out"):
    """The rows of dev_predictions.csv or test_predictions.csv as dicts."""
    with open(f"{folder}/{part}_predictions.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def reviews(part):
    """The rows of a file in data/reviews/ as dicts."""
    with open(ROOT / "data" / "reviews" / f"{part}.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def probabilities(part, folder="out"):
    """[N, C]"""
    rows = predictions(part, folder)
    return torch.tensor([[float(value) for name, value in row.items() if name[:2] == "p_"] for row in rows])


def record(folder="out"):
    return json.loads(Path(folder, "run.json").read_text(encoding="utf-8"))


def config(folder="out"):
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))


def tensors(folder="out"):
    """The tensors of a folder; a classifier that reads no pooler has another name there."""
    stored = load_file(f"{folder}/model.safetensors")
    return {name.replace("sentence_classifier", "classifier"): tensor for name, tensor in stored.items()}


def moved(before, after):
    """The names of the tensors that two models do not share bit for bit."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


# What a run leaves


def test_one_folder_holds_all_that_a_run_leaves(train):
    train("--dev", "dev.csv", "--test", "test.csv")
    model = {"model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json", "labels.txt"}
    results = {"run.json", "dev_predictions.csv", "dev_out.txt", "test_predictions.csv", "test_out.txt"}
    assert {file.name for file in Path("out").iterdir()} == model | results
    assert Path("out/labels.txt").read_text() == "negative\npositive\n"
    assert Path("out/vocab.txt").read_bytes() == Path("tiny/vocab.txt").read_bytes()


def test_run_json_says_what_was_asked_on_what_with_what_and_what_came_out(train):
    train("--dev", "dev.csv", "--test", "test.csv", "--epochs", "3", "--lr", "0.01", "--seed", "7")
    run = record()
    assert run["arguments"].items() >= {"train": "train.csv", "epochs": 3, "lr": 0.01, "seed": 7}.items()
    assert run["versions"].items() >= {"minbert": minbert.__version__, "torch": torch.__version__}.items()
    for part, rows in (("train", 8), ("dev", 5), ("test", 3)):
        sha256 = hashlib.sha256(Path(f"{part}.csv").read_bytes()).hexdigest()
        assert run["data"][part] == {"path": f"{part}.csv", "sha256": sha256, "rows": rows, "bad_rows": 0}
    assert [figures["epoch"] for figures in run["epochs"]] == [1, 2, 3]
    for figures in run["epochs"]:
        assert figures.keys() >= {"loss", "accuracy", "macro_f1", "best", "train_seconds", "evaluate_seconds"}
    assert run["seconds"].keys() >= {"tokenise", "train", "evaluate"}
    assert run["seconds"]["train"] == pytest.approx(sum(figures["train_seconds"] for figures in run["epochs"]))
    assert run["scores"].keys() == {"dev"}  # test.csv has no labels
    assert run["scores"]["dev"]["accuracy"] == max(figures["accuracy"] for figures in run["epochs"])
    assert run["labels"] == {"negative": "negative", "positive": "positive"}


def test_predictions_are_a_table_of_texts_labels_and_probabilities(train):
    train("--dev", "dev.csv", "--test", "test.csv", *LEARN)
    assert [(row["gold"], row["text"]) for row in predictions("dev")] == DEV
    assert [(row["gold"], row["text"]) for row in predictions("test")] == [("", text) for text in NEVER_SEEN]
    for part in ("dev", "test"):
        p = probabilities(part)
        assert p.shape == (len(predictions(part)), 2)
        assert (p.sum(1) - 1).abs().max() < 1e-5
        best = [("negative", "positive")[id] for id in p.argmax(1)]
        assert [row["predicted"] for row in predictions(part)] == best
    assert {row["predicted"] for row in predictions("dev")} == {"negative", "positive"}


def test_the_course_form_has_a_line_for_each_example(train):
    rows = [*TRAIN, ("negative", "bad,\n bad.")]
    write("dev.csv", rows)
    train("--dev", "dev.csv", "--test", "dev.csv", *LEARN)
    for part in ("dev", "test"):
        ids = [("negative", "positive").index(row["predicted"]) for row in predictions(part)]
        assert ids != ids[::-1]  # or else a wrong order would pass
        lines = Path(f"out/{part}_out.txt").read_text().splitlines()
        assert lines == [f"{id} ||| {' '.join(text.split())}" for id, (_, text) in zip(ids, rows)]


def test_the_course_form_goes_where_it_is_asked_for(train):
    train("--dev", "dev.csv", "--test", "test.csv", "--dev_out", "mine/dev.txt", "--test_out", "mine/test.txt")
    assert len(Path("mine/dev.txt").read_text().splitlines()) == len(DEV)
    assert len(Path("mine/test.txt").read_text().splitlines()) == len(NEVER_SEEN)
    assert not list(Path("out").glob("*_out.txt"))


def test_each_row_holds_what_the_saved_model_says_of_its_text(train):
    train("--test", "dev.csv", *LEARN, "--epochs", "6", "--pooling", "mean", "--batch_size", "2")
    model, tokenizer = BertSentClassifier.from_pretrained("out"), BertTokenizer.from_pretrained("out")
    alone = [model.predict_proba(**tokenizer([text], return_tensors="pt")) for _, text in DEV]
    assert (probabilities("test") - torch.cat(alone)).abs().max() < 1e-5
    assert probabilities("test")[:, 1].std() > 0.1  # or else a wrong order would pass


def test_equal_texts_get_equal_probabilities(train):
    train("--test", "test.csv", "--hidden_dropout_prob", "0.5", "--lr", "0.03", "--epochs", "20")
    first, _, third = probabilities("test")
    assert NEVER_SEEN[0] == NEVER_SEEN[2]
    assert (first - third).abs().max() < 1e-6  # no dropout, whatever stands beside them in the batch


def test_the_report_on_paper(train):
    out = train("--dev", "dev.csv", "--test", "test.csv", *LEARN, "--epochs", "10").out
    assert "train.csv: 8 rows (negative 4, positive 4); table" in out
    assert "dev.csv: 5 rows (negative 3, positive 2); table" in out
    assert "test.csv: 3 rows (no labels); table" in out
    numbers = sum(tensor.numel() for tensor in tensors().values())
    assert f"{numbers:,} in all, 32 in the head, {numbers:,} that learn" in out
    epochs = re.findall(r"epoch +(\d+) .*loss (\d\.\d{4}) +dev accuracy (\d\.\d{4}) +macro F1 (\d\.\d{4})", out)
    assert [(int(epoch), *map(float, figures)) for epoch, *figures in epochs] == [
        (figures["epoch"], *(round(figures[name], 4) for name in ("loss", "accuracy", "macro_f1")))
        for figures in record()["epochs"]
    ]
    assert "test: accuracy" not in out
    for row, count in (("negative", 3), ("positive", 2)):
        assert re.search(rf"^ *{row} +{count}( +\d\.\d{{4}}){{3}} +\d +\d$", out, re.MULTILINE), row
    assert re.search(r"^time: .*tokenise \d.* train \d.* evaluate \d", out, re.MULTILINE)


def test_the_printed_scores_are_those_of_the_predictions(train):
    out = train("--dev", "dev.csv", *LEARN).out
    pairs = [(row["gold"], row["predicted"]) for row in predictions("dev")]
    right = sum(gold == predicted for gold, predicted in pairs)
    assert right > 0
    assert f"dev: accuracy {right / len(pairs):.4f} (" in out
    assert "true, dev  rows  precision  recall      F1  as negative  as positive\n" in out
    for label in ("negative", "positive"):
        row = [pairs.count((label, other)) for other in ("negative", "positive")]
        assert re.search(rf"^  {label} +{sum(row)} .* {row[0]} +{row[1]}$", out, re.MULTILINE)


def test_a_clean_run_says_nothing_on_stderr(train):
    assert train("--dev", "dev.csv", "--test", "test.csv").err == ""


def test_without_data_the_reviews_of_the_project_are_used(run):
    ran = run("--model", "tiny", "--limit", "12", "--epochs", "1")
    assert ran.status == 0, ran.err
    folder = "runs/flexible-1-0.0001"
    assert Path(folder, "labels.txt").read_text() == "negative\npositive\n"
    assert {part: data["rows"] for part, data in record(folder)["data"].items()} == {"train": 12, "dev": 12, "test": 12}


def test_the_first_run_is_short_and_any_flag_of_ones_own_counts(run):
    out = run("--limit", "12").out
    assert "training: 1 epoch of 1 batch of" in out and "learning rate 0.0002;" in out
    assert record("runs/flexible-1-0.0002")["settings"].items() >= {"epochs": 1, "lr": 2e-4}.items()
    for flags, epochs, lr in (
        (("--epochs", "2"), 2, 1e-4),
        (("--lr", "0.003"), 1, 0.003),
        (("--option", "pretrain"), 3, 1e-3),
        (("--train", str(SHIPPED / "reviews" / "train.csv")), 3, 1e-4),
    ):
        run("--limit", "12", *flags, "--out", "other")
        assert record("other")["settings"].items() >= {"epochs": epochs, "lr": lr}.items()


def test_help_has_every_default_filled_in(run):
    ran = run("--help")
    assert ran.status == 0 and "--filepath" in (out := ran.out)
    assert "None" not in out


# What the scores are worth


def test_below_each_score_stand_those_of_simple_systems_with_intervals(train):
    write("test.csv", DEV[:3])
    out = train("--dev", "dev.csv", "--test", "test.csv").out
    scores, rivals = record()["scores"], record()["baselines"]
    assert rivals["commonest"]["class"] == "negative"
    for part in ("dev", "test"):
        rows = [scores[part], *(rivals[name]["scores"][part] for name in ("commonest", "words"))]
        lines = out[out.index(f"\n{part}: accuracy") :].splitlines()[1:4]
        for line, figures in zip(lines, rows):
            low, high = figures["accuracy_interval"]
            assert f"accuracy {figures['accuracy']:.4f} ({low:.3f}-{high:.3f}), " in line
            low, high = figures["macro_f1_interval"]
            assert f"macro F1 {figures['macro_f1']:.4f} ({low:.3f}-{high:.3f})" in line
        assert lines[1].endswith(": always negative, the commonest")
        assert lines[2].endswith(f": TF-IDF, logistic regression, C {rivals['words']['C']}")
    difference = rivals["difference"]
    better = max(rivals[name]["scores"]["test"]["accuracy"] for name in ("commonest", "words"))
    assert difference["part"] == "test"
    assert difference["difference"] == pytest.approx(scores["test"]["accuracy"] - better)
    assert f"accuracy {100 * difference['difference']:+.1f} points" in out
    assert "compare" in record()["seconds"]


def test_a_model_that_knows_more_than_words_is_called_clearly_better(train):
    """Which of two words comes first is the class: half of the pairs of words that say so are in train, half in dev."""
    first, second = ("good", "bad"), ("film", "plot")
    pairs = [(one, two) for one in first for two in second]
    rows = [("positive", f"{one} {two}") for one, two in pairs] + [("negative", f"{two} {one}") for one, two in pairs]
    write("train.csv", [(label, f"{text} {end}") for label, text in rows for end in ("the", "a", "!")])
    write("dev.csv", [(label, text.replace(" ", " so ")) for label, text in rows * 6])
    out = train("--dev", "dev.csv", *LEARN, "--epochs", "60").out
    assert record()["scores"]["dev"]["accuracy"] > 0.9
    assert "on dev the model is clearly better than " in out
    low, high = record()["baselines"]["difference"]["interval"]
    assert 0 < low < high


def test_no_baseline_is_trained_where_it_is_not_wanted_or_cannot_be(train, run, monkeypatch):
    out = train("--dev", "dev.csv", "--no_baseline").out
    assert "always" not in out and "TF-IDF" not in out and "baselines" not in record()
    assert re.search(r"^dev: accuracy \d\.\d{4} \(\d", out, re.MULTILINE)
    monkeypatch.setitem(sys.modules, "minbert.runs.baseline", None)  # it is not even imported
    train("--dev", "dev.csv", "--no_baseline")
    train("--test", "test.csv")  # without labels there is no score
    ran = run("--eval_only", "--model", "out", "--test", "dev.csv", "--out", "scored")
    assert ran.status == 0 and "baselines" not in record("scored")


def test_texts_too_large_for_a_comparison_are_named(train, monkeypatch):
    monkeypatch.setattr("minbert.runs.baseline.LARGEST", 100)
    out = train("--dev", "dev.csv").out
    assert re.search(r"^no score of TF-IDF, logistic regression: .* the texts have \d+ characters", out, re.MULTILINE)
    assert "always negative" in out
    assert record()["baselines"]["words"]["scores"] == {}


SLICED = [(label, text, topic) for (label, text), topic in zip(DEV, ("film", "film", "plot", "film", ""))]


def test_slices_split_the_scores_by_a_column(train):
    write("dev.csv", SLICED, header=("label", "text", "topic"))
    out = train("--dev", "dev.csv", "--test", "test.csv", "--slices", "topic", *LEARN).out
    right = [row["gold"] == row["predicted"] for row in predictions("dev")]
    found = record()["slices"]["topic"]
    assert {value: parts["dev"]["rows"] for value, parts in found.items()} == {"film": 3, "(empty)": 1, "plot": 1}
    assert next(iter(found)) == "film"
    film = sum(hit for hit, (_, _, topic) in zip(right, SLICED) if topic == "film")
    assert found["film"]["dev"]["accuracy"] == pytest.approx(film / 3)
    assert re.search(rf"^  topic film +3  {film / 3:.3f} \(", out, re.MULTILINE)


def test_the_reviews_with_columns_are_split_by_themselves(train):
    reviews = ROOT / "data" / "reviews"
    files = [word for part in ("train", "dev", "test") for word in (f"--{part}", str(reviews / f"{part}.csv"))]
    out = train(*files, "--limit", "30", "--epochs", "1").out
    assert record()["slices"].keys() == {"kind", "topic"}
    assert record()["slices"]["kind"]["plain"].keys() == {"dev", "test"}
    assert re.search(r"^  accuracy by +dev +.* +test +", out, re.MULTILINE)
    Path("dev.csv").write_bytes((reviews / "dev.csv").read_bytes())  # elsewhere, they are columns like others
    train("--train", str(reviews / "train.csv"), "--dev", "dev.csv", "--limit", "30", "--epochs", "1")
    assert "slices" not in record()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--dev", "dev.csv"],
            "dev.csv: no column topics; the columns are 'label', 'text', 'topic'. Did you mean topic?",
        ),
        (["--test", "test.csv"], "--slices splits scores, and neither --dev nor --test has labels"),
        ([], "--slices splits scores: name a file to score with --dev or --test"),
        (["--test", "dev.txt"], "dev.txt: --slices is for a table, JSON or Parquet, and this is pipes"),
    ],
)
def test_slices_that_cannot_be_made_are_refused_before_the_training(refused, arguments, said):
    write("dev.csv", SLICED, header=("label", "text", "topic"))
    Path("dev.txt").write_text("negative ||| bad\npositive ||| good\n")
    assert said in refused(*arguments, "--slices", "topics")


def test_the_surest_mistakes_are_shown_with_their_texts(train):
    write("test.csv", [("negative", "good,\n\x1b good"), *TRAIN])
    out = train("--test", "test.csv", *LEARN, "--epochs", "60").out
    p = float(predictions("test")[0]["p_positive"])
    header = "surest mistakes on test: true label, predicted label and its probability, text\n"
    assert f"{header}  negative  positive  {p:.3f}  good,\\n\\x1b good\n" in out


def test_the_run_ends_with_what_to_look_at_and_what_to_type(train, run, capsys):
    pytest.importorskip("matplotlib")
    write("test.csv", DEV)
    out = train("--dev", "dev.csv", "--test", "test.csv", "--plot").out
    files = ["out/test_predictions.csv", "out/test_confusion.svg", "out/learning_curve.svg"]
    assert f"\nlook at: {', '.join(files)}\n" in out
    assert all(Path(file).exists() for file in files)
    assert "\nlook at: plain/test_predictions.csv\n" in train("--test", "test.csv", "--out", "plain").out
    *_, line = out.splitlines()
    purpose, _, command = line.partition(": ")
    assert purpose == "try a sentence"
    program, script, *words = shlex.split(command)
    assert (program, script) == ("python", "predict.py")
    assert main(["predict", *words]) == 0
    assert re.match(r"(negative|positive)\t(negative|positive) 0\.\d{4}  ", capsys.readouterr().out)


def test_the_report_of_the_reviews_fits_a_screen(train):
    reviews = ROOT / "data" / "reviews"
    files = [word for part in ("train", "dev", "test") for word in (f"--{part}", str(reviews / f"{part}.csv"))]
    out = train(*files, "--limit", "150", "--epochs", "3", "--plot").out
    assert len(record()["slices"]["topic"]) == 11
    assert len(out.splitlines()) < 60


def test_slices_and_the_comparison_may_be_asked_for_when_a_run_is_resumed(run, monkeypatch):
    write("dev.csv", SLICED, header=("label", "text", "topic"))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "update", lambda *given: signal.raise_signal(signal.SIGTERM))
        began = run("--model", "tiny", "--train", "train.csv", "--dev", "dev.csv", "--out", "out", "--epochs", "1")
        assert began.status == 143
    assert main(["train", "--resume", "out", "--slices", "topic", "--no_baseline"]) == 0
    assert "slices" in record() and "baselines" not in record()


# Learning


@pytest.mark.parametrize(
    ("arguments", "near_zero"),
    [
        (LEARN, 0.01),
        (("--option", "pretrain", "--pooling", "mean", "--hidden_dropout_prob", "0", "--lr", "0.3"), 0.05),
    ],
    ids=["flexible", "pretrain"],
)
def test_it_learns_eight_sentences_by_heart(train, arguments, near_zero):
    write("same.csv", TRAIN)
    train("--test", "same.csv", "--epochs", "150", *arguments)
    assert record()["epochs"][0]["loss"] == pytest.approx(0.693, abs=0.02)  # ln 2: it knows nothing yet
    assert record()["epochs"][-1]["loss"] < near_zero
    assert [row["predicted"] for row in predictions("test")] == [label for label, _ in TRAIN]


def test_the_best_epoch_on_dev_is_kept_not_the_last(train):
    opposite = {"negative": "positive", "positive": "negative"}
    write("dev.csv", [(opposite[label], text) for label, text in TRAIN])  # what is learnt makes dev worse
    out = train("--dev", "dev.csv", *LEARN).out
    accuracies = [figures["accuracy"] for figures in record()["epochs"]]
    assert accuracies[-1] == 0 < max(accuracies)
    assert record()["scores"]["dev"]["accuracy"] == max(accuracies)
    assert f"dev: accuracy {max(accuracies):.4f} (" in out
    kept = [figures["epoch"] for figures in record()["epochs"] if figures["best"]]
    assert accuracies[kept[-1] - 1] == max(accuracies)


@pytest.mark.fault("numbers: a frozen encoder that moves, or a stale copy of its vectors")
def test_pretrain_moves_the_classifier_and_leaves_every_bit_of_the_encoder(train):
    out = train("--option", "pretrain", "--batch_size", "3").out
    assert moved(tensors("tiny"), tensors()) == {"classifier.weight", "classifier.bias"}
    assert "32 that learn" in out


def test_flexible_moves_the_encoder_and_the_classifier(train):
    train("--option", "flexible")
    some = {"classifier.weight", "bert.pooler.dense.weight", "bert.embeddings.word_embeddings.weight"}
    assert some <= moved(tensors("tiny"), tensors())


@pytest.mark.parametrize(
    ("word", "option", "rate"),
    [
        ("pretrain", "pretrain", 1e-3),
        ("freeze", "pretrain", 1e-3),
        ("last-linear-layer", "pretrain", 1e-3),
        ("flexible", "flexible", 1e-4),
        ("finetune", "flexible", 1e-4),
        ("full-model", "flexible", 1e-4),
    ],
)
def test_the_names_of_the_options_and_their_learning_rates(train, word, option, rate):
    out = train("--option", word).out
    assert f"option {option}:" in out
    assert f"learning rate {rate}, the default for {option}" in out
    assert config()["option"] == option
    assert record()["settings"]["lr"] == rate


def test_a_learning_rate_of_ones_own(train):
    out = train("--lr", "0.002").out
    assert "learning rate 0.002;" in out
    assert record()["settings"]["lr"] == 0.002


@pytest.mark.fault("numbers: one seed, two results")
def test_the_same_seed_gives_the_same_bytes(train):
    for folder in ("first", "second"):
        train("--dev", "dev.csv", "--batch_size", "3", "--out", folder)
    assert Path("first/model.safetensors").read_bytes() == Path("second/model.safetensors").read_bytes()
    assert Path("first/dev_predictions.csv").read_bytes() == Path("second/dev_predictions.csv").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--hidden_dropout_prob", "0", "--batch_size", "2"),
        ("--hidden_dropout_prob", "0.5", "--limit", "1", "--labels", "negative", "positive"),
        ("--hidden_dropout_prob", "0", "--limit", "1", "--labels", "negative", "positive", "neutral"),
    ],
    ids=["order", "dropout", "new classifier"],
)
def test_another_seed_gives_another_model(train, arguments):
    for seed in ("1", "2"):
        train(*arguments, "--lr", "0.01", "--seed", seed, "--out", seed)
    assert "classifier.weight" in moved(tensors("1"), tensors("2"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--schedule", "constant"),
        ("--weight_decay", "0.5"),
        ("--warmup", "0"),
        ("--batch_size", "5"),
        ("--hidden_dropout_prob", "0"),
        ("--max_length", "5"),
        ("--pooling", "cls"),
    ],
    ids=" ".join,
)
def test_each_setting_makes_a_difference(train, arguments):
    train("--epochs", "3", "--out", "plain")
    train("--epochs", "3", *arguments)
    assert "classifier.weight" in moved(tensors("plain"), tensors())


def test_balanced_classes_weigh_the_same_however_rare(train):
    write("train.csv", [("positive", "the film")] * 3 + [("negative", "the film")])
    write("test.csv", [["the film"]], header=["text"])
    for folder, arguments in (("plain", ()), ("balanced", ("--class_weights", "balanced"))):
        train(*LEARN, "--test", "test.csv", "--out", folder, *arguments)
    assert probabilities("test", "plain")[0, 1] == pytest.approx(0.75, abs=0.01)
    assert probabilities("test", "balanced")[0, 1] == pytest.approx(0.5, abs=0.01)


# The written-out way


@pytest.fixture
def twins(monkeypatch):
    """The classes of a classifier's modules whenever it predicts: those of minbert.fast, True, or the plain ones."""
    seen, read = [], training.read

    def watched(model, *given):
        seen.append({type(module).__module__.startswith("minbert.fast") for module in model.bert.encoder.modules()})
        return read(model, *given)

    monkeypatch.setattr(training, "read", watched)
    return lambda: [True in each for each in seen] if seen else None


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_plain_computes_the_same_but_for_rounding_by_other_classes(train, twins, monkeypatch, option):
    arguments = ("--dev", "dev.csv", "--test", "test.csv", *LEARN, "--epochs", "6", "--option", option)
    train(*arguments, "--out", "fast")
    assert all(twins())

    def unwanted(*given, **more):
        raise AssertionError("a faster way")

    for place, name in ((classifier, "fused_adamw"), (classifier, "UsedRows"), (classifier, "fast_clip")):
        monkeypatch.setattr(place, name, unwanted)
    faster = len(twins())
    train(*arguments, "--out", "plain", "--plain")
    assert not any(twins()[faster:])
    assert record("plain")["arguments"]["plain"] is True and record("fast")["arguments"]["plain"] is False
    for part in ("dev", "test"):
        assert (probabilities(part, "plain") - probabilities(part, "fast")).abs().max() < 1e-3
    losses = [[figures["loss"] for figures in record(folder)["epochs"]] for folder in ("plain", "fast")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_plain_is_kept_when_a_run_is_resumed(train, run, monkeypatch):
    train("--plain", "--out", "whole", "--epochs", "3")
    steps, update = [], loop.update

    def step(*given):
        steps.append(None)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGTERM)
        return update(*given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "update", step)
        assert run("--model", "tiny", "--train", "train.csv", "--out", "out", "--epochs", "3", "--plain").status == 143
    monkeypatch.setattr(classifier, "fused_adamw", None)
    assert main(["train", "--resume", "out"]) == 0
    assert record()["arguments"]["plain"] is True
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_plain_predicts_too(train, run, twins):
    train()
    ran = run("--eval_only", "--model", "out", "--dev", "dev.csv", "--out", "again", "--plain")
    assert ran.status == 0 and twins() == [False]


# What a run has learnt, used again


def test_eval_only_repeats_the_predictions_of_the_training_run(train, run):
    train("--dev", "dev.csv", "--test", "test.csv", *LEARN)
    ran = run("--eval_only", "--model", "out", "--dev", "dev.csv", "--test", "test.csv", "--out", "again")
    assert (ran.status, ran.err) == (0, "")
    for part in ("dev", "test"):
        assert (probabilities(part, "again") - probabilities(part)).abs().max() < 1e-6
    assert record("again")["scores"]["dev"]["accuracy"] == record()["scores"]["dev"]["accuracy"]
    assert "training:" not in ran.out
    assert not Path("again/model.safetensors").exists()


@pytest.mark.fault("tables: labels unknown, missing, all the same or in another order")
@pytest.mark.parametrize("declared", [("0=negative", "1=positive"), ("1=positive", "0=negative")])
def test_eval_only_reads_labels_as_the_training_files_wrote_them(train, run, declared):
    write("train.csv", [("01"[label == "positive"], text) for label, text in TRAIN])
    train(*LEARN, "--labels", *declared)
    ran = run("--eval_only", "--model", "out", "--dev", "train.csv", "--out", "again")
    assert ran.status == 0, ran.err
    assert [row["gold"] for row in predictions("dev", "again")] == [label for label, _ in TRAIN]
    assert record("again")["scores"]["dev"]["accuracy"] == 1


def test_eval_only_scores_plain_texts_one_a_line(train, run):
    train()
    Path("new.txt").write_text("the film was good\n\na bad plot\n")
    ran = run("--eval_only", "--model", "out", "--test", "new.txt", "--out", "again")
    assert ran.status == 0, ran.err
    assert [row["text"] for row in predictions("test", "again")] == ["the film was good", "a bad plot"]
    assert "everything learns" not in ran.out


def test_training_goes_on_in_a_task_with_other_labels(train):
    train(*LEARN, "--out", "first")
    write("train.csv", [("a", "good"), ("b", "bad"), ("c", "the plot")])
    out = train("--model", "first", "--option", "pretrain").out
    assert "new, with random weights: classifier" in out
    assert "left out: classifier of 2 classes" in out
    assert tensors()["classifier.weight"].shape == (3, 15)
    assert moved(tensors("first"), tensors()) == {"classifier.weight", "classifier.bias"}


def test_training_goes_on_in_the_same_task_with_the_same_classifier(train):
    train(*LEARN, "--out", "first")
    out = train("--model", "first").out
    assert "new, with random weights" not in out
    assert record()["epochs"][0]["loss"] < 0.05


def test_eval_only_warns_of_a_classifier_that_is_not_there(run):
    encoder = {name: tensor for name, tensor in tensors("tiny").items() if not name.startswith("classifier.")}
    save_file(encoder, "tiny/model.safetensors")
    ran = run("--eval_only", "--model", "tiny", "--dev", "dev.csv", "--out", "out")
    assert ran.status == 0
    assert "warning: tiny has no classifier for these labels" in ran.err


def test_a_classifier_of_another_kind_is_not_scored_but_a_new_one_takes_its_place(run, train):
    path = Path("tiny", "config.json")
    path.write_text(json.dumps(config("tiny") | {"architectures": ["BertForTokenClassification"]}), encoding="utf-8")
    ran = run("--eval_only", "--model", "tiny", "--dev", "dev.csv", "--out", "out")
    said = "dev.csv: is not CoNLL, with a tag for each word: --label_kind tags needs that form"
    assert ran.status == 2 and said in ran.err
    ran = run("--eval_only", "--model", "tiny", "--dev", "dev.csv", "--out", "out", "--label_kind", "class")
    said = "tiny: its classifier labels each token, not the text (BertForTokenClassification): it cannot be scored"
    assert ran.status == 2 and said in ran.err
    assert "new, with random weights: classifier; left out: classifier of 2 classes, which labels each" in train().out


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
def test_a_run_says_who_can_compute_what_it_has_saved(train, pooling):
    said = f"note: transformers cannot compute this classifier, as it reads {pooling} pooling;"
    assert (said in train("--pooling", pooling).out) == Path("out", "modules.json").exists() == (pooling != "pooler")


def test_the_pooling_is_kept_with_the_model(train):
    train("--pooling", "mean", "--out", "first")
    assert config("first")["pooling"] == "mean"
    assert "the head reads: mean" in train("--model", "first").out
    assert config()["pooling"] == "mean"


def test_filepath_writes_a_file_that_torch_load_reads(train):
    train("--filepath", "mine/model.pt")
    saved = torch.load("mine/model.pt")
    assert saved.keys() == {"model", "model_config"}
    model = BertSentClassifier(saved["model_config"])
    model.load_state_dict(saved["model"])
    same = BertSentClassifier.from_pretrained("out")
    assert moved(same.state_dict(), model.state_dict()) == set()


# Labels and rows


def test_labels_are_collected_from_the_training_file(train):
    write("train.csv", [("b", "good"), ("c", "bad"), ("a", "the plot")])
    assert "labels: 0 = a, 1 = b, 2 = c\n" in train().out
    assert config()["id2label"] == {"0": "a", "1": "b", "2": "c"}
    assert Path("out/labels.txt").read_text() == "a\nb\nc\n"


@pytest.mark.fault("tables: labels unknown, missing, all the same or in another order")
def test_declared_labels_have_values_and_names(train):
    write("train.csv", [("1", "good"), ("0", "bad"), ("2", "the plot")])
    write("dev.csv", [("1", "good plot"), ("0", "bad plot")])
    out = train("--labels", "2=mixed", "0=bad", "1=good", "--dev", "dev.csv").out
    assert "labels: 0 = mixed, 1 = bad, 2 = good\n" in out
    assert "(mixed 1, bad 1, good 1)" in out
    assert config()["id2label"] == {"0": "mixed", "1": "bad", "2": "good"}
    assert Path("out/labels.txt").read_text() == "2=mixed\n0=bad\n1=good\n"
    assert list(predictions("dev")[0]) == ["text", "gold", "predicted", "p_mixed", "p_bad", "p_good"]
    assert [row["gold"] for row in predictions("dev")] == ["good", "bad"]


@pytest.mark.fault("tables: labels unknown, missing, all the same or in another order")
@pytest.mark.parametrize("part", ["dev", "test"])
def test_a_label_that_nobody_taught_stops_the_run_before_it_begins(refused, part):
    write("other.csv", [("positive", "good"), ("neutral", "a film"), ("negative", "bad")])
    err = refused(f"--{part}", "other.csv")
    assert "other.csv:3: label 'neutral' is not one of: negative, positive" in err
    assert "--skip_bad_rows" in err


def test_skip_bad_rows_lists_them_and_goes_on(train):
    write("dev.csv", [*DEV, ("neutral", "a film"), ("positive", ""), ("", "the plot")])
    ran = train("--dev", "dev.csv", "--skip_bad_rows")
    assert "3 bad of 8 rows" in ran.err
    assert "dev.csv:8: label 'neutral'" in ran.err  # the text of the first row takes two lines
    assert "dev.csv:9: empty text" in ran.err
    assert "dev.csv:10: empty label" in ran.err
    assert "5 rows (negative 3, positive 2)" in ran.out
    assert "3 bad rows left out" in ran.out
    assert record()["data"]["dev"].items() >= {"rows": 5, "bad_rows": 3}.items()
    assert [(row["gold"], row["text"]) for row in predictions("dev")] == DEV


def test_limit_takes_the_first_rows_of_each_file(train):
    train("--limit", "3", "--dev", "dev.csv", "--test", "test.csv")
    assert {part: data["rows"] for part, data in record()["data"].items()} == {"train": 3, "dev": 3, "test": 3}
    assert [row["text"] for row in predictions("dev")] == [text for _, text in DEV[:3]]


def test_a_hyphen_in_a_flag_is_an_underscore(train):
    assert "2 epochs of 3 batches of up to 3;" in train("--batch-size", "3").out
    assert record()["arguments"]["batch_size"] == 3


# Warnings


def test_long_texts_are_cut_and_counted(train):
    err = train("--max_length", "6", "--dev", "dev.csv").err
    assert "warning: train: 2 of 8 texts were longer than 6 tokens and were cut" in err  # of 5 words, [CLS] and [SEP]
    assert "warning: dev: " in err


@pytest.mark.fault("texts: longer than the model reads")
def test_texts_longer_than_the_model_can_read_are_cut_without_a_flag(train):
    write("train.csv", [*TRAIN, ("positive", "good " * 60)])
    assert "warning: train: 1 of 9 texts were longer than 40 tokens and were cut" in train().err


def test_a_warm_up_longer_than_the_run(train):
    assert "warning: a warm-up of 100 steps in a run of 2" in train("--warmup", "100").err


def test_a_file_of_one_class_only(train):
    write("train.csv", [("positive", "good"), ("positive", "the film")])
    assert "warning: every row of train.csv is labelled positive" in train().err


def test_a_declared_label_that_never_occurs(train):
    err = train("--labels", "negative", "neutral", "positive").err
    assert "warning: no row of train.csv is labelled neutral" in err


def test_test_labels_that_are_placeholders(train):
    write("test.csv", [("negative", "a"), ("negative", "b")])
    assert "warning: every row of test.csv is labelled negative: placeholders?" in train("--test", "test.csv").err


def test_dev_texts_that_were_trained_on(train):
    write("dev.csv", [*DEV, ("positive", "The  film was GOOD")])
    assert "warning: 1 of 6 texts of dev.csv are in the training file too" in train("--dev", "dev.csv").err


def test_a_cased_model_on_texts_without_capitals(train):
    BertTokenizer(VOCAB, lower_case=False).save_pretrained("tiny")
    assert "warning: tiny is cased" in train().err
    write("train.csv", [*TRAIN, ("positive", "Good")])
    assert train().err == ""


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--train", "trian.csv"], "there is no file trian.csv; did you mean train.csv?"),
        (["--dev", "nowhere/dev.csv"], "there is no file nowhere/dev.csv, nor a folder nowhere"),
        (["--train", "tiny"], "tiny is a folder"),
        (["--batchsize", "8"], "--batchsize 8; did you mean --batch_size?"),
        (["--epoch=3"], "--epoch=3; did you mean --epochs?"),
        (["--epochs", "0"], "--epochs: 0 is not 1 or more"),
        (["--lr", "-1"], "--lr: -1 is not above 0"),
        (["--lr", "nan"], "--lr: nan is not above 0"),
        (["--batch_size", "x"], "--batch_size: invalid whole number value: 'x'"),
        (["--batch-size", "1.5"], "--batch_size: invalid whole number value: '1.5'"),
        (["--hidden_dropout_prob", "1"], "--hidden_dropout_prob: 1 is not a share"),
        (["--option", "nonsense"], "nonsense is neither pretrain nor flexible"),
        (["--pooling", "max"], "'max' (choose from"),
        (["--labels", "a=x", "b=x"], "'x' twice"),
        (["--label_column", "stance"], "no column stance; the columns are 'label', 'text'"),
        (["--dev", "test.csv"], "test.csv: no column that looks like the label"),
        (["--device", "tpu"], "'tpu' (choose from"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_by_one_line(refused, arguments, answer):
    err = refused(*arguments)
    assert answer in err
    assert err.count("\n") == 1


def test_an_empty_file(refused):
    Path("empty.csv").write_text("\n")
    assert "empty.csv: the file is empty" in refused("--dev", "empty.csv")


def test_a_file_of_no_known_form(refused):
    Path("prose.txt").write_text("It was a dark and stormy night.\nThe rain fell in torrents.\n")
    err = refused("--train", "prose.txt")
    assert "prose.txt: the format was not recognised; the first line is 'It was a dark and stormy night.'" in err
    assert "label ||| text" in err


@pytest.mark.parametrize("arguments", [["--dev", "dev.csv"], ["--test", "test.csv"]])
def test_dev_or_test_without_train(run, arguments):
    ran = run("--model", "tiny", "--out", "out", *arguments)
    assert ran.status == 2
    assert "without --train" in ran.err
    assert not Path("out").exists()


@pytest.mark.fault("command line: a model's name that is a path, a URL or misspelt")
def test_a_misspelt_model_is_answered_without_asking_the_network(refused, monkeypatch):
    asked = []
    monkeypatch.setattr("socket.socket.connect", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **options: asked.append(arguments))
    assert "did you mean bert-base-uncased?" in refused("--model", "bert-base-uncase")
    assert "did you mean all-MiniLM-L6-v2?" in refused("--model", "all-MinLM-L6-v2")
    assert asked == []


def test_a_folder_that_holds_no_model(refused):
    Path("bare").mkdir()
    err = refused("--model", "bare")
    assert "bare holds no config.json and no model.safetensors" in err


def test_a_vocabulary_larger_than_the_model(refused):
    with open("tiny/vocab.txt", "a") as stream:
        stream.write("extra\n")
    assert f"{len(VOCAB) + 1} tokens, but the model has vectors for {len(VOCAB)}" in refused()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("arguments", [["--use_gpu"], ["--device", "cuda"]])
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(refused, arguments):
    assert "there is no cuda device here" in refused(*arguments)


def test_plot_without_matplotlib_says_so_before_the_work(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install" in refused("--plot")


def test_out_that_is_a_file(refused):
    Path("notes").write_text("mine")
    assert "notes is a file, not a folder" in refused("--out", "notes")
    assert "notes is a file, not a folder" in refused("--test_out", "notes/x")


@pytest.mark.parametrize(
    "arguments", [["--test_out", "dev.csv"], ["--dev_out", "./train.csv"], ["--filepath", "train.csv"]]
)
def test_no_output_overwrites_an_input(refused, arguments):
    assert "would be overwritten" in refused("--dev", "dev.csv", *arguments)


@pytest.mark.fault("command line: an output that would overwrite or cannot be written")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--dev_out", "same", "--test_out", "./same"],
        ["--dev_out", "out/dev_predictions.csv"],
        ["--filepath", "out/model.safetensors"],
        ["--dev_out", "tiny/config.json"],
    ],
)
def test_no_output_overwrites_another_or_the_model(refused, arguments):
    assert "would be overwritten" in refused("--dev", "dev.csv", *arguments)


def test_an_output_that_is_a_folder_is_refused_before_the_training(refused):
    Path("place").mkdir()
    assert "place: cannot be written (Is a directory)" in refused("--dev_out", "place")


@pytest.mark.parametrize("flag", ["--train", "--model", "--out"])
def test_an_empty_value_such_as_an_unset_variable_gives_is_refused(refused, flag):
    assert f"{flag} is empty" in refused(flag, "")


def test_a_model_of_other_classes_is_not_scored_on_the_reviews_of_this_project(train, run):
    train("--labels", "positive=for", "negative=against")
    status, _, err = run("--eval_only", "--model", "out")
    assert status == 2 and "name your texts with --test" in err and "out tells for, against" in err


@pytest.mark.parametrize("classes", [2, 3])
def test_a_model_whose_classes_have_no_names_is_scored_on_the_reviews_if_it_has_two(run, classes):
    """As a course kit's is: 0 is negative and 1 is positive."""
    torch.manual_seed(0)
    BertSentClassifier.from_pretrained("tiny", num_labels=classes, labels=()).save_pretrained("kit")
    BertTokenizer.from_pretrained("tiny").save_pretrained("kit")
    status, out, err = run("--eval_only", "--model", "kit", "--limit", "12", "--out", "scores")
    if classes == 3:
        assert status == 2 and "kit tells 0, 1, 2" in err
    else:
        assert status == 0 and "random" not in err and "labels: 0 = negative, 1 = positive" in out
        gold = [row["label"] for row in reviews("dev")[:12]]
        assert [row["gold"] for row in predictions("dev", "scores")] == gold
        p_positive = [float(row["p_positive"]) for row in predictions("dev", "scores")]
        right = sum((p > 0.5) == (label == "positive") for p, label in zip(p_positive, gold))
        assert record("scores")["scores"]["dev"]["accuracy"] == pytest.approx(right / 12)


def test_eval_only_does_not_train(refused):
    assert "--eval_only does not train" in refused("--eval_only")


def test_a_seed_or_a_learning_rate_out_of_bounds_is_refused(refused):
    assert "--seed: 5000000000 is not from 0 to 4294967295" in refused("--seed", "5000000000")
    assert "--lr: 1e38 is not above 0 and below 10" in refused("--lr", "1e38")


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
def test_a_loss_that_is_no_number_ends_the_run_without_a_model(run, monkeypatch):
    monkeypatch.setattr("minbert.training.F.cross_entropy", lambda logits, *_, **__: logits.sum() * float("nan"))
    ran = run("--model", "tiny", "--train", "train.csv", "--out", "out")
    assert ran.status == 2
    assert "error: the loss is nan" in ran.err
    assert "A lower --lr helps" in ran.err
    assert not list(Path("out").iterdir())


@pytest.mark.fault("saving: Ctrl-C, or a signal to end")
def test_ctrl_c_ends_the_run_in_one_line_without_a_model(run, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("minbert.runs.loop.update", interrupted)
    ran = run("--model", "tiny", "--train", "train.csv", "--out", "out")
    assert ran.status == 130
    assert ran.err == "\nstopped\n"
    assert not Path("out/model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [((), 0), (("--epochs", "none"), 2)],
    ids=["done", "refused"],
)
def test_the_exit_status_of_the_program(place, arguments, status):
    command = [sys.executable, str(ROOT / "train_classifier.py"), "--model", "tiny", "--train", "train.csv"]
    done = subprocess.run([*command, "--out", "out", "--epochs", "1", *arguments], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert Path("out/model.safetensors").exists() == (status == 0)


# Pictures


def test_plot_draws_the_confusion_matrices_and_the_learning_curve(train):
    pytest.importorskip("matplotlib")
    write("test.csv", [("negative", "a plot"), ("positive", "wonderful")])
    train("--dev", "dev.csv", "--test", "test.csv", "--plot")
    for name, words in (
        ("dev_confusion", {"dev", "negative", "positive", "gold", "predicted"}),
        ("test_confusion", {"test", "negative", "positive", "gold", "predicted"}),
        ("learning_curve", {"epoch", "training loss", "dev accuracy", "dev macro F1"}),
    ):
        text = Path(f"out/{name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert {word for word in words if word not in text} == set()


def test_a_run_does_not_write_into_the_folder_that_it_reads(refused):
    assert "is read in this run and would be overwritten: give another folder with --out" in refused("--out", "tiny")


def test_a_quick_look_checks_and_counts_the_whole_file(refused, train):
    write("train.csv", [*TRAIN, ("positive", "")])
    assert "train.csv: 1 bad of 9 rows" in refused("--limit", "2")
    assert "train.csv: 2 rows" in train("--limit", "2", "--skip_bad_rows").out
