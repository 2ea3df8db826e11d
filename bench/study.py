"""A paper's table on tweets: the systems of minbert study on the same folds, and whether sentiment is stance.

    python -m bench.study --data FOLDER                        what is not yet in the results
    python -m bench.study --data FOLDER --again offensive

FOLDER holds tweeteval/ as published. offensive and emotion are the first 2,000 training tweets of each, compared with
nothing tuned, on 5 folds, one seed; tuned is offensive with 20 settings of each classic system and three seeds, shared
by two processes of one thread each (--shard). stance has all tweets on the five targets with the sentiment that VADER's
compound score gives them (-0.05 and 0.05, as its authors say); neutral ones and tweets of no stance are left out.
Writes bench/results/study.json, and tables into docs/results.md between its two marks.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import RESULTS, machine, table
from minbert.__main__ import main as minbert
from minbert.study.lexicon import vader

PATH, PAGE = RESULTS / "study.json", Path(__file__).parent.parent / "docs" / "results.md"
MARKS = "<!-- made by python -m bench.study: -->", "<!-- until here: bench.study -->"
ROWS = 2000
TARGETS = ("abortion", "atheism", "climate", "feminist", "hillary")
COMPARED = ("vader", "nb+count", "svm+tfidf", "logreg+tfidf", "rf+count", "rf+tfidf", "rf+vectors")
COMPARED += ("xgb+count", "xgb+tfidf", "xgb+vectors", "bert:frozen", "bert:flexible")
CLASSIC = tuple(name for name in COMPARED if not name.startswith("bert"))
TASKS = {  # data set, flags of compare
    "offensive": ("offensive", ("--systems", *COMPARED)),
    "emotion": ("emotion", ("--systems", *COMPARED)),
    "tuned": ("offensive", ("--systems", *CLASSIC, "--tune", 20, "--seeds", 3)),
}
HEADINGS = {"offensive": "offensive", "emotion": "emotion", "tuned": "offensive, 20 settings tuned and 3 seeds"}


def tweets(folder, task, part="train"):
    """(text, label) of a part of a data set of tweeteval."""
    there = Path(folder, "tweeteval", task)
    mapping = next(path for path in (there / "mapping.txt", there.parent / "mapping.txt") if path.exists())
    names = dict(line.split("\t") for line in mapping.read_text(encoding="utf-8").splitlines() if line)
    texts, labels = (
        (there / f"{part}_{what}.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        for what in ("text", "labels")
    )
    return [(text, names[label]) for text, label in zip(texts, labels, strict=True)]


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return str(path)


def call(*words):
    """minbert study WORDS, in this process. Returns the seconds."""
    began = time.perf_counter()
    if minbert(["study", *map(str, words)]):
        raise SystemExit("minbert study failed")
    return round(time.perf_counter() - began, 1)


def shared_out(*words, processes=2):
    """minbert study WORDS as several processes of one thread each. Returns the seconds until the last one ends."""
    began, alone = time.perf_counter(), os.environ | {"OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "minbert", "study", *map(str, words), "--shard"]
    running = [subprocess.Popen([*program, f"{at}/{processes}"], env=alone) for at in range(1, processes + 1)]
    if sum(process.wait() != 0 for process in running):
        raise SystemExit("minbert study failed")
    return time.perf_counter() - began


def compare(folder, task, place):
    """The table of a task, a dictionary for each system, and the seconds of the whole command."""
    source, flags = TASKS[task]
    data = write(place / "tweets.csv", ("text", "label"), tweets(folder, source)[:ROWS])
    out = place / task
    words = ("compare", "--data", data, "--repeats", 1, *flags, "--out", out)
    seconds = shared_out(*words) + call(*words) if task == "tuned" else call(*words)
    with open(out / "table.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    units = json.loads((out / "study.json").read_text(encoding="utf-8"))["test_parts_opened"]
    for row in rows:
        row["seconds"] = round(sum(unit["seconds"] for name, unit in units.items() if name.startswith(named(row))), 1)
    return {"rows": [row | {"f1": float(row["f1"]), "f1_sd": float(row["f1_sd"])} for row in rows], "seconds": seconds}


def named(row):
    return row["system"].replace(":", "_")


def stance(folder, place):
    """The square of sentiment and stance, for a linear classifier of counted words."""
    rows = [
        (text, target, stance, "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral")
        for target in TARGETS
        for part in ("train", "val", "test")
        for text, stance in tweets(folder, f"stance/{target}", part)
        for score in [vader()(text)]
    ]
    data = write(place / "stance.csv", ("text", "target", "stance", "sentiment"), rows)
    pairs = ("--target_column", "target", "--label_columns", "sentiment", "stance")
    same = ("--same", "negative=against", "positive=favor", "--systems", "svm+tfidf", "--repeats", 1)
    seconds = call("transfer", "--data", data, *pairs, *same, "--out", place / "square")
    with open(place / "square" / "table.csv", newline="", encoding="utf-8") as stream:
        return {"rows": list(csv.DictReader(stream)), "seconds": seconds, "tweets": len(rows)}


def page(record):
    """The tables."""
    found = []
    for task in TASKS:
        if task in record:
            lines = [
                (row["system"], f"{row['f1']:.3f} ({row['f1_sd']:.3f})", f"{row['seconds']:,.0f}")
                for row in record[task]["rows"]
            ]
            took = f"{ROWS:,} tweets, {record[task]['seconds'] / 60:.1f} minutes"
            if task == "tuned":
                took += " on two cores"
            else:
                classic = sum(row["seconds"] for row in record[task]["rows"] if row["system"] in CLASSIC)
                took += f", of which the classic systems took {classic / 60:.1f}"
            found += [f"{HEADINGS[task]}: {took}", table(["system", "F1, mean (SD)", "seconds"], lines)]
    if "stance" in record:
        square = {(row["trained_on"], row["tested_on"]): row for row in record["stance"]["rows"]}
        sides = ("sentiment", "stance")
        lines = [
            (
                learnt,
                *(
                    f"{float(square[learnt, asked]['f1']):.3f} ({float(square[learnt, asked]['f1_se']):.3f})"
                    for asked in sides
                ),
            )
            for learnt in sides
        ]
        header = ["svm+tfidf, trained on", *(f"F1 on {side} (SE)" for side in sides)]
        found += [
            f"sentiment and stance, of {record['stance']['tweets']:,} tweets those with both:",
            table(header, lines),
        ]
    return "\n\n".join(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--again", nargs="+", default=[], choices=[*TASKS, "stance"])
    args = parser.parse_args()
    record = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    for task in (*TASKS, "stance"):
        if task in record and task not in args.again:
            continue
        with tempfile.TemporaryDirectory() as place:
            work = stance if task == "stance" else lambda *where, task=task: compare(where[0], task, where[1])
            record[task] = work(args.data, Path(place))
        record[task]["machine"] = machine()
        PATH.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = page(record)
    print(text)
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    if begin:
        PAGE.write_text(f"{before}{begin}\n{text}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
