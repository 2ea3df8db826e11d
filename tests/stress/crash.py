"""Runs that are killed, and disks that are full, again and again: what is there afterwards, and what comes of it.

    python -m tests.stress.crash                   (make crash-test) some hundred kills, and each fault at each write
    python -m tests.stress.crash --kills 1000      more of them, at other moments with --seed

A program trains in a process of its own and is killed (SIGKILL) at a random moment, twice or three times over; or one
of its writes, flushes or renames fails, or is the last thing that it does. Whatever the folder holds then, the same
program must go on from it, or begin again if nothing was saved yet, and in the end leave the same files, bit for bit,
as a run that nothing happened to. Linux and macOS only.
"""

import argparse
import errno
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from tqdm import tqdm

from minbert import BertSentClassifier, BertTokenizer, Config, UserError
from minbert.__main__ import main as call
from minbert.fast.optimizer import fused_adamw
from minbert.metrics import score
from minbert.runs import plots, state
from tests.conftest import VOCAB

TEXTS = ("the film was good", "the film was bad", "a wonderful plot!", "a bad plot, unaffable", "good, good.", "bad.")
DATA = ("--model", "../model", "--train", "../train.txt", "--dev", "../train.txt", "--out", "out", "--device", "cpu")
LONG = ("--epochs", "2", "--batch_size", "2", "--save_minutes", "0")
TEXT = ("--text", "../text.txt", "--out", "out", "--steps", "20", "--batch_tokens", "64", "--max_length", "16")
SMALL = ("--layers", "1", "--hidden", "8", "--vocab_size", "60", "--dropout", "0.1", "--device", "cpu")
RESUME = ("--resume", "out")
ERRORS = {"no space": errno.ENOSPC, "input/output error": errno.EIO}
WRITES = ("save_file", "write_bytes", "write_text")
FAULTS = ("killed before", "killed within", *ERRORS)


@dataclass
class Program:
    """A command, the flags that begin a run of it in out/, those that resume it, and what it leaves."""

    command: str
    begin: tuple
    again: tuple
    files: tuple


PREDICTIONS = ("dev_out.txt", "dev_predictions.csv", "labels.txt")
LEFT = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
PROGRAMS = {
    f"train_classifier.py, {option}": Program(
        "train",
        (*DATA, *LONG, "--option", option),
        (*RESUME, "--save_minutes", "0"),
        (*LEFT, *PREDICTIONS),
    )
    for option in ("flexible", "pretrain")
} | {"pretrain_lm.py": Program("pretrain", (*TEXT, *SMALL), RESUME, LEFT)}


class Faults:
    """Counts what a program does to the disk, and lets the operation of one number go wrong."""

    WATCHED = (
        *((os, "fsync"), (os, "replace"), (os, "unlink")),
        *((safetensors.torch, "save_file"), (Path, "write_bytes"), (Path, "write_text")),
    )

    def __init__(self, number=None, fault=None):
        self.number, self.fault, self.seen = number, fault, []

    def install(self):
        def watched(name, original):
            return lambda *given, **more: self.operate(name, original, *given, **more)

        for place, name in self.WATCHED:
            setattr(place, name, watched(name, getattr(place, name)))

    def operate(self, name, original, *given, **more):
        if name == "unlink" and not os.path.lexists(given[0]):
            return original(*given, **more)
        mine = len(self.seen) == self.number
        self.seen.append(name)
        if not mine:
            return original(*given, **more)
        if name in WRITES and self.fault != "killed before":  # half of it is on the disk
            original(*given, **more)
            path = next(value for value in given if isinstance(value, Path))
            os.truncate(path, path.stat().st_size // 2)
        if self.fault in ERRORS:
            raise OSError(ERRORS[self.fault], os.strerror(ERRORS[self.fault]))
        os.kill(os.getpid(), signal.SIGKILL)


def start(program, folder, words, faults=None):
    """A process of its own that runs the program in folder; its number."""
    number = os.fork()
    if number:
        return number
    status = 99
    try:
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["program", *words]
        if faults:
            faults.install()
        status = call([program.command, *words])
        sys.stdout.flush()
        if faults and faults.number is None:
            os.write(os.open("operations.txt", os.O_WRONLY | os.O_CREAT), b"\n".join(map(str.encode, faults.seen)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end(number):
    """The exit status of a process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def next_words(program, folder):
    """How to go on with what is there. If that is a state, it must be whole."""
    path = folder / "out" / state.STATE
    if not path.exists():
        return program.begin
    state.load_state(path)
    return program.again


def is_done(folder):
    try:
        record = json.loads((folder / "out" / "pretraining.json").read_text(encoding="utf-8"))
        return record["finished"]
    except FileNotFoundError:
        return (folder / "out" / "run.json").exists() and not (folder / "out" / state.STATE).exists()


def finish(program, folder, whole):
    """Go to the end. What is left must be what a run leaves that nothing happened to, or AssertionError is raised."""
    if not is_done(folder):
        assert end(start(program, folder, next_words(program, folder))) == 0, "it does not go on"
    else:
        end(start(program, folder, program.again))  # which says that it is done, and tidies up
    names = [sorted(path.name for path in (place / "out").glob("[!.]*")) for place in (folder, whole)]
    assert names[0] == names[1], f"there is {names[0]}, not {names[1]}"
    for name in program.files:
        same = (folder / "out" / name).read_bytes() == (whole / "out" / name).read_bytes()
        assert same, f"{name} has other bits"


def killed(name, seed, root, seconds):
    """Up to three kills of a run at random moments. Returns how many met it."""
    program, rng, folder = PROGRAMS[name], random.Random(seed), root / f"{name} {seed}"
    folder.mkdir()
    kills = 0
    for _ in range(rng.randint(1, 3)):
        if is_done(folder):
            break
        number = start(program, folder, next_words(program, folder))
        time.sleep(rng.uniform(0, seconds))
        os.kill(number, signal.SIGKILL)
        kills += end(number) == -signal.SIGKILL
    finish(program, folder, root / name)
    shutil.rmtree(folder)
    return kills


def faulted(name, number, fault, root):
    """A run of which one operation goes wrong, and the one after it."""
    program, folder = PROGRAMS[name], root / f"{name} {number} {fault.replace('/', ' ')}"
    folder.mkdir()
    status = end(start(program, folder, program.begin, Faults(number, fault)))
    assert status in (0, 2, -signal.SIGKILL), f"exit status {status}"  # 0: it could do without
    assert (status == -signal.SIGKILL) == fault.startswith("killed"), f"exit status {status}"
    if status:
        finish(program, folder, root / name)
    shutil.rmtree(folder)
    return 1


def attempt(task):
    """A trial in a process of its own: its program, its kind, how many faults, and what was lost or None."""
    kind, trial, *given = task
    torch.set_num_threads(1)
    try:
        return given[0], kind, trial(*given), None
    except (AssertionError, UserError) as error:
        return given[0], kind, 1, f"{given[0]}, {given[1:-1]}: {error}"


def prepare(root):
    """The model, the data, and a run of each program that nothing happens to: {name: its operations, its seconds}."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(VOCAB), "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertSentClassifier(Config(**sizes, intermediate_size=16, max_position_embeddings=24))
    BertTokenizer(VOCAB).save_pretrained(root / "model")
    model.save_pretrained(root / "model")
    lines = [f"{number % 2} ||| {text}\n" for number, text in enumerate(TEXTS)]
    (root / "train.txt").write_text("".join(lines), encoding="utf-8")
    (root / "text.txt").write_text("\n".join(TEXTS * 40), encoding="utf-8")
    found = {}
    for name, program in PROGRAMS.items():
        (root / name).mkdir()
        begin = time.monotonic()
        status = end(start(program, root / name, program.begin, Faults()))
        seconds = time.monotonic() - begin
        assert status == 0, (root / name / "log.txt").read_text(encoding="utf-8")
        found[name] = (root / name / "operations.txt").read_text(encoding="utf-8").split(), seconds
    return found


def warm_up():
    """Load what the commands load late, once for all of them."""
    for module in ("commands.train", "commands.pretrain", "runs.stages", "pretraining.stages"):
        importlib.import_module(f"minbert.{module}")
    torch.set_num_threads(1)
    score([0, 1], [0, 1], ["0", "1"])
    fused_adamw([torch.nn.Parameter(torch.zeros(1))], lr=1.0).step()
    with suppress(UserError):
        plots.pyplot()


def crash(kills, seed, every=1):
    """All trials, as (program, kind): Counter of faults, and the list of what was lost.

    kills  at least so many trials at random moments, for each program
    every  one of so many operations gets its faults
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        warm_up()
        found, tasks = prepare(root), []
        for name, (operations, seconds) in found.items():
            tasks += [("at random", killed, name, seed + n, root, seconds) for n in range(kills)]
            for number in range(seed % every, len(operations), every):
                for fault in FAULTS:
                    if fault != "killed within" or operations[number] in WRITES:
                        tasks.append((fault, faulted, name, number, fault, root))
        tried, lost = Counter(), []
        with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
            for name, kind, count, loss in tqdm(pool.imap_unordered(attempt, tasks), total=len(tasks), disable=None):
                tried[name, kind] += count
                lost += [loss] if loss else []
        return tried, lost


def main():
    parser = argparse.ArgumentParser("python -m tests.stress.crash", description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=60, metavar="N", help="runs to kill, of each program")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other moments")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="spoil one operation of so many")
    args = parser.parse_args()
    tried, lost = crash(args.kills, args.seed, args.every)
    for name in PROGRAMS:
        kinds = ", ".join(f"{kind} {count}" for (program, kind), count in tried.items() if program == name)
        print(f"{name}: {kinds}")
    print(f"{sum(tried.values())} faults, {len(lost)} lost something", *lost, sep="\n")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
