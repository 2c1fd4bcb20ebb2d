"""Several objects of one colour, told apart by where they are.

Parts of the colour are followed from frame to frame, through gaps in which something hides them.
Objects that look alike may swap their looks while they are hidden, and it is to be seen that they
do: so a part is known by its place, not by what it looks like.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage, optimize

# What a step costs: shares of the frame's shorter side along x and along the lower edge, which
# tells how far away on the floor something stands; and a factor in size.
ACROSS, DEEP, SIZE = 0.12, 0.05, 1.5
# Steps that cost more are none; each frame of a gap makes them cheaper by a share.
MAX_COST, PER_GAP = 2.5, 0.1
# A part that is so many times as large as what it was is two objects, one before the other.
MERGED = 1.35


class Part(NamedTuple):
    """A connected part of a mask [H,W]: its number in `labels`, and its place in pixels."""

    label: int
    x: float
    bottom: float
    radius: float


def follow(mask: np.ndarray, count: int, least: float) -> list[np.ndarray]:
    """Masks [T,H,W] of `count` objects of one colour, in no order; empty where one is not told.

    Args:
      mask: bool [T,H,W] of the colour.
      least: share of the frame that a part has at least.
    """
    seen = [parts_of(image, least) for image in mask]
    found = np.zeros((count, *mask.shape), bool)
    start = next((k for k, (_, parts) in enumerate(seen) if len(parts) >= count), None)
    if start is None:
        for image, (labels, parts) in zip(found[0], seen, strict=True):
            image[:] = labels == parts[0].label if parts else False
        return list(found)
    first = seen[start][1][:count]
    for frames in (range(start, len(mask)), range(start - 1, -1, -1)):
        last, ages = list(first), np.zeros(count)
        for k in frames:
            labels, parts = seen[k]
            ages += 1
            for one, part in _assign(last, ages, parts, min(mask.shape[1:])):
                found[one, k] = labels == part.label
                last[one], ages[one] = part, 0
    return list(found)


def parts_of(image: np.ndarray, least: float) -> tuple[np.ndarray, list[Part]]:
    """(labels [H,W] of the connected parts of a mask, the parts that are large enough).

    The largest come first.
    """
    labels, _ = ndimage.label(image, np.ones((3, 3)))
    parts = []
    for number, place in enumerate(ndimage.find_objects(labels)):
        area = (labels[place] == number + 1).sum()
        if area >= least * image.size:
            rows, columns = place
            radius = float(np.sqrt(area / np.pi))
            x = (columns.start + columns.stop) / 2
            parts.append(Part(number + 1, x, float(rows.stop), radius))
    return labels, sorted(parts, key=lambda part: -part.radius)


def _assign(last, ages, parts, side):
    """Pairs (object, part): each where it is likely to be; none of a part that two share."""
    if not parts:
        return []
    cost = np.array([[_cost(one, part, side) for part in parts] for one in last])
    cost /= 1 + PER_GAP * (ages[:, None] - 1)
    pairs = [
        (one, number)
        for one, number in zip(*optimize.linear_sum_assignment(cost), strict=True)
        if cost[one, number] < MAX_COST
    ]
    unseen = len(pairs) < len(last)
    return [
        (one, parts[number])
        for one, number in pairs
        if not (unseen and parts[number].radius ** 2 > MERGED * last[one].radius ** 2)
    ]


def _cost(one, part, side):
    return (
        abs(one.x - part.x) / (ACROSS * side)
        + abs(one.bottom - part.bottom) / (DEEP * side)
        + abs(np.log(one.radius / part.radius)) / SIZE
    )
