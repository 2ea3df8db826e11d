"""Time and memory against the length of texts, the batch, the number of rows, and the size of the model."""

from bench.measure import System, rounded, save, table
from minbert.config import Config
from minbert.config_json import REQUIRED

BASE = {name: getattr(Config(), name) for name in REQUIRED}  # bert-base-uncased's shape
MINILM = "all-MiniLM-L6-v2"
TOKENS = 8192  # of a run, about, whatever the length


def cases():
    """(what varies, its value, task, options of systems.shaped)"""
    for length in (16, 32, 64, 128, 256, 512):
        for task in ("predict", "train"):
            yield "length", length, task, {"model": MINILM, "length": length, "texts": TOKENS // length}
    for size in (1, 2, 4, 8, 16, 32, 64):
        yield "batch", size, "train", {"model": MINILM, "length": 32, "texts": TOKENS // 64, "batch_size": size}
    for number in (1_000, 3_000, 10_000, 30_000, 100_000):
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
    for kind in dict.fromkeys(row["varies"] for row in rows):
        lines = [
            (row["value"], row["task"], f"{rounded(row['tokens'] / row['seconds'])} tokens", rounded(row["peak_mb"]))
            for row in rows
            if row["varies"] == kind
        ]
        print(table([kind, "task", "per second", "MB at most"], lines), end="\n\n")
