"""study label and study calibrate: from files to tables, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from minbert.__main__ import main
from minbert.study.calibrate import softmax
from minbert.study.rows import Rows, read_rows, write_rows

NAMES = ("against", "support")


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def label(*words):
    return main(["study", "label", *words])


@pytest.fixture
def pool(tmp_path):
    """Predictions of 90 texts, the less sure the later."""
    p = np.linspace(1, 0.5, 90).round(3)
    lines = [[at + 1, "support", (1 - p[at]).round(3), p[at]] for at in range(90)]
    return write(tmp_path / "pool.csv", ["row", "predicted", *(f"p_{name}" for name in NAMES)], lines)


@pytest.fixture
def rows_file(tmp_path):
    """Rows of two systems, 2 x 3 folds of 60 texts: one too sure by a factor of 3, one as it should be."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, (60, 2))
    gold = (softmax(logits)[:, 1] > rng.random(60)) * 1
    found = Rows(NAMES)
    probabilities = []
    for system, factor in (("too sure", 3), ("good", 1)):
        for repeat in (1, 2):
            for text in range(60):
                p = softmax(logits[text : text + 1] * factor)[0]
                cells = (system, str(text), repeat, (text + repeat) % 3 + 1, 1, NAMES[gold[text]], NAMES[p.argmax()])
                for name, cell in zip(("system", "text", "repeat", "fold", "seed", "gold", "predicted"), cells):
                    getattr(found, name).append(cell)
                probabilities.append(p)
    found.probabilities = np.array(probabilities)
    write_rows(tmp_path / "rows.csv.gz", found)
    return str(tmp_path / "rows.csv.gz")


def test_the_next_texts(pool, tmp_path, capsys):
    out = str(tmp_path / "batch.csv")
    assert label("--next", "12", "--predictions", pool, "--out", out) == 0
    batch = read(out)
    random = [row for row in batch if row["chosen"] == "random"]
    assert len(batch) == 12 and len(random) == 4
    assert {row["probability"] for row in random} == {f"{4 / 90:.9g}"}
    others = [int(row["row"]) for row in batch if row["chosen"] == "margin"]
    assert min(others) > 78 and all(row["probability"] == "" for row in batch if row["chosen"] == "margin")
    assert all(row["label"] == "" for row in batch)
    assert "12 of 90 texts: 4 at random, 8 by margin" in capsys.readouterr().out
    again = str(tmp_path / "again.csv")
    label("--next", "12", "--predictions", pool, "--out", again)
    assert Path(again).read_bytes() == Path(out).read_bytes()


def test_badge_and_random(pool, tmp_path, capsys):
    out, features = str(tmp_path / "batch.csv"), str(tmp_path / "features.npy")
    np.save(features, np.random.default_rng(0).normal(size=(90, 4)))
    assert label("--next", "9", "--predictions", pool, "--way", "badge", "--features", features, "--out", out) == 0
    assert sorted({row["chosen"] for row in read(out)}) == ["badge", "random"]
    Path(out).unlink()
    assert label("--next", "9", "--predictions", pool, "--way", "random", "--out", out) == 0
    assert {row["probability"] for row in read(out)} == {"0.1"}


def test_what_label_writes_is_what_infer_reads(pool, tmp_path, capsys):
    """A batch with labels filled in: infer uses the random third."""
    out = str(tmp_path / "batch.csv")
    label("--next", "90", "--predictions", pool, "--out", out)
    batch = read(out)
    for row in batch:
        row["label"] = NAMES[int(row["row"]) % 2]
    labels = write(tmp_path / "done.csv", list(batch[0]), [list(row.values()) for row in batch])
    data = write(tmp_path / "data.csv", ["text", "x"], [[f"text {at}", at % 7] for at in range(90)])
    words = ["--data", data, "--predictions", pool, "--labels", labels, "--drawn", "probability", "--unseen"]
    assert main(["study", "infer", *words, "--model", "support ~ 1"]) == 0
    assert "30 of 90 texts are labelled, drawn: probability" in capsys.readouterr().out


def test_the_texts_stand_beside_the_rows_to_label(pool, tmp_path, capsys):
    """On the screen cut, in the table whole; and what is written is joined by row and checked by text."""
    texts = [f"text {at}, " + "and more " * 20 for at in range(90)]
    data = write(tmp_path / "data.csv", ["tweet", "about"], [[text, f"side {at}"] for at, text in enumerate(texts)])
    words, out = ["--next", "6", "--predictions", pool, "--data", data, "--text_column", "tweet"], tmp_path / "b.csv"
    assert label(*words, "--out", str(out)) == 0
    batch, shown = read(out), capsys.readouterr().out
    assert all(row["text"] == texts[int(row["row"]) - 1].strip() for row in batch) and "pair" not in batch[0]
    assert all(f"text {int(row['row']) - 1}, and more" in shown for row in batch) and texts[0].strip() not in shown
    assert "pool.csv: joined with" in shown and "by row\n" in shown
    assert label(*words, "--pair_column", "about", "--out", str(tmp_path / "pairs.csv")) == 0
    assert all(row["pair"] == f"side {int(row['row']) - 1}" for row in read(tmp_path / "pairs.csv"))
    filled = [[row["row"], row["text"], NAMES[int(row["row"]) % 2]] for row in batch]
    labels = write(tmp_path / "filled.csv", ["row", "text", "label"], filled)
    told = ["--data", data, "--text_column", "tweet", "--predictions", pool, "--labels", labels, "--drawn", "simple"]
    capsys.readouterr()
    assert main(["study", "infer", *told, "--unseen", "--model", "support ~ 1"]) == 0
    assert "filled.csv: joined by row\n" in capsys.readouterr().out


def test_the_texts_stand_beside_suspicious_labels(rows_file, tmp_path, capsys):
    """An id is the line where a row begins; bad rows that the study has left out do not move it."""
    data, out = tmp_path / "data.csv", tmp_path / "out.csv"
    table = [
        ["a text"],
        *([f"the one in line {line}"] for line in range(3, 60)),
        [""],
        *([f"x {at}"] for at in range(9)),
    ]
    write(data, ["text"], table)
    rows = read_rows(rows_file)
    rows.text = [str(int(text) + 2) if int(text) < 58 else str(int(text) + 3) for text in rows.text]
    write_rows(rows_file, rows)
    words = ["--suspicious", rows_file, "--system", "good", "--data", str(data)]
    assert label(*words, "--out", str(out)) == 0
    found = [row for row in read(out) if 2 < int(row["line"]) < 60]
    assert found and all(row["text"] == f"the one in line {row['line']}" for row in found)
    assert f"the one in line {found[0]['line']}" in capsys.readouterr().out
    write(data, ["text"], table[:30])
    assert label(*words) == 2
    assert "no text begins in line 32: the study was about another file" in capsys.readouterr().err
    facts = {"format": 1, "facts": {"data": ["0" * 64, 60]}}
    (tmp_path / "study.json").write_text(json.dumps(facts), encoding="utf-8")
    assert label(*words) == 2
    assert "data.csv is not the file that" in capsys.readouterr().err


def test_the_learning_curve(tmp_path, capsys):
    lines = [[n, fold, 0.1 + 2 * n**-0.7 + fold / 1e6] for n in (100, 200, 400, 800, 1600) for fold in (1, 2, 3)]
    path = write(tmp_path / "curve.csv", ["n", "fold", "error"], lines)
    assert label("--curve", path, "--goal", "0.12") == 0
    shown = capsys.readouterr().out
    assert "error = 0.1000 + 2 n^-0.700, from 3 folds" in shown
    assert "an error of 0.12 is expected with 720 labels" in shown
    assert label("--curve", path, "--goal", "0.01") == 0
    assert "is not reached with 6,400 labels" in capsys.readouterr().out


def test_suspicious_labels(rows_file, tmp_path, capsys):
    out = str(tmp_path / "suspicious.csv")
    assert label("--suspicious", rows_file, "--system", "good", "--out", out) == 0
    found = read(out)
    assert 0 < len(found) < 20 and all(row["label"] != row["rather"] for row in found)
    own = [float(row["its_probability"]) for row in found]
    assert own == sorted(own)
    assert f"{len(found)} of 60 labels are suspicious" in capsys.readouterr().out


def test_calibration(rows_file, tmp_path, capsys):
    out = str(tmp_path / "bins.csv")
    assert main(["study", "calibrate", "--rows", rows_file, "--positive", "support", "--out", out]) == 0
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if " scaled " in line]
    sure, good = (float(line.split()[-1]) for line in lines)
    assert sure == pytest.approx(3 * good, rel=1e-3) and 0.5 < good < 2
    assert "F1 of support" in shown
    assert {row["temperature"] for row in read(out)} == {"as it is", "scaled"}
    assert sum(int(row["texts"]) for row in read(out)) == 4 * 120


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "ask one thing: --next N, --curve FILE or --suspicious FILE"),
        (["--next", "3", "--curve", "FILE"], "ask one thing"),
        (["--next", "3", "--predictions", "POOL"], "--next needs --out FILE"),
        (["--next", "3", "--out", "o.csv"], "--next needs --predictions FILE"),
        (["--next", "300", "--predictions", "POOL", "--out", "OUT"], "300 texts cannot be chosen from 90"),
        (["--next", "3", "--predictions", "POOL", "--out", "OUT", "--way", "badge"], "--way badge and --features"),
        (["--next", "3", "--goal", "1", "--predictions", "POOL", "--out", "OUT"], "--goal goes with --curve"),
        (["--curve", "FILE", "--data", "POOL"], "--data goes with --next and --suspicious"),
        (["--suspicious", "ROWS", "--text_column", "t"], "--text_column says how to read --data: name that file"),
        (["--suspicious", "ROWS", "--data", "POOL", "--id_column", "row"], "--id_column goes with --next"),
        (["--suspicious", "ROWS"], "has several systems: name one with --system: too sure, good"),
        (["--suspicious", "ROWS", "--system", "best"], "there are no rows of best"),
        (["--suspicious", "POOL"], "holds no predictions of minbert study"),
        (["--curve", "POOL"], "needs the columns n, fold, error"),
        (["--curve", "FOUR"], "needs 5 or more different numbers of labels, not 4"),
        (["--curve", "HOLE"], "fold 2 has no error with 200 labels"),
        (["--curve", "WORD"], "word.csv:2: error is 'low', not a number"),
        (["--next", "3", "--predictions", "FOUR", "--out", "OUT"], "needs the columns row, predicted"),
    ],
)
def test_what_is_refused(pool, rows_file, tmp_path, capsys, words, said):
    four = [[n, 1, 0.1] for n in (100, 200, 300, 400)]
    places = {"POOL": pool, "ROWS": rows_file, "OUT": str(tmp_path / "out.csv"), "FILE": pool}
    places["FOUR"] = write(tmp_path / "four.csv", ["n", "fold", "error"], four)
    places["HOLE"] = write(tmp_path / "hole.csv", ["n", "fold", "error"], [*four, [100, 2, 0.1]])
    places["WORD"] = write(tmp_path / "word.csv", ["n", "fold", "error"], [[100, 1, "low"]])
    assert label(*(places.get(word, word) for word in words)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_calibrate_refuses(rows_file, capsys):
    assert main(["study", "calibrate", "--rows", rows_file, "--positive", "joy"]) == 2
    assert "--positive joy: the classes are against, support" in capsys.readouterr().err


def test_labels_that_somebody_filled_in_are_not_overwritten(pool, tmp_path, capsys):
    out = tmp_path / "filled.csv"
    out.write_text("row,label\n1,support\n")
    assert label("--next", "6", "--predictions", pool, "--out", str(out)) == 2
    assert "filled.csv exists, and may hold labels" in capsys.readouterr().err
    assert out.read_text() == "row,label\n1,support\n"
