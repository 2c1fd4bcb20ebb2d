"""Wrong clips of the synthetic world, each wrong in one way that is known.

What concerns objects and cameras is filmed again with another state of the simulator, the rest is
done to the frames. All are for scenes of a single shot.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from seedance_jax.data.world import generation, physics, render, vocabulary
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.spec import WorldSpec

GAIN, NOISE, BLUR = 0.05, 0.04, 1.2  # of the brightness; of the range; pixels
JITTER = 0.1  # radii of the object
JUMP = 2.0  # radii
PAN, ZOOM = 9.0, 0.3  # degrees, log focal ratio
DELAY = 2.5  # radii of its way that an object waits while it is hidden


def stage(split: str, index: int, spec: WorldSpec) -> list[Shot]:
    """The simulated and filmed shots of a clip of the world, as `film` takes them."""
    return generation.shoot(split, index, spec)[0]


def film(shot: Shot) -> np.ndarray:
    """Frames uint8 [T,H,W,3] of a simulated shot."""
    count = len(shot.area)
    things = render.make_things(shot.scene, shot.motion.position, shot.motion.rotation)
    depth, seen, _ = render.trace(things, shot.cameras, count)
    return render.paint(things, shot.cameras, render.make_surroundings(shot.scene), depth, seen)


def placed(shot: Shot, position: np.ndarray) -> Shot:
    """The shot with its objects at `position` [N,K,3]."""
    return dataclasses.replace(shot, motion=dataclasses.replace(shot.motion, position=position))


def middle(shot: Shot) -> int:
    return len(shot.area) // 2


def spliced(shot: Shot, changed: Shot) -> np.ndarray:
    """Frames of a shot, from its middle on those of a changed one."""
    return np.concatenate([film(shot)[: middle(shot)], film(changed)[middle(shot) :]])


def radius(shot: Shot) -> float:
    return float(max(shot.scene.bodies[0].half))


def sideways(shot: Shot) -> np.ndarray:
    """Unit vector [3] on the floor, to the right in the first view."""
    right = shot.cameras.rotation[0, 0]
    return right / np.linalg.norm(right)


def freeze(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    return np.repeat(film(shot)[:1], len(shot.area), axis=0)


def slow_gravity(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """A quarter of it; other velocities stay."""
    scene = dataclasses.replace(shot.scene, gravity=shot.scene.gravity / 4)
    motion = physics.simulate(scene, len(shot.area), fps)
    return film(dataclasses.replace(shot, motion=motion))


def linear_fall(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """From where it starts to where it lands in a straight line, at one speed."""
    position, landing = shot.motion.position.copy(), shot.touched(0, 1)
    share = np.linspace(0, 1, landing + 1)[:, None]
    position[: landing + 1, 0] = (1 - share) * position[0, 0] + share * position[landing, 0]
    return film(placed(shot, position))


def shuffled(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    return film(shot)[rng.permutation(len(shot.area))]


def vanish(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """From the middle on the main object is nowhere."""
    position = shot.motion.position.copy()
    position[:, 0] = shot.cameras.eye[0] - 50 * shot.cameras.rotation[0, 2]
    return spliced(shot, placed(shot, position))


def recolor(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """From the middle on the main object has another colour."""
    body = shot.scene.bodies[0]
    others = [name for name in vocabulary.COLORS if name not in (body.color, "pink", "orange")]
    bodies = [dataclasses.replace(body, color=rng.choice(others)), *shot.scene.bodies[1:]]
    return spliced(
        shot, dataclasses.replace(shot, scene=dataclasses.replace(shot.scene, bodies=bodies))
    )


def stagnate(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """The main object waits while it is hidden."""
    position = shot.motion.position.copy()
    hidden = int(shot.visibility[:, 0].argmin())
    step = np.linalg.norm(np.diff(position[:, 0], axis=0), axis=1).mean()
    wait = max(1, round(DELAY * radius(shot) / step))
    frames = np.arange(len(position))
    frames = np.where(frames > hidden, np.maximum(hidden, frames - wait), frames)
    position[:, 0] = position[frames, 0]
    return film(placed(shot, position))


def teleport(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """In the middle the main object jumps aside."""
    position = shot.motion.position.copy()
    position[middle(shot) :, 0] += rng.choice((-1, 1)) * JUMP * radius(shot) * sideways(shot)
    return film(placed(shot, position))


def jitter(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    position = shot.motion.position.copy()
    position[:, 0] += JITTER * radius(shot) * rng.normal(size=position[:, 0].shape)
    return film(placed(shot, position))


def standing(shot: Shot) -> Shot:
    """The shot from where its camera is in the middle."""
    cameras, k = shot.cameras, middle(shot)
    parts = {
        name: np.repeat(getattr(cameras, name)[k : k + 1], len(cameras.eye), axis=0)
        for name in ("intrinsics", "rotation", "eye")
    }
    return dataclasses.replace(shot, cameras=dataclasses.replace(cameras, **parts))


def progress(shot: Shot) -> np.ndarray:
    """[N] from -0.5 in the first frame to 0.5 in the last; one more after it."""
    return np.arange(len(shot.area) + 1) / (len(shot.area) - 1) - 0.5


def turned(shot: Shot, degrees: np.ndarray) -> Shot:
    """The shot from a standing camera that pans by `degrees` [N] to the right."""
    shot, angle = standing(shot), np.radians(degrees)
    turn = np.zeros((len(angle), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(angle), np.sin(angle), 1.0
    rotation = shot.cameras.rotation @ turn
    return dataclasses.replace(shot, cameras=dataclasses.replace(shot.cameras, rotation=rotation))


def wrong_pan(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """The other way, or where none was asked for."""
    signs = {"pan left": 1, "pan right": -1}
    sign = signs.get(shot.plan.move) or rng.choice((-1, 1))
    return film(turned(shot, sign * PAN * progress(shot)))


def wrong_zoom(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """Out if in was asked for, else in."""
    sign = -1 if shot.plan.move in ("zoom in", "dolly in") else 1
    shot = standing(shot)
    intrinsics = shot.cameras.intrinsics.copy()
    intrinsics[:, [0, 1], [0, 1]] *= np.exp(sign * ZOOM * progress(shot))[:, None]
    cameras = dataclasses.replace(shot.cameras, intrinsics=intrinsics)
    return film(dataclasses.replace(shot, cameras=cameras))


def static_camera(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    return film(standing(shot))


def exposure_wobble(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    gain = 1 + GAIN * rng.choice((-1, 1), size=len(shot.area))
    return as_bytes(film(shot) * gain[:, None, None, None])


def noise(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    frames = film(shot)
    return as_bytes(frames + 255 * NOISE * rng.normal(size=frames.shape))


def blur(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    return as_bytes(ndimage.gaussian_filter(film(shot).astype(float), (0, BLUR, BLUR, 0)))


def spurious_cut(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """In the middle the camera looks from somewhere else."""
    target = shot.motion.position[:, 0].mean(0)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    held = standing(shot)
    eye = target + (held.cameras.eye - target) @ turn.T
    cameras = dataclasses.replace(held.cameras, eye=eye, rotation=held.cameras.rotation @ turn.T)
    return spliced(shot, dataclasses.replace(shot, cameras=cameras))


def identity_swap(shot: Shot, rng: Generator, fps: float) -> np.ndarray:
    """In the middle the first two objects change places."""
    position = shot.motion.position.copy()
    position[middle(shot) :, [0, 1]] = position[middle(shot) :, [1, 0]]
    return film(placed(shot, position))


def as_bytes(frames: np.ndarray) -> np.ndarray:
    return np.clip(np.round(frames), 0, 255).astype(np.uint8)


CORRUPTIONS = {
    "freeze": freeze,
    "slow_gravity": slow_gravity,
    "linear_fall": linear_fall,
    "shuffled_frames": shuffled,
    "vanish": vanish,
    "recolor": recolor,
    "stagnate": stagnate,
    "teleport": teleport,
    "jitter": jitter,
    "wrong_pan": wrong_pan,
    "wrong_zoom": wrong_zoom,
    "static_camera": static_camera,
    "exposure_wobble": exposure_wobble,
    "noise": noise,
    "blur": blur,
    "spurious_cut": spurious_cut,
    "identity_swap": identity_swap,
}


def applies(name: str, scene: Mapping[str, Any]) -> bool:
    """Whether a scene, by its record, can be wrong in this way."""
    events = {
        "slow_gravity": ("drop", "throw"),
        "linear_fall": ("drop", "throw"),
        "stagnate": ("occlude",),
    }
    return (
        len(scene["shots"]) == 1
        and scene["event"] in events.get(name, (scene["event"],))
        and (name != "static_camera" or scene["camera"]["move"] != "static")
        and (name != "identity_swap" or scene["num_objects"] > 1)
    )
