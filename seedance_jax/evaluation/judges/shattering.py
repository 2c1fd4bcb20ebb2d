"""What an object that breaks does: when it meets the floor, in how many parts, how far apart.

A track of what is left of it is that of its largest part; here all pixels of its colour count.
"""

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges.detection import Track

# What was whole has broken when it is so many times as wide as it was.
BROKEN = 1.3
# A fragment is seen in so many pixels of a frame of 64, at least.
MIN_PART = 3.0 / 64**2
# Widths of rims without which parts are counted, shares of the frame's side.
RIMS = 0.0, 1.5 / 128, 3.0 / 128, 4.5 / 128
# Share of the frames after the impact, from the end, in which parts are counted.
LATE = 0.6


def widths(track: Track) -> np.ndarray:
    """[T] pixels: four standard deviations across of all that has a track's colour; NaN if none."""
    found = np.full(len(track.pixels), np.nan)
    for k, mask in enumerate(track.pixels):
        columns = np.nonzero(mask)[1]
        if len(columns):
            found[k] = 4 * columns.std()
    return found


def impact(track: Track) -> int | None:
    """The first frame in which it is broken; None if it never is."""
    width = widths(track)
    start = np.flatnonzero(np.isfinite(width))
    if not len(start):
        return None
    whole = np.nanmedian(width[start[:2]])
    wide = np.flatnonzero(width > BROKEN * whole)
    return int(wide[0]) if len(wide) else None


def spread(track: Track) -> float:
    """Width of all parts at the end over that of the whole at the start; 0 if nothing is left."""
    width = widths(track)
    first, last = width[:2], width[-3:]
    if not (np.isfinite(first).any() and np.isfinite(last).any()):
        return 0.0
    return float(np.nanmedian(last) / np.nanmedian(first))


def parts(track: Track, frame: int) -> list[int]:
    """Number of parts in each of the last frames after a frame: those that touch are told apart
    by what is left of them without their rims."""
    first = frame + round((1 - LATE) * (len(track.pixels) - frame))
    height, width = track.pixels.shape[1:]
    depths = [ndimage.distance_transform_edt(mask) for mask in track.pixels[first:]]
    rims = [share * min(height, width) for share in RIMS]
    return [max(_count(depth > rim, MIN_PART * depth.size) for rim in rims) for depth in depths]


def _count(mask, least):
    """Number of the connected parts of a mask [H,W] of so many pixels at least."""
    labels, _ = ndimage.label(mask)
    return int((np.bincount(labels.ravel())[1:] >= least).sum())
