"""Batches of one size, so that there is one shape to compile."""

from collections.abc import Iterator

import numpy as np


def batches(count: int, size: int) -> Iterator[np.ndarray]:
    """Yields int [size], the rows 0 to count - 1 in turn; the last one again fills up the last."""
    for start in range(0, count, size):
        yield np.minimum(np.arange(start, start + size), count - 1)
