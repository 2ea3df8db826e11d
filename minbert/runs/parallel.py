"""Several processes train one model: each reads its share of every batch, and all take the same step.

    torchrun --nproc_per_node=2 train_classifier.py ...     on a CPU, or with one GPU for each process

The batch keeps its size, whatever the number of processes, and the result is that of one process but for rounding and
for what dropout draws. Alone, a process is rank 0 of 1: `share` gives it everything, and nothing below does anything.
A CPU's cores are shared out by hand: OMP_NUM_THREADS is the number of threads of each process, and torchrun sets it to
1. If a process fails, torchrun stops the rest and adds a report of its own.

Private network only: nothing that the processes send each other is encrypted, and who reaches their ports can join
them and, since Python objects are sent as pickles, run code in them.
"""

import io
import math
import os
import re
import sys
import time
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from itertools import islice

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from minbert.errors import UserError
from minbert.jsonfile import quoted

FIRST_WORD = 10  # seconds that rank 0 has to report a mistake that all processes make
LOST = (
    "another process has ended without a message: was it killed, or is the memory full? "
    "If the run has saved its state, go on with --resume FOLDER"
)
PLACE = {  # what torchrun sets for each process
    "WORLD_SIZE": r"[1-9]\d*",
    "RANK": r"\d+",
    "LOCAL_RANK": r"\d*",
    "MASTER_ADDR": ".+",
    "MASTER_PORT": r"\d+",
}


def size():
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank():
    """Which of them this one is, from 0."""
    return distributed.get_rank() if size() > 1 else 0


def writer():
    """Whether this is the one process that writes files."""
    return rank() == 0


def place():
    """(rank, number of processes) as the environment variables say; (0, 1) without them. Raises UserError if wrong."""
    said = {name: os.environ.get(name, "") for name in PLACE}
    if said["WORLD_SIZE"] in ("", "1"):
        return 0, 1
    wrong = [name for name, form in PLACE.items() if not re.fullmatch(form, said[name])]
    if not wrong and int(said["RANK"]) >= int(said["WORLD_SIZE"]):
        wrong = ["RANK"]
    if wrong:
        several = f"WORLD_SIZE is {quoted(said['WORLD_SIZE'])}, as if this were one of several processes"
        remedy = "start them with torchrun, or unset WORLD_SIZE to train in one process"
        raise UserError(f"{several}, but this is missing or wrong: {', '.join(wrong)}; {remedy}")
    return int(said["RANK"]), int(said["WORLD_SIZE"])


def start():
    """Join the processes that torchrun has started, as its environment variables say. Returns what all can read.

    Raises UserError if they do not come together.
    """
    rank, size = place()
    meeting = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if rank == 0 and "TORCHELASTIC_RUN_ID" not in os.environ:  # a batch system may set WORLD_SIZE for others
        what = f"WORLD_SIZE is {size}: waiting at {meeting} for the other processes"
        print(f"{what}; to train in one process, unset WORLD_SIZE", file=sys.stderr, flush=True)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, size = next(distributed.rendezvous("env://"))
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    except RuntimeError as error:
        reason = quoted(str(error).partition("\n")[0], 200)
        raise UserError(f"the {size} processes do not find each other at {meeting} ({reason})") from None
    return store


def together(program):
    """program(), which returns an exit status, in each of the processes that torchrun has started. Only rank 0 prints.

    Returns the status if the process is alone, and else ends it.

    Most mistakes are made by all processes, but not at the same time, and torchrun stops all of them when the first has
    ended. So the others wait until rank 0 has reported its own, and report theirs if it has none.
    """
    try:
        if place() == (0, 1):
            return program()
        store, reports = start(), io.StringIO()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def reported():
        with suppress(RuntimeError):  # the process that keeps the store is gone
            return store.check(["reported"])
        return False

    with ExitStack() as silence:
        if not writer():
            silence.enter_context(redirect_stdout(silence.enter_context(open(os.devnull, "w"))))
            silence.enter_context(redirect_stderr(reports))
        try:
            status = program()
        except RuntimeError as error:
            if not is_lost(error):
                raise
            status = 2
            if not reported():
                print(f"error: {LOST}", file=sys.stderr)
    if status and not writer():
        deadline = time.monotonic() + FIRST_WORD
        while not reported() and time.monotonic() < deadline:
            time.sleep(0.05)
        if not reported():
            print(reports.getvalue(), end="", file=sys.stderr, flush=True)
    if status or writer():
        with suppress(RuntimeError):
            store.set("reported", "")
    with suppress(RuntimeError):
        distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # at once: a thread of gloo that outlives Python would abort (pytorch/pytorch issue 190489)


def is_lost(error):
    """Whether a RuntimeError says that another process is gone: torch's own class, or gloo's words."""
    return isinstance(error, distributed.DistError) or re.search("Connection (closed|reset) by peer", str(error))


def take_device(device):
    """Make the GPU with this process's number its own. Raises UserError if the machine has too few."""
    number = int(os.environ.get("LOCAL_RANK") or 0) if size() > 1 else 0
    there = {"cpu": math.inf, "cuda": torch.cuda.device_count()}.get(device.type, 1)
    if number >= there:
        verb = "is" if there == 1 else "are"
        raise UserError(
            f"each process needs its own {device.type} device, but only {there} {verb} available; or use --device cpu"
        )
    if number and device.type == "cuda":
        torch.cuda.set_device(number)


def wrap(model, seed):
    """model, to be called in training: its weights become rank 0's, its gradients the mean of all processes'.

    seed  from which, and its rank, each process draws its own dropout
    """
    if size() == 1:
        return model
    torch.manual_seed(seed + rank())
    return DistributedDataParallel(model, static_graph=True)  # static: a pooler that nobody reads has no gradient


def share(batch, count=len):
    """The part of a batch that this process reads, and the factor for its loss, the mean over that part.

    The factor makes the mean of the processes' losses, and of their gradients, that over the whole batch [B]: it is the
    part's share of what counts in the batch, times the number of processes. Where there are fewer rows than processes
    some read the first with factor 0, as all have to take part.

    batch  a named tuple of tensors, with `labels`
    count  a function: labels -> how much they count in the mean
    """
    if size() == 1:
        return batch, 1.0
    rows = slice(rank(), None, size())
    factor = float(size() * count(batch.labels[rows]) / max(count(batch.labels), 1e-9))
    if rank() >= len(batch.labels):
        rows = slice(1)
    return type(batch)(*(tensor[rows] for tensor in batch)), factor


def mean(loss):
    """The mean of the processes' losses, scalar tensors; its gradient is this process's, which `wrap` averages."""
    return loss if size() == 1 else Mean.apply(loss)


class Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss):
        total = loss.clone()
        distributed.all_reduce(total)
        return total / size()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def highest(number):
    """The highest of the processes' whole numbers."""
    if size() == 1:
        return number
    number = torch.tensor(number)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return number.item()


def deal(stream):
    """Those items of a stream that are this process's; together the processes have each one once."""
    return islice(stream, rank(), None, size())


def gather(rows):
    """The lists of all processes as one."""
    if size() == 1:
        return rows
    lists = [None] * size()
    distributed.all_gather_object(lists, rows)
    return [row for rows in lists for row in rows]
