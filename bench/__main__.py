"""Ours and the peers, side by side: the same texts, weights and threads, one run of each in turn, medians.

    python -m bench                        everything but scale and gpu, then one table
    python -m bench bpe generate search    byte-level BPE, what a GPT-2 writes, and a translator's beam search
    python -m bench unigram                unigram tokenizers
    python -m bench tokenize predict       some of it; the table is made from all results there are
    python -m bench scale                  time and memory against length, batch, rows and size of the model
    python -m bench gpu                    training and prediction of a bert-base shape on a GPU
    python -m bench table                  the table alone

The weights are those of all-MiniLM-L6-v2; those of `generate` and `search` are random. The data are SST and CFIMDB as
the CMU course kit lays them out, in --data; the reviews in data/ stand in for both where there are none. Only real
tokens count, so padding makes a system slower.
"Of the peak" is the cost of the real tokens, divided by the speed that the machine's faster matrix library reaches in
the same run. A ratio compares a system with the strongest peer that does the same work in the same precision.
Writes bench/results/NAME.json, and the table into docs/speed.md between its two marks.
"""

import argparse
import importlib.util
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from bench import gpu, scale, systems
from bench.measure import RESULTS, System, race, rounded, save, table
from minbert import BertSentClassifier, BertTokenizer, fast, training
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.runs import classifier
from minbert.weights import hub
from minbert.wording import counted

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "speed.md"
MODEL = "all-MiniLM-L6-v2"
BPE_TOKENS = 16_000
MARKS = "<!-- made by python -m bench: -->", "<!-- until here -->"


def find_data(folder):
    """{sst-train: path, ..., tweets: [path, ...]}; the shipped reviews where the folder lacks them."""
    parts = {}
    for name in ("sst", "cfimdb"):
        for part in ("train", "dev"):
            path = Path(folder, name, f"{name}-{part}.txt")
            parts[f"{name}-{part}"] = str(path if path.exists() else ROOT / "data" / "reviews" / f"{part}.csv")
    tweets = [path for path in sorted(Path(folder, "tweeteval").glob("*/train_text.txt")) if path.is_file()]
    return parts | {"tweets": list(map(str, tweets)) or [parts["sst-dev"]]}


def prepare(folder, classes):
    """all-MiniLM-L6-v2 with a classifier, in a form that all systems read."""
    directory = hub.find(MODEL)
    torch.manual_seed(0)
    BertSentClassifier.from_pretrained(directory, num_labels=classes, pooling="pooler").save_pretrained(folder)
    BertTokenizer.from_pretrained(directory).save_pretrained(folder)
    shutil.copy(directory / "tokenizer.json", folder)
    return folder


def rows(found, unit="tokens"):
    """[{"system", "tokens_per_second", "peak_mb"}, ...] of what `race` returned."""
    speeds = {name: system.runs[-1][unit] / system.median() for name, system in found.items() if name != "peak"}
    return [
        {"system": name, f"{unit}_per_second": speed, "peak_mb": found[name].peak_mb} for name, speed in speeds.items()
    ]


def tokenize(folder, data, runs):
    """Texts per second, as bytes, of SST's training texts and CFIMDB's."""
    paths = [data["sst-train"], data["cfimdb-train"]]
    found = race(
        {
            "tokenizers, 1 thread": System("hf_tokenize", folder=folder, paths=paths, threads=1),
            "tokenizers, 2 threads": System("hf_tokenize", folder=folder, paths=paths),
            "minbert, cold": System("tokenize", folder=folder, paths=paths, warm=False),
            "minbert, warm": System("tokenize", folder=folder, paths=paths),
        },
        runs,
    )
    run = found["tokenizers, 1 thread"].runs[0]
    save(
        "tokenize",
        [row | {"work": "tokenize"} for row in rows(found, "bytes")],
        equal=run["equal"],
        texts=run["rows"],
    )


def bpe(folder, data, runs):
    """Texts per second, as bytes, through a byte-level BPE that is learnt from them."""
    paths = [data["sst-train"], data["cfimdb-train"]]
    with tempfile.TemporaryDirectory() as place:
        systems.learn_bpe(place, [text for path in paths for text in systems.texts(path)], BPE_TOKENS)
        options = {"folder": place, "paths": paths}
        contest = {
            f"{name}, {counted(threads, 'thread')}": System(f"{kind}_bpe", threads=threads, **options)
            for name, kind in (("tokenizers", "hf"), ("tiktoken", "tiktoken"))
            for threads in (1, 2)
            if importlib.util.find_spec(name)
        }
        contest |= {"minbert, cold": System("bpe", warm=False, **options), "minbert, warm": System("bpe", **options)}
        found = race(contest, runs)
    checked = {name: system.runs[0] for name, system in found.items() if "equal" in system.runs[0]}
    for name, run in checked.items():
        if run["equal"] < run["rows"]:
            raise SystemExit(f"{name}: {run['equal']} of {run['rows']} texts have our ids")
    lines = [row | {"work": "byte-level BPE"} for row in rows(found, "bytes")]
    save("bpe", lines, tokens=BPE_TOKENS, texts=run["rows"], peers_with_equal_ids=list(checked))


def unigram(folder, data, runs):
    """Texts per second, as bytes, through a unigram model that is learnt from them; SentencePiece's ids are ours."""
    lines, equal = [], {}
    with tempfile.TemporaryDirectory() as place:
        paths = [data["sst-train"], data["cfimdb-train"]]
        systems.learn_unigram(place, [text for path in paths for text in systems.texts(path)], BPE_TOKENS)
        for rows_of in systems.ROWS:
            options = {"folder": place, "rows": rows_of, "paths": data["tweets"] if rows_of == "tweets" else paths}
            contest = {
                "sentencepiece, 1 thread": System("sentencepiece_unigram", threads=1, **options),
                "tokenizers, 1 thread": System("hf_unigram", threads=1, **options),
                "minbert, cold": System("unigram", warm=False, **options),
                "minbert, warm": System("unigram", **options),
            }
            found, work = race(contest, runs), f"unigram, {rows_of}"
            lines += [row | {"work": work} for row in rows(found, "bytes")]
            for name in list(contest)[:2]:
                run = found[name].runs[0]
                equal[f"{work}, {name}"] = f"{run['equal']} of {run['rows']}"
                if run["equal"] < run["rows"] and "sentencepiece" in name:
                    raise SystemExit(f"{work}, {name}: {run['equal']} of {run['rows']} texts have our ids")
    save("unigram", lines, tokens=BPE_TOKENS, texts_with_equal_ids=equal)


def generate(folder, data, runs):
    """What a GPT-2 of random weights writes in a second, after a prompt of 16 tokens; the ids are compared."""
    lines = []
    for layers, size in ((6, 384), (12, 768)):
        with tempfile.TemporaryDirectory() as place:
            systems.new_gpt(place, layers, size)
            for threads, batch_size in itertools.product((1, 2), (1, 8)):
                options = {"folder": place, "batch_size": batch_size, "threads": threads}
                contest = {"transformers": System("hf_write", **options), "minbert": System("write", **options)}
                theirs, ours = race(contest, runs).values()
                if any(run["ids"] != theirs.warm["ids"] for run in (*theirs.runs, *ours.runs)):
                    raise SystemExit(f"generate, {layers} layers of {size}: not the same ids as transformers")
                work = f"generate, {layers} layers of {size}, batch {batch_size}, {counted(threads, 'thread')}"
                more = [row | {"work": work} for row in rows(contest)]
                more[1]["times_the_peer"] = ours.times_as_fast(theirs)
                lines += more
    save("generate", lines)


def search(folder, data, runs):
    """What a Marian of random weights writes in a second, with 4 beams; the best results are compared."""
    lines = []
    for layers, size in ((3, 256), (6, 512)):
        with tempfile.TemporaryDirectory() as place:
            systems.new_marian(place, layers, size)
            for batch_size in (1, 8):
                options = {"folder": place, "batch_size": batch_size, "threads": 1}
                contest = {"transformers": System("hf_search", **options), "minbert": System("search", **options)}
                theirs, ours = race(contest, runs).values()
                work = f"beam search, {layers} layers of {size}, batch {batch_size}, 1 thread"
                if any(run["ids"] != theirs.warm["ids"] for run in (*theirs.runs, *ours.runs)):
                    raise SystemExit(f"{work}: not the same ids as transformers")
                more = [row | {"work": work} for row in rows(contest)]
                more[1]["times_the_peer"] = ours.times_as_fast(theirs)
                lines += more
    save("search", lines)


def raced(work, folder, path, runs, contest, is_training=False):
    """Race, and what share of the machine's peak each system reaches."""
    found = race({"peak": System("peak")} | contest, runs)
    peaks = {precision: found["peak"].median(precision) for precision in ("fp32", "bf16")}
    cost = {first: systems.flops(folder, path, training=is_training, first_only=first) / 1e9 for first in (False, True)}
    lines = rows(found)
    for line in lines:
        line |= {"work": work}
        if "int8" not in line["system"]:
            first_only = "minbert" in line["system"] and "mean pooling" not in line["system"]
            done = line["tokens_per_second"] * cost[first_only]
            line["of_peak"] = done / peaks["bf16" if "bf16" in line["system"] else "fp32"]
    return lines, peaks, found


def predict(folder, data, runs):
    """Real tokens per second of prediction, ids prepared."""
    lines, peaks = [], {}
    for name, size in (("sst", 32), ("cfimdb", 8)):
        path = data[f"{name}-dev"]
        options = {"folder": folder, "path": path}
        contest = {
            f"transformers, batches of {size}": System("hf_predict", batch_size=size, **options),
            "sentence-transformers, sorted": System("st_encode", **options),
            "onnxruntime fp32, sorted": System("onnx_predict", **options),
            "onnxruntime int8, sorted": System("onnx_predict", int8=True, **options),
            "minbert": System("predict", **options),
            "minbert, mean pooling": System("predict", pooling="mean", **options),
            "minbert, int8": System("predict", precision="int8", **options),
            "minbert, bf16": System("predict", precision="bf16", **options),
        }
        if importlib.util.find_spec("ctranslate2"):
            contest = {"CTranslate2 fp32, sorted": System("ct2_predict", **options)} | contest
        more, peaks[name], _ = raced(f"predict {name}", folder, path, runs, contest)
        lines += more
    save("predict", lines, peak_gflops=peaks, int8=int8_accuracy(data))


def int8_accuracy(data):
    """Accuracy on SST's dev set of a frozen encoder and a trained head, in fp32 and int8."""
    parts = [read_examples(data[f"sst-{part}"]) for part in ("train", "dev")]
    labels, tokenizer = LabelSet.collect(parts[0]), BertTokenizer.from_pretrained(MODEL)
    train, dev = (training.Data(tokenizer(part.texts, truncation=True), labels.ids(part)) for part in parts)
    changes = {"num_labels": len(labels.names), "option": "pretrain", "pooling": "mean"}
    model = BertSentClassifier.from_pretrained(MODEL, **changes)
    classifier.fit(fast.swap_in(model), train, None, training.Settings(epochs=10, batch_size=32, lr=1e-2))
    found = {}
    for precision in ("fp32", "int8"):
        model = systems.quantize(model) if precision == "int8" else model
        right = training.predict(model, dev).argmax(-1) == torch.tensor(dev.labels)
        found[precision] = right.double().mean().item()
    return found


def train(folder, data, runs):
    """Real tokens per second of flexible training, the same batches, and the losses."""
    lines, peaks, losses = [], {}, {}
    for name, size, steps in (("sst", 8, 40), ("sst", 32, 20), ("cfimdb", 8, 10)):
        work, path = f"train {name}, batch {size}", data[f"{name}-train"]
        options = {"folder": folder, "path": path, "batch_size": size, "steps": steps}
        contest = {
            "transformers, Trainer": System("hf_train", **options),
            "minbert": System("train", **options),
            "minbert, bf16": System("train", precision="bf16", **options),
        }
        more, peaks[work], found = raced(work, folder, path, runs, contest, is_training=True)
        lines += more
        half = steps // 2
        losses[work] = {  # of the first run, from the same weights
            name: sum(system.warm["losses"][half:]) / (steps - half) for name, system in found.items() if name != "peak"
        }
    save("train", lines, peak_gflops=peaks, mean_loss_of_the_second_half=losses)


def frozen(folder, data, runs):
    """Ten epochs with the encoder frozen, 1,000 texts of SST."""
    options = {"folder": folder, "path": data["sst-train"]}
    contest = {
        "transformers, run again in each epoch": System("hf_train_frozen", **options),
        "minbert": System("train_frozen", **options),
    }
    found = race(contest, min(runs, 3))
    save("frozen", [row | {"work": "train frozen, 10 epochs"} for row in rows(found)])


PIPELINE = """import sys
from transformers import pipeline
lines = open(sys.argv[2]).read().splitlines()
classify = pipeline("text-classification", model=sys.argv[1], device="cpu")
print(len(classify(lines, batch_size=32)))
"""


def first(folder, data, runs):
    """From nothing to 100 predictions: the whole process."""
    with tempfile.TemporaryDirectory() as place:
        texts = Path(place, "texts.txt")
        texts.write_text("".join(line.replace("\n", " ") + "\n" for line in systems.texts(data["sst-dev"], 100)))
        command = [sys.executable, "train_classifier.py", "--eval_only", "--model", folder, "--test", str(texts)]
        commands = {
            "transformers, pipeline": [sys.executable, "-c", PIPELINE, folder, str(texts)],
            "minbert": [*command, "--format", "lines", "--out", str(Path(place, "out"))],
        }
        found = {name: [] for name in commands}
        for _ in range(runs + 1):
            for name, words in commands.items():
                found[name].append(whole_process(words))
    lines = []
    for name, seen in found.items():
        seconds, peak_mb = map(statistics.median, zip(*seen[1:]))
        lines.append({"work": "100 sentences, whole process", "system": name, "seconds": seconds, "peak_mb": peak_mb})
    save("first", lines)


# Linux counts what a process had before it became another program: so a small one starts and measures the command.
MEASURE = """
import os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - begin, usage.ru_maxrss / 1024)
sys.exit(status != 0)
"""


def whole_process(command):
    """Seconds and peak memory in MB of a command."""
    measured = subprocess.run([sys.executable, "-c", MEASURE, *command], cwd=ROOT, capture_output=True, text=True)
    if measured.returncode:
        raise SystemExit(measured.stderr)
    return map(float, measured.stdout.split())


BENCHES = {"tokenize": tokenize, "bpe": bpe, "unigram": unigram, "predict": predict, "train": train, "frozen": frozen}
BENCHES |= {"generate": generate, "search": search, "first": first}
NEED_NO_BERT = {"bpe", "unigram", "generate", "search", "table", "gpu"}


def speed(row):
    """How much of its work a system does in a second; of a whole process, how often it runs in a second."""
    return row.get("bytes_per_second") or row.get("tokens_per_second") or 1 / row["seconds"]


def strongest(row, others):
    """The fastest peer at a row's work, and how many times its speed the row has.

    A row in 8 bits is compared with peers in 8 bits, any other row with peers in float32.
    """
    peers = [
        other
        for other in others
        if other["work"] == row["work"]
        and not other["system"].startswith("minbert")
        and ("int8" in other["system"]) == ("int8" in row["system"])
    ]
    best = max(peers, key=speed)
    return best["system"], row.get("times_the_peer") or speed(row) / speed(best)


def page():
    """The table of all results there are, in Markdown, below a line that names the machines."""
    lines, machines = [], []
    for name in BENCHES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        last = None
        for row in record["rows"]:
            lines.append(cells(row, strongest(row, record["rows"]), row["work"] != last))
            last = row["work"]
        machine, versions = record["machine"], record["machine"]["versions"]
        machines.append(
            f"{machine['processor']}, {counted(machine['threads'], 'thread')}, torch {versions['torch']}, "
            f"minbert {versions['minbert']}"
        )
    header = ["work", "system", "per second", "ratio", "to the strongest peer", "of the peak", "MB at most"]
    return f"Measured on: {'; '.join(dict.fromkeys(machines))}.\n\n{table(header, lines)}"


def show():
    """Print the table, and write it into docs/speed.md."""
    text = page()
    print(text)
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    if begin:
        after = rest.partition(MARKS[1])[2]
        PAGE.write_text(f"{before}{begin}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def cells(row, peer, new):
    """A result as a row of the table. peer is what `strongest` returned; new, whether the work is named."""
    if "bytes_per_second" in row:
        done = f"{row['bytes_per_second'] / 1e6:.1f} MB"
    elif "tokens_per_second" in row:
        done = f"{rounded(row['tokens_per_second'])} tokens"
    else:
        done = f"{row['seconds']:.1f} s in all"
    name, ratio = peer
    share = f"{100 * row['of_peak']:.0f} %" if "of_peak" in row else ""
    versus = name if row["system"].startswith("minbert") else ""
    return (row["work"] if new else "", row["system"], done, f"{ratio:.2f}", versus, share, rounded(row["peak_mb"]))


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = (*BENCHES, "scale", "gpu", "table")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    default = Path(os.environ.get("MINBERT_REFERENCE", ROOT.parent / "shared"), "data")
    parser.add_argument("--data", default=str(default), metavar="FOLDER", help="with sst/ and cfimdb/")
    parser.add_argument("--runs", type=int, default=5, help="of each system; default: %(default)s")
    args = parser.parse_args()
    if unknown := set(args.names) - set(names):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    data = find_data(args.data)
    with tempfile.TemporaryDirectory() as folder:
        if set(args.names) - NEED_NO_BERT or not args.names:
            prepare(folder, len(LabelSet.collect(read_examples(data["sst-train"])).names))
        for name in args.names or BENCHES:
            print(f"{name} ...", file=sys.stderr)
            if name in BENCHES:
                BENCHES[name](folder, data, args.runs)
            elif name == "scale":
                scale.main()
            elif name == "gpu":
                gpu.main(args.runs)
    show()


if __name__ == "__main__":
    main()
