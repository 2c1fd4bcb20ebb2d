"""Shots filmed again, with their objects or cameras elsewhere."""

import dataclasses

import numpy as np

from seedance_jax.data.world import render
from seedance_jax.data.world.checks import Shot


def film(shot: Shot) -> np.ndarray:
    """Frames uint8 [T,H,W,3] of a simulated shot."""
    count = len(shot.area)
    things = render.make_things(shot.scene, shot.motion.position, shot.motion.rotation)
    depth, seen, _ = render.trace(things, shot.cameras, count)
    return render.paint(things, shot.cameras, render.make_surroundings(shot.scene), depth, seen)


def placed(shot: Shot, position: np.ndarray) -> Shot:
    """The shot with its objects at `position` [N,K,3]."""
    return dataclasses.replace(shot, motion=dataclasses.replace(shot.motion, position=position))


def seen_by(shot: Shot, **cameras: np.ndarray) -> Shot:
    """The shot with other `Cameras.intrinsics`, `rotation` or `eye`."""
    return dataclasses.replace(shot, cameras=dataclasses.replace(shot.cameras, **cameras))


def middle(shot: Shot) -> int:
    return len(shot.area) // 2


def radius(shot: Shot) -> float:
    return float(max(shot.scene.bodies[0].half))


def progress(shot: Shot) -> np.ndarray:
    """[N] from -0.5 in the first frame to 0.5 in the last; one more after it."""
    return np.arange(len(shot.area) + 1) / (len(shot.area) - 1) - 0.5
