"""Texts, predictions and drawn labels as files, and the call of minbert study infer that reads them."""

import csv

import numpy as np

from minbert.__main__ import main

ROWS, LABELLED, SLOPE = 1500, 250, 1.0


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def make_files(tmp_path):
    """1,500 texts; y depends on x with slope 1, the predictions err where x is large; 250 labels drawn at random."""
    rng = np.random.default_rng(11)
    x, party = rng.normal(size=ROWS).round(4), rng.choice(["green", "red"], ROWS)
    y = rng.random(ROWS) < 1 / (1 + np.exp(1 - SLOPE * x))
    right = np.where(y, 1 / (1 + np.exp(0.6 * x - 1.8)), 1 / (1 + np.exp(-2.2 - 0.4 * x)))
    f = np.where((rng.random(ROWS) < right) == y, 0.9, 0.1)
    names, drawn = np.where(y, "support", "against"), sorted(rng.permutation(ROWS)[:LABELLED])
    data = ([f"a text, the {at}th", x[at], party[at], f"author {at // 3}"] for at in range(ROWS))
    guesses = (
        [at + 1, "support" if f[at] > 0.5 else "against", f[at].round(2), (1 - f[at]).round(2)] for at in range(ROWS)
    )
    labels = [[at + 1, names[at], LABELLED / ROWS] for at in drawn]
    return {
        "data": write(tmp_path / "data.csv", ["text", "x", "party", "author"], data),
        "predictions": write(tmp_path / "predictions.csv", ["row", "predicted", "p_support", "p_against"], guesses),
        "labels": write(tmp_path / "labels.csv", ["row", "label", "pi"], labels),
        "rows": labels,
        "folder": tmp_path,
    }


def call(files, *more, model="support ~ x", drawn="simple", seen=("--unseen",)):
    words = ["study", "infer", "--data", files["data"], "--predictions", files["predictions"], "--labels"]
    return main([*words, files["labels"], "--model", model, "--drawn", drawn, *seen, *more])


def change(files, name, header, rows):
    files[name] = write(files["folder"] / f"changed-{name}.csv", header, rows)
