"""Falls of today's worlds, by their records: how far something falls, and how fast it does.

A record tells how long a flight takes, so it is known in which frames there is one, even if these
are three: gravity is the curvature of the way in them. How far it fell is told by the way itself
and by the size of what falls, which is smaller when it lies farther away.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.evaluation.judges import free_fall, sight
from seedance_jax.evaluation.judges.detection import Track
from seedance_jax.evaluation.judges.finding import Finding, number

EVENTS = ("drop", "throw", "break")
# Frames of a flight whose curvature can be measured.
SHORTEST = 2.05
# Frames after an impact by which what falls has come down, and those whose places tell how far.
LANDED, LOWEST = 2.5, 3
# Frames of the first flight after an impact, and of the clip after it, in which it can be seen.
REBOUND = 2.5
# Logs of area by which the outline of one thing changes while it turns.
LIKE = 0.3
# Shares of the mean height above the floor from which things are thrown: the least that is believed
# (what looks lower may have stopped above the floor), and the most.
RELEASES = 0.8, 1.5
# Half extents by which what is dropped aslant meets the floor earlier than if it were upright.
ASLANT = {"ball": 0.0, "cube": 0.62, "cylinder": 0.4}


class Way(NamedTuple):
    """What is seen of something in a shot of T frames.

    Attributes:
      center: [T,2] places before the standing scene, pixels.
      radius: [T] pixels, of the disc as large as it, at the camera's zoom halfway; 0 is unseen.
      whole: bool [T], seen and not cut off.
    """

    center: np.ndarray
    radius: np.ndarray
    whole: np.ndarray

    def alike(self, frames: np.ndarray) -> np.ndarray:
        """Those of some frames in which it is whole, and as large as in most of them; where it
        hardly ever is whole, those in which the edge cuts little off it, too."""
        whole = frames[self.whole[frames]]
        frames = whole if len(whole) >= 3 else frames[self.radius[frames] > 0]
        if not len(frames):
            return frames
        usual = np.median(self.radius[frames])
        return frames[2 * np.abs(np.log(self.radius[frames] / usual)) < LIKE]


def way_of(shot: sight.Shot, track: Track) -> Way:
    """The `Way` of a track."""
    center = shot.steady(track.center)
    seen = track.seen & np.isfinite(center).all(1)
    radius = np.where(seen, np.sqrt(track.area / np.pi) / shot.scale, 0.0)
    return Way(center, radius, seen & track.whole)


def measure(
    shot: sight.Shot, track: Track, fps: float, scene: Mapping[str, Any]
) -> dict[str, Finding]:
    """{"gravity", "fall", "bounce": `Finding`} of what a scene drops, throws or breaks.

    Gravity and fall are shares of what the record has, bounce one of the share of the speed that
    the impact gives back by it.
    """
    way, body, size = way_of(shot, track), scene["objects"][0], shot.frames.shape[1]
    last = min(int(clear_time(scene) * fps), len(way.whole) - 1)
    frames = way.alike(np.arange(last + 1))
    if len(frames) < 3:
        return {}
    flight, frames = find_flight(way, frames, size)
    radius = float(np.median(way.radius[frames]))
    scale = sight.mean_radius(body) / radius
    measured = free_fall.gravity(flight, fps, scale, shot.view.elevation)
    fit = {"fit": list(flight), "metres_per_second_squared": measured, "radius": radius}
    fit["drawn"] = free_fall.parabola(way.center[:, 0], flight)
    found = {"gravity": number(measured / scene["gravity"], **fit)}
    bounce = free_fall.rebound(way.center[:, 1], flight, size)
    if scene["event"] != "break":
        meets = bounce.lowest if bounce and body["shape"] == "ball" else -math.inf
        found["fall"] = _fall(shot, way, frames, meets, fps, scene)
    if bounce:
        share = bounce.share / max(body["restitution"], 1e-3)
        found["bounce"] = number(share, share=bounce.share)
    return found


def find_flight(way: Way, frames: np.ndarray, size: int) -> tuple[free_fall.Flight, np.ndarray]:
    """(the `free_fall.Flight` that most of some frames are on, and goes on after them; its frames).

    Args:
      frames: numbers of 3 frames or more.
      size: height of the frame, pixels.
    """
    y, tolerance = way.center[:, 1], free_fall.TOLERANCE * size
    frames = frames[_inliers(frames, y[frames], tolerance)]
    curve = np.polyfit(frames, y[frames], 2)
    for frame in range(frames[-1] + 1, len(y)):
        if not way.whole[frame] or abs(np.polyval(curve, frame) - y[frame]) > tolerance:
            break
        frames = np.append(frames, frame)
        curve = np.polyfit(frames, y[frames], 2)
    error = float(np.sqrt(((np.polyval(curve, frames) - y[frames]) ** 2).mean()))
    return free_fall.Flight(int(frames[0]), int(frames[-1]), *map(float, curve), error), frames


def _inliers(time, y, tolerance):
    """bool [N]: what lies on the parabola through three of N places that most of them are near."""
    triples = np.array(list(itertools.combinations(range(len(time)), 3)))
    powers = np.stack([time**2, time, np.ones_like(time)], -1).astype(float)
    curves = np.linalg.solve(powers[triples], y[triples][..., None])[..., 0]
    error = np.abs(curves @ powers.T - y) / tolerance
    best = np.minimum(error, 1.0) ** 2
    return error[best.sum(1).argmin()] <= 1


def _fall(shot, way, flight, meets, fps, scene):
    """How far it falls, the mean of three: by its size, by how fast it does, and by where it lies
    above the floor. What bounces is lowest when it `meets` the floor, which may be between frames.

    The record of a throw tells how high it goes, but not exactly from where: that is as it looks,
    within what throws have.
    """
    size, height = shot.frames.shape[1], scene["numbers"]["height"]
    landing = np.arange(min(int(air_time(scene) * fps), len(way.whole) - 1), len(way.whole))
    landed = way.alike(landing)
    if not len(landed):
        return Finding(None, False, {})
    lowest = max(np.median(np.sort(way.center[landed, 1])[-LOWEST:]), meets)
    rise = math.sqrt(2 * height / scene["gravity"]) * fps if scene["event"] == "throw" else 0.0
    curvature, top = np.polyfit((flight - rise) ** 2, way.center[flight, 1], 1)
    middle = way.center[flight, 1].mean()
    radius, focal = sight.mean_radius(scene["objects"][0]), shot.view.focal * size
    before, after = (radius / way.radius[part] for part in (flight, landed))
    before, after = float(np.mean(before)), float(np.median(after))  # metres a pixel
    cosine, sine = (f(math.radians(shot.view.elevation)) for f in (math.cos, math.sin))
    down = (lowest - size / 2) * after
    metres = cosine * (down - (middle - size / 2) * before) + sine * focal * (after - before)
    metres += (middle - top) * before / cosine
    if rise:
        fallen = metres - curvature * rise**2 * before / cosine  # below where it was thrown
        height += np.clip(fallen, *(share * sight.release(scene) for share in RELEASES))
    above = shot.view.height - cosine * down - sine * (focal * after - shot.view.distance)
    above += (height - fall_height(scene)) / 2 - _resting_height(scene)  # it looks at the middle
    timed = (lowest - top) * scene["gravity"] / (2 * curvature * fps**2)
    share = (metres + timed + height - above) / 3 / height
    return number(share, metres=metres, timed=timed, above=above, height=height)


def _resting_height(scene):
    """Metres of the middle above the floor at the end: what is thrown comes to lie."""
    extents = scene["objects"][0]["half_extents"]
    return min(extents) if scene["event"] == "throw" else extents[2]


def fall_height(scene: Mapping[str, Any]) -> float:
    """Metres from the highest place of a fall to the floor; of a throw about so many."""
    return scene["numbers"]["height"] + (sight.release(scene) if scene["event"] == "throw" else 0.0)


def air_time(scene: Mapping[str, Any]) -> float:
    """Seconds until what falls or is thrown meets the floor; of a throw those until it is as low as
    it was thrown from; 0 of other events."""
    if scene["event"] not in EVENTS:
        return 0.0
    return _seconds(scene, scene["numbers"]["height"])


def clear_time(scene: Mapping[str, Any]) -> float:
    """Seconds of a flight in which nothing is met, however aslant: as `air_time`, or fewer."""
    height, body = scene["numbers"]["height"], scene["objects"][0]
    if scene["event"] == "throw":
        return _seconds(scene, height)
    early = ASLANT[body["shape"]] * max(body["half_extents"])
    return _seconds(scene, max(height - early, height / 3))


def _seconds(scene, height):
    fall = math.sqrt(2 * height / scene["gravity"])
    return 2 * fall if scene["event"] == "throw" else fall


def radii_fallen(scene: Mapping[str, Any], fps: float) -> float:
    """Radii that something thrown falls by in the first shot, by the record: at least so many."""
    height, gravity = scene["numbers"]["height"], scene["gravity"]
    seconds = (scene["shots"][0]["num_frames"] - 1) / fps - math.sqrt(2 * height / gravity)
    metres = min(gravity * max(seconds, 0.0) ** 2 / 2, height)
    return metres / sight.mean_radius(scene["objects"][0])


def shown(scene: Mapping[str, Any], fps: float) -> dict[str, bool]:
    """Whether a scene shows gravity, fall and bounce, by its record alone."""
    event, body = scene["event"], scene["objects"][0]
    if event not in EVENTS or not scene.get("from_start", True):
        return dict.fromkeys(("gravity", "fall", "bounce"), False)
    frames, flight = scene["shots"][0]["num_frames"], air_time(scene) * fps
    thrown = event == "throw"
    measured = min(clear_time(scene) * fps, frames - 1) >= SHORTEST
    left = frames - 1 - flight * (1.2 if thrown else 1.0)
    after = 2 * body["restitution"] * flight / (2 if thrown else 1)
    falls = event != "break" and measured
    bounces = falls and body["shape"] == "ball"
    return {
        "gravity": measured,
        "fall": falls and left >= LANDED,
        "bounce": bounces and left >= REBOUND + 1 and after >= REBOUND,
    }
