"""Paths of cameras: keyframes of several axes at once, eased, and the steps that captions tell of.

Axes, all 0 in the middle of what they cover, but for roll, which begins level:

    pan    degrees to the right      zoom   log focal ratio    orbit  degrees to the right
    tilt   degrees up                dolly  metres ahead       truck  metres to the right
    roll   degrees clockwise
"""

import dataclasses
import math

import numpy as np

from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.vocabulary import CAMERA_MOVES

# Axis -> (least, most) that a move of a short clip covers: visible, and with the action in sight.
AMOUNTS = {
    "pan": (4.0, 15.0),
    "tilt": (3.5, 11.0),
    "roll": (7.0, 28.0),
    "zoom": (0.15, 0.45),
    "dolly": (0.5, 1.3),
    "orbit": (14.0, 45.0),
    "truck": (0.3, 0.9),
}
AXES = tuple(AMOUNTS)
# Axes that look alike, so that captions do not tell of both at once.
ALIKE = {
    "zoom": ("dolly",),
    "dolly": ("zoom",),
    "pan": ("orbit", "truck"),
    "orbit": ("pan", "truck"),
    "truck": ("pan", "orbit"),
}
EASINGS = {"linear": lambda share: share, "smooth": lambda share: share * share * (3 - 2 * share)}
TRIES = 40


@dataclasses.dataclass(frozen=True)
class Keyframe:
    """Where the camera is at a moment: `time` 0 is the first frame of its shot, 1 the last.

    `easing` is of the way to the next one; axes that `values` does not name are 0.
    """

    time: float
    values: dict
    easing: str = "linear"


@dataclasses.dataclass(frozen=True)
class Step:
    """Moves at one time: {name of CAMERA_MOVES: amount}, without signs; zoom in logarithms."""

    moves: dict
    start: float  # as `Keyframe.time`
    stop: float
    easing: str = "linear"


def axis_of(move: str) -> str:
    """The axis of a move, which is its first word."""
    return move.partition(" ")[0]


def draw_steps(
    rng: np.random.Generator, kind: str, moves: list, duration: float, strange: bool = False
) -> tuple | None:
    """Steps of a path of one of `vocabulary.PATHS`, or None if this draw does not fit.

    Args:
      moves: names, of different axes, as many as the kind has.
      duration: of the shot, seconds.
      strange: the first move has a speed that training does not show.
    """
    steps, start = [], 0.0
    groups = [moves] if kind in ("together", "back") else [[move] for move in moves]
    parts = 2 if kind == "back" else len(groups)
    for number, group in enumerate(groups):
        room = 1.0 / parts
        drawn = _draw_moves(rng, group, duration * room, strange and not number)
        if drawn is None:
            return None
        amounts, seconds = drawn
        length = seconds / duration
        begin = start + rng.random() * (room - length)
        easing = str(rng.choice(list(EASINGS)))
        steps.append(Step(amounts, begin, begin + length, easing))
        start += room
    if kind == "back":
        [out] = steps
        back = {opposite(move): amount for move, amount in out.moves.items()}
        steps.append(Step(back, 1.0 - out.stop, 1.0 - out.start, out.easing))
    return tuple(steps)


def _draw_moves(rng, moves, available, strange):
    """({move: amount}, seconds) of moves at one time; None if none fit."""
    for _ in range(TRIES):
        amounts, seconds = {}, available
        for number, move in enumerate(moves):
            low, high = AMOUNTS[axis_of(move)]
            quantity = QUANTITIES[f"{axis_of(move)} speed"]
            speed = quantity.draw(rng, strange and not number)
            if not number:
                seconds = min(available, high * rng.uniform(0.6, 1.0) / speed)
            amounts[move] = speed * seconds
            if not low <= amounts[move] <= high:
                break
        else:
            return amounts, seconds
    return None


def opposite(move: str) -> str:
    """The name of the move back."""
    axis, _, side = move.partition(" ")
    pairs = ("left", "right"), ("up", "down"), ("in", "out"), ("clockwise", "counterclockwise")
    other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return f"{axis} {other[side]}"


def keyframes(steps: tuple) -> tuple:
    """The keyframes of steps."""
    values = dict.fromkeys(AXES, 0.0)
    found = [Keyframe(0.0, dict(values))]
    for step in steps:
        found.append(Keyframe(step.start, dict(values), step.easing))
        for move, amount in step.moves.items():
            values[axis_of(move)] += CAMERA_MOVES[move].sign * amount
        found.append(Keyframe(step.stop, dict(values)))
    found.append(Keyframe(1.0, dict(values)))
    return tuple(frame for k, frame in enumerate(found) if not k or _differ(found[k - 1], frame))


def _differ(before, frame):
    return frame.time > before.time + 1e-9


def along(path: tuple, times: np.ndarray) -> dict:
    """{axis: [N]} of keyframes at times [N]; before the first and after the last it stands."""
    values = {axis: np.zeros(len(times)) for axis in AXES}
    moments = np.array([frame.time for frame in path])
    after = np.clip(np.searchsorted(moments, times, side="right"), 1, len(path) - 1)
    for n, k in enumerate(after):
        first, second = path[k - 1], path[k]
        share = (times[n] - first.time) / (second.time - first.time)
        share = EASINGS[first.easing](min(max(share, 0.0), 1.0))
        for axis in AXES:
            a, b = first.values.get(axis, 0.0), second.values.get(axis, 0.0)
            values[axis][n] = a + (b - a) * share
    return values


def centred(path: tuple) -> tuple:
    """The path with every axis but roll about 0."""
    middle = {}
    for axis in AXES:
        values = [frame.values.get(axis, 0.0) for frame in path]
        middle[axis] = 0.0 if axis == "roll" else (min(values) + max(values)) / 2
    moved = lambda values: {axis: values.get(axis, 0.0) - middle[axis] for axis in AXES}  # noqa: E731
    return tuple(dataclasses.replace(frame, values=moved(frame.values)) for frame in path)


def speeds(step: Step, duration: float) -> dict:
    """{move: amount per second} of a step of a shot of `duration` seconds."""
    seconds = (step.stop - step.start) * duration
    return {move: amount / seconds for move, amount in step.moves.items()}


def number(move: str, amount: float) -> float:
    """An amount in the unit of CAMERA_MOVES: a zoom as a ratio."""
    return math.exp(amount) if axis_of(move) == "zoom" else amount
