"""A scene before anything moves: objects, surroundings and camera plan, drawn at random."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.world import seeds, vocabulary
from seedance_jax.data.world.quantities import EARTH, QUANTITIES
from seedance_jax.data.world.spec import OLD_WORLD, WorldSpec

LONGEST_FALL = 0.8  # of the first shot's seconds, so that what drops is seen to land


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
    path: tuple = ()  # of what is moved, not simulated: (time, position [3]), times rising
    nominal: float = 0.0  # restitution that the solver is told; 0 is the restitution itself
    number: int = -1  # of a fragment: the object that breaks into it


@dataclasses.dataclass(frozen=True)
class Act:
    """What sets an object of a long scene going, of its own accord, at a moment.

    Rolling and sliding end at `target` [2] on the floor, whatever came before.
    """

    start: float  # seconds
    body: int
    kind: str  # "roll", "slide", "hop" or "spin"
    target: tuple = (0.0, 0.0)
    height: float = 0.0  # of a hop, metres
    turning: float = 0.0  # of a spin, rad/s

    def velocities(self, body: Body, position: np.ndarray, gravity: float) -> tuple:
        """(linear [3], angular [3]) in world axes, of a body at `position`."""
        way = np.array([self.target[0] - position[0], self.target[1] - position[1], 0.0])
        length = float(np.linalg.norm(way))
        heading = way / max(length, 1e-6)
        # A rolling ball has 7/5 of the inertia, which its turning adds.
        rolls = 5 / 7 * body.rolling / body.half[0]
        slows = gravity * (rolls if self.kind == "roll" else body.friction)
        linear = heading * math.sqrt(2 * slows * length)
        if self.kind == "roll":
            return linear, np.cross((0.0, 0.0, 1.0), linear) / body.half[0]
        if self.kind == "slide":
            return linear, np.zeros(3)
        rise = math.sqrt(2 * gravity * self.height)
        return np.array([0.0, 0.0, rise]), np.array([0.0, 0.0, self.turning])


@dataclasses.dataclass
class CameraPlan:
    """The view of one shot and how it moves.

    `view_height` metres of world fill the frame's shorter side. `move` is a name of CAMERA_MOVES,
    or "path" if there are several, which `steps` tell.
    """

    move: str
    amount: float  # in the move's own unit, total over the shot
    azimuth: float  # degrees, 0 = from -y
    elevation: float  # degrees above the horizon
    focal: float  # in units of the frame's shorter side
    view_height: float
    kind: str = "single"  # of vocabulary.PATHS
    steps: tuple = ()  # of paths.Step
    path: tuple = ()  # of paths.Keyframe
    said: tuple = ("moves",)  # what captions tell of it: "moves", with "words" and "numbers"


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
    fragments: list = dataclasses.field(default_factory=list)  # Bodies, in the axes of object 1
    acts: list = dataclasses.field(default_factory=list)  # of long scenes: Acts
    chapters: list = dataclasses.field(default_factory=list)  # of long scenes: what comes to pass
    said: tuple = ()  # names of numbers that captions tell as words, or as "NAME number"
    flaw: tuple = ()  # (name, severity) of a boring or bad clip

    @property
    def parts(self) -> list:
        """All that is simulated: the bodies, then the fragments."""
        return [*self.bodies, *self.fragments]


@dataclasses.dataclass(frozen=True)
class Nature:
    """What all attempts at a clip share of its physics; None is left to the attempt.

    `strange` names what leaves the values of training: a quantity, "own" (of the event) or
    "camera"; "" for nothing.
    """

    gravity: float | None = None
    bounciness: float | None = None
    friction: float | None = None
    strange: str = ""


class Draw:
    """Random choices for one scene, within what split, slice and duration allow.

    lengths: frames of its shots; cut clips have no more objects than the event needs. Every feature
    has a stream of its own.
    """

    def __init__(
        self,
        place: tuple[str, int, int],
        spec: WorldSpec,
        nature: Nature | None = None,
        lengths: Sequence[int] = (),
    ):
        self.place, self.split, self.spec, self.nature = place, place[0], spec, nature or Nature()
        self.old = spec.version == OLD_WORLD
        self.streams = {}
        self.rng = self.stream(seeds.SCENE)
        self.slice = spec.allowed
        self.company = self.slice.companions and len(lengths) < 2
        self.duration = spec.duration
        self.pace = min(spec.duration, 2.0)  # seconds in which things come to pass
        self.first_shot = (lengths[0] - 1) / spec.fps if lengths else spec.duration  # seconds
        self.numbers, self.ranges, self.outside = {}, {}, ""
        self.used_colors = set()
        # With out_of_range, either gravity or the event's own number leaves its range.
        self.strange_gravity = self.split == "out_of_range" and self.rng.random() < 0.4
        self.gravity = 0.0
        self.azimuth = self.uniform(-20, 20)  # degrees, of the camera; paths are laid out before it

    def stream(self, feature: str) -> np.random.Generator:
        """The random numbers of a feature."""
        if feature not in self.streams:
            drawn = seeds.generator(*self.place, feature, self.spec.version)
            self.streams[feature] = drawn
        return self.streams[feature]

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def choice(self, options: Mapping[Any, float] | Sequence) -> Any:
        """One key of a dict by its probability, or one item of a sequence."""
        return choose(self.rng, options)

    def side(self) -> float:
        return float(self.rng.choice((-1, 1)))

    def draw_gravity(self, matters: bool) -> None:
        """Gravity leaves its range only for events that show it."""
        if not self.old:
            self.gravity = self.note("gravity", self.nature.gravity)
            return
        self.strange_gravity = self.strange_gravity and matters
        self.gravity = self._number("gravity", *EARTH, self.strange_gravity)

    def note(self, name: str, value: float) -> float:
        """Writes down a quantity that the nature of the clip gives."""
        quantity = QUANTITIES[name]
        self.numbers[name], self.ranges[name] = value, (quantity.low, quantity.high)
        self.outside = name if self.nature.strange == name else self.outside
        return value

    def graded(self, name: str, low: float, high: float) -> float:
        """A number with a training range, which `out_of_range` leaves on either side."""
        strange = self.split == "out_of_range" and not self.outside
        return self._number(name, low, high, strange and (self.old or self.nature.strange == "own"))

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
        shape = self.choice(self._weighed([name for name in shapes if name in self.slice.shapes]))
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

    def _weighed(self, shapes):
        """Balls, which many events need, are the rarer where other shapes do as well."""
        if self.old or "ball" not in shapes or len(shapes) == 1:
            return shapes
        share = 1 / (len(shapes) - 0.4)
        return {shape: 0.6 * share if shape == "ball" else share for shape in shapes}

    def _free_colors(self, shape):
        hold_out = self.split == "held_out_combinations"
        return [
            color
            for color in self.slice.colors
            if color not in self.used_colors and (shape in vocabulary.HELD_OUT[color]) == hold_out
        ]


def choose(rng: np.random.Generator, options: Mapping[Any, float] | Sequence) -> Any:
    """One key of a dict by its probability, or one item of a sequence."""
    names = list(options)
    weights = list(options.values()) if isinstance(options, dict) else None
    return names[rng.choice(len(names), p=weights)]


def resting(height: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Position of a centre `height` above the floor; a hair lower, to touch from the start."""
    return np.array([x, y, height - 2e-4])


def turn(axis: Sequence[float], angle: float) -> tuple[float, float, float, float]:
    """Quaternion (w, x, y, z) of a turn by `angle` radians about unit `axis`."""
    return (float(np.cos(angle / 2)), *(float(np.sin(angle / 2) * a) for a in axis))
