"""How good the pictures of a clip are, by light and edges alone, until a reward model says it.

sharpness   steepness of the sharpest edges over the range of lightness (0 flat, 1 a step)
exposure    mean lightness, 0 to 1
highlights  lightness that 2 % of the picture exceed
clipped     share of the pixels with a colour at its end, 255
contrast    standard deviation of the lightness
aesthetic   geometric mean of how sharp, how rich in contrast and how well exposed, 0 to 1
"""

import cv2
import numpy as np

from seedance_jax.data import schema

FRAMES = 5  # of a clip that are looked at
SHARPEST = 0.995  # quantile over the picture
ENDS = (0.02, 0.98)  # quantiles that the range of lightness is between
FULL = 254  # of 255, at which a colour is at its end
# Where more is no better, and the spread of good lightness (as of exposure fusion, Mertens 2007).
SHARP, RICH, SPREAD = 0.4, 0.15, 0.2


def score(frames: np.ndarray) -> dict[str, float]:
    """{column: value} of frames uint8 [T, H, W, 3], the median of some that are evenly spaced."""
    numbers = np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))
    values = np.median([_look(frames[number]) for number in numbers], axis=0)
    return dict(zip(schema.SCORES["aesthetic"], map(float, values), strict=True))


def _look(frame):
    """The values of its columns of a frame uint8 [H, W, 3]."""
    light = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    low, high = np.quantile(light, ENDS)
    bend = np.quantile(np.abs(cv2.Laplacian(light, cv2.CV_32F)), SHARPEST)
    sharpness = bend / (high - low + 0.02)  # a flat picture has noise, and no edges
    exposed = np.exp(-(((light - 0.5) / SPREAD) ** 2) / 2).mean()
    good = min(sharpness / SHARP, 1.0) * min(light.std() / RICH, 1.0) * exposed
    clipped = (frame.max(-1) >= FULL).mean()
    return sharpness, light.mean(), high, clipped, light.std(), good ** (1 / 3)
