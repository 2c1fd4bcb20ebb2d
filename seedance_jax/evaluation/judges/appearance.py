"""What an object looks like in each frame, to tell it from a look-alike and before from after."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges.detection import Track

# Pixels of an object that tell its texture, at least.
MIN_PIXELS = 12
# Frames of a window in which looks are compared.
WINDOW = 12
# Horizontal views see the floor infinitely far away; sine of the least angle below the horizon.
LEAST_SLOPE = 0.03
# By so many Lab units (a and b; lightness of the texture) and so much in log size two looks differ.
COLOR, TEXTURE, SIZE = 12.0, 10.0, 0.35


class Looks(NamedTuple):
    """Of T frames; NaN where the object is not seen whole.

    Attributes:
      color: [T,2] mean a and b of CIE Lab.
      size: [T] radius in pixels of a disc as large.
      texture: [T] Lab units of lightness by which it differs from smooth shading.
    """

    color: Any
    size: Any
    texture: Any


def looks_of(track: Track, lab: np.ndarray, clear: np.ndarray) -> Looks:
    """The `Looks` of a track in CIE Lab [T,H,W,3]; `clear` bool [T]: frames that show it whole."""
    count = len(lab)
    found = Looks(np.full((count, 2), np.nan), np.full(count, np.nan), np.full(count, np.nan))
    for k in np.flatnonzero(clear):
        inner = ndimage.binary_erosion(track.masks[k])
        inner = inner if inner.sum() >= MIN_PIXELS else track.masks[k]
        found.color[k] = lab[k, ..., 1:][inner].mean(0)
        found.size[k] = math.sqrt(track.area[k] / math.pi)
        found.texture[k] = _unsmooth(lab[k, ..., 0], inner)
    return found


def _unsmooth(light, mask):
    """Standard deviation of lightness [H,W] in a mask from the quadratic surface that fits best."""
    rows, columns = np.nonzero(mask)
    if len(rows) < MIN_PIXELS:
        return np.nan
    y, x = rows - rows.mean(), columns - columns.mean()
    basis = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], -1)
    values = light[mask]
    fit = np.linalg.lstsq(basis, values, rcond=None)[0]
    return float(np.std(values - basis @ fit))


def change(looks: Looks, before: Sequence[int], after: Sequence[int]) -> float | None:
    """How looks differ after from before, 1 is much; None if either part shows nothing."""
    parts = [[np.asarray(values)[list(frames)] for values in looks] for frames in (before, after)]
    if not all(len(part[1]) and np.isfinite(part[1]).any() for part in parts):
        return None
    (color, size, texture), (color2, size2, texture2) = (
        [np.nanmedian(values, axis=0) for values in part] for part in parts
    )
    return float(
        max(
            np.linalg.norm(color - color2) / COLOR,
            abs(math.log(size / size2)) / SIZE,
            abs(np.nan_to_num(texture - texture2)) / TEXTURE,
        )
    )


def contrast(first: Looks, second: Looks) -> np.ndarray:
    """[T] how much more texture the second has, which is to have more of it: from -2 to 2."""
    return (second.texture - first.texture) / (second.texture + first.texture) * 2


def worst(values: np.ndarray) -> float | None:
    """The least median of `WINDOW` values after each other of [T], NaN left out; None if none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    starts = range(0, max(1, len(values) - WINDOW + 1), WINDOW // 2)
    return float(min(np.median(values[start : start + WINDOW]) for start in starts))


def floor_distance(track: Track, elevation: float, focal: float) -> np.ndarray:
    """[T] distance of what stands on the floor, by its lower edge before a camera that looks down
    by `elevation` degrees, in heights of the camera; NaN where it is not seen."""
    height, width = track.masks.shape[1:]
    distance = np.full(len(track.seen), np.nan)
    for k in np.flatnonzero(track.seen):
        bottom = np.flatnonzero(track.masks[k].any(1))[-1] + 1
        angle = math.atan((bottom - height / 2) / (focal * min(height, width)))
        slope = math.sin(math.radians(elevation) + angle)
        distance[k] = 1 / max(slope, LEAST_SLOPE)
    return distance
