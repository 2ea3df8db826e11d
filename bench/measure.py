"""Systems side by side: each in a process of its own, one run of each in turn, then the medians."""

import contextlib
import importlib.util
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
from minbert.wording import counted

RESULTS = Path(__file__).parent / "results"
PEERS = ("transformers", "sentence-transformers", "onnxruntime", "openvino", "ctranslate2", "tokenizers", "tiktoken")
PEERS += ("flash-tokenizer", "blingfire", "sentencepiece")
ABILITIES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")  # of /proc/cpuinfo


class System:
    """A process that does the same work each time it is asked.

    name  a function of bench.systems, or MODULE.FUNCTION of bench.peers, which sets the work up and returns a function
          that does it once
    """

    def __init__(self, name, **options):
        number = str(options.setdefault("threads", torch.get_num_threads()))
        threads = {"OMP_NUM_THREADS": number, "RAYON_NUM_THREADS": number, "TOKENIZERS_PARALLELISM": "true"}
        quiet = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-m", "bench.serve", name, json.dumps(options)]
        self.name, self.runs, self.peak_mb = name, [], None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | threads | quiet
        )
        self.is_set_up = False

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with exit status {self.close()}: see above")
        return json.loads(line)

    def close(self):
        self.process.communicate()  # closes its pipes and waits
        return self.process.returncode

    def ask(self, word):
        self.is_set_up = self.is_set_up or self.answer() == {}  # others set themselves up meanwhile
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

    def must_equal(self, wanted, figure):
        """Raises SystemExit where a run gave another figure than was wanted."""
        if any(run[figure] != wanted for run in (self.warm, *self.runs)):
            raise SystemExit(f"{self.name}: other {figure} than the systems beside it")

    def times_as_fast(self, other):
        """The median of the ratios of runs that followed one another: what slows both down does not count."""
        return statistics.median(theirs["seconds"] / ours["seconds"] for ours, theirs in zip(self.runs, other.runs))


def peer(package, name, **options):
    """The System of a package; None where that is not installed."""
    return System(name, **options) if importlib.util.find_spec(package) else None


def race(systems, runs):
    """Let {name: System} run in turn, each of them runs times after one run that does not count. Returns them.

    A None stays where it is: a peer that is not to be had here.
    """
    there = [system for system in systems.values() if system]
    for system in there:
        system.run()
        system.warm = system.runs.pop()
    for _ in range(runs):
        for system in there:
            system.run()
    for system in there:
        system.end()
    return systems


def rows(work, found, unit="tokens"):
    """[{"work", "system", "tokens_per_second", "peak_mb"}, ...] of what `race` returned; "missing": is not here.

    Of a system that tells how long it tokenizes, also {"with_tokenizing_per_second"}.
    """
    lines = []
    for name, system in found.items():
        lines.append({"work": work, "system": name})
        if not system:
            lines[-1]["missing"] = True
            continue
        lines[-1] |= {f"{unit}_per_second": system.warm[unit] / system.median(), "peak_mb": system.peak_mb}
        if "tokenizing" in system.warm:
            seconds = statistics.median(run["seconds"] + run["tokenizing"] for run in system.runs)
            lines[-1]["with_tokenizing_per_second"] = system.warm[unit] / seconds
    return lines


def machine():
    """What the figures depend on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
        model = re.search("model name\\s*: (.*)", text)[1]
        model += f" ({', '.join(name for name in ABILITIES if name in text.split())})"
    peers = {}
    for name in PEERS:
        with contextlib.suppress(ImportError):
            peers[name] = report.version(name)
    return {"processor": model, "threads": torch.get_num_threads(), "versions": report.versions() | peers}


def heading(machine):
    """'AMD EPYC (avx2, avx512f), 2 threads': what a table is of. The results of two headings lie in two folders."""
    return f"{machine['processor']}, {counted(machine['threads'], 'thread')}"


def save(name, rows, of=None, **more):
    """Write rows, a list of dicts, to bench/results/OF/NAME.json: never over those of another processor.

    of  what was measured; None: this processor
    """
    found = machine()
    folder = RESULTS / re.sub("[^a-z0-9_]+", "-", (of or heading(found)).lower())
    folder.mkdir(parents=True, exist_ok=True)
    record = {"machine": found, **more, "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def records():
    """{folder: {name of a bench: what it saved}} of all processors."""
    return {
        folder: {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
        for folder in sorted(path for path in RESULTS.iterdir() if path.is_dir())
    }


def table(header, rows):
    """Lines of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def rounded(value):
    """Three digits, with commas: 12,345.6 -> 12,300."""
    return f"{float(f'{value:.3g}'):,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
