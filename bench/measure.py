"""Systems side by side: each in a process of its own, one run of each in turn, then the medians."""

import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from minbert.runs import report

RESULTS = Path(__file__).parent / "results"
PEERS = (
    "transformers",
    "tokenizers",
    "tiktoken",
    "sentencepiece",
    "sentence-transformers",
    "onnxruntime",
    "ctranslate2",
)


class System:
    """A process that does the same work each time it is asked.

    name  a function of bench.systems, which sets the work up and returns a function that does it once
    """

    def __init__(self, name, **options):
        command = [sys.executable, "-m", "bench.systems", name, json.dumps(options)]
        threads = {"RAYON_NUM_THREADS": str(options.get("threads", 2)), "TOKENIZERS_PARALLELISM": "true"}
        self.name, self.runs, self.peak_mb = name, [], None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | threads
        )
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with exit status {self.close()}: see above")
        return json.loads(line)

    def close(self):
        self.process.communicate()  # closes its pipes and waits
        return self.process.returncode

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self):
        self.runs.append(self.ask("run"))
        self.peak_mb = self.peak_mb or self.runs[0]["peak_mb"]  # of the first run: nobody does his work six times

    def end(self):
        self.process.stdin.write("end\n")
        self.close()

    def median(self, figure="seconds"):
        return statistics.median(run[figure] for run in self.runs)

    def times_as_fast(self, other):
        """The median of the ratios of runs that followed one another: what slows both down does not count."""
        return statistics.median(theirs["seconds"] / ours["seconds"] for ours, theirs in zip(self.runs, other.runs))


def race(systems, runs):
    """Let {name: System} run in turn, each of them runs times after one run that does not count. Returns them."""
    for system in systems.values():
        system.run()
        system.warm = system.runs.pop()
    for _ in range(runs):
        for system in systems.values():
            system.run()
    for system in systems.values():
        system.end()
    return systems


def machine():
    """What the figures depend on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
        model = re.search("model name\\s*: (.*)", text)[1]
        features = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in text]
        model += f" ({', '.join(features)})"
    peers = {}
    for name in PEERS:
        with contextlib.suppress(ImportError):
            peers[name] = report.version(name)
    return {"processor": model, "threads": torch.get_num_threads(), "versions": report.versions() | peers}


def save(name, rows, **more):
    """Write rows, a list of dicts, to bench/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine(), **more, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def table(header, rows):
    """Lines of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def rounded(value):
    """Three digits, with commas: 12,345.6 -> 12,300."""
    return f"{float(f'{value:.3g}'):,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
