"""Spreads the building of records over processes."""

import collections
import contextlib
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

AHEAD = 16  # items in work or waiting to be taken, per process


def ordered_map(
    function: Callable,
    items: Iterable,
    num_processes: int,
    died: Callable[[Any], Any] | None = None,
) -> Iterator:
    """Yields function(item) in order, made by that many processes (1: by this one).

    Close it (`contextlib.closing`) where it may not be used up: that ends the processes.

    Args:
      died: item -> what is yielded where its process is killed (out of memory, a fault in a codec).
        Without it that is a ChildProcessError; this process itself nobody guards.
    """
    if num_processes < 1:
        raise ValueError(f"num_processes={num_processes} must be >= 1")
    if num_processes == 1:
        yield from map(function, items)
        return
    items, waiting = iter(items), collections.deque()  # [item, its future]
    while True:
        with _pool(num_processes) as pool:
            try:
                while _fill(waiting, items, AHEAD * num_processes, pool, function):
                    result = waiting[0][1].result()
                    waiting.popleft()
                    yield result
                return
            except BrokenProcessPool:  # by any of those in work
                pass
        yield from _one_by_one(function, waiting, died)


def _fill(waiting, items, most, pool, function):
    """Puts items to work until `most` are waited for; whether any is."""
    for item in itertools.islice(items, most - len(waiting)):
        waiting.append([item, None])
        waiting[-1][1] = pool.submit(function, item)
    return bool(waiting)


def _one_by_one(function, waiting, died):
    """Empties `waiting` with a process for one item at a time, from which its killer is known."""
    while waiting:
        with _pool(1) as pool:
            try:
                while waiting:
                    item, future = waiting[0]
                    if future is None or not future.done() or future.exception():
                        future = pool.submit(function, item)
                    result = future.result()
                    waiting.popleft()
                    yield result
                return
            except BrokenProcessPool as error:
                item, _ = waiting.popleft()
                if died is None:
                    raise ChildProcessError(f"the process of {item!r} was killed") from error
        yield died(item)


@contextlib.contextmanager
def _pool(num_processes: int) -> Iterator[ProcessPoolExecutor]:
    others = {*multiprocessing.active_children()}
    # Spawned, not forked: a fork copies the threads' locks of whatever library is loaded.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, context, initializer=_end_with_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in {*multiprocessing.active_children()} - others:
            process.terminate()
        raise
    pool.shutdown()


def _end_with_parent():
    """A process that waits for work would outlive a parent that is killed."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
