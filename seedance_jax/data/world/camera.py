"""Cameras: what they see and how they move.

OpenCV axes (x right, y down, z forward), x_camera = R x_world + t; the centre of the pixel in row i
and column j is at (j + 0.5, i + 0.5).
"""

import dataclasses

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.physics import Motion
from seedance_jax.data.world.scene import CameraPlan


class Rejected(Exception):
    """This draw of a scene does not make a good clip; draw again."""


@dataclasses.dataclass
class Cameras:
    """N views of one frame size."""

    intrinsics: np.ndarray  # [N, 3, 3] pixels
    rotation: np.ndarray  # [N, 3, 3] world -> camera
    eye: np.ndarray  # [N, 3] metres, world axes
    height: int
    width: int

    @property
    def translation(self) -> np.ndarray:
        """[N, 3] t of x_cam = R x_world + t."""
        return -np.einsum("nij,nj->ni", self.rotation, self.eye)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points [N, ..., 3] -> camera axes [N, ..., 3]."""
        centred = points - self.eye.reshape(-1, *[1] * (points.ndim - 2), 3)
        return np.einsum("nij,n...j->n...i", self.rotation, centred)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [N, ..., 3] -> (pixels (x, y) [N, ..., 2], z-depth [N, ...])."""
        local = self.to_camera(points)
        image = np.einsum("nij,n...j->n...i", self.intrinsics, local)
        return image[..., :2] / image[..., 2:], local[..., 2]

    def resized(self, height: int, width: int) -> "Cameras":
        """The same views at another frame size of the same aspect ratio."""
        scale = np.array([width / self.width, height / self.height, 1.0])
        intrinsics = self.intrinsics * scale[:, None]
        return dataclasses.replace(self, intrinsics=intrinsics, height=height, width=width)


def film(
    plan: CameraPlan, motion: Motion, extents: np.ndarray, height: int, width: int, reach: float
) -> Cameras:
    """Cameras of a shot: the planned view, moved back until the action stays in the frame.

    Args:
      extents: [K] radius of the sphere about each object that must stay inside; 0 = need not.
      reach: how tall, in metres, the view may become.

    Raises:
      Rejected: the action does not fit.
    """
    kept = np.flatnonzero(extents)
    points, radii = motion.position[:-1, kept], extents[kept]
    low = (points - radii[:, None]).min(axis=(0, 1))
    high = (points + radii[:, None]).max(axis=(0, 1))
    target = (low + high) / 2
    view_height = plan.view_height
    while view_height <= reach:
        cameras = aim(plan, target, view_height, len(motion.position), (height, width))
        if _contains(cameras, motion.position[:, kept], radii):
            return cameras
        view_height *= 1.05
    raise Rejected(f"the action needs a view taller than {reach} m")


def _contains(cameras, points, radii):
    """Whether all but the rim of each sphere lies inside the frame, in all shown frames."""
    pixels, depth = cameras.project(points)
    margin = 0.9 * radii * cameras.intrinsics[:, :1, 0] / depth  # [N, K]
    size = np.array([cameras.width, cameras.height])
    inside = (pixels > margin[..., None]) & (pixels < size - margin[..., None])
    return bool(inside[:-1].all() and (depth > 2 * radii).all())


def aim(
    plan: CameraPlan, target: np.ndarray, view_height: float, count: int, size: tuple[int, int]
) -> Cameras:
    """`count` views about `target` [3] under the planned move; the last is past the shot's end."""
    height, width = size
    track = dict.fromkeys(("azimuth", "yaw", "pitch", "zoom", "advance", "none"), 0.0)
    move = vocabulary.CAMERA_MOVES[plan.move]
    progress = np.arange(count) / (count - 2) - 0.5
    amount = np.log(plan.amount) if move.track == "zoom" else plan.amount
    track[move.track] = move.sign * amount * progress
    ones = np.ones(count)

    azimuth = np.radians(plan.azimuth + track["azimuth"]) * ones
    elevation = np.radians(plan.elevation) * ones
    forward = _direction(azimuth, -elevation)
    eye = target - forward * (view_height * plan.focal - track["advance"] * ones)[:, None]
    rotation = _look(azimuth - np.radians(track["yaw"]), np.radians(track["pitch"]) - elevation)
    focal = plan.focal * min(height, width) * np.exp(track["zoom"]) * ones
    intrinsics = np.zeros((count, 3, 3))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2, height / 2, 1.0
    return Cameras(intrinsics, rotation, eye, height, width)


def _direction(azimuth, pitch):
    """Unit vectors [N, 3]: azimuth 0 is +y and grows to the left, positive pitch looks up."""
    flat = np.cos(pitch)
    return np.stack([-np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(pitch)], -1)


def _look(azimuth, pitch):
    """World -> camera rotations [N, 3, 3] of upright cameras."""
    forward = _direction(azimuth, pitch)
    right = np.stack([np.cos(azimuth), np.sin(azimuth), 0 * azimuth], -1)
    return np.stack([right, np.cross(forward, right), forward], 1)
