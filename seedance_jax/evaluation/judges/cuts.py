"""Cuts of a clip: where another place is seen at once."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges import camera_background, colors, quality
from seedance_jax.evaluation.judges.sight import Shot

# Where a cut may be: the picture changes so many times as much as any of the changes about it, and
# by so many 8-bit levels; or the median pixel of the background does, with so much added to all.
MIN_CUT, MIN_CUT_LEVELS = 1.6, 4.0
MIN_BREAK, BREAK_LEVELS = 1.5, 0.5
# What rows change, over that of any frame about it, and in Lab units.
MIN_LEVELS = 2.4, 1.5
# What is new behind the objects, over that of any frame about it, and in squared Lab units; so much
# is a cut for certain, less where backgrounds correlate less.
MIN_NEW, NEW = 2.5, 0.12
MUCH_NEW, LESS_ALIKE = 0.25, 0.6
ABOUT = 3
# Frames about a cut of a long clip, in which something large may pass before the same
# place, and how backgrounds correlate then.
LONG_ABOUT, SAME_LATER = (24, 48), 0.3
# Backgrounds that correlate so much are the same place: of rendered clips 0.6 or more, after a cut
# 0.5 or less. They are compared when softened by so many pixels.
SAME_PLACE, BACKDROP = 0.5, 2.0


def find_cuts(frames: np.ndarray, shots: Sequence[Shot]) -> list[int]:
    """Numbers of the frames that open a new shot: the picture changes at once, and what is behind
    the objects then is another place; or what is behind them is new at once, whatever the camera
    does. What the camera's motion explains is no cut.

    Args:
      frames: uint8 [T,H,W,3] of the clip.
      shots: its `Shot`s.
    """
    covered = np.concatenate([_objects(shot) for shot in shots])
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((1, 2, 3))
    sudden = {number + 1 for number in _jumps(change, MIN_CUT, MIN_CUT_LEVELS)}
    sudden |= {number for shot in shots for number in _breaks(shot)}
    found = {number for number in sudden if _elsewhere(frames, covered, number)}
    if any(len(shot.path.breaks) for shot in shots):
        found |= sudden & {number + 1 for number in _jumps(_levels(frames), *MIN_LEVELS)}
    for shot in shots:
        found -= {shot.start + n + 1 for n, new in enumerate(shot.path.breaks) if new <= NEW}
        for n in _jumps(shot.path.breaks, MIN_NEW, NEW):
            if _is_another_place(frames, covered, shot.start + n + 1, shot.path.breaks[n]):
                found.add(shot.start + n + 1)
    return sorted(found)


def _is_another_place(frames, covered, number, new):
    """Whether so much that is new behind the objects from a frame on is another place."""
    if len(frames) > colors.LONG:
        return _elsewhere(frames, covered, number)
    return new > MUCH_NEW or likeness(frames, covered, number) < LESS_ALIKE


def _elsewhere(frames, covered, number):
    """Whether another place is behind the objects from a frame on."""
    if len(frames) <= colors.LONG:
        return likeness(frames, covered, number) < SAME_PLACE
    return all(likeness(frames, covered, number, about) < SAME_LATER for about in LONG_ABOUT)


def _levels(frames):
    """[T - 1] Lab units by which rows change beside each other: the horizon is elsewhere after a
    cut, but not in another light."""
    rows = np.median(colors.lab_of(frames)[..., [0, 2]], axis=2)
    change = np.diff(rows, axis=0)
    change -= np.median(change, axis=1, keepdims=True)
    return np.sqrt((change**2).sum(-1)).mean(1)


def _objects(shot):
    return np.any([np.zeros(shot.frames.shape[:3], bool), *(t.covers for t in shot.tracks)], axis=0)


def _jumps(change, times, levels):
    """Where a change [T] is so many levels, and so many times as large as those about it."""
    jumps = []
    for number, value in enumerate(change):
        near = np.delete(change[max(0, number - ABOUT) : number + ABOUT + 1], min(number, ABOUT))
        if value > max(levels, times * near.max(initial=0.0)):
            jumps.append(number)
    return jumps


def _breaks(shot):
    """Numbers of the frames of the clip at which the background of a `Shot` changes at once."""
    known = ~ndimage.binary_dilation(_objects(shot), np.ones((1, 5, 5)))
    change = np.abs(np.diff(quality.luma(shot.frames), axis=0))
    pairs = zip(change, known[1:] & known[:-1], strict=True)
    change = np.array([np.median(step[both]) if both.any() else 0.0 for step, both in pairs])
    return [shot.start + n + 1 for n in _jumps(change + BREAK_LEVELS, MIN_BREAK, 0.0)]


def likeness(frames: np.ndarray, objects: np.ndarray, number: int, about: int = ABOUT) -> float:
    """Correlation of the background just before a frame and from it on, 1 is the same.

    It is that of what differs along rows: floor and sky look alike from everywhere otherwise. A few
    frames are averaged, so that a texture that flickers is still the same.
    """
    before = _backdrop(frames, objects, slice(max(0, number - about), number))
    after = _backdrop(frames, objects, slice(number, number + about))
    known = before[1] & after[1]
    weight = known[..., None] / np.maximum(known.sum(1), 1)[:, None, None]
    first, second = (
        (p - (p * weight).sum(1, keepdims=True)) * (weight > 0) for p, _ in (before, after)
    )
    return float((first * second).sum() / math.sqrt((first**2).sum() * (second**2).sum() + 1e-9))


def _backdrop(frames, objects, part):
    """(softened mean of lightness and b of frames without objects and shadows [H,W,2], where)."""
    light = colors.lab_of(frames[part])[..., [0, 2]]
    rows = np.median(light[..., 0], axis=2, keepdims=True)
    dark = light[..., 0] - rows < -camera_background.MAX_ODDITY
    side = 2 * round(camera_background.GROWTH * frames.shape[1]) + 1
    known = ~ndimage.maximum_filter(dark | objects[part], (1, side, side))
    weight = ndimage.gaussian_filter(known.sum(0).astype(float), BACKDROP)[..., None]
    total = ndimage.gaussian_filter((light * known[..., None]).sum(0), (BACKDROP, BACKDROP, 0))
    return total / (weight + 1e-6), known.any(0)
