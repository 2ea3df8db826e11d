"""Memory that a process keeps for its next batch. There is no plain counterpart: nothing that is computed changes."""

import ctypes
import gc
import os
from contextlib import suppress


def retain_freed_memory():
    """Have this process keep the memory it frees, for the next batch, and take it in large pages.

    Without it much of a CPU's time goes into pages that are handed back to Linux and asked for again. Elsewhere than
    on Linux nothing happens. For programs: what imports minbert is not touched.
    """
    gc.freeze()  # nor is what was imported searched for garbage again and again
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for large pages if it reads this before it starts
    trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1  # names of malloc.h
    with suppress(AttributeError, OSError, TypeError):  # where there is no glibc
        libc = ctypes.CDLL(None)
        for option in (mmap_threshold, trim_threshold):
            libc.mallopt(option, most)
