"""What an object breaks into."""

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.scene import Body, Draw

COUNT = (6, 12)
# Share of the half extents of a box of the same volume.
BOXED = {"sphere": (0.806,) * 3, "box": (1.0,) * 3, "cylinder": (0.886, 0.886, 1.0)}


def pieces(draw: Draw, body: Body) -> list:
    """6 to 12 fragments, in the axes of the object, that fill the box of its volume."""
    rng = draw.stream("fragments")
    half = body.half * BOXED[vocabulary.PRIMITIVES[body.shape]]
    boxes = [(-half, half)]
    for _ in range(int(rng.integers(COUNT[0], COUNT[1] + 1)) - 1):
        largest = max(range(len(boxes)), key=lambda k: np.prod(boxes[k][1] - boxes[k][0]))
        low, high = boxes.pop(largest)
        axis = int((high - low).argmax())
        cut = low[axis] + (high - low)[axis] * rng.uniform(0.38, 0.62)
        middle_high, middle_low = high.copy(), low.copy()
        middle_high[axis] = middle_low[axis] = cut
        boxes += [(low, middle_high), (middle_low, high)]
    return [_fragment(rng, body, low, high) for low, high in boxes]


def _fragment(rng, body, low, high):
    """A box that flies apart; its velocity is in units of the speed of the impact."""
    middle = (low + high) / 2
    out = middle / np.linalg.norm(body.half)
    velocity = out * (1.0, 1.0, 0.5) * rng.uniform(0.45, 0.8) + (0.0, 0.0, rng.uniform(0.0, 0.15))
    return Body(
        "fragment",
        body.color,
        "solid",
        "small",
        0.49 * (high - low),
        middle,
        velocity=tuple(velocity),
        spin=tuple(rng.normal(size=3) * 2.0),
        friction=0.5,
        restitution=0.3,
        number=0,
    )
