"""Time and memory against the length of texts, the batch, the number of rows, and the size of the model."""

import random
import subprocess
import sys
import time
from pathlib import Path

from bench import texts
from bench.measure import System, rounded, save, table
from minbert import BertSentClassifier, BertTokenizer
from minbert.config import Config
from minbert.config_json import REQUIRED

BASE = {name: getattr(Config(), name) for name in REQUIRED}  # bert-base-uncased's shape
MINILM = "all-MiniLM-L6-v2"
NARROW = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 64}
TOKENS = 8192  # of a run, about, whatever the length


def cases():
    """(what varies, its value, task, options of systems.shaped)"""
    for length in (16, 32, 64, 128, 256, 512):
        for task in ("predict", "train"):
            yield "length", length, task, {"model": MINILM, "length": length, "texts": TOKENS // length}
    for size in (1, 2, 4, 8, 16, 32, 64):
        yield "batch", size, "train", {"model": MINILM, "length": 32, "texts": TOKENS // 64, "batch_size": size}
    for number in (1_000, 3_000, 10_000, 30_000):
        for task in ("predict", "frozen"):
            yield "rows", number, task, {"model": "tiny", "length": 24, "texts": number}
    for name, model in (("tiny", "tiny"), ("MiniLM", MINILM), ("bert-base shape", BASE)):
        for task in ("predict", "train"):
            yield "model", name, task, {"model": model, "length": 64, "texts": 64}


def main(runs=1):
    """Measure all cases, each in a process of its own; print a table of each kind and save them."""
    rows = []
    for kind, value, task, options in cases():
        system = System("shaped", task=task, **options)
        for _ in range(1 if kind == "rows" else runs + 1):  # a long run needs no other to warm up
            system.run()
        system.end()
        seconds = min(run["seconds"] for run in system.runs)
        tokens = system.runs[0]["tokens"]
        rows.append({"varies": kind, "value": value, "task": task, "seconds": seconds, "tokens": tokens})
        rows[-1]["peak_mb"] = system.peak_mb
    save("scale", rows)
    print(tables(rows))


def tables(rows):
    """A table for each thing that varies, in Markdown: speed, and memory at most."""
    parts = []
    for kind in dict.fromkeys(row["varies"] for row in rows):
        lines = [
            (row["value"], row["task"], f"{rounded(row['tokens'] / row['seconds'])} tokens", rounded(row["peak_mb"]))
            for row in rows
            if row["varies"] == kind
        ]
        parts.append(table([kind, "task", "per second", "MB at most"], lines))
    return "\n\n".join(parts)


def growth(samples):
    """The memory of minbert predict: the first sample, ten between, and the last."""
    shown = [samples[round(at * (len(samples) - 1) / 11)] for at in range(12)]
    lines = [(f"{sample['seconds']:.0f}", f"{sample['lines']:,}", rounded(sample["mb"])) for sample in shown]
    return table(["seconds of predict", "lines", "MB"], list(dict.fromkeys(lines)))


def memory(folder, data, minutes, every=10):
    """Memory of minbert predict every few seconds, over lines of which each has a word that is new.

    folder  for a classifier of one narrow layer, so that many lines are read, and for what it predicts
    """
    model, draw, read, samples = Path(folder, "narrow"), random.Random(0), 0, []
    tokenizer = BertTokenizer.from_pretrained("tiny")
    BertSentClassifier(Config(vocab_size=len(tokenizer), **NARROW)).save_pretrained(model)
    tokenizer.save_pretrained(model)
    words = [word for text in texts.kinds(data)["SST"] for word in text.split()]
    command = [sys.executable, "-m", "minbert", "predict", "--model", str(model), "--text", "-", "--format", "lines"]
    command += ["--out", str(Path(folder, "predicted.csv"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=texts.ROOT)
    begin = time.monotonic()
    while (seconds := time.monotonic() - begin) < 60 * minutes:
        if seconds >= every * len(samples):
            samples.append({"seconds": seconds, "lines": read, "mb": resident(process.pid)})
        process.stdin.writelines(f"{' '.join(draw.choices(words, k=12))} {read + row}\n" for row in range(100))
        read += 100
    process.stdin.close()
    if process.wait():
        raise SystemExit(f"minbert predict ended with exit status {process.returncode}: see above")
    with open(Path(folder, "predicted.csv"), encoding="utf-8") as file:
        labelled = sum(1 for _ in file) - 1
    if labelled != read:
        raise SystemExit(f"{labelled} of {read} lines have a label")
    save("memory", samples, lines=read, minutes=minutes)
    print(growth(samples))


def resident(process):
    """Memory of a process now, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
