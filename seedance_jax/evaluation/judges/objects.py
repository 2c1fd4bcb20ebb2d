"""Which of the things that are seen in a shot is which object of the record."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.evaluation.judges import appearance, detection, shattering

# A frame shows an object whole if it shows so much of its usual area.
CLEAR = 0.6
# Share that half a ball fills of the disc that is as wide or high.
HALF = 0.55
# Log of the sizes of objects that differ in texture alone.
ALIKE = 0.05


def find_objects(
    lab: np.ndarray,
    planned: Mapping[str, Any],
    scene: Mapping[str, Any],
    roll: np.ndarray | None = None,
) -> list[detection.Track]:
    """The tracks of a shot: look-alikes in the order of the record, what breaks until it does.

    Args:
      lab: CIE Lab [T,H,W,3].
      planned: the shot's camera of the record `scene`.
      roll: [T] degrees by which it is turned, if that is known.
    """
    keys = keys_of(scene["objects"])
    asked = asked_of(scene["objects"]) if is_new(scene) else None
    tracks = detection.find_tracks(lab, asked, roll)
    for pair in scene.get("look_alikes", ()):
        tracks = _in_order(tracks, lab, planned, scene["objects"], [keys[k] for k in pair], pair)
    if scene.get("fragments"):
        tracks = [_whole(track) if track.color == keys[0][0] else track for track in tracks]
    return tracks


def asked_of(bodies: Sequence[Mapping[str, Any]]) -> dict[str, detection.Asked]:
    """What a scene has of each colour."""
    found = {}
    for body in bodies:
        before = found.get(body["color"], detection.Asked(0))
        striped = before.striped or body["texture"] != "solid"
        found[body["color"]] = detection.Asked(before.count + 1, striped)
    return found


def is_new(scene: Mapping[str, Any]) -> bool:
    """Whether a record tells what records do since 2.0.0."""
    return "look_alikes" in scene


def keys_of(objects: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """(colour, which it is of the objects of that colour) of the objects of a scene."""
    names = [body["color"] for body in objects]
    return [(name, names[:k].count(name)) for k, name in enumerate(names)]


def _whole(track):
    """The track until it breaks; of what is broken from the start, all of it."""
    frame = shattering.impact(track)
    before = track if frame is None else track.until(frame)
    return before if before.seen.any() else track


def _in_order(tracks, lab, planned, objects, keys, pair):
    """Tracks of which those of a pair have the numbers of the objects that they look like at
    first."""
    own = [next((t for t in tracks if (t.color, t.number) == key), None) for key in keys]
    if None in own:
        return tracks
    beside = contrast_of(own, lab, planned, [objects[k] for k in pair])
    beside = beside[np.isfinite(beside)][: appearance.WINDOW]
    if not len(beside) or np.median(beside) >= 0:
        return tracks
    swapped = {id(track): other.number for track, other in zip(own, own[::-1], strict=True)}
    return [track._replace(number=swapped.get(id(track), track.number)) for track in tracks]


def contrast_of(
    tracks: Sequence[detection.Track],
    lab: np.ndarray,
    planned: Mapping[str, Any],
    objects: Sequence[Mapping[str, Any]],
) -> np.ndarray:
    """[T] how two look-alikes look beside each other: 1 is as it should, -1 as if they were
    swapped; NaN where it is not seen.

    Args:
      planned: the camera of the record.
      objects: the two of the record.
    """
    sizes = [max(body["half_extents"]) for body in objects]
    ratio = math.log(sizes[1] / sizes[0])
    apart = ~np.all([t.masks for t in tracks], axis=0).any((1, 2))
    if abs(ratio) > ALIKE:
        view = planned["elevation"], planned["focal"]
        seen = [_breadth(t) * appearance.floor_distance(t, *view) for t in tracks]
        return np.where(apart, np.log(seen[1] / seen[0]), np.nan) / ratio
    looks = [appearance.looks_of(t, lab, apart & (t.area > CLEAR * usual_area(t))) for t in tracks]
    return appearance.contrast(*looks[:: -1 if objects[0]["texture"] != "solid" else 1])


def _breadth(track):
    """[T] how wide or high a ball is, in pixels; NaN where less than half of it is seen."""
    side = np.maximum(*(track.masks.any(axis).sum(-1) for axis in (1, 2))).astype(float)
    return np.where(track.seen & (track.area > HALF * np.pi / 4 * side**2), side, np.nan)


def clear(track: detection.Track, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """bool [T]: where a track is seen whole.

    Args:
      scale: [T] how large things look by the camera's zoom.
    """
    track = track._replace(area=track.area / np.square(scale))
    return track.whole & (track.area > CLEAR * usual_area(track))


def usual_area(track: detection.Track) -> float:
    """Pixels that an object has, when little hides it."""
    return np.percentile(track.area[track.seen], 80)
