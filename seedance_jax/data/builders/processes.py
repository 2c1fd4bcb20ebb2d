"""Spreads the building of records over processes."""

import collections
import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

AHEAD = 4  # items in work or waiting to be taken, per process


def ordered_map(
    function: Callable,
    items: Iterable,
    num_processes: int,
    died: Callable[[Any], Any] | None = None,
) -> Iterator:
    """Yields function(item) in order, made by that many processes (1: by this one).

    Args:
      died: item -> what is yielded where its process is killed (out of memory, a fault in a codec).
        Without it that is a RuntimeError.
    """
    if num_processes < 1:
        raise ValueError(f"num_processes={num_processes} must be >= 1")
    return (
        map(function, items)
        if num_processes == 1
        else _spread(function, items, num_processes, died)
    )


def _spread(function, items, num_processes, died):
    items, waiting = iter(items), collections.deque()  # (item, future)
    pool = _pool(num_processes)
    try:
        while True:
            fresh = itertools.islice(items, AHEAD * num_processes - len(waiting))
            waiting.extend((item, pool.submit(function, item)) for item in fresh)
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:  # by any of those in work
                suspects = [item, *(other for other, _ in waiting)]
                waiting.clear()
                yield from _one_by_one(function, suspects, died)
                pool = _pool(num_processes)
            else:
                yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one_by_one(function, items, died):
    pool = _pool(1)
    try:
        for item in items:
            try:
                result = pool.submit(function, item).result()
            except BrokenProcessPool as error:
                if died is None:
                    raise RuntimeError(f"the process that made {item!r} was killed") from error
                pool, result = _pool(1), died(item)
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pool(num_processes: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork copies the threads' locks of whatever library is loaded.
    return ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn"))
