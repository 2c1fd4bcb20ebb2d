"""Clips made noisy, blurred, badly exposed or disordered, by a severity from 0 to 1.

Functions (frames uint8 [T, H, W, 3], severity, rng) -> frames; 0 changes nothing.
"""

import numpy as np
from numpy.random import Generator
from scipy import ndimage

MOST_NOISE, MOST_BLUR = 20.0, 2.0  # standard deviations: 8-bit levels, pixels at 64 a side
WOBBLE = 0.08  # of the brightness
BRIGHT, DARK = 2.6, 0.25  # linear light at full severity


def noise(frames: np.ndarray, severity: float, rng: Generator) -> np.ndarray:
    grain = rng.standard_normal(frames.shape, np.float32) * (MOST_NOISE * severity)
    return as_bytes(frames + grain)


def blur(frames: np.ndarray, severity: float, rng: Generator | None = None) -> np.ndarray:
    """As much for a picture of any size, by its shorter side."""
    sigma = MOST_BLUR * severity * min(frames.shape[1:3]) / 64
    return ndimage.gaussian_filter(frames, (0, sigma, sigma, 0), mode="nearest")


def shuffle(frames: np.ndarray, severity: float, rng: Generator) -> np.ndarray:
    """So many of the frames change places."""
    count = round(severity * len(frames))
    chosen = np.sort(rng.permutation(len(frames))[:count])
    order = np.arange(len(frames))
    order[chosen] = order[rng.permutation(chosen)]
    return frames[order]


def exposure_wobble(frames: np.ndarray, severity: float, rng: Generator) -> np.ndarray:
    """Every frame is a little brighter or darker than it should be."""
    gain = 1 + WOBBLE * severity * rng.choice((-1, 1), size=len(frames))
    return as_bytes(frames * gain[:, None, None, None])


def overexpose(frames: np.ndarray, severity: float, rng: Generator | None = None) -> np.ndarray:
    return expose(frames, BRIGHT**severity)


def underexpose(frames: np.ndarray, severity: float, rng: Generator | None = None) -> np.ndarray:
    return expose(frames, DARK**severity)


def expose(frames: np.ndarray, light: float) -> np.ndarray:
    """With so many times the light."""
    table = 255 * np.minimum((np.arange(256) / 255) ** 2.2 * light, 1.0) ** (1 / 2.2)
    return as_bytes(table)[frames]


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def degrade(rng: Generator, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Makes about one fifth of the clips uint8 [B, T, H, W, 3] each noisy, blurred and shuffled.

    Returns:
      (clips, severities float32 [B, 3], in the order of `DEGRADE`); of shuffled ones 1.
    """
    clips, severities = clips.copy(), np.zeros((len(clips), len(DEGRADE)), np.float32)
    for row, kind in enumerate(rng.integers(0, 5, len(clips))):
        if kind < len(DEGRADE):
            severity = 1.0 if DEGRADE[kind] is shuffle else rng.uniform()
            clips[row], severities[row, kind] = DEGRADE[kind](clips[row], severity, rng), severity
    return clips, severities


DEGRADE = (noise, blur, shuffle)
