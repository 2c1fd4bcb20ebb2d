"""What is seen in a clip: its shots, the objects' tracks and the camera's path in each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.evaluation.judges import (
    camera_motion,
    camera_paths,
    camera_views,
    colors,
    detection,
    objects,
    reduction,
)

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
    own, asked = path.values.get("roll", np.zeros(1)), camera_paths.roll_of(planned, len(lab))
    if objects.is_new(scene) and max(np.ptp(own), np.ptp(asked)) > MAX_ROLL:
        # What rows tell was not level; the camera may even have been missed for it.
        is_own = np.ptp(own) > MAX_ROLL
        level = objects.find_objects(lab, planned, scene, own if is_own else asked)
        seen = _watch(lab, level, start, planned, scene)
        if is_own or np.mean(seen[1].misfits) < np.mean(path.misfits):
            tracks, (view, path) = level, seen
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
