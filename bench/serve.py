"""What bench.measure starts: sets a system up, then does its work once for each line of the standard input.

    python -m bench.serve FUNCTION OPTIONS          of bench.systems
    python -m bench.serve MODULE.FUNCTION OPTIONS   of bench.peers

What a run returns: seconds, and what it did in them.
"""

import gc
import importlib
import json
import math
import os
import sys
import time
import warnings
import zlib
from typing import NamedTuple

import numpy as np


class Texts(NamedTuple):
    texts: list
    labels: list
    ids: list  # of each text, without padding


def load(path):
    """A file that bench.texts has written."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return Texts(*([row[name] for row in rows] for name in ("text", "label", "ids")))


def checks(ids):
    """A number for the ids of each text: two systems that give the same ids give the same numbers."""
    return [zlib.crc32(np.asarray(row, np.int32).tobytes()) for row in ids]


def timed(work, clock=time.perf_counter):
    """The seconds that work takes."""
    begin = clock()
    work()
    return {"seconds": clock() - begin}


def found(name):
    """The function that sets a system up."""
    if "." in name:
        module, _, name = name.partition(".")
        return getattr(importlib.import_module(f"bench.peers.{module}"), name)
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()  # as our commands do
    return getattr(importlib.import_module("bench.systems"), name)


def main(name, options):
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(figures):
        assert all(math.isfinite(value) for value in figures.values() if isinstance(value, float))
        out.write(json.dumps(figures) + "\n")
        out.flush()

    warnings.simplefilter("ignore")
    run = found(name)(**options)
    answer({})
    for line in sys.stdin:
        if line.strip() == "end":
            return
        gc.collect()  # the optimizer of the run before, say
        figures = run()
        with open("/proc/self/status") as status:
            peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        answer(figures | {"peak_mb": peak_kb / 1024})


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
