"""Whether objects stay what they are and move on: jitter, identity, and looks after a hiding."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.world import quantities
from seedance_jax.evaluation.judges import appearance, colors, hiding, objects, quality, sight
from seedance_jax.evaluation.judges.detection import Track
from seedance_jax.evaluation.judges.finding import Finding, number

# Frames on either side of a hiding in which looks and places are compared; looks of long clips, in
# which the shadow of what hides passes, too.
BESIDE, BESIDE_LONG = 6, 12
# Radii within which an object is still beside a hiding; frames from it within which it is looked
# for, and how many it must be seen in.
STILL, SOON, ENOUGH = 0.5, 12, 3
# Share of what is usually seen of it then, in frames that count; percentiles of their places.
UNCOVERED, MOST = 0.9, (20, 80)
# Chapters of a long scene in which objects may be out of sight, by its record; seconds more.
UNSEEN, MORE = ("hide", "leave", "away"), 0.5


def continuity(
    shots: Sequence[sight.Shot], fps: float, scene: Mapping[str, Any]
) -> dict[str, Finding]:
    """Jitter, how objects shake or go to and fro, and identity: radii of the longest jump, plus
    frames in which an object that should be seen is lost: the camera may leave bystanders, which
    stand by the record.

    In long scenes what hides, leaves or is out of the camera's sight is not lost, and it is seconds
    that count.
    """
    shakes, jumps, lost, long = [], [], [], scene["event"] == "episodes"
    keys = objects.keys_of(scene["objects"])
    for shot in shots:
        for k, body in enumerate(scene["objects"]):
            track = shot.track(*keys[k])
            if body.get("scenery"):
                continue
            if track is None:
                lost.append([shot.start, body["color"]])
                continue
            hides = long or (scene["event"] == "occlude" and k == 0)
            leaves = body["static"] and scene["event"] != "occlude"
            center = shot.steady(track.center)
            clear = objects.clear(track, shot.scale if objects.is_new(scene) else 1.0)
            still = np.where(clear[:, None], center, np.nan)
            shakes.append(quality.jitter(still, track.radius))
            if objects.is_new(scene) and not long:
                shakes.append(quality.zigzag(still, track.radius))
            # What the picture's edge cuts off seems to move less than it does.
            least = objects.CLEAR * objects.usual_area(track) * (hides or leaves)
            jumping = np.where((track.area > least)[:, None], center, np.nan)
            size, frame = quality.longest_jump(jumping, track.radius)
            jumps.append((size, shot.start + frame, body["color"]))
            lost += [
                [shot.start + int(frame), body["color"]]
                for frame in _lost(shot, track, hides or leaves, scene, fps)
            ]
    shakes = [value for value in shakes if value is not None]
    jump = max(jumps, default=None)
    missing = len(lost) / (fps if long else 1)
    return {
        "jitter": number(max(shakes, default=None)),
        "identity": number(jump[0] + missing if jump else None, jump=jump, lost=lost),
    }


def _lost(shot, track, excused, scene, fps):
    """Numbers of the frames of a shot in which an object should be seen, and is not."""
    if scene["event"] == "episodes":
        told = [c for c in scene["chapters"] if c["kind"] in UNSEEN]
        spans = [(fps * (c["start"] - MORE), fps * (c["stop"] + MORE)) for c in told]
        unseen = [k for gap in hiding.find_gaps(shot, track) for k in gap.unexplained]
        return [k for k in unseen if not any(a <= k <= b for a, b in spans)]
    unseen = np.flatnonzero(~track.seen)
    if scene.get("fragments"):
        unseen = unseen[unseen < np.flatnonzero(track.seen)[-1]]
    return [] if excused else unseen


def identities(
    shots: Sequence[sight.Shot], fps: float, scene: Mapping[str, Any]
) -> dict[str, Finding]:
    """How look-alikes look beside each other, and how the main object looks after a hiding; and in
    long scenes, where it is then."""
    found = dict.fromkeys(("look_alike", "appearance"), Finding(None, False, {}))
    shot, keys = shots[0], objects.keys_of(scene["objects"])
    if not (scene.get("look_alikes") or hides(scene)):
        return found
    lab = colors.lab_of(shot.frames)
    for pair in scene.get("look_alikes", ()):
        tracks, bodies = [shot.track(*keys[k]) for k in pair], [scene["objects"][k] for k in pair]
        if None not in tracks:
            planned = scene["shots"][0]["camera"]
            beside = objects.contrast_of(tracks, lab, planned, bodies)
            found["look_alike"] = number(appearance.worst(beside), pair=list(pair))
    track = shot.track(*keys[0])
    if track is not None and hides(scene):
        told = [part for part in scene.get("chapters", ()) if part["kind"] == "hide"]
        spans = [(fps * part["start"], fps * part["stop"]) for part in told]
        found["appearance"] = _looks_after(shot, track, lab, spans)
        if scene["event"] == "episodes":
            rests = map(quantities.rests_hidden, told)
            found["permanence"] = stays(shot, track, list(itertools.compress(spans, rests)))
    return found


def hides(scene: Mapping[str, Any]) -> bool:
    """Whether something hides the main object, by the record."""
    told = any(chapter["kind"] == "hide" for chapter in scene.get("chapters", ()))
    return told or scene["event"] == "occlude"


def _looks_after(shot, track, lab, spans):
    """By how much it differs after a hiding, one of the record's `spans` or one that is seen, the
    most; None if it never comes out."""
    clear, most = objects.clear(track), BESIDE_LONG if spans else BESIDE
    looks, frames, changes = appearance.looks_of(track, lab, clear), np.flatnonzero(clear), []
    for gap in hiding.find_gaps(shot, track):
        before, after = frames[frames < gap.first][-most:], frames[frames > gap.last][:most]
        changed = appearance.change(looks, before, after)
        hidden = gap.hidden or any(_within(gap, span) for span in spans)
        if hidden and gap.first and changed is not None:
            changes.append([changed, gap.first, gap.last])
    return number(max(changes)[0] if changes else None, changes=changes)


def stays(shot: sight.Shot, track: Track, spans: Sequence[tuple[float, float]]) -> Finding:
    """Radii between where what rests goes into hiding and where it comes out, the most; None unless
    it is seen to rest before and after each hiding.

    Args:
      spans: first and last frames of the hidings in which it rests.
    """
    center, moves = shot.steady(track.center) / track.radius, []
    gaps = hiding.find_gaps(shot, track)
    for span in spans:
        hidden = [gap for gap in gaps if _within(gap, span)]
        if not hidden:
            continue
        first, last = hidden[0].first, hidden[-1].last
        before = center[_beside(track, first - SOON, first)[-BESIDE:]]
        after = center[_beside(track, last + 1, last + 1 + SOON)[:BESIDE]]
        if min(len(before), len(after)) >= ENOUGH and max(map(_wander, (before, after))) < STILL:
            away = float(np.linalg.norm(np.median(before, 0) - np.median(after, 0)))
            moves.append([away, first, last])
    worst = max(moves, default=[0.0])[0]
    return number(worst if len(moves) == len(spans) else None, moves=moves)


def _wander(places):
    """How far apart most of places [N,2] are, along x or y."""
    return np.ptp(np.percentile(places, MOST, axis=0), axis=0).max()


def _within(gap, span):
    """Whether a gap lies in a span (first, last), or a part of it."""
    return gap.first <= span[1] and gap.last >= span[0]


def _beside(track, first, last):
    """Numbers of the frames from first to before last that show as much as most of them do."""
    area = track.area[max(first, 0) : last]
    usual = np.median(area[area > 0]) if area.any() else 0.0
    return max(first, 0) + np.flatnonzero(area > UNCOVERED * usual)
