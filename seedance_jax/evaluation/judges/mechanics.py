"""Gravity, bounces, falls and permanence of the main object in the first shot, against a record.

Scenes of the old world are measured as ever; those of today have gravity from the moon's to
Jupiter's, so that flights may be shorter than a fit without the record needs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.evaluation.judges import free_fall, sight
from seedance_jax.evaluation.judges.detection import Track
from seedance_jax.evaluation.judges.finding import Finding, number
from seedance_jax.evaluation.judges.objects import is_new

GATES = ("gravity", "bounce", "fall", "permanence")
FALLS = ("drop", "throw", "break")
# Frames of a flight whose curvature can be measured if the record tells where it ends.
SHORTEST = 2.05
# Frames of the first flight after an impact, and of the clip after it, in which it can be seen.
REBOUND = 2.5


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
    center = shot.steady(track.center)
    flight = _flight(center[:, 1], scene, fps, shot.frames.shape[1])
    if flight is not None:
        found |= _fall(shot, track, center, flight, fps, scene)
    hiding = find_hiding(shot, track) if scene["event"] != "episodes" else None
    if hiding:
        found["permanence"] = number(hiding.error, **hiding._asdict())
    return found


def _flight(height, scene, fps, size):
    """The `free_fall.Flight` that the clip begins with; a short one ends where the record says."""
    flight = free_fall.free_fall(height, size)
    frames = air_time(scene) * fps if is_new(scene) and scene["event"] in FALLS else math.inf
    if frames >= free_fall.MIN_FLIGHT - 0.5 or frames < SHORTEST:
        return flight
    last = min(int(frames), len(height) - 1)
    known = last >= 2 and np.isfinite(height[: last + 1]).all()
    return free_fall.fit(height, 0, last) if known else None


def _fall(shot, track, center, flight, fps, scene):
    size, body = shot.frames.shape[1], scene["objects"][0]
    radius = np.sqrt(np.median(track.area[flight.first : flight.last + 1]) / np.pi)
    scale = sight.mean_radius(body) / radius
    measured = free_fall.gravity(flight, fps, scale, shot.view.elevation)
    fit = {"fit": list(flight), "metres_per_second_squared": measured, "radius": radius}
    fit["drawn"] = parabola(center, flight)
    found = {"gravity": number(measured / scene["gravity"], **fit)}
    if not is_new(scene):
        rebound = free_fall.restitution(center[:, 1], flight, size)
        return found | ({"bounce": number(rebound[0], fit=list(rebound[1]))} if rebound else {})
    if scene["event"] in ("drop", "throw"):
        # As the fall accelerates it, so the size of the object and the camera's slope drop out.
        metres = free_fall.depth(center[:, 1]) * scene["gravity"] / (2 * flight.a * fps**2)
        plausible = 0.5 < measured / scene["gravity"] < 2
        share = metres / fall_height(scene)
        found["fall"] = number(share if plausible else None, metres=metres)
    bounce = free_fall.rebound(center[:, 1], flight, size)
    if bounce is not None:
        found["bounce"] = number(bounce / max(body["restitution"], 1e-3), share=bounce)
    return found


def fall_height(scene: Mapping[str, Any]) -> float:
    """Metres from the highest place of a fall to the floor; of a throw about so many."""
    return scene["numbers"]["height"] + (sight.RELEASE if scene["event"] == "throw" else 0.0)


def air_time(scene: Mapping[str, Any]) -> float:
    """Seconds until what falls or is thrown meets the floor; of a throw those until it is as low as
    it was thrown from; 0 of other events."""
    if scene["event"] not in FALLS:
        return 0.0
    fall = math.sqrt(2 * scene["numbers"]["height"] / scene["gravity"])
    return 2 * fall if scene["event"] == "throw" else fall


def find_hiding(shot: sight.Shot, track: Track) -> free_fall.Hiding | None:
    """The `free_fall.Hiding` of a track; None if it never hides."""
    sides = np.full((len(track.seen), 2, 2), np.nan)  # [T, side, (x, y)]
    for k in np.flatnonzero(track.masks.any((1, 2))):
        columns = np.flatnonzero(track.masks[k].any(0))
        sides[k, :, 0] = columns[0], columns[-1] + 1
        sides[k, :, 1] = np.nonzero(track.masks[k])[0].mean() + 0.5
    steady = np.stack([shot.steady(sides[:, side])[:, 0] for side in (0, 1)], -1)
    return free_fall.find_hiding(steady, track.area / shot.scale**2)


def parabola(center: np.ndarray, flight: free_fall.Flight) -> list[list[float]]:
    """Places of a fit [[x, y], ...], a frame each, before the standing scene."""
    time = np.arange(flight.first, flight.last + 1)
    y = np.polyval([flight.a, flight.b, flight.c], time)
    return np.column_stack([center[time, 0], y]).round(2).tolist()


def mechanics_shown(scene: Mapping[str, Any], fps: float) -> dict[str, bool]:
    """Which of `GATES` the scene shows, by its record alone."""
    event, body = scene["event"], scene["objects"][0]
    frames, flight = scene["shots"][0]["num_frames"], air_time(scene) * fps
    from_start = scene.get("from_start", True)
    shown = {"permanence": event == "occlude"}
    if not is_new(scene):
        measured = min(flight, frames - 1) >= free_fall.MIN_FLIGHT - 0.5 and from_start
        room = frames - 1 - flight - free_fall.MIN_FLIGHT >= 1.5
        bounces = event == "drop" and body["shape"] == "ball" and measured and room
        after = 2 * body["restitution"] * flight
        shown["bounce"] = bounces and after >= free_fall.MIN_FLIGHT + 1
        return shown | {"gravity": measured, "fall": False}
    measured = min(flight, frames - 1) >= SHORTEST and from_start
    landed = frames - 1 - flight * (1.2 if event == "throw" else 1.0)
    falls = event in ("drop", "throw") and from_start
    after = 2 * body["restitution"] * flight / (2 if event == "throw" else 1)
    bounces = falls and body["shape"] == "ball" and measured
    return shown | {
        "gravity": measured,
        "fall": falls and landed >= 1,
        "bounce": bounces and landed >= REBOUND + 1 and after >= REBOUND,
    }
