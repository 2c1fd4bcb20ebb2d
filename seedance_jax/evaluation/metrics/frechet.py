"""Frechet distance of two sets of features: that of Gaussians fitted to them.

    |mean_x - mean_y|^2 + tr(X) + tr(Y) - 2 tr((X Y)^(1/2)),   X, Y covariances

(arXiv:1706.08500; of videos, arXiv:1812.01717). All in float64.
"""

import numpy as np

from seedance_jax.evaluation.metrics import intervals

ENOUGH = 4  # clips per dimension above which intervals have nearly their nominal coverage


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Frechet (2-Wasserstein) distance of two sets of features, each [B, D]; >= 0.

    With X = A' A the trace of the root is the sum of the singular values of A B' (and of R_A R_B',
    from A = Q R), so no matrix root is needed and fewer clips than dimensions are no numerical
    problem. The value is still biased upwards for few clips: see `frechet_estimate`.

    Raises:
      ValueError: shapes that do not fit, fewer than 2 rows, or values that are not finite.
    """
    check_features(x, y)
    factors = [factor(np.asarray(features, np.float64)) for features in (x, y)]
    shift = np.mean(x, 0, np.float64) - np.mean(y, 0, np.float64)
    traces = sum((part**2).sum() for part in factors)
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    return float(max(shift @ shift + traces - 2 * overlap, 0.0))


def factor(features: np.ndarray) -> np.ndarray:
    """R [min(B, D), D] with R' R = the unbiased covariance of features [B, D]."""
    centred = features - features.mean(0)
    return np.linalg.qr(centred / np.sqrt(len(features) - 1), mode="r")


def frechet_estimate(x: np.ndarray, y: np.ndarray, seed: int = 0) -> intervals.Estimate:
    """`frechet_distance` of all clips with an interval of the distance of their populations.

    The distance of few clips is too high: even two halves of one set are apart. Resampling adds
    about the same bias again, so the interval is that of the "basic" bootstrap, from 2 value - high
    to 2 value - low, and may lie below the value. It needs several times as many clips as
    dimensions, see `too_few`.
    """
    found = intervals.of_sets(
        frechet_distance(x, y),
        (len(x), len(y)),
        lambda a, b: frechet_distance(x[a], y[b]),
        seed,
    )
    low, high = (np.maximum(2 * found.value - bound, 0.0).item() for bound in found[1:3])
    return found._replace(low=high, high=low)


def too_few(x: np.ndarray, y: np.ndarray) -> str:
    """A warning if there are too few clips for the dimension of the features, else ""."""
    count, dimension = min(len(x), len(y)), x.shape[1]
    if count >= ENOUGH * dimension:
        return ""
    return (
        f"{count} clips are too few for a Frechet distance in {dimension} dimensions, which needs "
        f"{ENOUGH * dimension}: the value is too high and its interval too narrow; rely on the "
        "kernel distance"
    )


def check_features(x: np.ndarray, y: np.ndarray) -> None:
    """Raises ValueError unless x and y are finite, [B, D], of 2 rows or more and equal D."""
    for features in (x, y):
        if features.ndim != 2 or features.shape[1:] != x.shape[1:] or len(features) < 2:
            raise ValueError(
                f"features {x.shape} and {y.shape}: must be [B, D] with equal D, 2 rows or more"
            )
        if not np.isfinite(features).all():
            raise ValueError("features have values that are not finite")
