"""Memory that a process keeps for its next batch. There is no plain counterpart: nothing that is computed changes."""

import ctypes
import gc
import math
import mmap
import os
import time
from contextlib import suppress
from pathlib import Path

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PAGE = mmap.PAGESIZE
PROBE = 32 * 2**20  # bytes that are touched to see what pages cost


def retain_freed_memory():
    """Have this process keep the memory it frees, for the next batch, and take it in large pages.

    Without it, much of a CPU's time goes into pages that are handed back to Linux and asked for again. On other systems
    than Linux nothing happens. For programs: importing minbert does not call it.

    Returns whether the allocator has agreed.
    """
    gc.freeze()  # nor is what was imported searched for garbage again and again
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for large pages if it reads this before it starts
    trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1  # names of malloc.h
    with suppress(AttributeError, OSError, TypeError):  # where there is no glibc
        libc = ctypes.CDLL(None)
        agreed = [libc.mallopt(option, most) for option in (mmap_threshold, trim_threshold)]
        return all(agreed)
    return False


def large_pages():
    """When Linux gives large pages: "always", "madvise" (if asked, as torch does) or "never"; "" if it does not say."""
    with suppress(OSError, IndexError):
        return LARGE_PAGES.read_text().split("[")[1].split("]")[0]
    return ""


def page_costs(size=PROBE):
    """Seconds for the first touch of fresh memory, in small and in large pages, and for touching it again.

    {"small": s, "large": s, "again": s}, the best of three each; {} on other systems than Linux.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return {}
    costs = {}
    for name, advice in (("small", mmap.MADV_NOHUGEPAGE), ("large", mmap.MADV_HUGEPAGE)) * 3:
        try:
            with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
                memory.madvise(advice)
                for pages in (name, "again"):
                    costs[pages] = min(touch(memory), costs.get(pages, math.inf))
        except OSError:  # a kernel without large pages
            return {}
    return costs


def touch(memory):
    """Write one byte into each page. Returns the seconds."""
    ones = bytes(len(memory) // PAGE)
    begin = time.perf_counter()
    memory[::PAGE] = ones
    return time.perf_counter() - begin


def is_kept(size=PROBE):
    """Whether a tensor that was freed leaves its memory to the next one; None where this cannot be seen."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import torch

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(size, dtype=torch.uint8).fill_(1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    return min(faults() for _ in range(6)) < 8  # the first ones may find their place cut up


def in_large_pages(size=PROBE):
    """The share of a fresh tensor that torch got in large pages; None where Linux does not say."""
    import torch

    def amount():
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("AnonHugePages"))

    try:
        before = amount()
        tensor = torch.empty(size, dtype=torch.uint8).fill_(1)
        return min(1.0, max(0.0, (amount() - before) / tensor.numel()))
    except (OSError, StopIteration):
        return None
