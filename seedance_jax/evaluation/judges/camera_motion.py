"""How the camera of a shot of the synthetic world moves, measured in the background.

The background is what is left when objects and shadows are cut out: a floor of faint texture, and a
sky that only turns. Every move of the vocabulary shifts it in its own way, so the move is found by
trying: each move in all amounts, of which the one counts that makes early and late frames agree.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from seedance_jax.data.world.vocabulary import CAMERA_MOVES

# Amounts over the shot that are tried, by the track of a move in `CAMERA_MOVES`: degrees, log focal
# ratio, metres: somewhat more than shots have, for a wide pan looks much like an orbit.
AMOUNTS = {
    "yaw": np.linspace(-15, 15, 11),
    "pitch": np.linspace(-12, 12, 9),
    "zoom": np.linspace(-0.6, 0.6, 13),
    "advance": np.linspace(-1.8, 1.8, 10),
    "azimuth": np.linspace(-56, 56, 29),
}
# A move must lower the misfit to so much of that of standing still: noise agrees with nothing.
MAX_MISFIT = 0.9
# Frames that are compared lie so many shots apart, in so many pairs.
LAGS = (0.5, 0.75)
PAIRS = 3
# Squared differences (Lab units) are cut at the first, and the second is the noise of 8 bits.
MAX_ERROR, FLOOR = 3.0, 0.02
MIN_COMMON = 0.15  # share of the places that must be background in both frames
MAX_SHADE = 0.04  # of `_shade`, beyond which the floor is not looked at
REFINED = 3  # moves whose best amounts are looked at closely
GRID = 24  # places a side at which they are compared

# Pixels whose lightness is so far from their row's (Lab units) are object or shadow, and so is what
# lies within GROWTH heights of them: the shade about an object moves with it.
MAX_ODDITY = 9.0
SOFT = 0.8  # pixels
GROWTH = 4 / 64
FAR = 1e4
# The floor pales into the horizon: so much a metre from so many metres on, as in the renderer.
HAZE, CLEAR_AIR = 0.055, 5.0


class View(NamedTuple):
    """Where a camera stands: focal length in shorter sides, degrees above the horizon, metres to
    what it looks at, and metres of that above the floor."""

    focal: float = 1.6
    elevation: float = 18.0
    distance: float = 4.0
    height: float = 0.4


class CameraPath(NamedTuple):
    """What a camera does over a shot.

    Attributes:
      track: of `AMOUNTS`, or "none".
      amount: signed as in `CAMERA_MOVES`: positive is right, up, in.
      misfit: of the background under this path, over that of a camera that stands; 1 is no better.
    """

    track: str
    amount: float
    misfit: float

    @property
    def move(self) -> str:
        """The word of `CAMERA_MOVES`."""
        for word, move in CAMERA_MOVES.items():
            if move.track == self.track and move.sign * self.amount >= 0:
                return word
        return "static"


def effect(track: str, amount: float, view: View, side: int) -> np.ndarray:
    """What a move does over a shot: pan and tilt (pixels), zoom (%), orbit (degrees), signed."""
    turn = math.radians(amount) if track in ("yaw", "pitch") else 0.0
    pixels = view.focal * side * math.tan(turn)
    zoom = {"zoom": amount, "advance": amount / view.distance}.get(track, 0.0)
    pan, tilt = (pixels if track == name else 0.0 for name in ("yaw", "pitch"))
    return np.array([pan, tilt, 100 * zoom, amount if track == "azimuth" else 0.0])


def errors(
    path: CameraPath, view: View, planned: Mapping[str, Any], shape: Sequence[int]
) -> list[list[float]]:
    """How far a `CameraPath` is from a planned camera of a scene's record.

    Returns:
      two lists of (pan and tilt in pixels, zoom and dolly in %, orbit in degrees): from the nearest
      amount that the planned move may have, and from its very amount.
    """
    move, side = CAMERA_MOVES[planned["move"]], min(shape[1:3])
    given = planned[move.unit] if move.sign else 0.0
    amounts = [min(move.amount[0], given), max(move.amount[1], given), given]
    amounts = np.log(amounts) if move.track == "zoom" else amounts
    low, high, exact = (effect(move.track, move.sign * a, view, side) for a in amounts)
    low, high = np.minimum(low, high), np.maximum(low, high)
    seen = effect(path.track, path.amount, view, side)
    outside = np.maximum(np.maximum(low - seen, seen - high), 0.0)
    return [_lengths(outside), _lengths(seen - exact)]


def _lengths(effects):
    return [float(np.hypot(*effects[:2])), float(abs(effects[2])), float(abs(effects[3]))]


def find_path(lab: np.ndarray, objects: np.ndarray, view: View, flies: bool) -> CameraPath:
    """The `CameraPath` of a shot in CIE Lab [T,H,W,3].

    Args:
      objects: masks [T,H,W] of its objects.
      flies: whether they leave the floor.
    """
    if len(lab) < 3:
        return CameraPath("none", 0.0, 1.0)
    nothing = np.zeros(lab.shape[:3])
    images, known = _background(lab, np.any([nothing, *objects], axis=0))
    shade = sum((_shade(masks, view.elevation, flies) for masks in objects), nothing)
    compare = _comparison(images, known, shade, view)
    misfit = {(track, a): compare(track, a) for track, amounts in AMOUNTS.items() for a in amounts}
    coarse = {track: min(a, key=lambda x: misfit[track, x]) for track, a in AMOUNTS.items()}
    best = {
        track: _refined(lambda a, t=track: compare(t, a), coarse[track], AMOUNTS[track])
        for track in sorted(coarse, key=lambda t: misfit[t, coarse[t]])[:REFINED]
    }
    track = min(best, key=lambda name: best[name][1])
    amount, least = best[track]
    if least > MAX_MISFIT:
        return CameraPath("none", 0.0, 1.0)
    return CameraPath(track, float(amount), least)


def _refined(function, place, places):
    """(place, value) of a minimum near `place`, by halves of the steps between `places`."""
    value, step = function(place), places[1] - places[0]
    for _ in range(4):
        step /= 2
        for other in np.clip((place - step, place + step), places[0], places[-1]):
            tried = function(other)
            if tried < value:
                place, value = other, tried
    return place, value


def _background(lab, masks):
    """(lightness and b, softened [2,T,H,W]; which pixels are background [T,H,W], 0.0 or 1.0)."""
    light = lab[..., [0, 2]]
    odd = light[..., 0] - np.median(light[..., 0], axis=2, keepdims=True) < -MAX_ODDITY
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


def _comparison(images, known, shade, view):
    """A function (track, amount) -> misfit of frames that lie apart; 2 if nothing is in common."""
    count, height, width = shape = images.shape[1:]
    rows, columns = (np.linspace(1, size - 2, GRID).round().astype(int) for size in (height, width))
    row, column = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    pixels = np.stack([column + 0.5, row + 0.5], -1)
    pairs = []
    for share in LAGS:
        lag = max(1, int(share * (count - 1)))
        starts = np.unique(np.linspace(0, count - 1 - lag, PAIRS).round().astype(int))
        pairs += [(start, start + lag) for start in starts]
    first, last = np.transpose(pairs)

    known = known * (shade < MAX_SHADE)
    here = np.concatenate([images, shade[None]])[:, :, row, column]  # [C, T, N]
    images = np.ascontiguousarray(np.concatenate([images, known[None]]))  # else `take` copies it
    early, still = here[:-1, first], here[:, first] - here[:, last]  # [C, P, N]
    clear = known[:, row, column] > 0
    clear = clear[first] & clear[last]

    def compare(track, amount):
        place, haze = _moved(pixels, view, track, amount, pairs, shape)
        *late, inside = _sampled(images, last, place)
        both = (inside > 0.99) & clear
        parts = np.concatenate([early - late, still, haze[None]])
        # Sums go through memory in this order, and their last digits depend on it.
        parts = parts.reshape(len(parts), -1).T[both.ravel()].T
        if parts.shape[1] < MIN_COMMON * both.size:
            return 2.0
        errors, unmoved, shades = parts[:2], parts[2:4], parts[4:]
        return _unexplained(errors, shades) / _unexplained(unmoved, shades[:1])

    return compare


def _unexplained(errors, causes):
    """Mean of what causes [K,N] leave unexplained of errors [C,N]; large ones are cut."""
    inner = causes @ causes.T + 1e-9 * np.eye(len(causes))
    rest = errors - errors @ causes.T @ np.linalg.inv(inner) @ causes
    return np.minimum(rest**2, MAX_ERROR).mean() + FLOOR


def _sampled(images, frames, place):
    """Images [C,T,H,W] of frames [P] between pixels, at places [P,N,2] of each: [C,P,N]; the last
    channel is 0 out of the frame."""
    height, width = images.shape[2:]
    x, y = np.moveaxis(place, -1, 0) - 0.5
    inside = (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    j, i = x.astype(int), y.astype(int)
    u, v = x - j, y - i
    flat, corner = images.reshape(len(images), -1), (frames[:, None] * height + i) * width + j
    a, b, c, d = (flat.take(corner + step, axis=1) for step in (0, 1, width, width + 1))
    values = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v
    values[-1] *= inside
    return values


def moved(
    pixels: np.ndarray,
    view: View,
    track: str,
    amount: float,
    frames: tuple[float, float],
    shape: Sequence[int],
) -> np.ndarray:
    """Where the floor or sky that pixels [N,2] show in one frame of a shot is in another one.

    Args:
      frames: numbers of the two frames.
      shape: (number of frames, height, width) of the shot.
    """
    return _moved(pixels, view, track, amount, [frames], shape)[0][0]


def _moved(pixels, view, track, amount, pairs, shape):
    """`moved` of pairs of frames, [P,N,2], and how much less of the horizon's colour lies over it
    then, shares [P,N]."""
    count, height, width = shape
    center, side = np.array([width / 2, height / 2]), min(height, width)
    progress = np.array(pairs) / (count - 1) - 0.5
    poses = {part: _pose(view, track, amount * part) for part in {*progress.flat}}
    (focal, rotation, eye), (focals, rotations, later) = (
        [np.array(values) for values in zip(*map(poses.get, parts), strict=True)]
        for parts in progress.T
    )
    flat = (pixels - center) / (focal * side)[:, None, None]
    rays = np.concatenate([flat, np.ones((*flat.shape[:2], 1))], -1) @ rotation
    depth = np.minimum(-eye[:, 2:] / np.minimum(rays[..., 2], -1e-6), FAR)
    local = (rays * depth[..., None] + eye[:, None] - later[:, None]) @ rotations.swapaxes(1, 2)
    haze = [np.exp(-HAZE * np.maximum(d - CLEAR_AIR, 0.0)) for d in (depth, local[..., 2])]
    place = local[..., :2] / np.maximum(local[..., 2:], 1e-6) * focals[:, None, None] * side
    return place + center, haze[1] - haze[0]


def _pose(view, track, change):
    """(focal length, rotation world -> camera [3,3], eye [3]) where a move is changed so far.

    As in `data/world/camera.py`; cameras look along +y at a point above the origin.
    """
    azimuth = math.radians(change) if track == "azimuth" else 0.0
    distance = view.distance - (change if track == "advance" else 0.0)
    pitch = -math.radians(view.elevation)
    eye = np.array([0, 0, view.height]) - distance * np.array(_direction(azimuth, pitch))
    azimuth -= math.radians(change) if track == "yaw" else 0.0
    pitch += math.radians(change) if track == "pitch" else 0.0
    x, y, z = forward = _direction(azimuth, pitch)
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    down = (-z * sin, z * cos, x * sin - y * cos)  # forward x right
    rotation = np.array([(cos, sin, 0.0), down, forward])
    return view.focal * math.exp(change if track == "zoom" else 0.0), rotation, eye


def _direction(azimuth, pitch):
    flat = math.cos(pitch)
    return -math.sin(azimuth) * flat, math.cos(azimuth) * flat, math.sin(pitch)
