"""Free fall, bounces and permanence, measured on the track of an object.

Lengths become metres by the apparent size of the object and the half extents it was asked to have,
heights by the elevation of the camera that was asked for: so gravity is in m/s^2 if size and camera
are as asked, and in radii of the object in any case.
"""

import math
from typing import NamedTuple

import numpy as np

MIN_FLIGHT = 4  # frames of a flight that can be measured
# A flight goes on as long as a parabola explains it up to so many pixels of a frame of 64.
TOLERANCE = 0.55 / 64
MIN_HIDDEN = 0.35  # of its area an object still shows, at most, when it counts as hidden
WHOLE = 0.75


class Flight(NamedTuple):
    """A parabola y(t) = a t^2 + b t + c through frames first..last (pixels, frames; down is up)."""

    first: int
    last: int
    a: float
    b: float
    c: float
    error: float  # root mean square, pixels

    def speed(self, time):
        """Pixels a frame, positive is down."""
        return 2 * self.a * time + self.b


def find_flight(height, first, size):
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


def _fit(height, first, last):
    time = np.arange(first, last + 1)
    coefficients = np.polyfit(time, height[time], 2)
    error = np.abs(np.polyval(coefficients, time) - height[time])
    return Flight(first, last, *coefficients, float(np.sqrt((error**2).mean()))), error.max()


def free_fall(height, size):
    """The `Flight` with which a drop or throw begins; frames at the impact are left out."""
    flight = find_flight(height, 0, size)
    if flight is None:
        return None
    # The frame before an impact may lie on the parabola by chance, that after it too.
    steps = np.diff(height)
    turns = np.flatnonzero((steps[1:] < 0.5 * steps[:-1]) & (steps[:-1] > 0.01 * size))
    last = min(flight.last, int(turns[0]) + 1 if len(turns) else flight.last)
    return _fit(height, 0, last)[0] if last >= MIN_FLIGHT - 1 else flight


def gravity(flight, fps, scale, elevation):
    """m/s^2; `scale` in metres per pixel, elevation of the camera in degrees."""
    return 2 * flight.a * fps**2 * scale / math.cos(math.radians(elevation))


def restitution(height, flight, size):
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


class Hiding(NamedTuple):
    """How an object goes behind another: frames, and where it comes out by its own motion."""

    left: int  # last frame in which it is whole
    back: int  # first frame in which it is whole again
    error: float  # radii between where it is then and where it was going to be
    growth: float  # its area after over that before
    hidden: int  # frames between in which hardly anything is seen of it


def find_hiding(center, area):
    """The `Hiding` of a track: places [T,2] (steady), pixels [T]; None if it never hides."""
    full = np.percentile(area[area > 0], 80) if (area > 0).any() else 0.0
    hidden = np.flatnonzero(area < MIN_HIDDEN * full)
    whole = np.flatnonzero(area > WHOLE * full)
    if not len(hidden):
        return None
    before = whole[whole < hidden[0]]
    after = whole[whole > hidden[-1]]
    if len(before) < 3 or len(after) < 2:
        return None
    radius = math.sqrt(full / math.pi)
    ahead = [np.polyval(np.polyfit(before, center[before, k], 1), after) for k in (0, 1)]
    error = np.hypot(*(np.stack(ahead) - center[after].T)).mean() / radius
    growth = float(np.median(area[after]) / np.median(area[before]))
    return Hiding(int(before[-1]), int(after[0]), float(error), growth, len(hidden))
