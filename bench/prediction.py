"""The benches of prediction: many texts, one text at a time, and whole processes."""

import csv
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from bench import systems, texts
from bench.measure import System, peer, race, rows, save
from bench.serve import load
from minbert import BertSentClassifier, BertTokenizer, fast, training
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.runs import classifier

MODEL = "all-MiniLM-L6-v2"
# How far the logits may lie from those of the plain model: root mean square, in their standard deviations.
BOUNDS = {"fp32": 1e-4, "bf16": 0.1, "int8": 0.35}
ONE_BY_ONE = 200  # texts
PEERS = {  # name in the table: package, name of the function
    "transformers": ("transformers", "transformers"),
    "torch.compile": ("transformers", "compiled"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "onnxruntime int8": ("onnxruntime", "onnxruntime_int8"),
    "OpenVINO": ("openvino", "openvino"),
    "CTranslate2": ("ctranslate2", "ctranslate2"),
    "CTranslate2 int8": ("ctranslate2", "ctranslate2_int8"),
}


def convert(folder):
    """Let bench.peers.convert write what the peers read into a classifier's folder."""
    command = [sys.executable, "-m", "bench.peers.convert", str(folder)]
    done = subprocess.run(command, cwd=texts.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nthe peers' files of {folder} could not be made: see above")


def contest(function, **options):
    """{name: System} of the peers that read prepared ids, and ours."""
    found = {}
    for name, (package, reader) in PEERS.items():
        is_there = name != "torch.compile" or has_compiler()
        found[name] = peer(package, f"predicting.{function}", peer=reader, **options) if is_there else None
    for precision in ("fp32", "int8", "bf16"):
        name = "minbert" if precision == "fp32" else f"minbert, {precision}"
        found[name] = System(function, precision=precision, **options)
    return found


def has_compiler():
    return bool(shutil.which("g++") or shutil.which("clang++"))


def plain_logits(folder, path):
    """What the plain model gives, [N, C]: all systems are compared with it."""
    rows_of = training.Data(systems.encoding(load(path).ids), None)
    return training.predict(BertSentClassifier.from_pretrained(folder), rows_of).numpy()


def compare(work, lines, found, wanted):
    """Note in each row how far its logits lie from those wanted. Raises SystemExit where that is too far."""
    for line, system in zip(lines, found.values(), strict=True):
        if system:
            apart = np.sqrt(np.mean((np.array(system.warm["logits"]) - wanted) ** 2)) / wanted.std()
            line["apart"] = float(apart)
            bound = BOUNDS[precision_of(line["system"])]
            if not apart <= bound:
                raise SystemExit(f"{work}, {line['system']}: logits {apart:.1e} from the plain model's, above {bound}")


def precision_of(system):
    return next((name for name in BOUNDS if name in system), "fp32")


def of_peak(lines, peak, folder, path, training=False, first_only=True):
    """Note in each row what share of the machine's peak it reached, and return the peaks in GFLOP/s.

    first_only  whether ours leaves out of the last layer what the head does not read
    """
    peaks, ids = {precision: peak.median(precision) for precision in ("fp32", "bf16")}, load(path).ids
    cost = {first: systems.flops(folder, ids, training=training, first_only=first) / 1e9 for first in (False, True)}
    for line in lines:
        precision = precision_of(line["system"])
        if precision in peaks and "tokens_per_second" in line:
            ours = first_only and line["system"].startswith("minbert")
            line["of_peak"] = line["tokens_per_second"] * cost[ours] / peaks[precision]
    return peaks


def predict(folder, data, runs):
    """Real tokens per second, ids prepared; and with tokenizing."""
    lines, peaks, path = [], {}, Path(folder, "texts.jsonl")
    for kind, some in texts.kinds(data).items():
        texts.write(path, some)
        for pooling in ("pooler", "mean"):
            work, place = f"predict {kind}, {pooling}", Path(folder, pooling)
            options = {"folder": str(place), "path": str(path)}
            size = 8 if kind == "long reviews" else 32
            usual = {"peer": "transformers", "size": size, "is_sorted": False} | options
            found = {"peak": System("peak")}
            found[f"transformers, unsorted, batches of {size}"] = peer("transformers", "predicting.predict", **usual)
            if pooling == "mean":
                found["sentence-transformers"] = peer("sentence_transformers", "predicting.encode_sentences", **options)
            found |= contest("predict", **options)
            peak = race(found, runs).pop("peak")
            more = rows(work, found)
            compare(work, more, found, plain_logits(place, path))
            peaks[work] = of_peak(more, peak, place, path, first_only=pooling == "pooler")
            lines += more
    save("predict", lines, peak_gflops=peaks, int8=int8_accuracy(data))


def int8_accuracy(data):
    """Accuracy on SST's dev set of a frozen encoder and a trained head, in fp32 and int8."""
    parts = [read_examples(data[f"sst-{part}"]) for part in ("train", "dev")]
    labels, tokenizer = LabelSet.collect(parts[0]), BertTokenizer.from_pretrained(MODEL)
    train, dev = (
        training.Data(tokenizer(part.texts[: texts.MOST], truncation=True), labels.ids(part)[: texts.MOST])
        for part in parts
    )
    changes = {"num_labels": len(labels.names), "option": "pretrain", "pooling": "mean"}
    model = BertSentClassifier.from_pretrained(MODEL, **changes)
    classifier.fit(fast.swap_in(model), train, None, training.Settings(epochs=10, batch_size=32, lr=1e-2))
    found = {}
    for precision in ("fp32", "int8"):
        model = systems.quantize(model) if precision == "int8" else model
        right = training.predict(model, dev).argmax(-1) == torch.tensor(dev.labels)
        found[precision] = right.double().mean().item()
    return found


def latency(folder, data, runs):
    """One sentence at a time in a running process, from the text to its logits: half of them, and 99 of 100."""
    path, place = Path(folder, "texts.jsonl"), Path(folder, "pooler")
    texts.write(path, texts.kinds(data)["SST"][:ONE_BY_ONE])
    found = race(contest("latency", folder=str(place), path=str(path)), runs)
    lines = []
    for percent in (50, 99):
        work = f"one sentence at a time, p{percent}"
        more = [{"work": work, "system": name} for name in found]
        for line, system in zip(more, found.values()):
            if system:
                seconds = [second for run in system.runs for second in run["each"]]
                line |= {"seconds": float(np.percentile(seconds, percent)), "peak_mb": system.peak_mb}
            else:
                line["missing"] = True
        compare(work, more, found, plain_logits(place, path))
        lines += more
    save("latency", lines)


PIPELINE = """import sys
from transformers import pipeline
lines = open(sys.argv[2]).read().splitlines()
classify = pipeline("text-classification", model=sys.argv[1], device="cpu")
open(sys.argv[3], "w").writelines(found["label"].split("_")[-1] + "\\n" for found in classify(lines, batch_size=32))
"""
# Linux counts what a process had before it became another program: so a small one starts and measures the command.
MEASURE = """
import os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - begin, usage.ru_maxrss / 1024)
sys.exit(status != 0)
"""


def whole(folder, data, runs):
    """From nothing to 100 predictions, and to one; and what the start alone takes, with a model that is small."""
    some, lines = [" ".join(text.split()) for text in read_examples(data["sst-dev"]).texts], []
    place, small = Path(folder, "pooler"), Path(folder, "small")
    texts.small_classifier(small)
    for number in (100, 1):
        path, out = Path(folder, "texts.txt"), Path(folder, "labels")
        path.write_text("".join(text + "\n" for text in some[:number]), encoding="utf-8")
        end = [str(place), str(path), str(out)]
        commands = {
            "transformers, pipeline": ["-c", PIPELINE, *end],
            "onnxruntime, script": [str(Path(texts.ROOT, "bench", "peers", "onnx_script.py")), *end],
            "minbert": ours(place, path, out),
        }
        name = "100 sentences" if number == 100 else "one sentence"
        lines += processes(f"{name}, whole process", commands, runs, out)
    commands = {"import torch": ["-c", "import torch"], "minbert predict, one sentence, tiny": ours(small, path, out)}
    save("whole", lines + processes("start", commands, runs))


def ours(folder, path, out):
    files = ["--model", str(folder), "--text", str(path), "--out", str(out)]
    return ["-m", "minbert", "predict", "--format", "lines", *files]


def labels(path):
    """The label of each text, of a table that minbert wrote or of a line for each."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [row["predicted"] for row in csv.DictReader(lines)] if lines[0].startswith('"row"') else lines


def processes(work, commands, runs, out=None):
    """Rows of the seconds and the peak memory of commands of Python.

    out  where each writes its labels. Raises SystemExit where they differ
    """
    found, wanted = {name: [] for name in commands}, None
    for _ in range(runs + 1):
        for name, words in commands.items():
            found[name].append(whole_process([sys.executable, *words]))
            wanted = wanted or (out and labels(out))
            if out and labels(out) != wanted:
                raise SystemExit(f"{work}: {name} gives other labels than the systems beside it")
    lines = []
    for name, seen in found.items():
        seconds, peak_mb = map(statistics.median, zip(*seen[1:]))
        lines.append({"work": work, "system": name, "seconds": seconds, "peak_mb": peak_mb})
    return lines


def whole_process(command):
    """Seconds and peak memory in MB of a command."""
    around = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    around.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, each start would compile what most find compiled
    command = [sys.executable, "-c", MEASURE, *command]
    measured = subprocess.run(command, cwd=texts.ROOT, capture_output=True, text=True, env=around)
    if measured.returncode:
        raise SystemExit(measured.stderr)
    return tuple(map(float, measured.stdout.split()))
