"""Folders of runs for the tests of pages: predictions, run.json, word evidence."""

import csv
import json
import random

from minbert.files.predictions import read_predictions
from minbert.metrics import score

WORDS = ("good", "bad", "not", "never", "film", "plot", "dull", "GREAT", "so", "far", "too", "long", "told", "?", "10")


def write_predictions(path, rows, names=("negative", "positive"), pairs=False):
    """rows: (text, [pair,] gold, predicted, p of each class)"""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)
        lines.writerow(["text", *["pair"] * pairs, "gold", "predicted", *(f"p_{name}" for name in names)])
        lines.writerows(rows)
    return path


def random_rows(count, names=("negative", "positive"), seed=0, words=12, noise=0.3):
    """Rows of made-up texts. The label is drawn; the prediction is right most of the time."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        gold = draw.randrange(len(names))
        scores = [(draw.random() + (id == gold) * (1 - noise)) ** 3 for id in range(len(names))]
        p = [round(each / sum(scores), 9) for each in scores]
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 2 * words)))
        found.append((text, names[gold], names[p.index(max(p))], *p))
    return found


def write_run(folder, rows, names=("negative", "positive"), part="test", epochs=3):
    """A folder with predictions and run.json, as training writes them."""
    path = write_predictions(folder / f"{part}_predictions.csv", rows, names)
    labelled = read_predictions(path).labelled
    found = score([names.index(row.gold) for row in labelled], [names.index(row.predicted) for row in labelled], names)
    history = [
        {"epoch": at, "loss": 0.7 / at, "accuracy": 0.6 + at / 20, "macro_f1": 0.55 + at / 20, "best": at == epochs}
        for at in range(1, epochs + 1)
    ]
    facts = {
        "arguments": {"model": "/home/somebody/secret/tiny", "label_kind": "class", "epochs": epochs, "plain": False},
        "data": {part: {"path": f"/home/somebody/secret/{part}.csv", "sha256": "0f" * 32, "rows": len(rows)}},
        "epochs": history,
        "scores": {part: {"accuracy": found.accuracy, "macro_f1": found.macro_f1, "matrix": found.matrix}},
        "versions": {"minbert": "0.2.0"},
        "machine": {"platform": "somebodys-laptop"},
    }
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def write_evidence(folder, rows, numbers, part="test"):
    """Word evidence for some of the rows that write_run was given: a word's weight is its place, signs by turns"""
    lines = []
    for number in numbers:
        text, _, predicted, *p = rows[number - 1]
        words, end = [], 0
        for at, word in enumerate(text.split()):
            begin = text.index(word, end)
            end = begin + len(word)
            words.append([begin, end, (at + 1) / 10 * (1 if at % 2 == 0 else -1)])
        curve = {"hidden": [0, 1, len(words)], "own": [max(p), 0.4, 0.3], "random": [max(p), 0.6, 0.3]}
        line = {"row": number, "class": predicted, "method": "occlusion", "p": max(p), "gap": 0.0}
        lines.append(line | {"words": words, "deletion": curve})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"{part}_evidence.jsonl").write_text(text, encoding="utf-8")
