"""A scene before anything moves: objects, surroundings and camera plan, drawn at random."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.spec import WORLD_VERSION, WorldSpec


@dataclasses.dataclass
class Body:
    """One object at time 0. World axes: z up, floor at z = 0; cameras look roughly along +y."""

    shape: str
    color: str
    texture: str
    size: str
    half: np.ndarray  # [3] half extents, metres, object axes
    position: np.ndarray  # [3]
    quaternion: tuple = (1.0, 0.0, 0.0, 0.0)
    velocity: tuple = (0.0, 0.0, 0.0)  # m/s
    spin: tuple = (0.0, 0.0, 0.0)  # rad/s, world axes
    friction: float = 0.6
    rolling: float = 0.0  # rolling friction, metres
    restitution: float = 0.25
    density: float = 300.0
    static: bool = False


@dataclasses.dataclass
class CameraPlan:
    """The view of one shot and how it moves.

    `view_height` metres of world fill the frame's shorter side.
    """

    move: str
    amount: float  # in the move's own unit, total over the shot
    azimuth: float  # degrees, 0 = from -y
    elevation: float  # degrees above the horizon
    focal: float  # in units of the frame's shorter side
    view_height: float


@dataclasses.dataclass
class Scene:
    """Everything that decides a clip. `numbers` are its graded quantities (speed, gravity ...)."""

    event: str
    bodies: list
    floor: str
    time_of_day: str
    sun_azimuth: float  # degrees
    gravity: float  # m/s^2
    cameras: list  # a CameraPlan per shot
    numbers: dict
    ranges: dict  # name of a number -> its training range
    outside: str  # the number that lies outside its training range, or ""


class Draw:
    """Random choices for one scene, within what split, slice and duration allow.

    `alone`: without more objects than the event needs.
    """

    def __init__(self, rng: np.random.Generator, split: str, spec: WorldSpec, alone: bool = False):
        self.rng, self.split, self.spec = rng, split, spec
        self.slice = vocabulary.SLICES[spec.slice]
        self.company = self.slice.companions and not alone
        self.duration = spec.duration
        self.pace = min(spec.duration, 2.0)  # seconds in which things come to pass
        self.numbers, self.ranges, self.outside = {}, {}, ""
        self.used_colors = set()
        # With out_of_range, either gravity or the event's own number leaves its range.
        self.strange_gravity = split == "out_of_range" and rng.random() < 0.4
        self.gravity = 0.0
        self.azimuth = self.uniform(-20, 20)  # degrees, of the camera; paths are laid out before it

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def choice(self, options: Mapping[Any, float] | Sequence) -> Any:
        """One key of a dict by its probability, or one item of a sequence."""
        names = list(options)
        weights = list(options.values()) if isinstance(options, dict) else None
        return names[self.rng.choice(len(names), p=weights)]

    def side(self) -> float:
        return float(self.rng.choice((-1, 1)))

    def draw_gravity(self, matters: bool) -> None:
        """Gravity leaves its range only for events that show it."""
        self.strange_gravity = self.strange_gravity and matters
        self.gravity = self._number("gravity", *vocabulary.GRAVITY, self.strange_gravity)

    def graded(self, name: str, low: float, high: float) -> float:
        """A number with a training range, which `out_of_range` leaves on either side."""
        return self._number(name, low, high, self.split == "out_of_range" and not self.outside)

    def _number(self, name, low, high, strange):
        value = self.uniform(low, high)
        if strange:
            slow = self.rng.random() < 0.5
            value = low * self.uniform(0.45, 0.75) if slow else high * self.uniform(1.3, 1.7)
            self.outside = name
        self.numbers[name], self.ranges[name] = value, (low, high)
        return value

    def body(self, shapes: Collection[str], size: str = "", textures: Collection[str] = ()) -> Body:
        """An object of a colour not yet used, resting upright at the origin."""
        shape = self.choice([name for name in shapes if name in self.slice.shapes])
        color = self.choice(self._free_colors(shape))
        self.used_colors.add(color)
        size = size if size in self.slice.sizes else self.choice(self.slice.sizes)
        half = np.array(vocabulary.SHAPES[shape]) * self.uniform(*vocabulary.SIZES[size])
        textures = [name for name in textures or self.slice.textures if name in self.slice.textures]
        restitution = self.uniform(0.65, 0.8) if shape == "ball" else 0.25
        return Body(
            shape,
            color,
            self.choice(textures),
            size,
            half,
            resting(half[2]),
            restitution=restitution,
        )

    def _free_colors(self, shape):
        hold_out = self.split == "held_out_combinations"
        return [
            color
            for color in self.slice.colors
            if color not in self.used_colors and (shape in vocabulary.HELD_OUT[color]) == hold_out
        ]


def resting(height: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Position of a centre `height` above the floor; a hair lower, to touch from the start."""
    return np.array([x, y, height - 2e-4])


def turn(axis: Sequence[float], angle: float) -> tuple[float, float, float, float]:
    """Quaternion (w, x, y, z) of a turn by `angle` radians about unit `axis`."""
    return (float(np.cos(angle / 2)), *(float(np.sin(angle / 2) * a) for a in axis))


def seed_sequence(split: str, index: int, attempt: int) -> np.random.SeedSequence:
    """The seed of one attempt at one clip; attempt 0 is for what all attempts share."""
    version = list(WORLD_VERSION.encode())
    return np.random.SeedSequence([*version, vocabulary.SPLITS.index(split), index, attempt])


def generator(split: str, index: int, attempt: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed_sequence(split, index, attempt)))
