"""Share work among processes and machines by Ray: it places the work, and does it again where a process is lost.

Nothing is read or written but by the one process that asks: what a worker needs is sent to it, and what it found comes
back. So the machines of a cluster need no common folder. Each must have the same minbert and libraries, and each worker
computes with the same number of threads and the same kernels, so that the bits are those of one process.

Private network only: Python objects are sent as pickles, so who can join a cluster can run code on it.
"""

import logging
import os
import platform
import signal
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import minbert
from minbert.errors import Stopped, UserError
from minbert.wording import counted

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")
LOST = (
    "--ray: a worker has ended again and again: is the memory full there? "
    "--ray_cpus N gives each one more of a machine, so that fewer run at once"
)


@dataclass(frozen=True)
class Place:
    """How each worker computes."""

    cpus: int  # of a worker, and its number of threads
    gpus: int
    kernels: dict  # as fast.measure.choices() gives them
    versions: dict


def versions():
    return {name: version(name) for name in LIBRARIES} | {"minbert": minbert.__version__}


def place(ray, cpus, device="cpu"):
    """The Place of workers that compute as this process. Raises UserError if no machine of the cluster has room."""
    from minbert.fast import measure

    gpus = int(str(device) != "cpu")
    if not workers(ray, cpus, gpus):
        what = counted(cpus, "CPU") + " and a GPU" * gpus
        raise UserError(f"--ray: no machine of the cluster has {what}, which --ray_cpus and --device ask for")
    return Place(cpus, gpus, measure.choices(device), versions())


def workers(ray, cpus, gpus):
    """For how many workers the cluster has room."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = ((int(each.get("CPU", 0) // cpus), int(each.get("GPU", 0)) if gpus else 10**9) for each in machines)
    return sum(map(min, rooms))


@contextmanager
def threads(count):
    """A context in which torch and the libraries of scikit-learn compute on so many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


def settle(place):
    """Let this process, a worker, compute as a Place says. Returns a context. Raises UserError for other versions."""
    from minbert.fast import measure
    from minbert.fast.memory import retain_freed_memory

    here = versions()
    if other := [name for name in here if here[name] != place.versions[name]]:
        has, wanted = (", ".join(f"{name} {all[name]}" for name in other) for all in (here, place.versions))
        raise UserError(f"--ray: {platform.node()} has {has}, but here is {wanted}: install the same")
    logging.getLogger("minbert").setLevel(logging.ERROR)
    retain_freed_memory()
    measure.use(place.kernels, "--ray")
    return threads(place.cpus)


def package():
    """Ray. Raises UserError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it sends nothing about this run to its makers
    try:
        import ray
    except ImportError:
        raise UserError("--ray needs a package: pip install 'minbert[ray]'") from None
    return ray


@contextmanager
def connected(address=None):
    """Ray, connected to the cluster at an address; None: Ray's own default, which begins one on this machine where
    there is none. What is connected already is used, and left. Raises UserError if that fails.
    """
    ray = package()
    if ray.is_initialized():
        yield ray
        return
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, **quiet)
    except Exception as error:  # Ray raises that, too, where a machine is too busy for its processes to begin
        what = f"no cluster of Ray answers at {address}" if address else "Ray does not begin here"
        raise UserError(f"--ray: {what}: {str(error).partition(chr(10))[0]}") from None
    try:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, stopped if handler == signal.SIG_DFL else handler)  # Ray has put its own
        yield ray
    finally:
        ray.shutdown()
        with suppress(ValueError, TypeError):
            signal.signal(signal.SIGTERM, handler)


def stopped(number, frame):
    raise Stopped(number, "")


@contextmanager
def errors(ray):
    """A context in which the errors of workers are raised as they were there, if a user may be able to mend them."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, (UserError, OSError, MemoryError, RuntimeError)):
            raise error.cause from error
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError):
        raise UserError(LOST) from None


class Worker:
    """A process of Ray that makes something once, and calls it with each item.

    make(*parts) -> a function of an item; parts: references, so that a worker in its place can have them, too
    """

    def __init__(self, place, make):
        self.place, self.make, self.work = place, make, None

    def ready(self):
        """Done as soon as there is room for this worker."""

    def call(self, item, parts):
        with settle(self.place):
            self.work = self.work or self.make(*package().get(parts))
            return self.work(item)


def in_order(ray, place, make, parts, items):
    """(key, a function that waits for make(*parts)(item)) for each (key, item) of a stream, in their order.

    parts  are sent to each worker once
    As many items as keep the workers busy are read ahead.
    """
    options = {"num_cpus": place.cpus, "num_gpus": place.gpus, "max_restarts": -1, "max_task_retries": 3}
    kind, parts = ray.remote(**options)(Worker), [ray.put(part) for part in parts]
    made, room, busy, free, waiting = 0, workers(ray, place.cpus, place.gpus), {}, deque(), deque()
    for key, item in items:
        if made < room:
            worker, made = kind.remote(place, make), made + 1
            busy |= {worker.ready.remote(): worker, worker.ready.remote(): worker}  # it holds one item, and the next
        while not free:
            done, _ = ray.wait(list(busy))
            free.extend(map(busy.pop, done))
        worker = free.popleft()
        reference = worker.call.remote(item, parts)
        busy[reference] = worker
        waiting.append((key, partial(result, ray, reference)))
        if len(waiting) > 2 * room:
            yield waiting.popleft()
    yield from waiting


def result(ray, reference):
    with errors(ray):
        return ray.get(reference)


def as_done(ray, running, stop):
    """(what it is called, its result) of each task, as soon as it is done. Raises Stopped when a signal asks for it.

    running  {reference: what it is called}
    """
    running = dict(running)
    try:
        while running:
            done, _ = ray.wait(list(running), timeout=1)
            for reference in done:
                yield running.pop(reference), result(ray, reference)
            if stop and stop.asked:
                raise Stopped(stop.asked, stop.advice)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
