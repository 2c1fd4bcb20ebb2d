"""Cameras that do not do what they were asked for: (shot, severity, rng, fps) -> frames."""

import dataclasses

import numpy as np
from numpy.random import Generator

from seedance_jax.data.world.camera import axes_of, rolled
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.filming import film, middle, progress, seen_by
from seedance_jax.data.world.flaws import shaken

AMOUNTS = {"pan": 9.0, "tilt": 8.0, "roll": 18.0, "zoom": 0.3}  # degrees, log focal ratio
SHAKE = 1.6  # degrees from frame to frame
CUT = 90.0  # degrees about the main object


def _wrong(axis):
    """The other way along an axis, or along it where nothing was asked of it."""

    def corrupted(shot, severity, rng, fps):
        asked = axes_of(shot.plan, len(shot.area) + 1)[axis]
        way = asked[-2] - asked[0]
        side = -np.sign(way) if way else rng.choice((-1, 1))
        extra = severity * (side * AMOUNTS[axis] * progress(shot) - (asked - asked.mean()))
        return film(TURNS[axis](shot, extra))

    return corrupted


def _panned(shot, degrees):
    """The shot from a camera that is turned by so much more [N] to the right."""
    angle = np.radians(degrees)
    turn = np.zeros((len(angle), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(angle), np.sin(angle), 1.0
    return seen_by(shot, rotation=shot.cameras.rotation @ turn)


def _tilted(shot, degrees):
    """By so much more upwards: about the camera's own axis to the right."""
    angle = np.radians(degrees)
    turn = np.zeros((len(angle), 3, 3))
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 1, 2], turn[:, 2, 1], turn[:, 0, 0] = np.sin(angle), -np.sin(angle), 1.0
    return seen_by(shot, rotation=turn @ shot.cameras.rotation)


def _rolled(shot, degrees):
    return seen_by(shot, rotation=rolled(shot.cameras.rotation, degrees))


def _zoomed(shot, logarithm):
    intrinsics = shot.cameras.intrinsics.copy()
    intrinsics[:, [0, 1], [0, 1]] *= np.exp(logarithm)[:, None]
    return seen_by(shot, intrinsics=intrinsics)


TURNS = {"pan": _panned, "tilt": _tilted, "roll": _rolled, "zoom": _zoomed}


def static_camera(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Moves so much less about where it is in the middle; at most, it stands there."""
    start, frames = middle(shot), np.arange(len(shot.area) + 1)
    kept = np.round(start + (frames - start) * (1 - severity)).astype(int)
    cameras = shot.cameras
    return film(
        seen_by(
            shot,
            intrinsics=cameras.intrinsics[kept],
            rotation=cameras.rotation[kept],
            eye=cameras.eye[kept],
        )
    )


def shaky_camera(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    cameras = shaken(shot.cameras, SHAKE * severity, rng)
    return film(dataclasses.replace(shot, cameras=cameras))


def spurious_cut(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """In the middle the camera looks from somewhere else."""
    start, angle = middle(shot), np.radians(CUT * severity)
    target = shot.motion.position[start:, 0].mean(0)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    eye, rotation = shot.cameras.eye.copy(), shot.cameras.rotation.copy()
    eye[start:] = target + (eye[start:] - target) @ turn.T
    rotation[start:] = rotation[start:] @ turn.T
    return film(seen_by(shot, eye=eye, rotation=rotation))


TOLD = (*(f"wrong_{axis}" for axis in AMOUNTS), "static_camera")  # wrong where captions tell
KINDS = {
    **{f"wrong_{axis}": _wrong(axis) for axis in AMOUNTS},
    "static_camera": static_camera,
    "shaky_camera": shaky_camera,
    "spurious_cut": spurious_cut,
}
