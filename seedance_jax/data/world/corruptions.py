"""Wrong clips of the world, each wrong in one way that is known, by a severity from 0 to 1.

    frames = corrupt("teleport", shot, 0.5, rng, fps)

At 0 the clip is right, at 1 as wrong as it gets. What concerns objects and cameras is filmed again
with another state of the simulator, the rest is done to the frames. All are for scenes of a single
shot. ACCEPTANCE are kinds that no data to train on may have: judges are tried on them alone.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from seedance_jax.data.world import (
    generation,
    pixels,
    quantities,
    vocabulary,
    wrong_cameras,
    wrong_motion,
)
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.filming import film
from seedance_jax.data.world.spec import WorldSpec

Corrupt = Callable[[Shot, float, Generator, float], np.ndarray]


def stage(split: str, index: int, spec: WorldSpec) -> list[Shot]:
    """The simulated and filmed shots of a clip of the world, as `corrupt` takes them."""
    return generation.shoot(split, index, spec)[0]


def corrupt(name: str, shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] of a shot that is wrong in one way.

    `applies` tells by a record of a scene whether it makes a difference there.

    Raises:
      ValueError: no such corruption, none of this scene, or a severity outside [0, 1].
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption={name!r} is not one of {sorted(CORRUPTIONS)}")
    check_severity(severity)
    _check_scene(name, shot)
    return CORRUPTIONS[name](shot, severity, rng, fps)


def _check_scene(name, shot):
    scene, pictures = shot.scene, len(shot.area) == 1
    if pictures and name not in OF_PICTURES:
        raise ValueError(f"corruption={name!r} is of clips, not of pictures: {[*OF_PICTURES]} are")
    events = EVENTS.get(name, (scene.event,))
    if scene.event not in events:
        raise ValueError(f"corruption={name!r} is of {[*events]}, not of event={scene.event!r}")
    if name == "identity_swap" and len(scene.bodies) < 2:
        raise ValueError(f"corruption={name!r} is of two objects or more, not of one")
    if name == "moved_hidden" and not any(map(quantities.rests_hidden, scene.chapters)):
        raise ValueError(f"corruption={name!r}: nothing rests while it is hidden in this scene")


def check_severity(severity: float) -> None:
    """Raises ValueError unless a severity is from 0 to 1."""
    if not 0 <= severity <= 1:
        raise ValueError(f"severity={severity} is not from 0 (right) to 1 (as wrong as it gets)")


def _to_pictures(change):
    def corrupted(shot, severity, rng, fps):
        return change(film(shot), severity, rng)

    return corrupted


def freeze(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Nothing moves any more, from so early on."""
    frames = film(shot)
    last = round((1 - severity) * (len(frames) - 1))
    return frames[np.minimum(np.arange(len(frames)), last)]


def recolor(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """From the middle on the main object, or what it broke into, has another colour, or is on its
    way to one."""
    return _blend_later(shot, recolored(shot, rng), severity, len(shot.area) // 2)


def recolor_hidden(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """The main object has another colour when it comes out from where it was hidden."""
    hidden = int(shot.visibility[:, 0].argmin())
    return _blend_later(shot, recolored(shot, rng), severity, hidden)


def recolored(shot: Shot, rng: Generator) -> Shot:
    """The shot with its main object, and what it breaks into, in another colour."""
    body = shot.scene.bodies[0]
    others = [name for name in vocabulary.COLORS if name not in (body.color, "pink", "orange")]
    color = str(rng.choice(others))
    bodies = [dataclasses.replace(body, color=color), *shot.scene.bodies[1:]]
    pieces = [dataclasses.replace(piece, color=color) for piece in shot.scene.fragments]
    scene = dataclasses.replace(shot.scene, bodies=bodies, fragments=pieces)
    return dataclasses.replace(shot, scene=scene)


def _blend_later(shot, changed, severity, start):
    frames, others = film(shot).astype(float), film(changed)
    frames[start:] += severity * (others[start:] - frames[start:])
    return pixels.as_bytes(frames)


CORRUPTIONS: dict[str, Corrupt] = {
    "freeze": freeze,
    "recolor": recolor,
    "recolor_hidden": recolor_hidden,
    **wrong_motion.KINDS,
    **wrong_cameras.KINDS,
    "shuffled_frames": _to_pictures(pixels.shuffle),
    "exposure_wobble": _to_pictures(pixels.exposure_wobble),
    "noise": _to_pictures(pixels.noise),
    "blur": _to_pictures(pixels.blur),
    "overexposed": _to_pictures(pixels.overexpose),
    "underexposed": _to_pictures(pixels.underexpose),
}
ACCEPTANCE = vocabulary.ACCEPTANCE
TRAINING = tuple(name for name in CORRUPTIONS if name not in ACCEPTANCE)

OF_PICTURES = ("recolor", "vanish", "noise", "blur", "overexposed", "underexposed")

FALLS = ("drop", "throw")
# Corruption -> the events that it can be seen in; others in all.
EVENTS = {
    "slow_gravity": (*FALLS, "break"),
    "linear_fall": FALLS,
    "hover": FALLS,
    "no_bounce": FALLS,
    "stagnate": ("occlude",),
    "moved_hidden": ("episodes",),
    "recolor_hidden": ("occlude", "episodes"),
    "speed_up": ("slide",),
    "lost_fragments": ("break",),
    "stuck_fragments": ("break",),
}


def applies(name: str, scene: Mapping[str, Any]) -> bool:
    """Whether a scene, by its record, can be wrong in this way."""
    event, main, camera = scene["event"], scene["objects"][0], scene["camera"]
    if scene["shots"][0]["num_frames"] == 1:
        return name in OF_PICTURES
    fits = {
        "static_camera": camera["move"] != "static",
        "identity_swap": scene["num_objects"] > 1 and event != "push",
        "no_bounce": main["shape"] == "ball" and main["restitution"] > 0.45,
        "freeze": event != "rest",
        "shuffled_frames": event != "rest",
        "disorder": event not in ("rest", "spin"),
        "moved_hidden": any(map(quantities.rests_hidden, scene.get("chapters", ()))),
    }
    return (
        len(scene["shots"]) == 1
        and event in EVENTS.get(name, (event,))
        and fits.get(name, True)
        and (name not in wrong_cameras.TOLD or "moves" in camera.get("said", ("moves",)))
        and (event != "break" or name not in ("vanish", "teleport", "jitter", "disorder"))
    )
