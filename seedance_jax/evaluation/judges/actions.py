"""Does the prompted event happen? One function per event of the world's vocabulary.

Each gets the story of a shot and returns a number, positive if the event is seen and larger the
more clearly it is; lengths are in radii of the main object, before the standing scene.
"""

import math
from typing import NamedTuple

import numpy as np

from seedance_jax.evaluation.judges import shattering

# Widths of the frame by which an object goes somewhere.
MIN_WAY = 0.06
# Events of today's world that go across the view.
ACROSS = ("throw", "collide", "topple", "push")


class Story(NamedTuple):
    """The tracks of a shot, the main object's first.

    Attributes:
      centers: steady places, a [T,2] each; NaN where an object is not seen.
      tracks: the `detection.Track`s.
      inside: change of the main object's surface from frame to frame, 8-bit levels.
      slope: sine of the camera's elevation.
      whole: whether the event ends in this shot.
      fallen: radii that what is thrown falls by in this shot, at least, as far as it is known.
      new: whether the record is of today's world, in which what is of `ACROSS` goes left or right.
    """

    centers: list
    tracks: list
    inside: float
    slope: float
    whole: bool
    fallen: float = math.inf
    new: bool = False

    @property
    def way(self) -> np.ndarray:
        """[T,2] of the main object, in its radii from where it is first."""
        center = self.centers[0][self.tracks[0].seen]
        return (center - center[0]) / self.tracks[0].radius


def speed_ratio(way: np.ndarray) -> float:
    """Speed in the last fifth of a way [T,2] over that in the first."""
    step = np.linalg.norm(way[2:] - way[:-2], axis=1) / 2
    part = max(2, len(step) // 5)
    return step[-part:].mean() / max(step[:part].mean(), 1e-6)


def drop(story: Story) -> float:
    """It falls, and has stopped falling at its longest fall before the end, or tips over then."""
    y = story.way[:, 1]
    fall = (y - np.minimum.accumulate(y)).max()
    speed = np.abs(np.diff(y))
    after = speed[speed.argmax() if story.new else -1 :]
    landed = y.argmax() < len(y) - 1 or after.min() < 0.5 * speed.max()
    return fall - 0.6 if landed else -1.0


def throw(story: Story) -> float:
    """It rises, falls, and goes aside."""
    x, y = story.way.T
    top = y.argmin()
    rise, fall = y[0] - y[top], y[top:].max() - y[top]
    return min(rise - 0.15, fall - min(0.4, 0.5 * story.fallen), abs(x[-1] - x[0]) - 0.3)


def roll(story: Story) -> float:
    """It goes somewhere and keeps on going."""
    return min(moved(story) - 1, speed_ratio(story.way) - 0.35)


def slide(story: Story) -> float:
    """It goes somewhere and slows down."""
    return min(moved(story) - 1, (0.75 if story.whole else 1.2) - speed_ratio(story.way))


def spin(story: Story) -> float:
    """Its surface changes while it stays."""
    return min(0.6 - np.linalg.norm(story.way, axis=1).max(), story.inside / 3.0 - 1)


def collide(story: Story) -> float:
    """The second object stands, until the first one comes, and then moves."""
    if len(story.centers) < 2:
        return -1.0
    second = story.centers[1] / story.tracks[0].radius
    second = second[np.isfinite(second).all(1)]
    return min(moved(story) - 1, np.linalg.norm(second[-1] - second[0]) - 0.25)


def topple(story: Story) -> float:
    """The second object stands upright first and lies last."""
    if len(story.centers) < 2:
        return -1.0
    masks = story.tracks[1].masks[story.tracks[1].seen]
    first, last = aspect(masks[0]), aspect(masks[-1])
    return min(moved(story) - 1, np.log(first / last) - 0.3)


def occlude(story: Story) -> float:
    """It goes somewhere, and is hidden between."""
    area = story.tracks[0].area
    seen = np.flatnonzero(area > 0.5 * area.max())
    hidden = (area[seen[0] : seen[-1] + 1] < 0.35 * area.max()).sum() if len(seen) else 0
    return min(moved(story) - 1, hidden - 0.5)


def push(story: Story) -> float:
    """The second object falls off what it stands on, the way that the first one rolls."""
    if len(story.centers) < 3:
        return -1.0
    second = story.centers[1][story.tracks[1].seen] / story.tracks[1].radius
    first = story.way[:, 0]
    fall, way = second[:, 1].max() - second[:2, 1].min(), second[-1, 0] - second[0, 0]
    along = way * np.sign(first[np.abs(first).argmax()])
    return min(moved(story) - 1, fall - 0.5, along - 0.5)


def shatter(story: Story) -> float:
    """It falls, and lies in parts that are wider apart than it was wide."""
    y = story.way[:, 1]
    fall = (y - np.minimum.accumulate(y)).max()
    return min(fall - 0.6, shattering.spread(story.tracks[0]) / shattering.BROKEN - 1)


def rest(story: Story) -> float:
    """Nothing goes anywhere, nor turns."""
    ways = [
        np.linalg.norm(center[track.seen] - center[track.seen][0], axis=1).max() / track.radius
        for center, track in zip(story.centers, story.tracks, strict=True)
    ]
    return min(0.2 - max(ways), 1 - story.inside / 2.0)


EVENTS = {
    "drop": drop,
    "roll": roll,
    "slide": slide,
    "throw": throw,
    "spin": spin,
    "collide": collide,
    "topple": topple,
    "occlude": occlude,
    "push": push,
    "break": shatter,
    "rest": rest,
}
# Frames in which the main object must be seen, if not 4.
MIN_SEEN = {"break": 2}


def aspect(mask: np.ndarray) -> float:
    """Height over width of a mask [H,W]."""
    rows, columns = mask.any(1).sum(), mask.any(0).sum()
    return rows / max(columns, 1)


def moved(story: Story) -> float:
    """How far the main object goes over the floor, 1 is just enough."""
    return max(abs(part) for part in over_floor(story)) / MIN_WAY


def over_floor(story: Story) -> tuple[float, float]:
    """(to the right, away from the camera) of the main object, in widths of the frame, when it is
    farthest from where it started: it may come back from what it meets.

    What goes away rises in the frame, by the slope at which the camera looks down.
    """
    track = story.tracks[0]
    x, y = story.centers[0][track.seen].T
    width = track.masks.shape[2]
    right, away = (x - x[0]) / width, (y[0] - y) / width / story.slope
    farthest = np.hypot(right, away).argmax()
    return right[farthest], away[farthest]


def direction(story: Story, event: str) -> str:
    """ "left", "right", "down", "towards" or "away": where the main object goes; "" if nowhere."""
    if event in ("drop", "break"):
        return "down" if EVENTS[event](story) > 0 else ""
    right, away = over_floor(story)
    sideways = event in ACROSS if story.new else event == "throw"
    if sideways and story.new:  # where it is farthest: an orbit may turn the view back
        x = story.centers[0][story.tracks[0].seen, 0]
        x = (x - x[0]) / story.tracks[0].masks.shape[2]
        right = x[-1] if event == "throw" else x[np.abs(x).argmax()]
    if sideways or abs(right) >= abs(away):
        return "" if abs(right) < MIN_WAY else "right" if right > 0 else "left"
    return "" if abs(away) < MIN_WAY else "away" if away > 0 else "towards"
