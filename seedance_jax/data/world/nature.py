"""The physics of a clip: gravity, bounciness and friction, usual or of their whole range."""

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.quantities import EARTH, QUANTITIES
from seedance_jax.data.world.scene import LONGEST_FALL, Draw, Nature

# What an event shows of the quantities.
SHOWS = {
    "drop": ("gravity", "bounciness"),
    "throw": ("gravity", "bounciness"),
    "slide": ("friction",),
    "push": ("gravity",),
    "break": ("gravity",),
}


SHORT_FALL = 0.45  # metres: the fall of what drops where gravity is weakest


def draw_nature(
    rng: np.random.Generator, draw: Draw, event: str, moving: bool, seconds: float
) -> Nature:
    """The physics of a clip: usual, or of the whole range of what its event shows.

    Args:
      moving: whether the camera moves.
      seconds: of the first shot, in which what drops must land.
    """
    shown, varied = SHOWS.get(event, ()), rng.random() < draw.slice.varied
    options = [*shown] + ["own"] * (event != "rest") + ["camera"] * moving
    strange = str(rng.choice(options)) if draw.split == "out_of_range" and options else ""
    values = {"gravity": float(rng.uniform(*EARTH)), "bounciness": None, "friction": None}
    for name in shown:
        while varied or strange == name:
            values[name] = QUANTITIES[name].draw(rng, strange == name)
            if name != "gravity" or values[name] >= lightest(event, draw.pace, seconds):
                break
    if strange == "own":
        values["friction"] = None  # which follows from the speed
    return Nature(**values, strange=strange)


def lightest(event: str, pace: float, seconds: float) -> float:
    """Least gravity with which something falls far enough to be seen, within a clip of that pace
    and a first shot of so many seconds."""
    if event == "push":  # off the ledge
        return min(2 * 2 * vocabulary.SCENERY["ledge"][2] / (0.4 * pace) ** 2, 12.0)
    return min(2 * SHORT_FALL / (LONGEST_FALL * seconds) ** 2, 12.0) if event == "drop" else 0.0
