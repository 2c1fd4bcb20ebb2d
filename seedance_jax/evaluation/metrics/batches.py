"""Batches of one size, so that functions compile for one shape."""

from collections.abc import Iterator

import numpy as np


def batches(count: int, size: int) -> Iterator[np.ndarray]:
    """Yields row numbers int [size] from 0 to count - 1; the last batch repeats the last row."""
    for start in range(0, count, size):
        yield np.minimum(np.arange(start, start + size), count - 1)
