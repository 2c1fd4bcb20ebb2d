"""Cameras: what they see and how they move.

OpenCV axes (x right, y down, z forward), x_camera = R x_world + t; the centre of the pixel in row i
and column j is at (j + 0.5, i + 0.5).
"""

import dataclasses

import numpy as np

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.physics import Motion
from seedance_jax.data.world.scene import CameraPlan


class Unfilmable(RuntimeError):
    """No attempt at a clip shows what it is to show; the message says what stands in the way."""


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

    def part(self, start: int, stop: int) -> "Cameras":
        """The views from `start` to, and with, `stop`."""
        kept = slice(start, stop + 1)
        views = (self.intrinsics[kept], self.rotation[kept], self.eye[kept])
        return Cameras(*views, self.height, self.width)

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
    there = motion.exists[:, kept]
    points, radii = motion.position[:-1, kept][there[:-1]], extents[kept]
    margin = np.broadcast_to(radii, there[:-1].shape)[there[:-1]][:, None]
    low, high = (points - margin).min(axis=0), (points + margin).max(axis=0)
    target = (low + high) / 2
    view_height = plan.view_height
    while view_height <= reach:
        cameras = aim(plan, target, view_height, len(motion.position), (height, width))
        if _contains(cameras, motion.position[:, kept], radii, there):
            return cameras
        view_height *= 1.05
    raise Rejected(f"the action needs a view taller than {reach} m")


def _contains(cameras, points, radii, there):
    """Whether all but the rim of each sphere lies inside the frame, in all shown frames of it."""
    pixels, depth = cameras.project(points)
    margin = 0.9 * radii * cameras.intrinsics[:, :1, 0] / depth  # [N, K]
    size = np.array([cameras.width, cameras.height])
    inside = (pixels > margin[..., None]) & (pixels < size - margin[..., None])
    seen = inside.all(-1) | ~there
    return bool(seen[:-1].all() and ((depth > 2 * radii) | ~there).all())


def aim(
    plan: CameraPlan, target: np.ndarray, view_height: float, count: int, size: tuple[int, int]
) -> Cameras:
    """`count` views about `target` [3] on the planned path; the last is past the shot's end."""
    height, width = size
    track, ones = axes_of(plan, count), np.ones(count)
    azimuth = np.radians(plan.azimuth + track["orbit"]) * ones
    elevation = np.radians(plan.elevation) * ones
    forward = _direction(azimuth, -elevation)
    eye = target - forward * (view_height * plan.focal - track["dolly"] * ones)[:, None]
    pitch = np.radians(track["tilt"]) - elevation
    rotation = _look(azimuth - np.radians(track["pan"]), pitch)
    right = np.stack([np.cos(azimuth), np.sin(azimuth), 0 * azimuth], -1)
    eye, rotation = eye + right * (track["truck"] * ones)[:, None], rolled(rotation, track["roll"])
    focal = plan.focal * min(height, width) * np.exp(track["zoom"]) * ones
    intrinsics = np.zeros((count, 3, 3))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2, height / 2, 1.0
    return Cameras(intrinsics, rotation, eye, height, width)


def axes_of(plan: CameraPlan, count: int) -> dict:
    """{axis of `paths`: its values [N]}; of a plan without a path, its move at one speed."""
    progress = np.arange(count) / max(count - 2, 1)
    if plan.path:
        return paths.along(plan.path, progress)
    move, axis = vocabulary.CAMERA_MOVES[plan.move], paths.axis_of(plan.move)
    track = dict.fromkeys(paths.AXES, np.zeros(count))
    if move.sign:
        amount = np.log(plan.amount) if axis == "zoom" else plan.amount
        track[axis] = move.sign * amount * (progress - 0.5)
    return track


def rolled(rotation: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Rotations [N, 3, 3] of cameras that are turned clockwise about what they look at."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = rotation.copy()
    turned[:, 0] = c[:, None] * rotation[:, 0] + s[:, None] * rotation[:, 1]
    turned[:, 1] = c[:, None] * rotation[:, 1] - s[:, None] * rotation[:, 0]
    return turned


def _direction(azimuth, pitch):
    """Unit vectors [N, 3]: azimuth 0 is +y and grows to the left, positive pitch looks up."""
    flat = np.cos(pitch)
    return np.stack([-np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(pitch)], -1)


def _look(azimuth, pitch):
    """World -> camera rotations [N, 3, 3] of upright cameras."""
    forward = _direction(azimuth, pitch)
    right = np.stack([np.cos(azimuth), np.sin(azimuth), 0 * azimuth], -1)
    return np.stack([right, np.cross(forward, right), forward], 1)
