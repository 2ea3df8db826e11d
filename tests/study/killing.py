"""Kill minbert study compare at random moments, let it go on, and compare the tables: 20 moments by default.

    OMP_NUM_THREADS=1 python -m tests.study.killing FOLDER 20 [WORDS of minbert study compare]

One process imports what is needed, and forks each run; that needs a single thread before, hence the variable.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from minbert.__main__ import main
from minbert.fast import measure
from minbert.fast.memory import retain_freed_memory
from minbert.fast.optimizer import fused_adamw
from minbert.study import bert, crossval, note, tables, toolbox  # noqa: F401 (imported once, for all forks)

TABLES = ("table.csv", "table.md", "table.tex", "rows.csv.gz", "folds.csv")


def start(words):
    """The process id of a run; what it prints is lost, and its exit status is 0 or 1."""
    if pid := os.fork():
        return pid
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (it ends with the process)
    os._exit(main(["study", "compare", *words]))


def finish(words):
    _, status = os.waitpid(start(words), 0)
    assert status == 0, status


def contents(folder):
    return {name: (Path(folder) / name).read_bytes() for name in TABLES}


def kill_and_compare(folder, words, moments, rng):
    """Returns at how many of the moments some units, but not all, were there."""
    began = time.monotonic()
    finish([*words, "--out", f"{folder}/whole"])
    wanted, whole = contents(f"{folder}/whole"), time.monotonic() - began
    units, midway = len(list(Path(folder, "whole", "units").iterdir())), 0
    for number in range(moments):
        out = Path(folder, f"killed-{number}")
        pid = start([*words, "--out", str(out)])
        time.sleep(rng.uniform(0.02, 0.9) * whole)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        there = len(list(out.glob("units/*.json")))
        midway += 0 < there < units
        finish([*words, "--out", str(out)])
        assert contents(out) == wanted, out
        assert len(list((out / "units").iterdir())) == units, "a state is left over"
        print(f"killed with {there} of {units} units there: the same tables", flush=True)
    return midway


if __name__ == "__main__":
    folder, moments, *words = sys.argv[1:]
    retain_freed_memory()
    os.environ |= {f"MINBERT_{name.upper()}": kernel for name, kernel in measure.choices().items()}  # timed once
    fused_adamw([{"params": [torch.nn.Parameter(torch.zeros(1))]}], 1.0)  # torch imports more when it is first used
    count = kill_and_compare(folder, words, int(moments), random.Random(0))
    print(f"{count} of {moments} in the midst of the units")
