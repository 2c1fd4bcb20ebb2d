"""Intervals of a track in which it is not seen, and what explains them."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges import sight
from seedance_jax.evaluation.judges.detection import Track

# Pixels of a frame of 64 about what hides an object, or the edge over which it leaves.
NEAR = 3.0 / 64


class Gap(NamedTuple):
    """Frames first..last in which an object is not seen.

    Attributes:
      hidden: frames of them in which another object is seen where it was, or comes back.
      gone: whether it was, or comes back, at the edge of the picture.
      unexplained: frames of them in which nothing tells why it is not seen.
    """

    first: int
    last: int
    hidden: list
    gone: bool
    unexplained: list


def find_gaps(shot: sight.Shot, track: Track) -> list[Gap]:
    """The `Gap`s of a track of a shot, before it is first seen and after it is last seen too."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], track.seen.astype(int), [1]])))
    return [_gap(shot, track, int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _gap(shot, track, first, last):
    reach = max(1, round(NEAR * min(track.masks.shape[1:])))
    places = [track.masks[k] for k in (first - 1, last + 1) if 0 <= k < len(track.seen)]
    places = [ndimage.binary_dilation(place, iterations=reach) for place in places]
    gone = any(place[[0, -1]].any() or place[:, [0, -1]].any() for place in places)
    hidden = []
    for k in range(first, last + 1):
        # Two of one colour, one before the other, are seen as a part that is neither.
        others = [other.masks[k] for other in shot.tracks if other is not track]
        covered = np.any([track.pixels[k], *others], axis=0)
        if any((covered & place).any() for place in places):
            hidden.append(k)
    explained = set(range(first, last + 1)) if gone else set(hidden)
    return Gap(first, last, hidden, gone, sorted(set(range(first, last + 1)) - explained))
