"""Kernel distance of two sets of features: the squared maximum mean discrepancy, unbiased.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(a, b) = (a.b / D + 1)^3

over pairs of different clips (arXiv:1801.01401; of videos JEDi, arXiv:2410.05203). No Gaussian is
assumed, and the value is right on average for any number of clips: that of one population is zero,
and the value of a sample may be below.
"""

import numpy as np

from seedance_jax.evaluation.metrics import intervals
from seedance_jax.evaluation.metrics.frechet import check_features


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared discrepancy of features x [N, D], y [M, D]; a float.

    Raises ValueError as `frechet.frechet_distance`.
    """
    check_features(x, y)
    return discrepancy(kernels(x, y), np.ones(len(x)), np.ones(len(y)))


def kernels(x: np.ndarray, y: np.ndarray) -> tuple:
    """k of all pairs: (x with x [N, N], y with y [M, M], x with y [N, M]), float64."""
    x, y = (np.asarray(features, np.float64) for features in (x, y))
    return tuple((a @ b.T / x.shape[1] + 1.0) ** 3 for a, b in ((x, x), (y, y), (x, y)))


def discrepancy(kernels: tuple, x_weights: np.ndarray, y_weights: np.ndarray) -> float:
    """The distance if clip i of x is there x_weights[i] times; pairs of a clip with itself are out.

    They are out too where resampling draws a clip twice, or else every interval would be too high.
    """
    within = 0.0
    for kernel, weights in zip(kernels, (x_weights, y_weights), strict=False):
        squares = weights**2
        pairs = weights.sum() ** 2 - squares.sum()
        within += (weights @ kernel @ weights - squares @ np.diag(kernel)) / pairs
    across = x_weights @ kernels[2] @ y_weights / (x_weights.sum() * y_weights.sum())
    return float(within - 2 * across)


def kernel_estimate(x: np.ndarray, y: np.ndarray, seed: int = 0) -> intervals.Estimate:
    """`kernel_distance` of all clips, as an Estimate with the bootstrap's interval."""
    check_features(x, y)
    between = kernels(x, y)

    def distance(*rows):
        return discrepancy(between, *(np.bincount(part, minlength=len(part)) for part in rows))

    value = distance(np.arange(len(x)), np.arange(len(y)))
    return intervals.of_sets(value, (len(x), len(y)), distance, seed)
