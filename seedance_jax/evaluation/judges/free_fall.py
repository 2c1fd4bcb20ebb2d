"""Free fall, bounces and permanence, measured on the track of an object.

Lengths become metres by the apparent size of the object and the half extents that its scene gives
it, heights by the elevation of that scene's camera: so gravity is in m/s^2 if size and camera are
as prompted, and in radii of the object in any case.
"""

import math
from typing import NamedTuple

import numpy as np

MIN_FLIGHT = 4  # frames of a flight that can be measured
LATEST_START = 2
# A flight goes on as long as a parabola explains it up to so many pixels of a frame of 64.
TOLERANCE = 0.55 / 64
# Shares of its area: less shows of what is hidden, more of what is seen well enough.
HIDDEN, ENOUGH = 0.1, 0.35


class Flight(NamedTuple):
    """A parabola y(t) = a t^2 + b t + c through frames first..last (pixels, frames; down is up)."""

    first: int
    last: int
    a: float
    b: float
    c: float
    error: float  # root mean square, pixels

    def speed(self, time: float) -> float:
        """Pixels a frame, positive is down."""
        return 2 * self.a * time + self.b


def find_flight(height: np.ndarray, first: int, size: int) -> Flight | None:
    """The longest `Flight` from frame `first` on that a parabola explains; None if there is none.

    Args:
      height: [T] pixels from the top, NaN where nothing is seen.
      size: height of the frame, pixels.
    """
    found = None
    for last in range(first + MIN_FLIGHT - 1, len(height)):
        if not np.isfinite(height[first : last + 1]).all():
            break
        flight, worst = _fit(height, first, last)
        if worst > TOLERANCE * size:
            break
        found = flight
    return found


def fit(height: np.ndarray, first: int, last: int) -> Flight:
    """The parabola through frames first..last of [T] that fits best."""
    return _fit(height, first, last)[0]


def _fit(height, first, last):
    time = np.arange(first, last + 1)
    coefficients = np.polyfit(time, height[time], 2)
    error = np.abs(np.polyval(coefficients, time) - height[time])
    return Flight(first, last, *coefficients, float(np.sqrt((error**2).mean()))), error.max()


def free_fall(height: np.ndarray, size: int) -> Flight | None:
    """The `Flight` with which a drop or throw begins; frames at the impact are left out.

    It is the longest from one of the first frames on: one whose outline is bad does not end it.
    """
    flights = [find_flight(height, first, size) for first in range(LATEST_START + 1)]
    flights = [flight for flight in flights if flight]
    if not flights:
        return None
    flight = max(flights, key=lambda flight: flight.last - flight.first)
    # The frame before an impact may lie on the parabola by chance, that after it too.
    steps = np.diff(height)
    turns = np.flatnonzero((steps[1:] < 0.5 * steps[:-1]) & (steps[:-1] > 0.01 * size))
    last = min(flight.last, int(turns[0]) + 1 if len(turns) else flight.last)
    return fit(height, flight.first, last) if last - flight.first >= MIN_FLIGHT - 1 else flight


def parabola(x: np.ndarray, flight: Flight) -> list[list[float]]:
    """Places of a `Flight` [[x, y], ...], of each of its frames in which x [T] is known."""
    time = np.arange(flight.first, flight.last + 1)
    time = time[np.isfinite(x[time])]
    y = np.polyval([flight.a, flight.b, flight.c], time)
    return np.column_stack([x[time], y]).round(2).tolist()


def gravity(flight: Flight, fps: float, scale: float, elevation: float) -> float:
    """m/s^2; `scale` in metres per pixel, elevation of the camera in degrees."""
    return 2 * flight.a * fps**2 * scale / math.cos(math.radians(elevation))


def restitution(height: np.ndarray, flight: Flight, size: int) -> tuple[float, Flight] | None:
    """(speed after the first impact over that before it, the second `Flight`); None if unseen."""
    for first in range(flight.last + 1, min(flight.last + 3, len(height) - MIN_FLIGHT + 1)):
        after = find_flight(height, first, size)
        if after is None or not 0.5 < after.a / flight.a < 1.6:
            continue
        difference = [flight.a - after.a, flight.b - after.b, flight.c - after.c]
        times = np.roots(difference)
        near = [t.real for t in times if abs(t.imag) < 0.3 and abs(t.real - flight.last) < 2]
        time = min(near, key=lambda t: abs(t - flight.last - 0.5)) if near else flight.last + 0.5
        before = flight.speed(time)
        return (float(-after.speed(time) / before), after) if before > 0 else None
    return None


def depth(height: np.ndarray) -> float:
    """Pixels from the highest place of [T] to the lowest one after it; NaN is unseen."""
    seen = height[np.isfinite(height)]
    return float(seen[seen.argmin() :].max() - seen.min())


class Rebound(NamedTuple):
    """An impact: the share of its speed that it gives back, and how low it is, pixels."""

    share: float
    lowest: float


def rebound(height: np.ndarray, flight: Flight, size: int) -> Rebound | None:
    """The `Rebound` after a `Flight`; None if nothing is seen after it.

    The flight after it has the curvature of the one before; what does not fly gives back what it
    rises by.
    """
    after = height[flight.last + 1 :]
    time = flight.last + 1 + np.flatnonzero(np.isfinite(after))
    if len(time) < 3 or flight.a <= 0:
        return None
    for first in (0, 1):
        best = _second_flight(height, time[first:], flight, size)
        if best is not None:
            return best
    lowest = height[time][:3].argmax()
    rise = height[time][lowest] - height[time][lowest:].min()
    speed = flight.speed(flight.last + 0.5)
    if speed <= 0:
        return None
    return Rebound(float(math.sqrt(4 * flight.a * rise) / speed), float(height[time][lowest]))


def _second_flight(height, time, flight, size):
    """The `Rebound` where a parabola of the same curvature begins; None if none does."""
    found = None
    for count in range(3, len(time) + 1):
        part = time[:count]
        slope, offset = np.polyfit(part, height[part] - flight.a * part**2, 1)
        error = np.abs(flight.a * part**2 + slope * part + offset - height[part]).max()
        if error > TOLERANCE * size:
            break
        found = slope, offset
    if found is None or found[0] == flight.b:
        return None
    impact = (flight.c - found[1]) / (found[0] - flight.b)
    before, after = flight.speed(impact), 2 * flight.a * impact + found[0]
    near = flight.last - 0.5 <= impact <= time[0] + 0.5
    if not near or before <= 0:
        return None
    lowest = np.polyval([flight.a, flight.b, flight.c], impact)
    return Rebound(float(-after / before), float(lowest))


class Hiding(NamedTuple):
    """How an object goes behind another: frames, and where it comes out by its own motion."""

    left: int  # last frame in which enough of it is seen
    back: int  # first frame in which enough of it is seen again
    error: float  # radii between where it is then and where it was going to be
    growth: float  # its area at the end over that at the start
    hidden: int  # frames between in which hardly anything is seen of it


def find_hiding(sides: np.ndarray, area: np.ndarray) -> Hiding | None:
    """The `Hiding` of an object that passes behind another sideways; None if it does not.

    While it is half hidden, the side that it leaves last, and shows first, tells where it is.

    Args:
      sides: [T,2] x of its left and right side before the standing scene, NaN where unseen.
      area: [T] pixels that are seen of it.
    """
    full = np.percentile(area[area > 0], 80) if (area > 0).any() else 0.0
    hidden = np.flatnonzero(area < HIDDEN * full)
    seen = np.flatnonzero(area > ENOUGH * full)
    if not len(hidden):
        return None
    before, after = seen[seen < hidden[0]], seen[seen > hidden[-1]]
    if len(before) < 2 or not len(after):
        return None
    radius = math.sqrt(full / math.pi)
    right = sides[after].mean() > sides[before].mean()
    places = np.where(np.arange(len(area)) < hidden[0], *_middles(sides, radius, right))
    error = abs(_gap(before, after, places)) / radius
    growth = float(area[after[-1]] / area[before[0]])
    return Hiding(int(before[-1]), int(after[0]), float(error), growth, len(hidden))


def _middles(sides, radius, right):
    """[T] x of the middle by the side behind, and by the side ahead, of what goes to the right."""
    behind, ahead = sides.T if right else sides.T[::-1]
    return (behind + radius, ahead - radius) if right else (behind - radius, ahead + radius)


def _gap(before, after, x):
    """Pixels between where a motion at one speed leads and where it goes on.

    The speed is that of both parts: it is fitted with a place of its own for each of them.
    """
    parts = [(part, part - part.mean(), x[part].mean()) for part in (before, after)]
    speed = sum(away @ x[part] for part, away, _ in parts) / sum(a @ a for _, a, _ in parts)
    (first, _, start), (last, _, end) = parts
    return end - start - speed * (last.mean() - first.mean())
