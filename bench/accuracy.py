"""How well models classify beside a baseline: TF-IDF (words and pairs) with logistic regression, tuned on dev.

    python -m bench.accuracy --data FOLDER                              everything that is not yet in the results
    python -m bench.accuracy --data FOLDER --systems baseline tiny --tasks SST-2 --seeds 1 2 3

FOLDER holds sst2/, cfimdb/ and sst/ as the course kits lay them out, tweeteval/ as published, and imdb/imdb.csv.gz with
the columns review, sentiment and split. The task "reviews" needs none of them: it reads data/reviews/. Of IMDB it takes
2,000 reviews to train on and 500 to choose by from the training split, and 2,000 of the test split, half positive,
drawn with seed 0. Settings were chosen on dev sets; test sets were scored at the end. Prints a Markdown table, mean (SD
over seeds): accuracy, of tweets macro F1. Writes bench/results/accuracy.json after each run.
"""

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from minbert.commands import train as train_classifier
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.runs import report

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
REVIEWS = Path(__file__).parent.parent / "data" / "reviews"
TWEETS = ("emotion", "offensive", "irony")  # Barbieri et al. 2020
TASKS = {
    "reviews": [f"{part}.csv" for part in ("train", "dev", "test")],
    "SST-2": [f"sst2/sst2-{part}.tsv" for part in ("train", "dev", "test")],
    "CFIMDB": [f"cfimdb/cfimdb-{part}.txt" for part in ("train", "dev")],  # its test labels are placeholders
    "SST-5": [f"sst/sst-{part}.txt" for part in ("train", "dev", "test")],
    "IMDB": ["imdb/imdb.csv.gz"],
} | {task: [f"tweeteval/{task}/{part}_text.txt" for part in ("train", "val", "test")] for task in TWEETS}
SYSTEMS = {  # the flags of train_classifier.py
    "tiny": "--model tiny --max_length 256",
    "tiny, frozen": "--model tiny --max_length 256 --option pretrain",
    "MiniLM": "--model all-MiniLM-L6-v2 --pooling mean --max_length 256 --epochs 3",
    "MiniLM, frozen": "--model all-MiniLM-L6-v2 --pooling mean --max_length 256 --option pretrain",
}
EPOCHS = {"CFIMDB": 4, "IMDB": 4}  # else 3; three times as many if the encoder is frozen
BATCH = {"CFIMDB": 16, "IMDB": 16, "reviews": 16}  # else 32
RATE = {"CFIMDB": "2e-4", "IMDB": "2e-4"}  # of tiny, flexible; else the default
GRID = (0.1, 0.3, 1, 3, 10, 30, 100, 300)  # C, the inverse of the penalty


def files(task, data, folder):
    """The task's train, dev and, if it has labels, test file."""
    if task == "reviews":
        return [REVIEWS / name for name in TASKS[task]]
    if task in TWEETS:
        return [tweets(data / name, folder / f"{task}-{part}.jsonl") for part, name in enumerate(TASKS[task])]
    if task != "IMDB":
        return [data / name for name in TASKS[task]]
    table = read_examples(data / TASKS[task][0], text_column="review", label_column="sentiment")
    splits = read_examples(data / TASKS[task][0], text_column="review", label_column="split").labels
    parts, rng = {"train": [], "dev": [], "test": []}, random.Random(0)
    for label in sorted(set(table.labels)):
        for split, wanted in (("train", {"train": 1000, "dev": 250}), ("test", {"test": 1000})):
            rows = [at for at, found in enumerate(table.labels) if found == label and splits[at] == split]
            chosen = iter(rng.sample(rows, sum(wanted.values())))
            for part, number in wanted.items():
                parts[part] += [f"{label} ||| {table.texts[next(chosen)]}\n" for _ in range(number)]
    paths = [folder / f"imdb-{part}.txt" for part in parts]
    for path, lines in zip(paths, parts.values()):
        path.write_text("".join(line.replace("<br />", " ") for line in lines), encoding="utf-8")
    return paths


def tweets(path, target):
    """A file of texts and its file of labels -> JSON lines of both. Returns their path."""
    labels = path.with_name(path.name.replace("_text", "_labels")).read_text(encoding="utf-8").split()
    texts = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
    target.write_text("\n".join(rows), encoding="utf-8")
    return target


def baseline(task, paths):
    """{part: score} of TF-IDF and logistic regression, and what was chosen on dev."""
    parts = [read_examples(path) for path in paths]
    labels = LabelSet.collect(parts[0])
    gold = [labels.ids(part) for part in parts]
    found = []
    for sublinear in (False, True):
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=sublinear).fit(parts[0].texts)
        train, *others = (vectors.transform(part.texts) for part in parts)
        for c in GRID:
            model = LogisticRegression(C=c, max_iter=2000).fit(train, gold[0])
            predicted = [model.predict(x) for x in others]
            scores = {part: worth(task, *pair) for part, pair in zip(("dev", "test"), zip(gold[1:], predicted))}
            if task == "reviews":
                names = [[labels.names[id] for id in ids] for ids in predicted]
                scores |= {"plain": plain(names[-1])}
            found.append(scores | {"C": c, "sublinear_tf": sublinear})
    return max(found, key=lambda scores: scores["dev"])


def worth(task, gold, predicted):
    """Macro F1 of tweets, as their authors report; else accuracy."""
    return f1_score(gold, predicted, average="macro") if task in TWEETS else accuracy_score(gold, predicted)


def plain(predicted):
    """The accuracy of labels predicted for the test reviews on those of the kind plain."""
    with open(REVIEWS / "test.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    right = [guess == row["label"] for guess, row in zip(predicted, rows, strict=True) if row["kind"] == "plain"]
    return statistics.mean(right)


def trained(task, system, seed, paths, folder):
    """{part: score} of one run of train_classifier.py."""
    epochs = EPOCHS.get(task, 3) * (3 if "frozen" in system else 1)
    flags = ["--epochs", str(epochs), *SYSTEMS[system].split()]  # of a flag given twice the last counts
    flags += ["--lr", RATE[task]] if system == "tiny" and task in RATE else []
    flags += ["--precision", "bf16", "--batch_size", str(BATCH.get(task, 32)), "--seed", str(seed), "--no_baseline"]
    flags += ["--out", str(folder)]
    for part, path in zip(("train", "dev", "test"), paths):
        flags += [f"--{part}", str(path)]
    train_classifier.main(flags)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    name = "macro_f1" if task in TWEETS else "accuracy"
    scores = {part: figures[name] for part, figures in record["scores"].items()}
    if task == "reviews":
        with open(folder / "test_predictions.csv", encoding="utf-8", newline="") as file:
            scores |= {"plain": plain([row["predicted"] for row in csv.DictReader(file)])}
    return scores


def show(runs):
    """A Markdown table: systems down, tasks across; mean (SD) in percent, dev / test / plain reviews of test."""
    tasks = [task for task in TASKS if any(run["task"] == task for run in runs)]
    print("\n| system |", " | ".join(f"{task} dev / test" for task in tasks), "|\n|---|" + "---|" * len(tasks))
    for system in ("baseline", *SYSTEMS):
        cells = []
        for task in tasks:
            mine = [run for run in runs if (run["task"], run["system"]) == (task, system)]
            cells.append(" / ".join(filter(None, (mean(mine, part) for part in ("dev", "test", "plain")))) or "–")
        print(f"| {system} |", " | ".join(cells), "|")


def mean(runs, part):
    values = [100 * run["score"][part] for run in runs if part in run["score"]]
    if not values:
        return ""
    return f"{statistics.mean(values):.1f}" + (f" ({statistics.stdev(values):.1f})" if len(values) > 1 else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", choices=("baseline", *SYSTEMS), default=("baseline", *SYSTEMS))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    args = parser.parse_args()
    runs = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for task in args.tasks:
            paths = files(task, args.data, Path(folder))
            for system in args.systems:
                for seed in args.seeds if system != "baseline" else (0,):  # the baseline draws nothing
                    if any((run["task"], run["system"], run["seed"]) == (task, system, seed) for run in runs):
                        continue
                    begin = time.perf_counter()
                    scored = (
                        baseline(task, paths)
                        if system == "baseline"
                        else trained(task, system, seed, paths, Path(folder) / "run")
                    )
                    seconds = round(time.perf_counter() - begin)
                    runs.append({"task": task, "system": system, "seed": seed, "score": scored, "seconds": seconds})
                    RESULTS.parent.mkdir(exist_ok=True)
                    RESULTS.write_text(json.dumps({"versions": report.versions(), "runs": runs}, indent=1) + "\n")
    show(runs)


if __name__ == "__main__":
    sys.exit(main())
