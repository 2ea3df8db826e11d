"""The files of bench.pairs: rows of (text, text, label), as the Stanford course kit lays them out, split into parts."""

import csv
import sys
import zlib

from minbert.files.checks import contents, refuse_bad_rows
from minbert.files.examples import read_examples

LABELS = {"1.0": "duplicate", "0.0": "other"}  # as Quora's file writes them
QUORA_ROWS = 8000  # to train on, the first ones: all of them would take twice as long


def split(rows):
    """Rows (question, question, label) -> {"train": rows, "dev": rows, "test": rows}, about 80, 10 and 10 in 100.

    Questions that stand in a row together, and those that stand together with one of them, are a group. A group goes
    where the CRC-32 of its first question in the order of the alphabet, modulo 10, says.
    """
    above = {}

    def group(question):
        while above.setdefault(question, question) != question:
            question = above[question]
        return question

    keys = [tuple(question.casefold() for question in row[:2]) for row in rows]
    for key in keys:
        low, high = sorted(map(group, key))
        above[high] = low
    parts = {"train": [], "dev": [], "test": []}
    for row, (question, _) in zip(rows, keys):
        number = zlib.crc32(group(question).encode()) % 10
        parts[{0: "test", 1: "dev"}.get(number, "train")].append(row)
    return parts


def files(task, data, folder):
    """{part: path} of tables with the columns sentence1, sentence2 and label."""
    if task == "STS-B":
        sources = {"train": data / "sts" / "sts-train.csv", "test": data / "sts" / "sts-dev.csv"}
        parts = {part: rows(path, "similarity") for part, path in sources.items()}
    else:
        found = rows(data / "quora" / "quora-dev.csv", "is_duplicate")
        parts = split([(*texts, LABELS[label]) for *texts, label in found])
        parts["train"] = parts["train"][:QUORA_ROWS]
    for part, lines in parts.items():
        with open(folder / f"{task}-{part}.csv", "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("sentence1", "sentence2", "label"), *lines])
    return {part: folder / f"{task}-{part}.csv" for part in parts}


def rows(path, label):
    """(text, text, label) of each row that has all three; the others are named."""
    found = read_examples(path, text_column="sentence1", label_column=label, pair_column="sentence2")
    if found.problems:
        print(refuse_bad_rows(found, skip=True), file=sys.stderr)
    return list(zip(found.texts, found.pairs, found.labels, strict=True))


def counts(paths):
    """The rows of each part; if rows of the test file are in the training file too, also their number."""
    pairs = {part: contents(read_examples(path, pairs=True)) for part, path in paths.items()}
    known = set(pairs["train"])
    shared = sum(pair in known for pair in pairs["test"])
    return {part: len(found) for part, found in pairs.items()} | ({"test also in train": shared} if shared else {})
