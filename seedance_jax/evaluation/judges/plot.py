"""What comes to pass in a long scene, chapter by chapter of its record."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seedance_jax.evaluation.judges import hiding, objects, quality, sight
from seedance_jax.evaluation.judges.detection import Track

# Share of an object's usual area under which it is hidden, and of a hiding's time that it is so.
HIDDEN, HIDDEN_TIME = 0.35, 0.4
# Radii by which an object rolls to a side, and by which it hops.
ROLLS, HOPS = 0.5, 0.3
# Change of a surface that turns, 8-bit levels.
TURNS = 5.0
# Share of the picture, from one side, over which nothing leaves to the other.
WRONG_SIDE = 0.15
# Seconds after a chapter in which what it does may still go on.
AFTER = 0.25


def chapters_seen(shot: sight.Shot, scene: Mapping[str, Any], fps: float) -> list[dict[str, Any]]:
    """[{"kind", "body", "value"}] of the chapters that can be judged; seen if the value is above 0.

    A slide, or a roll whose record has no side, may be short, and what the camera does is no part
    of this.
    """
    found, keys = [], objects.keys_of(scene["objects"])
    for chapter in scene["chapters"]:
        body, track = scene["objects"][chapter["body"]], shot.track(*keys[chapter["body"]])
        judge = CHAPTERS.get(chapter["kind"])
        if judge is None or track is None:
            continue
        last = len(track.seen) - 1
        first, stop = (round(chapter[name] * fps) for name in ("start", "stop"))
        span = slice(min(first, last), min(stop + round(AFTER * fps), last) + 1)
        value = judge(shot, track, span, chapter | {"fps": fps, "of": body})
        if value is not None:
            found.append({"kind": chapter["kind"], "body": chapter["body"], "value": float(value)})
    return found


def _hide(shot: sight.Shot, track: Track, span: slice, chapter: Mapping) -> float:
    """Hardly anything is seen of it for a while, and then all of it."""
    hidden = track.area[span] < HIDDEN * objects.usual_area(track)
    if not track.seen[span.start :][hidden.argmax() :].any():
        return -1.0
    return hidden.sum() / max(HIDDEN_TIME * chapter["seconds"] * chapter["fps"], 1.0) - 1


def _roll(shot: sight.Shot, track: Track, span: slice, chapter: Mapping) -> float | None:
    """It goes to the side that the record says."""
    x = shot.steady(track.center)[:, 0]
    before, after = _last(x[: span.start + 1]), _last(x[: span.stop])
    if "side" not in chapter or before is None or after is None:
        return None
    way = (after - before) / track.radius
    return (way if chapter["side"] == "right" else -way) - ROLLS


def _hop(shot: sight.Shot, track: Track, span: slice, chapter: Mapping) -> float | None:
    """It rises above where it is before and after, if it is seen then and most of the time."""
    clear = objects.clear(track)[span]
    if not (clear[0] and clear[-1]) or clear.mean() < 0.5:
        return None
    y = shot.steady(track.center)[span, 1][clear]
    return (max(y[0], y[-1]) - y.min()) / track.radius - HOPS


def _spin(shot: sight.Shot, track: Track, span: slice, chapter: Mapping) -> float | None:
    """Its surface changes; that of a plain cylinder shows nothing."""
    body, clear = chapter["of"], objects.clear(track)[span]
    if (body["texture"] == "solid" and body["shape"] != "cube") or clear.sum() < 4:
        return None
    light, masks = (part[span][clear] for part in (quality.luma(shot.frames), track.masks))
    both = [(frame, mask & masks[0]) for frame, mask in zip(light, masks, strict=True)]
    changes = [np.abs(frame - light[0])[mask].mean() for frame, mask in both if mask.any()]
    return np.percentile(changes, 80) / TURNS - 1


def _leave(shot: sight.Shot, track: Track, span: slice, chapter: Mapping) -> float:
    """It goes out of the picture, not over the other side of it, and comes back."""
    gaps = [gap for gap in hiding.find_gaps(shot, track) if span.start < gap.first < span.stop]
    gaps = [gap for gap in gaps if gap.gone and gap.last + 1 < len(track.seen)]
    if not gaps:
        return -1.0
    x = track.center[gaps[0].first - 1, 0] / track.masks.shape[2]
    return (x if chapter["side"] == "right" else 1 - x) - WRONG_SIDE


def _last(values):
    """The last finite value; None if there is none."""
    values = values[np.isfinite(values)]
    return values[-1] if len(values) else None


CHAPTERS = {"hide": _hide, "roll": _roll, "hop": _hop, "spin": _spin, "leave": _leave}
