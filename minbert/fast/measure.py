"""Which of several ways is the fastest on this machine: timed on first use, once per process, never on import.

Another kernel rounds differently, so a choice of one belongs to what a run's result depends on. `choices` says what was
chosen, for a run to record; `use` takes it back, for a resumed run. An environment variable decides before both:
MINBERT_LINEAR=torch or MINBERT_LINEAR=onednn; MINBERT_READING=plain or MINBERT_READING=packed for prediction.
"""

import math
import os
import threading
import time
from contextlib import contextmanager

import torch

from minbert.errors import UserError

MARGIN = 1.1  # the usual way is kept unless another is this much faster: a closer race might end differently next time
CHOICES = {}  # name -> Choice, of those that are recorded
DECIDING = threading.RLock()
# The time that this thread was running: what else runs on the machine does not count. Windows counts it too coarsely.
CLOCK = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter


@contextmanager
def one_thread():
    """A context in which torch computes on one thread.

    What several threads take depends more on the machine's other programs than on the kernel.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def race(ways, rounds=8, budget=0.2):
    """The best time of each way, on one thread: {name: function} -> {name: seconds}.

    The ways take turns, after one call of each that does not count.

    rounds  turns of each way; 3 are enough once the budget, in seconds, is spent
    """
    for run in ways.values():
        run()
    best, began = dict.fromkeys(ways, math.inf), CLOCK()
    for done in range(rounds):
        if done >= 3 and CLOCK() - began > budget:
            break
        for name, run in ways.items():
            begin = CLOCK()
            run()
            best[name] = min(best[name], CLOCK() - begin)
    return best


def fastest(seconds, usual):
    """The name of the fastest way; the usual one unless another is clearly faster."""
    best = min(seconds, key=seconds.get)
    return best if seconds[best] * MARGIN < seconds[usual] else usual


def example(*shape):
    """Numbers from -1 to 1. No generator of random numbers is touched: measuring changes no result."""
    return torch.arange(math.prod(shape), dtype=torch.float32).sin().view(shape)


class Choice:
    """A kernel, chosen once per process.

    name      "linear", say; MINBERT_LINEAR in the environment decides the choice
    known     the names of the kernels; the first is torch's own, and always there
    ways      called for {name: a function that runs the kernel on an example and returns tensors}, of those there are
    recorded  whether the result of a training run depends on it

    chosen   the kernel's name; None before it is first asked for
    because  why: "measured", "the only one here", or what has pinned it
    seconds  what was measured, {name: seconds}
    """

    def __init__(self, name, known, ways, recorded=True):
        self.name, self.known, self.ways, self.variable = name, known, ways, f"MINBERT_{name.upper()}"
        self.forget()
        if recorded:
            CHOICES[name] = self

    def forget(self):
        """Choose again when next asked."""
        self.chosen, self.because, self.seconds = None, "", {}

    def get(self):
        """The name of the kernel to use. Raises UserError if the environment names one that is not there."""
        with DECIDING:  # several threads may ask at once; they would disturb each other's measurement
            if self.chosen is None:
                self.decide()
        return self.chosen

    @one_thread()
    def decide(self):
        if asked := os.environ.get(self.variable):
            self.pin(asked, self.variable)
            return
        ways = self.ways()
        if len(ways) == 1:
            self.chosen, self.because = self.known[0], "the only one here"
            return
        self.seconds = race(ways)
        self.chosen, self.because = fastest(self.seconds, self.known[0]), "measured"
        results = (torch.cat([x.flatten() for x in ways[name]()]) for name in (self.known[0], self.chosen))
        if not torch.allclose(*results, rtol=1e-4, atol=1e-3):
            self.chosen, self.because = self.known[0], "the faster one computes wrongly here"

    def pin(self, kernel, because):
        """Use this kernel from now on. Raises UserError if it is unknown, or not there.

        because  what asks for it
        """
        here = [name for name in self.known if name in self.ways()]
        if kernel not in here:
            missing = f"is not in torch {torch.__version__} on this machine" if kernel in self.known else "is unknown"
            advice = f"choose {' or '.join(here)}" if because == self.variable else f"set {self.variable}={here[0]}"
            raise UserError(f"{because}: the {self.name} kernel {kernel!r} {missing}; {advice}")
        # `race` switches off MKL's own choice of how many threads to use. So does this: what is pinned computes the
        # same bits as what was measured.
        torch.set_num_threads(torch.get_num_threads())
        self.chosen, self.because = kernel, because


def choices(device="cpu"):
    """{name: kernel} of each recorded choice, measured now if need be; {} for a GPU, whose kernels torch chooses."""
    if torch.device(device).type != "cpu":
        return {}
    return {name: choice.get() for name, choice in CHOICES.items()}


def use(facts, because):
    """Go on with the kernels that `choices` gave elsewhere; the environment still decides first.

    facts    a dict that holds what `choices` returned; other names in it are left alone
    because  what asks for them: "the run that is resumed"
    Raises UserError if a kernel is not there.
    """
    for name, choice in CHOICES.items():
        if name in facts and not os.environ.get(choice.variable):
            choice.pin(facts[name], because)
