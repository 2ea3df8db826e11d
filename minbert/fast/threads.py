"""Several batches at once, each by a thread of its own. The plain counterpart is `map`.

Threads that share the work of one product wait for each other after it. Threads with a batch each do not.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice

import torch

FEWEST, MOST = 256, 1024  # bounds for the limit of tokens in a batch
AHEAD = 2  # items that are taken for each worker before the first of them is waited for


def at_once(model, encoding) -> dict:
    """The arguments `each` and `tokens` for training.read, or {} to read one batch at a time.

    encoding  what a tokenizer returned, unpadded

    Several batches are read at once if the model is on the CPU, swapped in, made of our own parts alone and without
    hooks: a part of your own may not bear several threads.
    """
    rows, workers = encoding["input_ids"], torch.get_num_threads()
    if min(len(rows), workers) < 2 or not bears_threads(model):
        return {}
    tokens = sum(map(len, rows)) // (2 * workers)  # all threads have work to the end
    each = functools.partial(map_in_threads, workers=workers)
    return {"each": each, "tokens": max(FEWEST, min(MOST, tokens))}


def bears_threads(model) -> bool:
    parts = list(model.modules())
    homes = [type(part).__module__.split(".")[:2] for part in parts]
    ours = all(home[0] in ("minbert", "torch") for home in homes)
    hooks = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    return ours and not hooks and ["minbert", "fast"] in homes and next(model.parameters()).device.type == "cpu"


def map_in_threads(function: Callable, items: Iterable, workers: int) -> Iterator:
    """map(function, items), for `workers` items at a time, each with its share of torch's threads.

    function  called by several threads, unless workers is 1 or there is one item. It must itself switch off gradients
              and set the precision: torch remembers these for each thread
    """
    items, threads = iter(items), torch.get_num_threads()
    first = list(islice(items, workers))
    if len(first) < 2:
        yield from map(function, chain(first, items))
        return
    share, waiting = max(1, threads // len(first)), deque()
    pool = ThreadPoolExecutor(len(first), initializer=torch.set_num_threads, initargs=(share,))
    try:
        for item in chain(first, items):
            waiting.append(pool.submit(function, item))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the workers have changed what later threads begin with
