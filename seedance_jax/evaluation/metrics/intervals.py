"""95 % confidence intervals of shares, means and distances of sets of clips."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Z = 1.959964  # of a normal distribution, 95 %
PERCENTILES = (2.5, 97.5)
RESAMPLES = 200  # bootstrap samples of distances of sets
DRAWS = 2000  # bootstrap samples of means, which are cheap
LEAST = 3  # clips that the bootstrap of a distance needs


class Estimate(NamedTuple):
    """A value with its 95 % interval, and the number of clips (or pairs).

    The bounds are NaN if there are too few clips.
    """

    value: float
    low: float
    high: float
    count: int


def share(hits: int, count: int) -> Estimate:
    """Estimate of a probability (Wilson's interval); NaN with bounds 0 and 1 if count is 0."""
    if not count:
        return Estimate(math.nan, 0.0, 1.0, 0)
    rate, weight = hits / count, Z**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    half = Z * math.sqrt(rate * (1 - rate) / count + weight / (4 * count)) / (1 + weight)
    return Estimate(rate, max(middle - half, 0.0), min(middle + half, 1.0), count)


def wilson(successes: int, trials: int) -> tuple[float, float, float] | None:
    """(value, low, high) of `share`; None without trials."""
    return share(successes, trials)[:3] if trials else None


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """Estimate of the mean of independent values, see `grouped_mean`."""
    return grouped_mean([[value] for value in values], seed)


def grouped_mean(groups: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Estimate of the mean of all values, by bootstrap over whole groups.

    Values in a group may be dependent; count is the number of groups. The bounds are NaN for fewer
    than two groups, the value for none.
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


def of_sets(
    value: float,
    count: tuple[int, int],
    distance: Callable[[np.ndarray, np.ndarray], float],
    seed: int = 0,
) -> Estimate:
    """Estimate of a distance of two sets of clips, with percentiles of the bootstrap.

    Args:
      value: distance of all clips.
      count: sizes of both sets; the bounds are NaN if one is below `LEAST`.
      distance: function of resampled row numbers of both sets.
    """
    if min(count) < LEAST:
        return Estimate(value, math.nan, math.nan, min(count))
    pairs = zip(resamples(count[0], seed), resamples(count[1], seed + 1), strict=True)
    return Estimate(value, *percentiles([distance(*rows) for rows in pairs]), min(count))


def resamples(count: int, seed: int = 0, times: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Yields int [count], row numbers drawn with replacement, at least two of them different."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        rows = rng.integers(0, count, count)
        while (rows == rows[0]).all():
            rows = rng.integers(0, count, count)
        yield rows


def percentiles(draws: Sequence[float]) -> tuple[float, float]:
    """(low, high) of the middle 95 % of values."""
    return tuple(float(value) for value in np.percentile(draws, PERCENTILES))


def as_json(value: Any) -> Any:
    """An Estimate as a dict with None for NaN; other values unchanged."""
    if not isinstance(value, Estimate):
        return value
    return {name: None if part != part else part for name, part in value._asdict().items()}


def in_words(found: tuple[float, float, float] | None, style: str) -> str:
    """(value, low, high) as text in a format; the value alone if there is no interval."""
    if found is None:
        return "-"
    value, low, high = found
    return f"{value:{style}}" + ("" if low != low else f" [{low:{style}}, {high:{style}}]")
