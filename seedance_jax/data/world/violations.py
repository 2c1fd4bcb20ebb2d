"""Pairs of rendered clips: what the physics of the world does, and the same scene breaking a law.

The scene, the camera and the light stay, the main object takes another way. Needs the extra
`[world]`.
"""

import itertools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from seedance_jax.data.sources import worlds_of
from seedance_jax.data.world import WorldSpec, render
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.generation import shoot
from seedance_jax.data.world.language.captions import captions

FAR_BELOW = -20.0  # metres: under the floor, where neither the object nor its shadow is seen


def spec_of(data: Mapping[str, Any]) -> WorldSpec:
    """The clips of the (first) world that a config's section `data` trains on, or ValueError."""
    worlds = worlds_of(data)
    if not worlds:
        raise ValueError(
            f"pairs are of the synthetic world, the model was trained on data of {data['source']!r}"
        )
    return WorldSpec(**{field.name: worlds[0][field.name] for field in fields(WorldSpec)})


def make_pairs(
    name: str, spec: WorldSpec, split: str = "validation", count: int = 48, start: int = 0
) -> tuple[list[str], np.ndarray, np.ndarray, list[int]]:
    """The first `count` pairs of a violation that a split has from clip `start` on.

    Returns:
      (captions, plausible, implausible, indices), clips uint8 [count, T, H, W, 3]; indices are
      those of the scenes in the split, which pairs of other violations share.

    Raises:
      ValueError: no such violation.
    """
    if name not in VIOLATIONS:
        raise ValueError(f"violation={name!r} is not one of {sorted(VIOLATIONS)}")
    rows = []
    for index in itertools.count(start):
        shots, _ = shoot(split, index, spec)
        way = VIOLATIONS[name](shots[0]) if len(shots) == 1 else None
        if way is not None:
            clips = film(shots[0], shots[0].motion.position[:, 0]), film(shots[0], way)
            rows.append((captions(shots, spec.slice)[0], *clips, index))
        if len(rows) == count:
            texts, plausible, implausible, indices = zip(*rows, strict=True)
            return list(texts), np.stack(plausible), np.stack(implausible), list(indices)


def film(shot: Shot, way: np.ndarray) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] of a shot in which the main object goes along way [T + 1, 3]."""
    position = shot.motion.position.copy()
    position[:, 0] = way
    things = render.make_things(shot.scene, position, shot.motion.rotation)
    depth, seen, _ = render.trace(things, shot.cameras, len(shot.area))
    surroundings = render.make_surroundings(shot.scene)
    return render.paint(things, shot.cameras, surroundings, depth, seen)


def main_way(shot: Shot) -> tuple[np.ndarray, int | None]:
    """A copy of the way of the main object [T + 1, 3], and the frame it lands in, or None."""
    landing = shot.touched(0, 1) if shot.scene.event in ("drop", "throw") else None
    return shot.motion.position[:, 0].copy(), landing


def linear_fall(shot: Shot) -> np.ndarray | None:
    """Falls at constant speed, to the same place at the same time."""
    way, landing = main_way(shot)
    if landing is None or landing < 4:
        return None
    way[: landing + 1, 2] = np.linspace(way[0, 2], way[landing, 2], landing + 1)
    return way


def hover(shot: Shot) -> np.ndarray | None:
    """Stops in the air halfway through the fall, and stays there."""
    way, landing = main_way(shot)
    if landing is None or landing < 4:
        return None
    apex = way[: landing + 1, 2].argmax()
    stop = apex + np.argmax(way[apex:, 2] < (way[apex, 2] + way[landing, 2]) / 2)
    way[stop:, 2] = way[stop, 2]
    return way


def teleport(shot: Shot) -> np.ndarray:
    """Is 0.5 m aside, towards the middle of the picture, from one frame to the next."""
    way, _ = main_way(shot)
    half = len(way) // 2
    aside = shot.cameras.rotation[half][0]  # to the right of the picture
    centre = shot.cameras.project(way[:, None])[0][half:-1, 0, 0].mean()
    way[half:] += (0.5 if centre < shot.cameras.width / 2 else -0.5) * aside
    return way


def vanish(shot: Shot) -> np.ndarray:
    """Is not there in the third quarter of the clip."""
    way, _ = main_way(shot)
    way[len(way) // 2 : 3 * len(way) // 4, 2] = FAR_BELOW
    return way


def disorder(shot: Shot) -> np.ndarray:
    """Is in the right places in the wrong order: each two frames are exchanged."""
    way, _ = main_way(shot)
    count = len(way) // 2 * 2
    way[:count] = way[:count].reshape(-1, 2, 3)[:, ::-1].reshape(-1, 3)
    return way


def speed_up(shot: Shot) -> np.ndarray | None:
    """Slides ever faster: the speeds of its way, which friction slows, in reverse."""
    if shot.scene.event != "slide":
        return None
    way, _ = main_way(shot)
    last = len(way) - 2
    way[: last + 1] = way[0] + way[last] - way[last::-1]
    return way


VIOLATIONS = {
    "linear_fall": linear_fall,
    "hover": hover,
    "teleport": teleport,
    "vanish": vanish,
    "disorder": disorder,
    "speed_up": speed_up,
}
