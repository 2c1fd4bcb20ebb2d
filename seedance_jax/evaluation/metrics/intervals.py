"""Values with 95 % intervals: shares of clips, means, and whatever can be computed again."""

import math
from typing import NamedTuple

import numpy as np

Z = 1.959964  # of a normal distribution, 95 %
PERCENTILES = (2.5, 97.5)
RESAMPLES = 200


class Estimate(NamedTuple):
    """A value, the 95 % interval of what it estimates, and the number of clips (or pairs)."""

    value: float
    low: float
    high: float
    count: int


def share(hits, count):
    """The Estimate of a probability (Wilson's interval); NaN, from 0 to 1, of nothing."""
    if not count:
        return Estimate(math.nan, 0.0, 1.0, 0)
    rate, weight = hits / count, Z**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    half = Z * math.sqrt(rate * (1 - rate) / count + weight / (4 * count)) / (1 + weight)
    return Estimate(rate, max(middle - half, 0.0), min(middle + half, 1.0), count)


def mean(values):
    """The Estimate of a mean of values [N], by resampling them; NaN of nothing."""
    values = np.asarray(values, np.float64)
    if not values.size:
        return Estimate(math.nan, math.nan, math.nan, 0)
    draws = [values[rows].mean() for rows in resamples(len(values))]
    return Estimate(float(values.mean()), *percentiles(draws), len(values))


def resamples(count, seed=0, times=RESAMPLES):
    """Yields int [count], rows drawn with replacement; not all the same unless there is one."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        rows = rng.integers(0, count, count)
        while count > 1 and (rows == rows[0]).all():  # a set of one has no spread
            rows = rng.integers(0, count, count)
        yield rows


def percentiles(draws):
    """(low, high): the middle 95 % of draws."""
    return tuple(float(value) for value in np.percentile(draws, PERCENTILES))
