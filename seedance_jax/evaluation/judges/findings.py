"""What is measured of a clip: one function per group of gates, each a dict of `Finding`s."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges import (
    actions,
    camera_motion,
    free_fall,
    outlines,
    quality,
    sight,
)
from seedance_jax.evaluation.judges.detection import Track

# Frames of a track that are looked at for its shape.
SHAPE_FRAMES = 12
# Pixels, of a frame of 64, between the outlines of objects that meet.
MEETING = 3.0 / 64
# A frame shows an object whole if it shows so much of its usual area.
CLEAR = 0.6


class Finding(NamedTuple):
    """What is measured for one gate.

    Attributes:
      value: number, word or list; None if nothing could be measured.
      valid: whether the clip allowed a measurement.
      evidence: what it rests on, ready for JSON; places in pixels, times in frames of the clip.
    """

    value: Any
    valid: bool
    evidence: dict


def number(value: float | None, **evidence: Any) -> Finding:
    """The `Finding` of a number, which is valid if there is one."""
    valid = value is not None and math.isfinite(value)
    return Finding(float(value) if valid else None, valid, evidence)


def alignment(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """Colour, shape, count, relation, event and direction."""
    bodies = scene["objects"]
    seen = [[track.color for track in shot.tracks] for shot in shots]
    missing = [body["color"] for body in bodies for names in seen if body["color"] not in names]
    found = {
        "alignment_color": Finding(not missing, True, {"seen": seen, "missing": missing}),
        "alignment_count": Finding(max(map(len, seen)), True, {"seen": seen}),
        "alignment_shape": shape(shots, bodies),
    }
    story = tell(shots[0], bodies, len(shots) == 1)
    found["alignment_color"].evidence["tracks"] = tracks_of(shots)
    for name, judge in (("event", event), ("direction", direction), ("relation", relation)):
        unseen = Finding(None, False, {"missing": missing})
        found[f"alignment_{name}"] = judge(story, shots[0], scene) if story else unseen
    return found


def shape(shots: Sequence[sight.Shot], bodies: Sequence[Mapping[str, Any]]) -> Finding:
    """By how much the prompted shapes explain the outlines better than others do, the worst."""
    margins, words = [], []
    for body in bodies:
        masks = [clear_masks(shot.track(body["color"])) for shot in shots]
        masks = [mask for part in masks for mask in part]
        picked = np.unique(np.linspace(0, len(masks) - 1, SHAPE_FRAMES).round().astype(int))
        scores = outlines.shape_scores([masks[k] for k in picked]) if masks else None
        if scores is None:
            return Finding(None, False, {"color": body["color"]})
        words.append(max(scores, key=scores.get))
        own = scores.pop(body["shape"])
        margins.append(own - max(scores.values()))
    return number(min(margins), seen=words, asked=[body["shape"] for body in bodies])


def clear_masks(track: Track | None) -> list[np.ndarray]:
    """The masks of a track where it is whole and nothing hides it."""
    if track is None:
        return []
    return list(track.masks[clear(track)])


def clear(track: Track) -> np.ndarray:
    """bool [T]: where a track is seen whole."""
    return track.whole & (track.area > CLEAR * usual_area(track))


def usual_area(track: Track) -> float:
    """Pixels that an object has, when little hides it."""
    return np.percentile(track.area[track.seen], 80)


def tell(
    shot: sight.Shot, bodies: Sequence[Mapping[str, Any]], whole: bool
) -> actions.Story | None:
    """The `actions.Story` of a shot; None if the main object is not seen."""
    tracks = [shot.track(body["color"]) for body in bodies]
    if tracks[0] is None:
        return None
    tracks = [track for track in tracks if track is not None]
    inside, masks = 0.0, tracks[0].masks
    both = masks[1:] & masks[:-1]
    if both.any():
        inside = float(np.abs(np.diff(quality.luma(shot.frames), axis=0))[both].mean())
    centers = [shot.steady(track.center) for track in tracks]
    slope = math.sin(math.radians(shot.view.elevation))
    return actions.Story(centers, tracks, inside, slope, whole)


def event(story: actions.Story, shot: sight.Shot, scene: Mapping[str, Any]) -> Finding:
    name = scene["event"]
    enough = story.tracks[0].seen.sum() >= 4
    value = float(actions.EVENTS[name](story)) if enough else None
    return number(value, asked=name, main=story.tracks[0].color)


def direction(story: actions.Story, shot: sight.Shot, scene: Mapping[str, Any]) -> Finding:
    word = actions.direction(story, scene["event"])
    return Finding(word, True, {"asked": scene.get("direction")})


def relation(story: actions.Story, shot: sight.Shot, scene: Mapping[str, Any]) -> Finding:
    """Whether the first two objects meet, one goes behind the other, or they stay apart."""
    if len(story.tracks) < 2:
        return Finding("apart", True, {})
    first, second = story.tracks[:2]
    gaps = [
        float(ndimage.distance_transform_edt(~b)[a].min())
        for a, b in zip(first.masks, second.masks, strict=True)
        if a.any() and b.any()
    ]
    near = bool(gaps) and min(gaps) <= MEETING * shot.frames.shape[1]
    hides = near and find_hiding(shot, first) is not None
    least = second.area[second.seen].min() / np.median(second.area[second.seen])
    word = "behind" if hides and least > 0.5 else "meets" if near else "apart"
    return Finding(word, True, {"gap": min(gaps, default=None)})


def mechanics(
    shots: Sequence[sight.Shot], fps: float, scene: Mapping[str, Any]
) -> dict[str, Finding]:
    """Gravity, bounce and permanence, of the main object in the first shot.

    Gravity is a share of what the record has: 1 is right. Its m/s^2 are in the evidence.
    """
    shot, body = shots[0], scene["objects"][0]
    track = shot.track(body["color"])
    names = ("gravity", "bounce", "permanence")
    if track is None:
        return {name: Finding(None, False, {}) for name in names}
    size, center = shot.frames.shape[1], shot.steady(track.center)
    found = dict.fromkeys(names, Finding(None, False, {}))
    flight = free_fall.free_fall(center[:, 1], size)
    if flight is not None:
        radius = np.sqrt(np.median(track.area[flight.first : flight.last + 1]) / np.pi)
        scale = sight.mean_radius(body) / radius
        measured = free_fall.gravity(flight, fps, scale, shot.view.elevation)
        fit = {"fit": list(flight), "metres_per_second_squared": measured, "radius": radius}
        fit["drawn"] = parabola(center, flight)
        found["gravity"] = number(measured / scene["gravity"], **fit)
        rebound = free_fall.restitution(center[:, 1], flight, size)
        if rebound:
            found["bounce"] = number(rebound[0], fit=list(rebound[1]))
    hiding = find_hiding(shot, track)
    if hiding:
        found["permanence"] = number(hiding.error, **hiding._asdict())
    return found


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


def cameras(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """Errors of pan and tilt (pixels), zoom and dolly (%) and orbit (degrees), the worst shot's.

    A caption names a move without its amount, so the value is how far the move lies outside of the
    amounts of `CAMERA_MOVES`; how far from the very amount of the record is in the evidence.
    """
    names, worst, paths = ("camera_pan", "camera_zoom", "camera_orbit"), [], []
    for shot, planned in zip(shots, scene["shots"], strict=True):
        outside, exact = camera_motion.errors(
            shot.path, shot.view, planned["camera"], shot.frames.shape
        )
        worst.append(outside)
        paths.append({"asked": planned["camera"]["move"], "exact": exact, **shot.path._asdict()})
    return {
        name: number(max(part[k] for part in worst), paths=paths) for k, name in enumerate(names)
    }


def mechanics_shown(scene: Mapping[str, Any], fps: float) -> dict[str, bool]:
    """Which of gravity, bounce and permanence the scene shows, by its record alone."""
    numbers, gravity = scene["numbers"], scene["gravity"]
    frames = scene["shots"][0]["num_frames"]
    body, flight = scene["objects"][0], 0.0
    if scene["event"] == "drop":
        flight = math.sqrt(2 * numbers["height"] / gravity)
    if scene["event"] == "throw":
        flight = 2 * math.sqrt(2 * numbers["height"] / gravity)
    measured = min(flight * fps, frames - 1) >= free_fall.MIN_FLIGHT - 0.5
    measured = measured and scene.get("from_start", True)
    after = 2 * body["restitution"] * flight * fps
    bounces = scene["event"] == "drop" and body["shape"] == "ball" and measured
    room = frames - 1 - flight * fps - free_fall.MIN_FLIGHT >= 1.5
    return {
        "gravity": measured,
        "bounce": bounces and room and after >= free_fall.MIN_FLIGHT + 1,
        "permanence": scene["event"] == "occlude",
    }


def looks(shots: Sequence[sight.Shot]) -> dict[str, Finding]:
    """Flicker, exposure, dynamics and sharpness."""
    gains = [quality.exposure(shot.frames, shot.follow) for shot in shots]
    sharp = [quality.sharpness(shot.frames, shot.tracks[0].masks) for shot in shots if shot.tracks]
    return {
        "flicker": number(max(quality.flicker(shot.frames) for shot in shots)),
        "exposure": number(max(np.abs(gain).max() for gain in gains)),
        "dynamics": number(float(np.mean([quality.dynamics(shot.frames) for shot in shots]))),
        "sharpness": number(float(np.mean(sharp)) if len(sharp) == len(shots) else None),
    }


def continuity(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """Jitter, how objects shake, and identity: radii of the longest jump, plus frames in which an
    object that should be seen is lost: the camera may leave bystanders, which stand by the record.
    """
    shakes, jumps, lost = [], [], []
    for shot in shots:
        for k, body in enumerate(scene["objects"]):
            track = shot.track(body["color"])
            if track is None:
                lost.append([shot.start, body["color"]])
                continue
            hides = scene["event"] == "occlude" and k == 0
            leaves = body["static"] and scene["event"] != "occlude"
            center = shot.steady(track.center)
            still = np.where(clear(track)[:, None], center, np.nan)
            shakes.append(quality.jitter(still, track.radius))
            # What the picture's edge cuts off seems to move less than it does.
            told = track.area > CLEAR * usual_area(track) * (hides or leaves)
            jumping = np.where(told[:, None], center, np.nan)
            size, frame = quality.longest_jump(jumping, track.radius)
            jumps.append((size, shot.start + frame, body["color"]))
            gaps = [] if hides or leaves else np.flatnonzero(~track.seen)
            lost += [[shot.start + int(frame), body["color"]] for frame in gaps]
    shakes = [value for value in shakes if value is not None]
    jump = max(jumps, default=None)
    return {
        "jitter": number(max(shakes, default=None)),
        "identity": number(jump[0] + len(lost) if jump else None, jump=jump, lost=lost),
    }


def tracks_of(shots: Sequence[sight.Shot]) -> dict[str, list]:
    """{colour: [[frame, x, y, area], ...]} of a clip, for reports and drawings."""
    found = {}
    for shot in shots:
        for track in shot.tracks:
            for k in np.flatnonzero(track.seen):
                x, y = track.center[k].round(2).tolist()
                points = found.setdefault(track.color, [])
                points.append([shot.start + int(k), x, y, int(track.area[k])])
    return found
