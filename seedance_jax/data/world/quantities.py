"""Quantities of the world: the values that training sees, those held out, and words for them."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A positive number that clips differ in.

    Attributes:
      low, high: the training range, from which values are drawn evenly by their logarithm.
      held_out: [low, high] of the bands within it that training does not show.
      words: (word, the least value that it is said of), rising; "" says nothing.
      unit: as in captions; "" is a bare number.
    """

    low: float
    high: float
    held_out: tuple = ()
    words: tuple = (("", 0.0),)
    unit: str = ""

    def draw(self, rng: np.random.Generator, strange: bool = False) -> float:
        """A value of the training range; or, strange, one of a band that is held out."""
        bands = self.held_out if strange else self.shown()
        widths = np.array([math.log(high / low) for low, high in bands])
        low, high = bands[rng.choice(len(bands), p=widths / widths.sum())]
        return float(low * (high / low) ** rng.random())

    def shown(self) -> tuple:
        """[low, high] of what is left of the training range between the bands."""
        edges = [self.low, *(edge for band in self.held_out for edge in band), self.high]
        return tuple(zip(edges[::2], edges[1::2], strict=True))

    def word(self, value: float) -> str:
        """What a value is called; "" if nothing."""
        return [word for word, least in self.words if value >= least][-1]

    def is_shown(self, value: float) -> bool:
        """Whether training may show a value."""
        return any(low <= value <= high for low, high in self.shown())


# Of the moon (1.62) to Jupiter (24.8), without Mars (3.71) and a part of what is heavier than here.
QUANTITIES = {
    "gravity": Quantity(
        1.6,
        25.0,
        ((3.3, 4.3), (13.0, 17.0)),
        (("weak", 0.0), ("", 7.0), ("strong", 12.0)),
        "m/s2",
    ),
    "bounciness": Quantity(
        0.25, 0.9, ((0.42, 0.52),), (("hardly bouncy", 0.0), ("", 0.4), ("very bouncy", 0.7))
    ),
    "friction": Quantity(
        0.05, 0.9, ((0.25, 0.35),), (("slippery", 0.0), ("", 0.15), ("rough", 0.5))
    ),
    # Of camera moves, per second.
    "pan speed": Quantity(
        3.0, 30.0, ((9.0, 11.0),), (("slowly", 0.0), ("", 5.5), ("quickly", 14.0)), "degrees"
    ),
    "tilt speed": Quantity(
        3.0, 24.0, ((8.0, 10.0),), (("slowly", 0.0), ("", 5.0), ("quickly", 12.0)), "degrees"
    ),
    "roll speed": Quantity(
        5.0, 45.0, ((14.0, 18.0),), (("slowly", 0.0), ("", 9.0), ("quickly", 24.0)), "degrees"
    ),
    "zoom speed": Quantity(  # of the logarithm of the focal length
        0.1, 1.0, ((0.28, 0.36),), (("slowly", 0.0), ("", 0.18), ("quickly", 0.5)), "times"
    ),
    "dolly speed": Quantity(
        0.4, 3.0, ((0.95, 1.2),), (("slowly", 0.0), ("", 0.7), ("quickly", 1.6)), "metres"
    ),
    "truck speed": Quantity(
        0.25, 2.0, ((0.65, 0.8),), (("slowly", 0.0), ("", 0.45), ("quickly", 1.1)), "metres"
    ),
    "orbit speed": Quantity(
        10.0, 90.0, ((28.0, 35.0),), (("slowly", 0.0), ("", 18.0), ("quickly", 45.0)), "degrees"
    ),
}
EARTH = (8.5, 11.0)  # gravity of clips that do not vary it


# Seconds that the screen of a long scene takes at most to come before the ball and go; if a hiding
# is longer, by more than it stands there, the ball rolls out by itself.
PASSING = 2.36


def rests_hidden(chapter: Mapping[str, Any]) -> bool:
    """Whether a chapter of a long scene hides the ball, which stays where it is."""
    if chapter["kind"] != "hide":
        return False
    return chapter["stop"] - chapter["start"] - chapter["seconds"] < PASSING
