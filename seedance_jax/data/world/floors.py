"""Floor patterns: periodic tables of values in [0, 1] that mix a floor's two colours."""

import functools

import numpy as np

TILE = 16.0  # metres after which a pattern repeats
SIZE = 512
TEXELS_PER_METRE = SIZE / TILE


def noise(seed: int, rows: int, columns: int) -> np.ndarray:
    """Smooth periodic noise [SIZE, SIZE] in [0, 1] with rows x columns random knots."""
    knots = np.random.Generator(np.random.Philox(seed)).random((rows, columns))
    for axis, count in enumerate((rows, columns)):
        place = np.arange(SIZE) * count / SIZE
        low = place.astype(int)
        share = place - low
        share = share * share * (3 - 2 * share)
        share = share[:, None] if axis == 0 else share
        first, second = np.take(knots, low, axis), np.take(knots, (low + 1) % count, axis)
        knots = first + (second - first) * share
    return knots


def _grey():
    return noise(1, 12, 12)


def _sandy():
    return 0.6 * noise(2, 12, 12) + 0.4 * noise(3, 32, 32)


def _checkered():
    square = np.arange(SIZE) * 32 // SIZE  # half a metre
    return ((square[:, None] + square) % 2).astype(float)


def _wooden():
    plank = np.arange(SIZE) * 64 // SIZE  # a quarter of a metre, along x
    tone = noise(4, 64, 4)[plank * SIZE // 64]
    grain = noise(5, 256, 12)
    seam = np.where(np.arange(SIZE) % (SIZE // 64) == 0, 0.5, 0.0)[:, None]
    return np.clip(0.15 + 0.6 * tone + 0.35 * grain - seam, 0, 1)


def _grassy():
    return 0.35 * noise(6, 24, 24) + 0.3 * noise(7, 96, 96) + 0.35 * noise(8, 256, 256)


PATTERNS = {
    "grey": _grey,
    "sandy": _sandy,
    "checkered": _checkered,
    "wooden": _wooden,
    "grassy": _grassy,
}


@functools.cache
def floor_table(floor: str) -> np.ndarray:
    """Pattern [SIZE, SIZE] of a floor: row = y, column = x, TEXELS_PER_METRE, periodic."""
    return np.ascontiguousarray(PATTERNS[floor]())
