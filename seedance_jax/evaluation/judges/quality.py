"""Flicker, exposure, dynamics, sharpness and jitter of a shot: how it looks, whatever it shows."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation.judges.colors import GAMMA

# Motion is measured on a grid of so many cells a side, in the share of them that changes most.
MOTION_CELLS = 16
MOTION_SHARE = 0.05
# Pixels about an outline between which a change is whole, of a frame of 64 and of up to 160; those
# of larger frames are in proportion.
REACH = 2
# Median of the absolute values of a normal variable, in standard deviations.
NORMAL_MEDIAN = 0.6745
# Times running that what goes to and fro turns back.
ZIGZAGS = 5
# Floors that are told by their colour.
PLAIN_FLOORS = ("grey", "sandy")


def luma(frames: np.ndarray) -> np.ndarray:
    """uint8 [T,H,W,3] -> float32 [T,H,W] in 8-bit levels."""
    return frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def flicker(
    frames: np.ndarray, follow: Callable[[np.ndarray, int], np.ndarray] | None = None
) -> float | None:
    """8-bit levels: the second difference over time of the median pixel; None under 3 frames.

    Args:
      follow: as of `exposure`; None is a camera that stands.
    """
    light = luma(frames)
    if len(light) < 3:
        return None
    if follow is None:
        second = np.abs(light[:-2] - 2 * light[1:-1] + light[2:])
        return float(np.median(second.reshape(len(second), -1), axis=1).mean())
    grid, values = _grid(light), []
    for number in range(len(light) - 2):
        here = follow(grid + 0.5, number)
        later = follow(here, number + 1)
        before = light[number][grid[:, 1], grid[:, 0]]
        second = before - 2 * _between(light[number + 1], here) + _between(light[number + 2], later)
        values.append(np.nanmedian(np.abs(second)) if np.isfinite(second).any() else 0.0)
    return float(np.mean(values))


def _grid(light):
    """Every second pixel (x, y) of [T,H,W], as [N,2]."""
    axes = np.meshgrid(*(np.arange(1, n, 2) for n in light.shape[:0:-1]))
    return np.stack(axes, -1).reshape(-1, 2)


def _between(image, places):
    """Values [N] of an image [H,W] at places [N,2], NaN outside."""
    x, y = places.T - 0.5
    return ndimage.map_coordinates(image, [y, x], order=1, cval=np.nan)


def exposure(frames: np.ndarray, follow: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Per cent [T] by which the brightness strays from the mean.

    The gain from a frame to the next is that of the median place, so that what moves counts little.

    Args:
      follow: (places [N,2] pixels (x, y), number of a frame) -> where the camera's own motion takes
        them until the next frame.
    """
    light = np.log(luma(frames) + 8.0)
    grid, steps = _grid(light), [0.0]
    for number in range(len(light) - 1):
        gain = _between(light[number + 1], follow(grid + 0.5, number))
        gain -= light[number][grid[:, 1], grid[:, 0]]
        steps.append(np.nanmedian(gain) if np.isfinite(gain).any() else 0.0)
    path = np.cumsum(steps)
    return 100 * (path - path.mean())


def dynamics(frames: np.ndarray) -> float:
    """How much the most changing parts of the picture change a frame, 8-bit levels.

    The frames are averaged over a grid of cells, against noise; then the mean absolute change is
    taken over the `MOTION_SHARE` of cells that change most: a small object counts as a large one.
    """
    if len(frames) < 2:
        raise ValueError(f"dynamics needs 2 frames or more, got {len(frames)}")
    length, height, width, _ = frames.shape
    if height % MOTION_CELLS or width % MOTION_CELLS:
        raise ValueError(
            f"height and width must be multiples of {MOTION_CELLS}, got {frames.shape}"
        )
    cells = (MOTION_CELLS, height // MOTION_CELLS, MOTION_CELLS, width // MOTION_CELLS, 3)
    means = frames.reshape(length, *cells).mean((2, 4))  # [T, cells, cells, 3]
    change = np.abs(np.diff(means, axis=0)).mean(-1).reshape(length - 1, -1)
    most = max(1, round(MOTION_SHARE * change.shape[1]))
    return float(np.partition(change, -most, axis=1)[:, -most:].mean())


def reach(height: int, width: int) -> int:
    """Pixels to either side of an outline between which a change is whole."""
    return max(REACH, round(min(height, width) / 64))


def sharpness(frames: np.ndarray, masks: np.ndarray) -> float | None:
    """Steepest change across the outline of objects over the whole change there: 1 a step, and
    1 / (2 `reach`) what is blurred beyond all edges.

    Args:
      masks: bool [T,H,W]; frames without an object count for nothing, None if all are so.
    """
    values, far = [], reach(*frames.shape[1:3])
    window, margin = (2 * far + 1, 2 * far + 1, 1), 2 * far
    near_by = 2 * (far - REACH) + 1  # the steepest place may lie beside, in a large frame
    for image, mask in zip(frames.astype(np.float32), masks, strict=True):
        if not mask.any():
            continue
        near = tuple(slice(max(k.min() - margin, 0), k.max() + margin + 1) for k in mask.nonzero())
        image, mask = image[near], mask[near]  # all that is looked at
        band = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_erosion(mask)
        low, high = (f(image, window) for f in (ndimage.minimum_filter, ndimage.maximum_filter))
        whole = np.sqrt(((high - low) ** 2).sum(-1))
        clear = band & (whole > np.median(whole[band]))
        steep = ndimage.maximum_filter(_steepest(image), near_by)
        values.append(np.median(steep[clear] / whole[clear]) if clear.any() else 0.0)
    return float(np.mean(values)) if values else None


def _steepest(image):
    """Largest difference of a pixel [H,W,3] to the next one across, down, in RGB distance [H,W]."""
    steep = np.zeros(image.shape[:2], np.float32)
    for axis in (0, 1):
        step = np.sqrt((np.diff(image, axis=axis) ** 2).sum(-1))
        padded = np.pad(step, [(1, 1) if k == axis else (0, 0) for k in (0, 1)])
        first, second = (np.take(padded, range(s, s + image.shape[axis]), axis) for s in (0, 1))
        steep = np.maximum(steep, np.maximum(first, second))
    return steep


def floor_color(frames: np.ndarray, objects: Sequence[np.ndarray]) -> np.ndarray | None:
    """Linear RGB [3] of the floor: the median of the lowest quarter of the picture without objects
    and what is about them; None if they cover it.

    Args:
      objects: masks [T,H,W].
    """
    low = frames.shape[1] - frames.shape[1] // 4
    covered = np.any([np.zeros(frames.shape[:3], bool), *objects], axis=0)
    free = ~ndimage.binary_dilation(covered, np.ones((1, 7, 7)))[:, low:]
    pixels = frames[:, low:][free]
    return np.median(pixels / 255.0, axis=0) ** GAMMA if len(pixels) else None


def grain(frames: np.ndarray, objects: Sequence[np.ndarray]) -> float:
    """8-bit levels: standard deviation of the noise of what is about objects, or of all if they
    cover it; by the median, so that edges count for little (Immerkaer, CVIU 64(2), 1996).

    Args:
      objects: masks [T,H,W].
    """
    covered = np.any([np.zeros(frames.shape[:3], bool), *objects], axis=0)
    free = ~ndimage.binary_dilation(covered, np.ones((1, 5, 5)))
    second = np.array([1.0, -2.0, 1.0])
    found = ndimage.correlate1d(ndimage.correlate1d(luma(frames), second, 1), second, 2)
    found = np.abs(found[free] if free.any() else found)
    return float(
        np.median(found) / NORMAL_MEDIAN / np.square(np.outer(second, second)).sum() ** 0.5
    )


def color_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Between the chromaticities of two linear colours [3], whatever their light."""
    return float(np.abs(first / max(first.sum(), 1e-6) - second / second.sum()).sum())


def jitter(center: np.ndarray, radius: float) -> float | None:
    """How a track [T,2] shakes, in radii; None if it is too short.

    The median second difference of x: gravity and impacts on the floor act on y.
    """
    second = np.abs(np.diff(center[:, 0], 2))
    second = second[np.isfinite(second)]
    return float(np.median(second) / radius) if len(second) >= 3 else None


def zigzag(center: np.ndarray, radius: float) -> float:
    """Second difference, in radii, of a track [T,2] that turns back `ZIGZAGS` times running, the
    least of them: what falls speeds up, and what bounces turns once. 0 of what is seen too briefly.
    """
    second = np.diff(center, 2, axis=0)
    back = np.nan_to_num(-(second[1:] * second[:-1]).sum(1))
    lasting = ndimage.minimum_filter1d(np.sqrt(back.clip(0.0)), ZIGZAGS, mode="constant")
    return float(lasting.max(initial=0.0) / radius)


def longest_jump(center: np.ndarray, radius: float) -> tuple[float, int]:
    """By how much a step of a track [T,2] differs from those about it, most, in radii; its frame.

    It is longer than both, or goes sideways unlike both: up and down things bounce.
    """
    step = np.diff(center, axis=0)
    if len(step) < 3:
        return 0.0, 0
    length, side = np.linalg.norm(step, axis=1), step[:, 0]
    longer = length - np.fmax(*_beside(length))
    unlike = np.fmin(*(np.abs(side - other) for other in _beside(side)))
    excess = np.nan_to_num(np.fmax(longer, unlike) / radius)
    return float(excess.max()), int(excess.argmax()) + 1


def _beside(values):
    """The value before each [N] and the one after it; at the ends it is that of the other side."""
    return np.insert(values[:-1], 0, values[1]), np.append(values[1:], values[-2])
