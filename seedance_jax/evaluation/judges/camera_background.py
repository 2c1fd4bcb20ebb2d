"""The background of a shot of the synthetic world, and how well a camera's motion explains it.

The background is what is left when objects and shadows are cut out: a floor of faint texture, and a
sky that only turns. A motion is right if early and late frames agree under it.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges import colors
from seedance_jax.evaluation.judges.camera_views import View, make_poses, moved

# Squared differences (Lab units) are cut at the first, and the second is the noise of 8 bits.
MAX_ERROR, FLOOR = 3.0, 0.02
MAX_SHADE = 0.04  # of `_shade`, beyond which the floor is not looked at
INSIDE = 0.99  # of what is known, between pixels
DAMPING, STEPS = 1e-3, 4
# Of a stray frame: squared noise over that of what is expected, pixels a step.
NOISE, MAX_STRAY = 0.005, 4.0
MAX_MISS = 10.0  # squared Lab units at which what it leaves is cut

# Pixels whose lightness is so far from their row's (Lab units) are object or shadow, and so is what
# lies within GROWTH heights of them: the shade about an object moves with it.
MAX_ODDITY = 9.0
SOFT = 0.8  # pixels
GROWTH = 4 / 64


class Background:
    """The background of a shot, whose frames can be compared.

    Attributes:
      images: lightness, b and which pixels are background (0.0 or 1.0) [3,T,H,W], softened.
      shade: [T,H,W], see `_shade`.
    """

    def __init__(self, lab: np.ndarray, objects: Sequence, view: View, flies: bool, wide: bool):
        """Of a shot in CIE Lab [T,H,W,3]; `objects` are masks [T,H,W], and may leave the floor;
        `wide` ones may fill rows."""
        nothing = np.zeros(lab.shape[:3])
        images, known = _background(lab, np.any([nothing, *objects], axis=0), wide)
        self.view = view
        self.shade = sum((_shade(masks, view.elevation, flies) for masks in objects), nothing)
        known = known * (self.shade < MAX_SHADE)
        self.images = np.ascontiguousarray(np.stack([*images, known], -1))


def _background(lab, masks, wide):
    """(lightness and b, softened [2,T,H,W]; which pixels are background [T,H,W], 0.0 or 1.0)."""
    light = lab[..., [0, 2]]
    middle = np.median(lab, axis=2, keepdims=True)
    rows = colors.background(lab, ~masks.astype(bool)) if wide else middle
    odd = light[..., 0] - rows[..., 0] < -MAX_ODDITY
    side = 2 * round(GROWTH * lab.shape[1]) + 1
    odd = ndimage.maximum_filter(odd | masks, (1, side, side))
    soft = ndimage.gaussian_filter(light, (0, SOFT, SOFT, 0))
    return np.moveaxis(soft, -1, 0), 1.0 - odd


def _shade(masks, elevation, flies):
    """How much an object [T,H,W] darkens the floor about it, as [T,H,W] up to a factor.

    A sphere hides a share of the sky that falls with the third power of the distance. What `flies`
    is as high above the floor as it is in the frame above where it is lowest.
    """
    seen = np.flatnonzero(masks.any((1, 2)))
    rows, columns = np.mgrid[: masks.shape[1], : masks.shape[2]]
    angle, shade = math.radians(elevation), np.zeros(masks.shape)
    places = {k: [part.mean() for part in np.nonzero(masks[k])] for k in seen}
    lowest = max((y for y, _ in places.values()), default=0.0)
    for k, (y, x) in places.items():
        square = masks[k].sum() / np.pi
        lift = (lowest - y) / math.cos(angle) if flies else 0.0
        height = math.sqrt(square) + lift
        down = (rows - y - height * math.cos(angle)) / math.sin(angle)
        shade[k] = square * height * (height**2 + (columns - x) ** 2 + down**2) ** -1.5
    return shade


class Comparison:
    """Pairs of frames of a `Background`, compared as a camera's motion would have them agree.

    Args:
      pairs: [P,2] numbers of frames.
      grid: places a side that are looked at.
      least: share of them that must be background in both frames.
    """

    def __init__(self, background: Background, pairs: np.ndarray, grid: int, least: float):
        self.background, self.least = background, least
        self.size = background.images.shape[1:3]
        first, self.last = np.transpose(pairs)
        self.frames, ends = np.unique(pairs, return_inverse=True)
        self.ends = ends.reshape(-1, 2).T
        rows, columns = (np.linspace(1, n - 2, grid).round().astype(int) for n in self.size)
        row, column = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
        self.pixels = np.stack([column + 0.5, row + 0.5], -1)
        looks = [background.images[..., 0], background.images[..., 1], background.shade]
        here = np.stack([part[:, row, column] for part in looks])  # [3, T, N]
        self.early, self.still = here[:-1, first], here[:, first] - here[:, self.last]
        clear = background.images[:, row, column, 2] > 0
        self.clear = clear[first] & clear[self.last]

    def places(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """`moved` of the pairs' places from their first frames to their last."""
        poses = make_poses(self.background.view, {a: v[self.frames] for a, v in values.items()})
        before, after = (poses.at(numbers) for numbers in self.ends)
        return moved(self.pixels, before, after, self.size)

    def misfit(self, values: Mapping[str, np.ndarray]) -> float:
        """Of axes {axis: [T]}, over that of a camera that stands; 2 if nothing is in common."""
        return self._compared(values)[0]

    def misfits(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """`misfit` of A paths at once, {axis: [A,T]}: [A]."""
        parts = {axis: v[:, self.frames] for axis, v in values.items()}
        count = len(next(iter(parts.values())))
        poses = make_poses(self.background.view, {a: v.ravel() for a, v in parts.items()})
        start = len(self.frames) * np.arange(count)[:, None]
        before, after = (poses.at((start + ends).ravel()) for ends in self.ends)
        place, haze = moved(self.pixels, before, after, self.size)
        late, _, inside = sampled(self.background.images, np.tile(self.last, count), place)
        shape = (count, self.clear.size)
        both = (inside & (late[..., 2] > INSIDE)).reshape(shape) & self.clear.ravel()
        both = both[:, None].astype(float)  # [A, 1, M]
        still = np.broadcast_to(self.still[2].ravel(), shape)
        shades = np.stack([still, haze.reshape(shape)], 1) * both
        late = late.reshape(*shape, 3)[..., :2].swapaxes(1, 2)
        errors = (self.early.reshape(2, -1) - late) * both
        unmoved = self.still[:2].reshape(1, 2, -1) * both
        known = np.maximum(both.mean((1, 2)), 1e-9)
        shares = _unexplained(errors, shades, known) / _unexplained(unmoved, shades[:, :1], known)
        return np.where(known < self.least, 2.0, shares)

    def step(
        self, path: Callable[[np.ndarray], Mapping], amounts: np.ndarray, small: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A step of Gauss and Newton.

        Args:
          path: amounts [K] -> {axis: [T]}.
          small: [K] changes of the amounts, by which slopes are measured.

        Returns:
          misfit of these amounts, and changes [K] that should lessen it.
        """
        misfit, seen = self._compared(path(amounts))
        if seen is None:
            return misfit, np.zeros(len(amounts))
        errors, shades, slopes, place, both = seen
        right, down = slopes()[:, both][..., :2].swapaxes(1, 2)
        rows, errors = [], _rest(errors, shades)
        for change in np.diag(small):
            other, _ = self.places(path(amounts + change))
            x, y = (other - place)[both].T / change.sum()
            rows.append(-right * x - down * y)
        rows, kept = _rest(np.array(rows), shades), errors**2 < MAX_ERROR
        inner = np.einsum("kcm,lcm->kl", rows * kept, rows)
        inner += np.diag(DAMPING * np.diag(inner) + 1e-9)
        return misfit, -np.linalg.solve(inner, np.einsum("kcm,cm->k", rows, errors * kept))

    def _compared(self, values):
        """(misfit, (errors [2,M], their causes [2,M], function that gives slopes [2,P,N,3], places
        [P,N,2], which of them count [P,N]) or None)."""
        place, haze = self.places(values)
        late, slopes, inside = sampled(self.background.images, self.last, place)
        both = inside & (late[..., 2] > INSIDE) & self.clear
        if both.sum() < max(self.least * both.size, 1):
            return 2.0, None
        errors, unmoved = self.early[:, both] - late[both][:, :2].T, self.still[:2, both]
        shades = np.stack([self.still[2][both], haze[both]])
        misfit = _unexplained(errors, shades, 1.0) / _unexplained(unmoved, shades[:1], 1.0)
        return float(misfit), (errors, shades, slopes, place, both)

    def strays(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """How the last frames of the pairs lie off a path {axis: [T]}: pixels (x, y) [P,2]; and the
        mean squared differences (Lab units) [P] that are left when they are shifted by these."""
        place, _ = self.places(values)
        found = np.zeros((len(place), 2))
        for _ in range(STEPS):
            parts, known = self._differences(place + found[:, None])
            parts = parts * np.sqrt(1 / (1 + parts[2] ** 2 / MAX_ERROR))
            inner = np.einsum("kpnc,lpnc->pkl", parts[:2], parts[:2])
            inner += NOISE * (1 + 2 * known)[:, None, None] * np.eye(2)
            target = np.einsum("kpnc,pnc->pk", parts[:2], parts[2])[..., None]
            found += np.clip(np.linalg.solve(inner, target)[..., 0], -MAX_STRAY, MAX_STRAY)
        parts, known = self._differences(place + found[:, None])
        rest = np.minimum(parts[2] ** 2, MAX_MISS).sum((1, 2)) / np.maximum(2 * known, 1.0)
        return found, rest

    def _differences(self, place):
        """(slopes to the right and down and what is missing at places, without their means, 0 where
        nothing is known [3,P,N,2]; number of places that are known [P])."""
        late, slopes, inside = sampled(self.background.images, self.last, place)
        known = (inside & (late[..., 2] > INSIDE) & self.clear)[..., None].astype(float)
        missing = np.moveaxis(self.early, 0, -1) - late[..., :2]
        parts = np.concatenate([slopes()[..., :2], missing[None]]) * known
        number = known.sum((1, 2))
        parts -= parts.sum(2, keepdims=True) / np.maximum(number, 1.0)[:, None, None]
        return parts * known, number


def _unexplained(errors, causes, known):
    """Mean of what causes [...,K,N] leave unexplained of errors [...,C,N], of which a share `known`
    counts and others are 0; large ones are cut."""
    return np.minimum(_rest(errors, causes) ** 2, MAX_ERROR).mean((-2, -1)) / known + FLOOR


def _rest(errors, causes):
    """What causes [...,K,N] leave unexplained of errors [...,C,N]."""
    turned = causes.swapaxes(-1, -2)
    inner = causes @ turned + 1e-9 * np.eye(causes.shape[-2])
    return errors - errors @ turned @ np.linalg.inv(inner) @ causes


def sampled(
    images: np.ndarray, frames: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, Callable, np.ndarray]:
    """Images [T,H,W,C] of frames [P] between pixels, at places [P,N,2] of each.

    Returns:
      values [P,N,C], a function that gives their changes a pixel to the right and down
      [2,P,N,C], whether a place is inside the frame [P,N].
    """
    height, width = images.shape[1:3]
    x, y = np.moveaxis(place, -1, 0) - 0.5
    inside = (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    j, i = x.astype(int), y.astype(int)
    u, v = (x - j)[..., None], (y - i)[..., None]
    flat, corner = images.reshape(-1, images.shape[-1]), (frames[:, None] * height + i) * width + j
    a, b, c, d = (flat.take(corner + step, axis=0) for step in (0, 1, width, width + 1))
    upper, lower = a * (1 - u) + b * u, c * (1 - u) + d * u

    def slopes():
        return np.stack([(b - a) * (1 - v) + (d - c) * v, lower - upper])

    return upper * (1 - v) + lower * v, slopes, inside
