"""Kernel distance of two sets of features: the squared maximum mean discrepancy, unbiased.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(a, b) = (a.b / D + 1)^3

over pairs of different clips (arXiv:1801.01401; for videos JEDi, arXiv:2410.05203). It assumes no
Gaussian and is unbiased for any number of clips; values of equal populations are around zero and
may be negative.
"""

import numpy as np

from seedance_jax.evaluation.metrics import intervals
from seedance_jax.evaluation.metrics.frechet import check_features


def kernels(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k of all pairs (x with x, y with y, x with y), float64 matrices."""
    x, y = (np.asarray(features, np.float64) for features in (x, y))
    return tuple((a @ b.T / x.shape[1] + 1.0) ** 3 for a, b in ((x, x), (y, y), (x, y)))


def discrepancy(
    kernels: tuple[np.ndarray, np.ndarray, np.ndarray], x_counts: np.ndarray, y_counts: np.ndarray
) -> float:
    """The discrepancy of sets in which clip i of x occurs x_counts[i] times, and likewise of y.

    Pairs of a clip with itself do not count, also where resampling draws a clip twice; otherwise
    every interval would be too high.
    """
    within = 0.0
    for kernel, counts in zip(kernels, (x_counts, y_counts), strict=False):
        squares = counts**2
        pairs = counts.sum() ** 2 - squares.sum()
        within += (counts @ kernel @ counts - squares @ np.diag(kernel)) / pairs
    across = x_counts @ kernels[2] @ y_counts / (x_counts.sum() * y_counts.sum())
    return float(within - 2 * across)


def kernel_estimate(x: np.ndarray, y: np.ndarray, seed: int = 0) -> intervals.Estimate:
    """Unbiased squared discrepancy of features [B, D] with a bootstrap interval.

    Raises ValueError like `frechet.frechet_distance`.
    """
    check_features(x, y)
    between = kernels(x, y)

    def distance(*rows):
        return discrepancy(between, *(np.bincount(part, minlength=len(part)) for part in rows))

    value = distance(np.arange(len(x)), np.arange(len(y)))
    return intervals.of_sets(value, (len(x), len(y)), distance, seed)
