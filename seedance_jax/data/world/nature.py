"""The physics of a clip: gravity, bounciness and friction, usual or of their whole range."""

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.quantities import EARTH, QUANTITIES
from seedance_jax.data.world.scene import Draw, Nature

# What an event shows of the quantities.
SHOWS = {
    "drop": ("gravity", "bounciness"),
    "throw": ("gravity", "bounciness"),
    "slide": ("friction",),
    "push": ("gravity",),
    "break": ("gravity",),
}


def draw_nature(rng: np.random.Generator, draw: Draw, event: str, moving: bool) -> Nature:
    """The physics of a clip: usual, or of the whole range of what its event shows.

    `moving`: whether the camera moves.
    """
    shown, varied = SHOWS.get(event, ()), rng.random() < draw.slice.varied
    options = [*shown] + ["own"] * (event != "rest") + ["camera"] * moving
    strange = str(rng.choice(options)) if draw.split == "out_of_range" and options else ""
    values = {"gravity": float(rng.uniform(*EARTH)), "bounciness": None, "friction": None}
    for name in shown:
        while varied or strange == name:
            values[name] = QUANTITIES[name].draw(rng, strange == name)
            if name != "gravity" or event != "push" or values[name] >= lightest(draw.pace):
                break
    if strange == "own":
        values["friction"] = None  # which follows from the speed
    return Nature(**values, strange=strange)


def lightest(pace: float) -> float:
    """Least gravity with which something falls off a ledge within a clip of that pace."""
    height = 2 * vocabulary.SCENERY["ledge"][2]
    return min(2 * height / (0.4 * pace) ** 2, 12.0)
