"""What a record asks of a camera, part by part, and how far a measured path is from it."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data.world import paths, vocabulary
from seedance_jax.data.world.quantities import QUANTITIES
from seedance_jax.data.world.spec import OLD_WORLD
from seedance_jax.evaluation.judges.camera_amounts import by_halves, by_slopes
from seedance_jax.evaluation.judges.camera_motion import (
    CameraPath,
    Part,
    Repertoire,
    pivot,
)
from seedance_jax.evaluation.judges.camera_views import View

# Degrees up to which a turn moves the picture by its tangent; what lies beyond counts by its arc,
# for the picture is another one by then.
WIDE = 20.0
# What errors are of: pan, tilt and truck (pixels), zoom and dolly (%), orbit and roll (degrees).
GATES = ("camera_pan", "camera_zoom", "camera_orbit", "camera_roll")
# The old world has cameras of one move, at one speed, and none that roll or truck.
OLD = Repertoire(
    axes=tuple(dict.fromkeys(paths.axis_of(move) for move in vocabulary.OLD_MOVES[1:])),
    most=1,
    lags=(0.5, 0.75),
    grid=24,
    least=0.15,
    worth=0.9,
    refine=by_halves,
    follows=False,
)
SHORT = Repertoire(
    axes=paths.AXES,
    most=3,
    lags=(0.3, 0.5, 0.75),
    grid=12,
    least=0.08,
    worth=0.87,
    refine=by_slopes,
    follows=True,
)
# Cameras of long scenes turn where they stand.
LONG = SHORT._replace(axes=("pan", "tilt", "roll", "zoom"), from_start=paths.AXES)


class Asked(NamedTuple):
    """What is asked of a part of a shot: `ranges` {axis: (least, most)} are the changes that its
    caption may mean, others are to be 0."""

    part: Part
    ranges: Mapping


def repertoire(scene: Mapping[str, Any]) -> Repertoire:
    """The `Repertoire` of the cameras of a scene's world, by its record."""
    if scene["version"] == OLD_WORLD:
        return OLD
    allowed = vocabulary.WORLDS[scene["version"]][scene["slice"]]
    kind = LONG if allowed.long else SHORT
    axes = {paths.axis_of(move) for move in allowed.moves}
    return kind._replace(axes=tuple(axis for axis in kind.axes if axis in axes))


def asked_of(camera: Mapping[str, Any], count: int) -> list[Asked]:
    """What the record of a camera asks of a shot of `count` frames, part by part."""
    if "steps" not in camera:
        return [_old(camera, count)]
    if camera["steps"]:
        return _steps(camera, count)
    if camera["keyframes"]:
        return _looks(camera, count)
    return [_standing(0, count - 1)]


def roll_of(camera: Mapping[str, Any], count: int) -> np.ndarray:
    """[count] degrees by which a camera should be turned, by its record."""
    parts = [asked.part for asked in asked_of(camera, count)]
    turns = [part.asked["roll"] * part.profile for part in parts if "roll" in part.asked]
    return np.sum([np.zeros(count), *turns], axis=0)


def _standing(first, last):
    return Asked(Part(first, last, {}, None), {})


def _old(camera, count):
    move, axis = vocabulary.CAMERA_MOVES[camera["move"]], paths.axis_of(camera["move"])
    if not move.sign:
        return _standing(0, count - 1)
    given = camera[move.unit]
    amounts = np.array([min(move.amount[0], given), max(move.amount[1], given), given])
    *ends, amount = move.sign * (np.log(amounts) if axis == "zoom" else amounts)
    evenly = np.arange(count) / (count - 1)
    return Asked(Part(0, count - 1, {axis: amount}, evenly), {axis: (min(ends), max(ends))})


def _steps(camera, count):
    """Of a camera of steps, as much as is seen of each of them."""
    total, steps = camera["keyframes"][-1]["time"], camera["steps"]
    times, found = _times(camera, count), []
    edges = np.searchsorted(times, np.linspace(0, total, len(steps) + 1) + 1e-6, "right") - 1
    edges = [0, *edges[1:-1].clip(0), count - 1]
    for step, first, last in zip(steps, edges[:-1], edges[1:], strict=True):
        if last <= first:
            continue
        share = np.clip((times - step["start"]) / (step["stop"] - step["start"]), 0.0, 1.0)
        profile = paths.EASINGS[step["easing"]](share)
        seen, asked, ranges = profile[last] - profile[first], {}, {}
        if not seen:
            found.append(_standing(first, last))
            continue
        for move, amount in step["moves"].items():
            axis, sign = paths.axis_of(move), vocabulary.CAMERA_MOVES[move].sign
            asked[axis] = sign * amount * seen
            ends = [sign * end * seen for end in meant(axis, amount, step, camera["said"])]
            ranges[axis] = (min(ends), max(ends))
        profile = (profile - profile[first]) / seen
        found.append(Asked(Part(int(first), int(last), asked, np.clip(profile, 0, 1)), ranges))
    return found


def _times(camera, count):
    """Seconds of the frames from the beginning of their shot, of which a part may be shown."""
    first, last = camera.get("window", (0.0, camera["keyframes"][-1]["time"]))
    return np.linspace(first, last, count)


def meant(
    axis: str, amount: float, step: Mapping[str, Any], said: Sequence[str]
) -> tuple[float, float]:
    """(least, most) that a caption may mean by a move: the amount that it tells, what is covered at
    a speed of its word, or what moves cover at all."""
    if "numbers" in said:
        return amount, amount
    low, high = paths.AMOUNTS[axis]
    seconds, quantity = step["stop"] - step["start"], QUANTITIES[f"{axis} speed"]
    word = quantity.word(amount / seconds)
    if "words" in said and word:
        names, speeds = zip(*quantity.words, strict=True)
        number = names.index(word)
        low = max(low, speeds[number] * seconds)
        high = min(high, [*speeds, math.inf][number + 1] * seconds)
    return min(low, amount), max(high, amount)


def _looks(camera, count):
    """Of a camera that stands but for when it looks away, as keyframes tell."""
    times, found = _times(camera, count), []
    for before, after in itertools.pairwise(camera["keyframes"]):
        first, last = (int(np.abs(times - frame["time"]).argmin()) for frame in (before, after))
        if last <= first + 1:
            continue
        share = np.clip((times - before["time"]) / (after["time"] - before["time"]), 0.0, 1.0)
        profile = paths.EASINGS[before["easing"]](share)
        seen = profile[last] - profile[first]
        asked = {axis: (after[axis] - before[axis]) * seen for axis in paths.AXES}
        asked = {axis: amount for axis, amount in asked.items() if amount}
        profile = np.clip((profile - profile[first]) / seen, 0, 1) if asked else None
        ranges = {axis: (amount, amount) for axis, amount in asked.items()}
        found.append(Asked(Part(first, last, asked, profile), ranges))
    return found


def effects(changes: Mapping[str, float], view: View, side: int) -> np.ndarray:
    """What changes of axes do: pan with truck, and tilt (pixels), zoom with dolly (%), orbit and
    roll (degrees), signed."""
    length = view.focal * side
    turns = np.array([changes.get("pan", 0.0), changes.get("tilt", 0.0)])
    near = np.clip(turns, -WIDE, WIDE)
    pan, tilt = length * (np.tan(np.radians(near)) + np.radians(turns - near))
    truck, own = changes.get("truck", 0.0), pivot(changes, view)
    pan += length * (truck - np.clip(truck, -own, own)) / view.distance
    zoom = changes.get("zoom", 0.0) + changes.get("dolly", 0.0) / view.distance
    return np.array([pan, tilt, 100 * zoom, changes.get("orbit", 0.0), changes.get("roll", 0.0)])


def errors(
    path: CameraPath, view: View, asked: Sequence[Asked], shape: Sequence[int]
) -> list[list[float]]:
    """How far a `CameraPath` is from what is asked of it, in the worst part of the shot.

    A camera that is to come back must be where it was, too.

    Returns:
      two lists of errors of `GATES`: from the nearest changes that a caption may mean, and from the
      very ones of the record.
    """
    parts = list(asked)
    if len(parts) > 1 and _comes_back(parts):
        parts.append(_standing(parts[0].part.first, parts[-1].part.last))
    worst = np.zeros((2, len(GATES)))
    for part, ranges in parts:
        wanted = [{a: ends[k] for a, ends in ranges.items()} for k in (0, 1)] + [part.asked]
        low, high, exact = (effects(changes, view, min(shape[1:3])) for changes in wanted)
        seen = effects(path.change(part.first, part.last), view, min(shape[1:3]))
        outside = np.maximum(np.maximum(low - seen, seen - high), 0.0)
        worst = np.maximum(worst, [_lengths(outside), _lengths(seen - exact)])
    return worst.tolist()


def _comes_back(parts):
    sums = {}
    for part, _ in parts:
        for axis, amount in part.asked.items():
            sums[axis] = sums.get(axis, 0.0) + amount
    return all(abs(total) < 1e-6 for total in sums.values())


def _lengths(effects):
    return [np.hypot(*effects[:2]), *np.abs(effects[2:])]


def are_told(scene: Mapping[str, Any]) -> bool:
    """Whether captions of a scene tell how all its cameras move; if not, any move is right."""
    cameras = [shot["camera"] for shot in scene["shots"]]
    return all("moves" in camera.get("said", ("moves",)) for camera in cameras)
