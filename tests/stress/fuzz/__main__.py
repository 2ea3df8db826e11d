"""Spoil files in thousands of ways; each must be refused by one line, or read right.

    make fuzz                                                    every fuzzer
    make fuzz ARGS="model.safetensors --count 100000 --seed 7"   one of them, longer, with other files

A line for each fuzzer: how many files or texts, what became of them, seconds, and the most memory the process has had.
A fault is anything else: another exception, a message of many lines, a number that is not one, code that was run. The
same seed and count make the same files. Memory is limited to a GiB more than the libraries take, and a model's file
that takes a minute ends the run.

Exit status: 0 no fault, 1 a fault, 2 something you can put right, with the reason.
"""

import importlib.util
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from minbert.commands import common as cli
from minbert.errors import UserError

MODULES = (
    "checkpoints",
    "families",
    "folders",
    "forms",
    "text",
    "readers",
    "conll",
    "squad",
    "pairs",
    "unigram",
)  # each has FUZZERS = {name: function(count, rng, folder) -> Counter}
ROOM = 2**30  # bytes


def fuzzers():
    """{name: function} of all modules."""
    found = {}
    for module in MODULES:
        if importlib.util.find_spec(f"tests.stress.fuzz.{module}"):
            found |= importlib.import_module(f"tests.stress.fuzz.{module}").FUZZERS
    return found


def run(name, function, count, seed):
    """Let a fuzzer make `count` files, or texts. Prints a line, and one for each fault; returns how many there were."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcomes = function(count, random.Random(f"{name} {seed}"), Path(folder))
        except Exception as error:  # some fuzzers end at their first fault
            outcomes = {f"fault: {type(error).__name__}: {error!s:.4000}": 1}
    seconds, most = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    faults = {outcome: times for outcome, times in outcomes.items() if outcome.startswith("fault")}
    told = [f"{outcomes[outcome]} {outcome}" for outcome in sorted(outcomes) if outcome not in faults]
    told = ", ".join([f"{count} tried", *told, f"{sum(faults.values())} faults"])
    print(f"{name}: {told}; {seconds:.0f} s, {most:.0f} MB", flush=True)
    for outcome in faults:
        print(f"  {outcome}  (python -m tests.stress.fuzz {name} --seed {seed} --count {count})")
    return sum(faults.values())


def limit_memory():
    """Let this process take a little more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, resource.RLIM_INFINITY))


def main(arguments):
    known = fuzzers()
    parser = cli.Parser("python -m tests.stress.fuzz", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(known)}; default: all")
    parser.add_argument("--count", type=cli.natural, default=10_000, metavar="N", help="files; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    args = parser.parse_args(arguments)
    for name in args.names:
        if name not in known:
            raise UserError(f"no fuzzer is called {name}; there are {', '.join(known)}")
    limit_memory()
    faults = sum(run(name, known[name], args.count, args.seed) for name in args.names or known)
    return 1 if faults else 0


if __name__ == "__main__":
    status = []
    sys.exit(cli.run(lambda arguments: status.append(main(arguments))) or sum(status))  # empty after --help
