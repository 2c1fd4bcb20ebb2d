"""Where a camera stands and looks, by the axes of `data/world/paths.py`, and what it sees then.

As in `data/world/camera.py`, but for one camera that looks along +y at a point above the origin.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seedance_jax.data.world.paths import AXES

FAR = 1e4
# The floor pales into the horizon: so much a metre from so many metres on, as in the renderer.
HAZE, CLEAR_AIR = 0.055, 5.0


class View(NamedTuple):
    """Where a camera stands: focal length in shorter sides, degrees above the horizon, metres to
    what it looks at, and metres of that above the floor."""

    focal: float = 1.6
    elevation: float = 18.0
    distance: float = 4.0
    height: float = 0.4


class Poses(NamedTuple):
    """N cameras: focal lengths [N] in shorter sides, rotations world -> camera [N,3,3], eyes [N,3]
    in metres."""

    focal: np.ndarray
    rotation: np.ndarray
    eye: np.ndarray

    def at(self, numbers: Sequence[int]) -> "Poses":
        """Those of some numbers."""
        return Poses(*(part[numbers] for part in self))


def make_poses(view: View, values: Mapping[str, np.ndarray]) -> Poses:
    """The `Poses` of a camera whose axes {axis: [N]} have these values; others are 0."""
    count = len(next(iter(values.values())))
    still = np.zeros(count)
    pan, tilt, roll, zoom, dolly, orbit, truck = (values.get(axis, still) for axis in AXES)
    azimuth, pitch = np.radians(orbit), np.full(count, -math.radians(view.elevation))
    right = np.stack([np.cos(azimuth), np.sin(azimuth), still], -1)
    eye = np.array([0, 0, view.height]) - (view.distance - dolly)[:, None] * _direction(
        azimuth, pitch
    )
    rotation = _upright(azimuth - np.radians(pan), pitch + np.radians(tilt))
    turn = np.radians(roll)
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x, y, forward = np.moveaxis(rotation, 1, 0)
    rotation = np.stack([c * x + s * y, c * y - s * x, forward], 1)
    return Poses(view.focal * np.exp(zoom), rotation, eye + right * truck[:, None])


def _direction(azimuth, pitch):
    flat = np.cos(pitch)
    return np.stack([-np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(pitch)], -1)


def _upright(azimuth, pitch):
    sin, cos = np.sin(azimuth), np.cos(azimuth)
    x, y, z = (forward := _direction(azimuth, pitch)).T
    down = np.stack([-z * sin, z * cos, x * sin - y * cos], -1)  # forward x right
    return np.stack([np.stack([cos, sin, 0 * sin], -1), down, forward], 1)


def moved(
    pixels: np.ndarray, before: Poses, after: Poses, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where the floor or sky that pixels (x, y) show from some poses is seen from others.

    Args:
      pixels: [N,2], or [P,N,2] of each of P poses.
      before, after: P `Poses`.
      size: (height, width) of the frames.

    Returns:
      places [P,N,2], far out of the frame for what is behind the camera, and how much less of the
      horizon's colour lies over them then, shares [P,N].
    """
    center, side = np.array([size[1] / 2, size[0] / 2]), min(size)
    flat = (pixels - center) / (before.focal * side)[:, None, None]
    rays = np.concatenate([flat, np.ones((*flat.shape[:2], 1))], -1) @ before.rotation
    depth = np.minimum(-before.eye[:, None, 2] / np.minimum(rays[..., 2], -1e-6), FAR)
    shift = (before.eye - after.eye)[:, None]
    local = (rays * depth[..., None] + shift) @ after.rotation.swapaxes(1, 2)
    haze = [np.exp(-HAZE * np.maximum(d - CLEAR_AIR, 0.0)) for d in (depth, local[..., 2])]
    place = local[..., :2] / np.maximum(local[..., 2:], 1e-6)
    return place * (after.focal * side)[:, None, None] + center, haze[1] - haze[0]
