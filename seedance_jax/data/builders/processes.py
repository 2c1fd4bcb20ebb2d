"""Spreads the building of records over processes."""

import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def mapper(num_processes: int) -> Iterator[Callable[[Callable, Iterable], Iterable]]:
    """Yields a lazy `map` that keeps the order, over that many processes (1: in this one)."""
    if num_processes < 1:
        raise ValueError(f"num_processes={num_processes} must be >= 1")
    if num_processes == 1:
        yield map
        return
    # Spawned, not forked: a fork copies the threads' locks of whatever library is loaded.
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        yield functools.partial(pool.imap, chunksize=4)
