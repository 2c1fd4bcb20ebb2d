"""Gravity, bounces, falls and permanence of the main object in the first shot, against a record.

Flights of the old world, whose gravity hardly differs, are found without a record; those of today,
with gravity from the moon's to Jupiter's, in `falls`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.evaluation.judges import falls, free_fall, sight
from seedance_jax.evaluation.judges.detection import Track
from seedance_jax.evaluation.judges.finding import Finding, number
from seedance_jax.evaluation.judges.objects import is_new

GATES = ("gravity", "bounce", "fall", "permanence")


def mechanics(
    shots: Sequence[sight.Shot], fps: float, scene: Mapping[str, Any]
) -> dict[str, Finding]:
    """`GATES` of the main object in the first shot.

    Gravity is a share of what the record has: 1 is right. Its m/s^2 are in the evidence. So are
    bounces (of the old world: the share of the speed that is given back), and the height of a fall.
    """
    shot, body = shots[0], scene["objects"][0]
    found = dict.fromkeys(GATES, Finding(None, False, {}))
    track = shot.track(body["color"])
    if track is None:
        return found
    if not is_new(scene):
        found |= _old_fall(shot, track, fps, scene)
    elif scene["event"] in falls.EVENTS:
        found |= falls.measure(shot, track, fps, scene)
    hiding = find_hiding(shot, track) if scene["event"] != "episodes" else None
    if hiding:
        found["permanence"] = number(hiding.error, **hiding._asdict())
    return found


def _old_fall(shot, track, fps, scene):
    center, size = shot.steady(track.center), shot.frames.shape[1]
    flight = free_fall.free_fall(center[:, 1], size)
    if flight is None:
        return {}
    radius = np.sqrt(np.median(track.area[flight.first : flight.last + 1]) / np.pi)
    scale = sight.mean_radius(scene["objects"][0]) / radius
    measured = free_fall.gravity(flight, fps, scale, shot.view.elevation)
    fit = {"fit": list(flight), "metres_per_second_squared": measured, "radius": radius}
    fit["drawn"] = free_fall.parabola(center[:, 0], flight)
    rebound = free_fall.restitution(center[:, 1], flight, size)
    bounce = {"bounce": number(rebound[0], fit=list(rebound[1]))} if rebound else {}
    return {"gravity": number(measured / scene["gravity"], **fit)} | bounce


def find_hiding(shot: sight.Shot, track: Track) -> free_fall.Hiding | None:
    """The `free_fall.Hiding` of a track; None if it never hides."""
    sides = np.full((len(track.seen), 2, 2), np.nan)  # [T, side, (x, y)]
    for k in np.flatnonzero(track.masks.any((1, 2))):
        columns = np.flatnonzero(track.masks[k].any(0))
        sides[k, :, 0] = columns[0], columns[-1] + 1
        sides[k, :, 1] = np.nonzero(track.masks[k])[0].mean() + 0.5
    steady = np.stack([shot.steady(sides[:, side])[:, 0] for side in (0, 1)], -1)
    return free_fall.find_hiding(steady, track.area / shot.scale**2)


def mechanics_shown(scene: Mapping[str, Any], fps: float) -> dict[str, bool]:
    """Which of `GATES` the scene shows, by its record alone."""
    event, body = scene["event"], scene["objects"][0]
    shown = {"permanence": event == "occlude"}
    if is_new(scene):
        return shown | falls.shown(scene, fps)
    frames, flight = scene["shots"][0]["num_frames"], falls.air_time(scene) * fps
    measured = min(flight, frames - 1) >= free_fall.MIN_FLIGHT - 0.5
    measured = measured and scene.get("from_start", True)
    room = frames - 1 - flight - free_fall.MIN_FLIGHT >= 1.5
    bounces = event == "drop" and body["shape"] == "ball" and measured and room
    after = 2 * body["restitution"] * flight
    bounces = bounces and after >= free_fall.MIN_FLIGHT + 1
    return shown | {"gravity": measured, "bounce": bounces, "fall": False}
