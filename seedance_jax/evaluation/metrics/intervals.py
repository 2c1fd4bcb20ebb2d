"""Values with 95 % intervals: shares of clips, means, and whatever can be computed again."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Z = 1.959964  # of a normal distribution, 95 %
PERCENTILES = (2.5, 97.5)
RESAMPLES = 200  # of sets of clips
DRAWS = 2000  # of means, which cost little
LEAST = 3  # clips of which resampled sets differ enough to tell of a distance


class Estimate(NamedTuple):
    """A value, the 95 % interval of what it estimates, and the number of clips (or pairs).

    The bounds are NaN where there are too few clips to tell.
    """

    value: float
    low: float
    high: float
    count: int


def share(hits: int, count: int) -> Estimate:
    """The Estimate of a probability (Wilson's interval); NaN, from 0 to 1, of nothing."""
    if not count:
        return Estimate(math.nan, 0.0, 1.0, 0)
    rate, weight = hits / count, Z**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    half = Z * math.sqrt(rate * (1 - rate) / count + weight / (4 * count)) / (1 + weight)
    return Estimate(rate, max(middle - half, 0.0), min(middle + half, 1.0), count)


def wilson(successes: int, trials: int) -> tuple[float, float, float] | None:
    """(share, low, high) as `share`; None without trials."""
    return share(successes, trials)[:3] if trials else None


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The Estimate of a mean of independent values [N], see `grouped_mean`."""
    return grouped_mean([[value] for value in values], seed)


def grouped_mean(groups: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """The Estimate of the mean of all values in groups, by redrawing whole groups.

    What is in a group may depend on each other; count is the number of groups. Of fewer than two,
    the bounds are NaN: there is nothing to draw from; of none, the value too.
    """
    if not groups:
        return Estimate(math.nan, math.nan, math.nan, 0)
    sums, sizes = (np.array([kind(group) for group in groups], float) for kind in (sum, len))
    value = float(sums.sum() / sizes.sum())
    if len(groups) < 2:
        return Estimate(value, math.nan, math.nan, len(groups))
    even = np.full(len(groups), 1 / len(groups))
    times = np.random.default_rng(seed).multinomial(len(groups), even, DRAWS)  # [DRAWS, groups]
    return Estimate(value, *percentiles(times @ sums / (times @ sizes)), len(groups))


def of_sets(value: float, count: int, distance: Callable[..., float], seed: int = 0) -> Estimate:
    """The Estimate of a distance of two sets of clips, with the percentiles of resampled ones.

    Args:
      value: of all clips.
      count: clips of both sets (N, M); of fewer than `LEAST` the bounds are NaN.
      distance: function of rows drawn of both, int [N] and int [M].
    """
    if min(count) < LEAST:
        return Estimate(value, math.nan, math.nan, min(count))
    pairs = zip(resamples(count[0], seed), resamples(count[1], seed + 1), strict=True)
    return Estimate(value, *percentiles([distance(*rows) for rows in pairs]), min(count))


def resamples(count: int, seed: int = 0, times: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Yields int [count], rows drawn with replacement, not all the same: a set of one clip has no
    spread, and no pair of different clips."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        rows = rng.integers(0, count, count)
        while (rows == rows[0]).all():
            rows = rng.integers(0, count, count)
        yield rows


def percentiles(draws: np.ndarray) -> tuple[float, float]:
    """(low, high): the middle 95 % of draws."""
    return tuple(float(value) for value in np.percentile(draws, PERCENTILES))


def as_json(value: Any) -> Any:
    """An Estimate as a dict, with None for what is not a number; other values as they are."""
    if not isinstance(value, Estimate):
        return value
    return {name: None if part != part else part for name, part in value._asdict().items()}


def in_words(found: Sequence[float] | None, style: str) -> str:
    """(value, low, high) in words, formatted in a style; a value alone if there is no interval."""
    if found is None:
        return "-"
    value, low, high = found
    return f"{value:{style}}" + ("" if low != low else f" [{low:{style}}, {high:{style}}]")
