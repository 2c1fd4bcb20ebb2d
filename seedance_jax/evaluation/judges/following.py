"""Several objects of one colour, told apart by where they are.

Parts of the colour are followed from frame to frame, through gaps in which something hides them.
Objects that look alike may swap their looks while they are hidden, and it is to be seen that they
do: so a part is known by its place, not by what it looks like. Where two are one part, they are
taken to be discs as large as they are when they are apart, the nearer before the other.
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy import ndimage, optimize

# What a step costs: shares of the frame's shorter side along x and along the lower edge, which
# tells how far away on the floor something stands; and a factor in size.
ACROSS, DEEP, SIZE = 0.12, 0.05, 1.5
# Steps that cost more are none; each frame of a gap makes those across and those along the lower
# edge cheaper by a share.
MAX_COST, PER_GAP = 2.5, (0.1, 0.02)
# What is but one object lies in a disc with so much of it.
ALONE = 0.85
# Share of its radius that a part has which tells where the lower edge of what it belongs to is.
WHOLE = 0.8
# Rows by which a disc may leave its own, one a frame; share of it that it must tell of a part,
# beside the other; pixels by which edges are soft.
ROWS, SEEN, SOFT = 7, 0.15, 0.5


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
    start = max(range(len(mask)), key=lambda k: _apart(seen[k][1], count))
    if not _apart(seen[start][1], count):
        for image, (labels, parts) in zip(found[0], seen, strict=True):
            image[:] = labels == parts[0].label if parts else False
        return list(found)
    first = seen[start][1][:count]
    for frames in (range(start, len(mask)), range(start - 1, -1, -1)):
        last, ages = list(first), np.zeros(count)
        for k in frames:
            ages += 1
            for one, part, pixels in _told(*seen[k], first, last, ages):
                whole = part.radius > WHOLE * first[one].radius
                last[one] = part if whole else last[one]._replace(x=part.x)
                found[one, k], ages[one] = pixels, 0
    return list(found)


def _apart(parts, count):
    """How well as many objects are seen apart: product of their radii; 0 if they are not."""
    return np.prod([part.radius for part in parts[:count]]) if len(parts) >= count else 0.0


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


def _told(labels, parts, first, last, ages):
    """[(object, part, its pixels [H,W])] of a frame: each where it is likely to be."""
    pairs, told = _assign(last, ages, parts, min(labels.shape)), []
    unseen = set(range(len(last))) - {one for one, _ in pairs}
    for part in parts:
        own, pixels = [one for one, other in pairs if other is part], labels == part.label
        both = itertools.combinations([*own, *unseen], 2) if unseen else ()
        discs = (_discs(pixels, part, first, last, ages, pair) for pair in both)
        two = next(filter(None, discs), None)
        if two:
            told += two
            unseen -= {one for one, *_ in two}
        elif own:
            [one] = own
            if not (unseen and _is_more(pixels, last[one].bottom, ages[one], first[one].radius)):
                told.append((one, part, pixels))
    return told


def _is_more(pixels, bottom, age, radius):
    """Whether a part is more than a disc: two objects, one before the other, that are not told."""
    _, discs = _places(pixels, bottom, age, radius)
    return (discs @ pixels.ravel()).max() < ALONE * pixels.sum()


def _assign(last, ages, parts, side):
    """Pairs (object, part)."""
    if not parts:
        return []
    known = list(zip(last, ages - 1, strict=True))
    cost = np.array([[_cost(one, gap, part, side) for part in parts] for one, gap in known])
    pairs = zip(*optimize.linear_sum_assignment(cost), strict=True)
    return [(one, parts[number]) for one, number in pairs if cost[one, number] < MAX_COST]


def _cost(one, gap, part, side):
    return (
        abs(one.x - part.x) / (ACROSS * side) / (1 + PER_GAP[0] * gap)
        + abs(one.bottom - part.bottom) / (DEEP * side) / (1 + PER_GAP[1] * gap)
        + abs(np.log(one.radius / part.radius)) / SIZE
    )


def _discs(pixels, part, first, last, ages, pair):
    """[(object, part, its pixels)] of the two that a part shows; None if it shows but one."""
    near, far = pair = sorted(pair, key=lambda one: -last[one].bottom)
    worth = np.where(pixels, 1.0, -1.0).astype(np.float32)
    places, discs = zip(
        *[_places(pixels, last[one].bottom, ages[one], first[one].radius) for one in pair],
        strict=True,
    )
    alone = [disc @ worth.ravel() for disc in discs]
    rest = alone[1] - (discs[0] * worth.ravel()) @ discs[1].T  # what is seen beside the nearer
    nearer = places[0][:, None, 1] > places[1][:, 1]  # stands lower in the picture
    both = np.where(nearer, alone[0][:, None] + rest, -np.inf)
    best = np.unravel_index(both.argmax(), both.shape)
    gains = [both[best] - scores.max() for scores in alone[::-1]]  # by the nearer, by the other
    if any(
        gain < SEEN * np.pi * first[one].radius ** 2 for gain, one in zip(gains, pair, strict=True)
    ):
        return None
    front, back = (disc[k].reshape(pixels.shape) > 0 for disc, k in zip(discs, best, strict=True))
    seen = {near: pixels & front, far: pixels & back & ~front}
    parts = zip(pair, places, best, strict=True)
    return [
        (one, Part(part.label, *place[k], first[one].radius), seen[one]) for one, place, k in parts
    ]


def _places(pixels, bottom, age, radius):
    """([N,2] (x, bottom) where a disc may be that shows some of a part, the discs [N,H*W])."""
    columns, (height, width) = np.flatnonzero(pixels.any(0)) + 0.5, pixels.shape
    rows = bottom + np.arange(-min(age, ROWS), min(age, ROWS) + 1)
    x, bottom = (v.ravel() for v in np.meshgrid(columns, rows))
    across = (np.arange(width) + 0.5 - x[:, None]) ** 2
    down = (np.arange(height) + 0.5 - (bottom - radius)[:, None]) ** 2
    discs = across[:, None] + down[..., None] < (radius + SOFT) ** 2
    return np.stack([x, bottom], -1), discs.reshape(len(x), -1).astype(np.float32)
