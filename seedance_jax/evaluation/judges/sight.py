"""What is seen in a clip: its shots, the objects' tracks and the camera's path in each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges import (
    camera_background,
    camera_motion,
    camera_paths,
    camera_views,
    colors,
    detection,
    objects,
    quality,
    reduction,
)

# Where a cut may be: the picture changes so many times as much as any of the changes about it, and
# by so many 8-bit levels; or the median pixel of the background does, with so much added to all.
MIN_CUT, MIN_CUT_LEVELS = 1.6, 4.0
MIN_BREAK, BREAK_LEVELS = 1.5, 0.5
# What rows change, over that of any frame about it, and in Lab units.
MIN_LEVELS = 2.4, 1.5
# What is new behind the objects, over that of any frame about it, and in squared Lab units; so much
# is a cut for certain, less where backgrounds correlate less.
MIN_NEW, NEW = 2.5, 0.12
MUCH_NEW, LESS_ALIKE = 0.25, 0.6
ABOUT = 3
# Frames about a cut of a long clip, in which something large may pass before the same
# place, and how backgrounds correlate then.
LONG_ABOUT, SAME_LATER = (24, 48), 0.3
# Backgrounds that correlate so much are the same place: of rendered clips 0.6 or more, after a cut
# 0.5 or less. They are compared when softened by so many pixels.
SAME_PLACE, BACKDROP = 0.5, 2.0
# Metres above the floor from which things are thrown, on average, and so high.
RELEASE, HIGH = 0.27, 0.6
# Degrees by which a camera may roll, and rows are level still.
MAX_ROLL = 3.0
# A shot must have so many frames to be judged, if it is no picture.
MIN_FRAMES = 4


class Shot(NamedTuple):
    """A shot and what was found in it.

    Attributes:
      start: number of its first frame in the clip.
      frames: uint8 [T,H,W,3], reduced: pixels below are of these.
      tracks: `detection.Track`s, the largest first.
      path: the `camera_motion.CameraPath`.
      view: the `camera_views.View` of the scene, at the distance that the objects' size tells.
      whole: uint8 [T,H',W',3], the frames as they were.
    """

    start: int
    frames: Any
    tracks: list
    path: Any
    view: Any
    whole: Any

    def track(self, color: str, number: int = 0) -> detection.Track | None:
        """The track of a colour, or of one of several objects of it; None if it is not seen."""
        own = (color, number)
        return next((track for track in self.tracks if (track.color, track.number) == own), None)

    @property
    def scale(self) -> np.ndarray:
        """[T] how large things look by the camera's zoom or dolly; 1 halfway."""
        zoom, dolly = (self._axis(axis) for axis in ("zoom", "dolly"))
        return np.exp(zoom) / (1 - dolly / self.view.distance)

    def _axis(self, axis):
        return self.path.values.get(axis, np.zeros(len(self.frames)))

    def follow(self, points: np.ndarray, number: int) -> np.ndarray:
        """Where the camera's motion takes places [N,2] of the scene from frame `number` on."""
        if not self.path.values:
            return points
        values = {axis: path[number : number + 2] for axis, path in self.path.values.items()}
        poses = camera_views.make_poses(self.view, values)
        size = self.frames.shape[1:3]
        return camera_views.moved(points, poses.at([0]), poses.at([1]), size)[0][0]

    def steady(self, points: np.ndarray) -> np.ndarray:
        """Places [T,2] of a track before the scene, as if the camera had stood halfway.

        Turns and zoom are undone as they are, dolly and truck as at the target's distance.
        """
        _, height, width = self.frames.shape[:3]
        middle = np.array([width / 2, height / 2])
        points = middle + (points - middle) / np.exp(self._axis("zoom"))[:, None]
        turns = {axis: self._axis(axis) for axis in ("pan", "tilt", "roll")}
        if any(path.any() for path in turns.values()):
            poses = camera_views.make_poses(self.view, turns)
            level = camera_views.make_poses(self.view, {"pan": np.zeros(len(points))})
            points = camera_views.moved(points[:, None], poses, level, (height, width))[0][:, 0]
        near = 1 - self._axis("dolly") / self.view.distance
        shift = self._axis("truck") * self.view.focal * min(height, width) / self.view.distance
        return middle + (points - middle) * near[:, None] + shift[:, None] * [1.0, 0.0]


def check_clip(frames: np.ndarray, fps: float) -> None:
    """Raises ValueError unless these are frames of a clip that can be judged."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4:
        found = f"{getattr(frames, 'dtype', type(frames))} {getattr(frames, 'shape', '')}"
        raise ValueError(f"frames must be uint8 [T,H,W,3], got {found}")
    count, height, width, channels = frames.shape
    enough = count == 1 or count >= MIN_FRAMES
    if channels != 3 or not enough or min(height, width) < 32 or height % 16 or width % 16:
        raise ValueError(
            f"frames must be [T,H,W,3] with T = 1 or T >= {MIN_FRAMES} and H and W of 32, 48, 64, "
            f"..., got {frames.shape}"
        )
    if not (isinstance(fps, (int, float)) and math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps={fps} must be a number above 0")


def find_cuts(frames: np.ndarray, shots: Sequence[Shot]) -> list[int]:
    """Numbers of the frames that open a new shot: the picture changes at once, and what is behind
    the objects then is another place; or what is behind them is new at once, whatever the camera
    does. What the camera's motion explains is no cut.

    Args:
      frames: uint8 [T,H,W,3] of the clip.
      shots: its `Shot`s.
    """
    covered = np.concatenate([_objects(shot) for shot in shots])
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((1, 2, 3))
    sudden = {number + 1 for number in _jumps(change, MIN_CUT, MIN_CUT_LEVELS)}
    sudden |= {number for shot in shots for number in _breaks(shot)}
    found = {number for number in sudden if _elsewhere(frames, covered, number)}
    if any(len(shot.path.breaks) for shot in shots):
        found |= sudden & {number + 1 for number in _jumps(_levels(frames), *MIN_LEVELS)}
    for shot in shots:
        found -= {shot.start + n + 1 for n, new in enumerate(shot.path.breaks) if new <= NEW}
        for n in _jumps(shot.path.breaks, MIN_NEW, NEW):
            if _is_new(frames, covered, shot.start + n + 1, shot.path.breaks[n]):
                found.add(shot.start + n + 1)
    return sorted(found)


def _is_new(frames, covered, number, new):
    """Whether so much that is new behind the objects from a frame on is another place."""
    if len(frames) > colors.LONG:
        return _elsewhere(frames, covered, number)
    return new > MUCH_NEW or likeness(frames, covered, number) < LESS_ALIKE


def _elsewhere(frames, covered, number):
    """Whether another place is behind the objects from a frame on."""
    if len(frames) <= colors.LONG:
        return likeness(frames, covered, number) < SAME_PLACE
    return all(likeness(frames, covered, number, about) < SAME_LATER for about in LONG_ABOUT)


def _levels(frames):
    """[T - 1] Lab units by which rows change beside each other: the horizon is elsewhere after a
    cut, but not in another light."""
    rows = np.median(colors.lab_of(frames)[..., [0, 2]], axis=2)
    change = np.diff(rows, axis=0)
    change -= np.median(change, axis=1, keepdims=True)
    return np.sqrt((change**2).sum(-1)).mean(1)


def _objects(shot):
    return np.any([np.zeros(shot.frames.shape[:3], bool), *(t.covers for t in shot.tracks)], axis=0)


def _jumps(change, times, levels):
    """Where a change [T] is so many levels, and so many times as large as those about it."""
    jumps = []
    for number, value in enumerate(change):
        near = np.delete(change[max(0, number - ABOUT) : number + ABOUT + 1], min(number, ABOUT))
        if value > max(levels, times * near.max(initial=0.0)):
            jumps.append(number)
    return jumps


def _breaks(shot):
    """Numbers of the frames of the clip at which the background of a `Shot` changes at once."""
    known = ~ndimage.binary_dilation(_objects(shot), np.ones((1, 5, 5)))
    change = np.abs(np.diff(quality.luma(shot.frames), axis=0))
    pairs = zip(change, known[1:] & known[:-1], strict=True)
    change = np.array([np.median(step[both]) if both.any() else 0.0 for step, both in pairs])
    return [shot.start + n + 1 for n in _jumps(change + BREAK_LEVELS, MIN_BREAK, 0.0)]


def likeness(frames: np.ndarray, objects: np.ndarray, number: int, about: int = ABOUT) -> float:
    """Correlation of the background just before a frame and from it on, 1 is the same.

    It is that of what differs along rows: floor and sky look alike from everywhere otherwise. A few
    frames are averaged, so that a texture that flickers is still the same.
    """
    before = _backdrop(frames, objects, slice(max(0, number - about), number))
    after = _backdrop(frames, objects, slice(number, number + about))
    known = before[1] & after[1]
    weight = known[..., None] / np.maximum(known.sum(1), 1)[:, None, None]
    first, second = (
        (p - (p * weight).sum(1, keepdims=True)) * (weight > 0) for p, _ in (before, after)
    )
    return float((first * second).sum() / math.sqrt((first**2).sum() * (second**2).sum() + 1e-9))


def _backdrop(frames, objects, part):
    """(softened mean of lightness and b of frames without objects and shadows [H,W,2], where)."""
    light = colors.lab_of(frames[part])[..., [0, 2]]
    rows = np.median(light[..., 0], axis=2, keepdims=True)
    dark = light[..., 0] - rows < -camera_background.MAX_ODDITY
    side = 2 * round(camera_background.GROWTH * frames.shape[1]) + 1
    known = ~ndimage.maximum_filter(dark | objects[part], (1, side, side))
    weight = ndimage.gaussian_filter(known.sum(0).astype(float), BACKDROP)[..., None]
    total = ndimage.gaussian_filter((light * known[..., None]).sum(0), (BACKDROP, BACKDROP, 0))
    return total / (weight + 1e-6), known.any(0)


def look(frames: np.ndarray, lengths: Sequence[int], scene: Mapping[str, Any]) -> list[Shot]:
    """The `Shot`s of a clip, cut where its scene is.

    Args:
      lengths: frames of each shot.
      scene: see `verdict.judge_clip`.
    """
    starts = np.cumsum([0, *lengths])
    parts = zip(starts[:-1], starts[1:], scene["shots"], strict=True)
    return [_look(frames[a:b], int(a), shot["camera"], scene) for a, b, shot in parts]


def _look(whole, start, planned, scene):
    frames = reduction.reduced(whole)
    lab = colors.lab_of(frames)
    tracks = objects.find_objects(lab, planned, scene)
    view, path = _watch(lab, tracks, start, planned, scene)
    roll = path.values.get("roll", np.zeros(1))
    if objects.is_new(scene) and np.ptp(roll) > MAX_ROLL:  # what rows tell was not level
        tracks = objects.find_objects(lab, planned, scene, roll)
        view, path = _watch(lab, tracks, start, planned, scene)
    return Shot(start, frames, tracks, path, view, whole)


def _watch(lab, tracks, start, planned, scene):
    """(view, path) of the camera of a shot."""
    view = camera_views.View(
        planned["focal"], planned["elevation"], height=target_height(scene, start)
    )
    scale = metres_per_pixel(tracks, scene["objects"])
    if scale:
        distance = planned["focal"] * min(lab.shape[1:3]) * scale
        view = view._replace(distance=float(np.clip(distance, 2.0, 8.0)))
    path = camera_motion.find_path(
        lab,
        [track.covers for track in tracks],
        view,
        scene["event"] in ("drop", "throw"),
        [asked.part for asked in camera_paths.asked_of(planned, len(lab))],
        camera_paths.repertoire(scene),
    )
    return view, path


def target_height(scene: Mapping[str, Any], start: int) -> float:
    """Metres above the floor of what the camera of a shot looks at: the middle of the action."""
    size = max(max(body["half_extents"]) for body in scene["objects"])
    rise = scene["numbers"].get("height", 0.0) if start == 0 else 0.0
    return size + rise / 2 + (release(scene) / 2 if rise and scene["event"] == "throw" else 0.0)


def release(scene: Mapping[str, Any]) -> float:
    """Metres above the floor from which things are thrown, about: fewer where they are thrown less
    high, for gravity is low."""
    if not objects.is_new(scene):
        return RELEASE
    return RELEASE * min(1.0, scene["training_ranges"]["height"][1] / HIGH)


def metres_per_pixel(
    tracks: Sequence[detection.Track], bodies: Sequence[Mapping[str, Any]]
) -> float | None:
    """From the largest object of a colour of the scene; None if none is seen."""
    keys = objects.keys_of(bodies)
    for track in tracks:
        for key, body in zip(keys, bodies, strict=True):
            if key == (track.color, track.number) and not body.get("scenery"):
                return mean_radius(body) / track.radius
    return None


def mean_radius(body: Mapping[str, Any]) -> float:
    """Radius, metres, of the disc as large as an object looks on average over all its poses.

    By Cauchy's formula, the mean shadow of a convex body is a quarter of its surface.
    """
    x, y, z = body["half_extents"]
    surface = {
        "ball": 4 * math.pi * x * x,
        "cube": 24 * x * x,
        "cylinder": 2 * math.pi * x * x + 4 * math.pi * x * z,
        "pillar": 2 * math.pi * x * x + 4 * math.pi * x * z,
        "ledge": 8 * (x * y + y * z + z * x),
        "screen": 8 * (x * y + y * z + z * x),
    }
    return math.sqrt(surface[body["shape"]] / 4 / math.pi)
