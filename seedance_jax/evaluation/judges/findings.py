"""What is measured of a clip: one function per group of gates, each a dict of `Finding`s."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from seedance_jax.data.world.vocabulary import FLOORS
from seedance_jax.evaluation.judges import (
    actions,
    camera_paths,
    falls,
    objects,
    outlines,
    plot,
    quality,
    shattering,
    sight,
)
from seedance_jax.evaluation.judges.detection import Track
from seedance_jax.evaluation.judges.finding import Finding, number
from seedance_jax.evaluation.judges.mechanics import find_hiding

# Frames of a track that are looked at for its shape.
SHAPE_FRAMES = 12
# Pixels, of a frame of 64, between the outlines of objects that meet.
MEETING = 3.0 / 64


def alignment(
    shots: Sequence[sight.Shot], fps: float, scene: Mapping[str, Any]
) -> dict[str, Finding]:
    """Colour, shape, count, relation, event and direction."""
    bodies, keys = scene["objects"], objects.keys_of(scene["objects"])
    seen = [[track.color for track in shot.tracks] for shot in shots]
    # What passes through the picture may be out of it, or hardly in it.
    staying = [key for key, body in zip(keys, bodies, strict=True) if not body.get("moved")]
    passing = {key[0] for key in keys} - {key[0] for key in staying}
    counts = [sum(name not in passing for name in names) + len(passing) for names in seen]
    missing = [key[0] for key in staying for shot in shots if not shot.track(*key)]
    found = {
        "alignment_color": Finding(not missing, True, {"seen": seen, "missing": missing}),
        "alignment_count": Finding(max(counts), True, {"seen": seen}),
        "alignment_shape": shape(shots, scene),
    }
    story = tell(shots[0], bodies, len(shots) == 1)
    if story and objects.is_new(scene):
        thrown = scene["event"] == "throw"
        fallen = falls.radii_fallen(scene, fps) if thrown else math.inf
        story = story._replace(fallen=fallen, new=True)
    found["alignment_color"].evidence["tracks"] = tracks_of(shots)
    unseen = Finding(None, False, {"missing": missing})
    found["alignment_event"] = event(story, shots[0], fps, scene) if story else unseen
    for name, judge in (("direction", direction), ("relation", relation)):
        found[f"alignment_{name}"] = judge(story, shots[0], scene) if story else unseen
    return found


def shape(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> Finding:
    """By how much the prompted shapes explain the outlines better than others do, the worst.

    Scenery has no shape to tell, nor has what the edge of a picture cuts off.
    """
    margins, words, asked, bodies = [], [], [], scene["objects"]
    still = objects.is_new(scene) and [len(shot.frames) for shot in shots] == [1]
    for key, body in zip(objects.keys_of(bodies), bodies, strict=True):
        tracks = [shot.track(*key) for shot in shots]
        if body.get("scenery") or (still and tracks[0] and not tracks[0].whole[0]):
            continue
        masks = [mask for track in tracks for mask in clear_masks(track)]
        picked = np.unique(np.linspace(0, len(masks) - 1, SHAPE_FRAMES).round().astype(int))
        scores = outlines.shape_scores([masks[k] for k in picked]) if masks else None
        if scores is None:
            return Finding(None, False, {"color": body["color"]})
        words.append(max(scores, key=scores.get))
        asked.append(body["shape"])
        own = scores.pop(body["shape"])
        margins.append(own - max(scores.values()))
    return number(min(margins, default=None), seen=words, asked=asked)


def clear_masks(track: Track | None) -> list[np.ndarray]:
    """The masks of a track where it is whole and nothing hides it."""
    if track is None:
        return []
    return list(track.masks[objects.clear(track)])


def tell(
    shot: sight.Shot, bodies: Sequence[Mapping[str, Any]], whole: bool
) -> actions.Story | None:
    """The `actions.Story` of a shot; None if the main object is not seen."""
    tracks = [shot.track(*key) for key in objects.keys_of(bodies)]
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


def event(story: actions.Story, shot: sight.Shot, fps: float, scene: Mapping[str, Any]) -> Finding:
    name = scene["event"]
    if name == "episodes":
        told = plot.chapters_seen(shot, scene, fps)
        worst = min((chapter["value"] for chapter in told), default=None)
        return number(worst, asked=name, chapters=told)
    enough = story.tracks[0].seen.sum() >= actions.MIN_SEEN.get(name, 4)
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


def cameras(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """Errors of pan, tilt and truck (pixels), zoom and dolly (%), orbit and roll (degrees), of the
    worst part of the worst shot; and how the camera shakes (pixels).

    A caption may leave out how far a camera moves, so the value is how far the move lies outside of
    what the caption may mean; how far from the very move of the record is in the evidence.
    """
    worst, seen = [], []
    for shot, planned in zip(shots, scene["shots"], strict=True):
        asked = camera_paths.asked_of(planned["camera"], len(shot.frames))
        outside, exact = camera_paths.errors(shot.path, shot.view, asked, shot.frames.shape)
        worst.append([*outside, shot.path.shake])
        moves = [shot.path.change(part.first, part.last) for part, _ in asked]
        misfits = list(shot.path.misfits)
        seen.append(
            {"asked": planned["camera"]["move"], "exact": exact, "moves": moves, "misfits": misfits}
        )
    names = (*camera_paths.GATES, "camera_shake")
    return {
        name: number(max(part[k] for part in worst), paths=seen) for k, name in enumerate(names)
    }


def looks(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """Flicker, exposure, dynamics, sharpness, noise, light and floor; motion of clips alone, noise
    of pictures."""
    gains = [quality.exposure(shot.frames, shot.follow) for shot in shots]
    sharp = [
        quality.sharpness(shot.whole, enlarged(shot.tracks[0].masks, shot.whole.shape[1]))
        for shot in shots
        if shot.tracks
    ]
    new = objects.is_new(scene)
    follows = [shot.follow if new and shot.path.values else None for shot in shots]
    flickers = [
        quality.flicker(shot.frames, follow)
        for shot, follow in zip(shots, follows, strict=True)
        if len(shot.frames) > 2
    ]
    moving = [quality.dynamics(shot.frames) for shot in shots if len(shot.frames) > 1]
    grains = [
        quality.grain(shot.whole, [enlarged(t.masks, shot.whole.shape[1]) for t in shot.tracks])
        for shot in shots
        if len(shot.frames) == 1
    ]
    return {
        "flicker": number(max(flickers, default=None)),
        "exposure": number(max(np.abs(gain).max() for gain in gains)),
        "dynamics": number(float(np.mean(moving)) if moving else None),
        "sharpness": number(float(np.mean(sharp)) if len(sharp) == len(shots) else None),
        "noise": number(max(grains, default=None)),
        **(floor(shots, scene) if new else {}),
    }


def enlarged(masks: np.ndarray, height: int) -> np.ndarray:
    """Masks [T,H,W] by the whole factor that gives them a height."""
    factor = height // masks.shape[1]
    return masks.repeat(factor, 1).repeat(factor, 2)


def floor(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """Which floor is seen, and how much light it gives back of what its material does."""
    seen = [quality.floor_color(shot.frames, [t.covers for t in shot.tracks]) for shot in shots]
    if None in [part if part is None else 0 for part in seen]:
        return dict.fromkeys(("alignment_floor", "light"), Finding(None, False, {}))
    linear = np.mean(seen, axis=0)
    materials = {name: np.mean(pair, axis=0) for name, pair in FLOORS.items()}
    plain = {name: materials[name] for name in quality.PLAIN_FLOORS}
    word = min(plain, key=lambda name: quality.color_distance(linear, plain[name]))
    light = float(linear.mean() / materials[scene["floor"]].mean())
    return {
        "alignment_floor": Finding(word, True, {"linear": linear.round(4).tolist()}),
        "light": number(light, linear=linear.round(4).tolist()),
    }


def broken(shots: Sequence[sight.Shot], scene: Mapping[str, Any]) -> dict[str, Finding]:
    """How many parts are seen after an impact, of those that the record has, and their spread."""
    names = ("fragments", "spread")
    track = shots[0].track(scene["objects"][0]["color"])
    if not scene.get("fragments") or track is None:
        return dict.fromkeys(names, Finding(None, False, {}))
    frame = shattering.impact(track)
    parts = shattering.parts(track, frame) if frame is not None else []
    share = float(np.percentile(parts, 90)) / len(scene["fragments"]) if parts else 0.0
    return {
        "fragments": number(share, impact=frame, parts=parts),
        "spread": number(shattering.spread(track), impact=frame),
    }


def tracks_of(shots: Sequence[sight.Shot]) -> dict[str, list]:
    """{colour, and number of a look-alike: [[frame, x, y, area], ...]} of a clip, for reports and
    drawings."""
    found = {}
    for shot in shots:
        for track in shot.tracks:
            for k in np.flatnonzero(track.seen):
                x, y = track.center[k].round(2).tolist()
                name = f"{track.color} {track.number + 1}" if track.number else track.color
                points = found.setdefault(name, [])
                points.append([shot.start + int(k), x, y, int(track.area[k])])
    return found
