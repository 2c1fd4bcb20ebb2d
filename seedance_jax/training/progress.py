"""How far the training loop of this host is, and what it waited for.

The loop writes it down as it goes, a few numbers a step; another thread reads it (`heartbeat.py`).
"""

import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

WINDOW, FEWEST = 60.0, 5  # seconds and steps that shares are of, at least, once there are so many


class _Mark(NamedTuple):
    """Totals of the loop at a moment: steps begun, seconds of waiting, and steps that came late."""

    time: float
    steps: int
    waited: float
    late: int


class Progress:
    """What the loop of this host does now, and has done since its second step."""

    def __init__(self):
        self.step = None  # the last that was begun
        self._since, self._waiting = time.monotonic(), None
        self._steps, self._waited, self._late = 0, 0.0, 0
        self._marks = collections.deque()

    def begin(self, step: int, late: bool) -> None:
        """The loop begins a step; late: the devices have done the last one, and had to wait."""
        self.step, self._since = step, time.monotonic()
        self._steps += 1
        self._late += late
        if self._steps == 2:  # the first step compiles
            self._marks.append(self._totals())

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Context in which the loop waits for its input pipeline."""
        self._waiting = start = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - start
            self._waiting = None

    def report(self) -> dict[str, Any]:
        """What one can say now (JSON); to be called by one thread, again and again.

            step              the last that was begun, or None
            still             seconds since then; before the first since this object was made
            waiting           whether the loop waits for its input pipeline right now
            input             share of the time of the last minute in which it did
            late              share of the steps of that time for which the devices had to wait,
                              because this host was not ready
            seconds_per_step  mean of that time; where there are few steps it is longer

        The last three are None before the second step, `late` before there are five more.
        """
        now, found = self._totals(), {"input": None, "late": None, "seconds_per_step": None}
        if self._marks:
            found = self._shares(now)
        about = {"step": self.step, "still": round(now.time - self._since, 1)}
        return {**about, "waiting": self._waiting is not None, **found}

    def _shares(self, now):
        marks = self._marks
        while len(marks) > 1 and _enough(marks[1], now):
            marks.popleft()
        first = marks[0]
        marks.append(now)
        seconds, steps = max(now.time - first.time, 1e-9), now.steps - first.steps
        share = min(max((now.waited - first.waited) / seconds, 0.0), 1.0)
        late = round((now.late - first.late) / steps, 4) if steps >= FEWEST else None
        pace = round(seconds / steps, 4) if steps else None
        return {"input": round(share, 4), "late": late, "seconds_per_step": pace}

    def _totals(self):
        now, waited, since = time.monotonic(), self._waited, self._waiting
        waited += now - since if since is not None else 0.0
        return _Mark(now, self._steps, waited, self._late)


def _enough(mark, now):
    return now.time - mark.time >= WINDOW and now.steps - mark.steps >= FEWEST
