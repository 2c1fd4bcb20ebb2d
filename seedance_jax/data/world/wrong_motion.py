"""Objects that move as they should not: (shot, severity, rng, fps) -> frames.

Scene, camera and light stay, the main object (or what it breaks into) takes another way.
"""

import dataclasses

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from seedance_jax.data.world import physics, quantities
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.filming import film, middle, placed, radius

JITTER = 0.15  # radii
JUMP = 2.0  # radii
LATER = 12  # frames whose middle tells to which side there is room for a jump
SEEN = 0.5  # visible share of what is in view
DELAY = 2.5  # radii of its way that an object waits while it is hidden


def slow_gravity(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Down to a quarter of it; other velocities stay."""
    scene = dataclasses.replace(shot.scene, gravity=shot.scene.gravity / 4**severity)
    return film(_simulated(shot, scene, fps))


def no_bounce(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """The main object gives back less of its speed than its material does."""
    body = shot.scene.bodies[0]
    told = body.nominal or body.restitution
    less = max(told * (1 - severity), 0.02) if severity else told
    bodies = [dataclasses.replace(body, nominal=less), *shot.scene.bodies[1:]]
    return film(_simulated(shot, dataclasses.replace(shot.scene, bodies=bodies), fps))


def _simulated(shot, scene, fps):
    motion = physics.simulate(scene, len(shot.area), fps)
    return dataclasses.replace(shot, scene=scene, motion=motion)


def linear_fall(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """From where it starts to where it lands in a straight line, at one speed."""
    way, landing = _way(shot), shot.touched(0, 1)
    share = np.linspace(0, 1, landing + 1)[:, None]
    straight = (1 - share) * way[0] + share * way[landing]
    return _along(shot, _toward(way, np.concatenate([straight, way[landing + 1 :]]), severity))


def hover(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Falls ever less far below the middle of its fall; at most, it stays there."""
    way, landing = _way(shot), shot.touched(0, 1)
    apex = int(way[: landing + 1, 2].argmax())
    middle_height = (way[apex, 2] + way[apex:, 2].min()) / 2
    stop = apex + int(np.argmax(way[apex:, 2] < middle_height))
    held = way.copy()
    held[stop:, 2] = middle_height
    return _along(shot, _toward(way, held, severity))


def speed_up(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Slides ever faster: the speeds of its way, which friction slows, in reverse."""
    way = _way(shot)
    last = len(way) - 2
    other = way.copy()
    other[: last + 1] = way[0] + way[last] - way[last::-1]
    return _along(shot, _toward(way, other, severity))


def vanish(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """From the middle on the main object is nowhere, for so much of what is left."""
    way, start = _way(shot), middle(shot)
    way[start : start + round(severity * (len(way) - start)), 2] = physics.FAR_BELOW
    return _along(shot, way)


def teleport(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """In the middle, or when it is next in view, the main object jumps aside, towards the middle of
    the picture."""
    way, start = _way(shot), _in_view(shot)
    aside = shot.cameras.rotation[start, 0]
    pixels, _ = shot.cameras.project(way[:, None])
    side = 1.0 if pixels[start:-1, 0, 0][:LATER].mean() < shot.cameras.width / 2 else -1.0
    way[start:] += severity * side * JUMP * radius(shot) * aside
    return _along(shot, way)


def jitter(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Trembles."""
    way = _way(shot)
    return _along(shot, way + severity * JITTER * radius(shot) * rng.normal(size=way.shape))


def disorder(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """Is in the right places in the wrong order: so many pairs of frames are exchanged."""
    way = _way(shot)
    pairs = np.arange(len(way) // 2)
    for k in rng.permutation(pairs)[: round(severity * len(pairs))]:
        way[[2 * k, 2 * k + 1]] = way[[2 * k + 1, 2 * k]]
    return _along(shot, way)


def stagnate(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """The main object waits while it is hidden."""
    way, hidden = _way(shot), int(shot.visibility[:, 0].argmin())
    step = np.linalg.norm(np.diff(way, axis=0), axis=1).mean()
    wait = round(severity * max(1.0, DELAY * radius(shot) / step))
    frames = np.arange(len(way))
    return _along(shot, way[np.where(frames > hidden, np.maximum(hidden, frames - wait), frames)])


def moved_hidden(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """In a long scene, comes out aside of where it was hidden and rested."""
    way = _way(shot)
    hide = next(filter(quantities.rests_hidden, shot.scene.chapters[::-1]))
    start, stop = round(fps * hide["start"]), round(fps * hide["stop"])
    hidden = start + int(shot.visibility[start:stop, 0].argmin())
    pixels, _ = shot.cameras.project(way[hidden : hidden + 1, None])
    side = 1.0 if pixels[0, 0, 0] < shot.cameras.width / 2 else -1.0
    way[hidden:] += severity * side * JUMP * radius(shot) * shot.cameras.rotation[hidden, 0]
    return _along(shot, way)


def identity_swap(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """In the middle the first two objects change places, for so much of what is left."""
    position, start = shot.motion.position.copy(), middle(shot)
    stop = start + round(severity * (len(position) - start))
    position[start:stop, [0, 1]] = position[start:stop, [1, 0]]
    return film(placed(shot, position))


def lost_fragments(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """So many of the fragments are gone some frames after the impact; all but one at most."""
    position, first = shot.motion.position.copy(), len(shot.scene.bodies)
    count = position.shape[1] - first
    lost = first + rng.permutation(count)[: round(severity * (count - 1))]
    position[shot.touched(0, 1) + 3 :, lost, 2] = physics.FAR_BELOW
    return film(placed(shot, position))


def stuck_fragments(shot: Shot, severity: float, rng: Generator, fps: float) -> np.ndarray:
    """The fragments spread less, or not at all."""
    position, first = shot.motion.position.copy(), len(shot.scene.bodies)
    there = shot.motion.exists[:, first:].all(1)
    start = int(np.argmax(there))
    pieces = position[start:, first:]
    offset = pieces - pieces.mean(1, keepdims=True)
    together = pieces.mean(1, keepdims=True) + offset[:1]
    pieces[..., :2] += severity * (together - pieces)[..., :2]
    return film(placed(shot, position))


def _way(shot):
    """A copy of the way of the main object [T + 1, 3]."""
    return shot.motion.position[:, 0].copy()


def _in_view(shot):
    """The frame nearest to the middle about which the main object is seen, or the middle."""
    seen = ndimage.binary_erosion(shot.visibility[:, 0] > SEEN, np.ones(5))
    frames = np.flatnonzero(seen)
    if not len(frames):
        return middle(shot)
    return int(frames[np.abs(frames - middle(shot)).argmin()])


def _toward(way, other, severity):
    return (1 - severity) * way + severity * other


def _along(shot, way):
    position = shot.motion.position.copy()
    position[:, 0] = way
    return film(placed(shot, position))


KINDS = {
    "slow_gravity": slow_gravity,
    "no_bounce": no_bounce,
    "linear_fall": linear_fall,
    "hover": hover,
    "speed_up": speed_up,
    "vanish": vanish,
    "teleport": teleport,
    "jitter": jitter,
    "disorder": disorder,
    "stagnate": stagnate,
    "moved_hidden": moved_hidden,
    "identity_swap": identity_swap,
    "lost_fragments": lost_fragments,
    "stuck_fragments": stuck_fragments,
}
