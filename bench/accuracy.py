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
import json
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from minbert.commands import train as train_classifier
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.runs import report
from minbert.runs.baseline import words

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
    "tiny": "--model tiny",
    "tiny, frozen": "--model tiny --option pretrain",
    "MiniLM": "--model all-MiniLM-L6-v2 --pooling mean --max_length 256 --epochs 3 --lr 5e-5",
    "MiniLM, frozen": "--model all-MiniLM-L6-v2 --pooling mean --max_length 256 --option pretrain",
}
EPOCHS = {"CFIMDB": 4, "IMDB": 4}  # else 3; three times as many if the encoder is frozen
USUAL_LENGTH = 256  # tokens
LENGTH = {"IMDB": 512}  # of MiniLM as usual: its folder says 256
BATCH = {"CFIMDB": 16, "IMDB": 16, "reviews": 16}  # else 32


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
    """{part: score} of the baseline that a run of train_classifier.py shows, and what was chosen on dev."""
    parts = {part: read_examples(path) for part, path in zip(("train", "dev", "test"), paths)}
    labels = LabelSet.collect(parts["train"])
    texts = {part: examples.texts for part, examples in parts.items()}
    gold = {part: labels.ids(examples) for part, examples in parts.items()}
    found = words(texts, gold, labels.names, largest=math.inf)
    return {part: getattr(scores, figure(task)) for part, scores in found.scores.items()} | {"C": found.settings["C"]}


def figure(task):
    """Macro F1 of tweets, as their authors report; else accuracy."""
    return "macro_f1" if task in TWEETS else "accuracy"


def trained(task, system, seed, paths, folder):
    """{part: score} of one run of train_classifier.py."""
    epochs = EPOCHS.get(task, 3) * (3 if "frozen" in system else 1)
    flags = ["--epochs", str(epochs), "--max_length", str(LENGTH.get(task, USUAL_LENGTH))]
    flags += SYSTEMS[system].split()  # of a flag given twice the last counts
    flags += ["--precision", "bf16", "--batch_size", str(BATCH.get(task, 32)), "--seed", str(seed), "--no_baseline"]
    flags += ["--out", str(folder)]
    for part, path in zip(("train", "dev", "test"), paths):
        flags += [f"--{part}", str(path)]
    train_classifier.main(flags)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    scores = {part: figures[figure(task)] for part, figures in record["scores"].items()}
    if task == "reviews":
        scores["plain"] = record["slices"]["kind"]["plain"]["test"]["accuracy"]
    return scores


def show(runs):
    """A Markdown table: systems down, tasks across; mean (SD) in percent, dev / test, and of reviews / plain test."""
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
