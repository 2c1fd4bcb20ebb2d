"""How far a camera moves along its axes: amounts that are tried, and the best near some."""

from collections.abc import Callable, Sequence

import numpy as np

from seedance_jax.evaluation.judges.camera_background import Comparison

# Amounts over a part of a shot that are tried, by axis: somewhat more than shots have, for a wide
# pan looks much like an orbit.
AMOUNTS = {
    "pan": np.linspace(-15, 15, 11),
    "tilt": np.linspace(-12, 12, 9),
    "zoom": np.linspace(-0.6, 0.6, 13),
    "dolly": np.linspace(-1.8, 1.8, 10),
    "orbit": np.linspace(-56, 56, 29),
    "roll": np.linspace(-32, 32, 17),
    "truck": np.linspace(-1.2, 1.2, 9),
}
# Changes of them for which slopes are measured.
SMALL = {"pan": 0.1, "tilt": 0.1, "zoom": 0.003, "dolly": 0.01, "orbit": 0.2}
SMALL |= {"roll": 0.2, "truck": 0.01}
STEPS, ENOUGH = 6, 0.005  # of Gauss and Newton; share of the misfit that is worth another


def by_halves(
    comparison: Comparison, path: Callable, amounts: np.ndarray, axes: Sequence[str]
) -> tuple[float, np.ndarray]:
    """(misfit, amount [1]) of a minimum near an amount, by halves of the steps of `AMOUNTS`."""
    [place], places = amounts, AMOUNTS[axes[0]]
    value, step = comparison.misfit(path([place])), places[1] - places[0]
    for _ in range(4):
        step /= 2
        for other in np.clip((place - step, place + step), places[0], places[-1]):
            tried = comparison.misfit(path([other]))
            if tried < value:
                place, value = other, tried
    return value, np.array([place])


def by_slopes(
    comparison: Comparison, path: Callable, amounts: np.ndarray, axes: Sequence[str]
) -> tuple[float, np.ndarray]:
    """(misfit, amounts [K]) of a minimum near some, by steps of Gauss and Newton."""
    small = np.array([SMALL[axis] for axis in axes])
    misfit, change = comparison.step(path, amounts, small)
    for _ in range(STEPS):
        tried, following = comparison.step(path, amounts + change, small)
        if tried >= misfit:
            change = change / 2
            continue
        gain, amounts = misfit - tried, amounts + change
        misfit, change = tried, following
        if gain < ENOUGH * misfit:
            break
    return misfit, amounts
