"""Clips that are boring, shaky or badly exposed, with labels, for filters to find.

Their captions stay true: what is wrong is told by the record alone.
"""

import dataclasses

import numpy as np

from seedance_jax.data.world import pixels
from seedance_jax.data.world.camera import Cameras
from seedance_jax.data.world.physics import Motion
from seedance_jax.data.world.scene import Draw, Scene
from seedance_jax.data.world.spec import WorldSpec

FLAWS = ("static", "barely_moving", "shaken", "out_of_focus", "overexposed", "underexposed")
BORING = ("static", "barely_moving")
CREEP = 0.06  # metres a second at severity 0; nothing at 1
SHAKE = 1.6  # degrees from frame to frame at severity 1
OF_PICTURES = {
    "out_of_focus": pixels.blur,
    "overexposed": pixels.overexpose,
    "underexposed": pixels.underexpose,
}


def draw_flaw(rng: np.random.Generator, spec: WorldSpec) -> tuple:
    """(name, severity) of the flaw of a clip, or () for most."""
    share, severity = rng.random(), float(rng.uniform(0.4, 1.0))
    name = str(rng.choice(tuple(OF_PICTURES) if spec.is_still else FLAWS))
    if share >= spec.flawed:
        return ()
    return name, 1.0 if name == "static" else severity


def slow(scene: Scene, motion: Motion, fps: float) -> Motion:
    """The motion of a boring scene: the main object creeps to the side, or nothing does."""
    if not scene.flaw or scene.flaw[0] != "barely_moving":
        return motion
    angle = np.radians(scene.cameras[0].azimuth)
    speed = CREEP * (1.2 - scene.flaw[1]) * np.array([np.cos(angle), np.sin(angle), 0.0])
    position, velocity = motion.position.copy(), motion.velocity.copy()
    seconds = np.arange(len(position)) / fps
    position[:, 0] += seconds[:, None] * speed
    velocity[:, 0, :3] = speed
    return dataclasses.replace(motion, position=position, velocity=velocity)


def shake(draw: Draw, scene: Scene, cameras: Cameras) -> Cameras:
    """The cameras of a scene; of a shaken one, held by an unsteady hand."""
    if not scene.flaw or scene.flaw[0] != "shaken":
        return cameras
    return shaken(cameras, SHAKE * scene.flaw[1], draw.stream("shake"))


def shaken(cameras: Cameras, degrees: float, rng: np.random.Generator) -> Cameras:
    """Cameras that turn by so much from frame to frame, at random, and back."""
    angle, angles = np.zeros(2), []
    for step in rng.normal(size=(len(cameras.eye), 2)) * np.radians(degrees):
        angle = 0.7 * angle + step
        angles.append(angle)
    (yaw, pitch), one = np.transpose(angles), np.ones(len(angles))
    turn = np.stack(
        [
            np.stack([one, 0 * yaw, yaw], -1),
            np.stack([0 * yaw, one, pitch], -1),
            np.stack([-yaw, -pitch, one], -1),
        ],
        1,
    )
    first = turn[:, 0] / np.linalg.norm(turn[:, 0], axis=-1, keepdims=True)
    second = turn[:, 1] - first * (first * turn[:, 1]).sum(-1, keepdims=True)
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    turn = np.stack([first, second, np.cross(first, second)], 1)
    return dataclasses.replace(cameras, rotation=turn @ cameras.rotation)


def spoil(flaw: tuple, frames: np.ndarray) -> np.ndarray:
    """Frames of a clip with a flaw of the picture."""
    name, severity = flaw
    return OF_PICTURES[name](frames, severity) if name in OF_PICTURES else frames
