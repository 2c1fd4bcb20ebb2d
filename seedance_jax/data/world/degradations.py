"""Clips made noisy, blurred and shuffled, each by an amount from 0 to 1."""

import numpy as np
from scipy import ndimage

MOST_NOISE, MOST_BLUR = 20.0, 2.0  # standard deviations: 8-bit levels, pixels


def degrade(rng: np.random.Generator, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Makes about one fifth of the clips uint8 [B, T, H, W, 3] each noisy, blurred and shuffled.

    Returns:
      (clips, amounts float32 [B, 3] from 0 to 1, in the order of `DEGRADE`).
    """
    clips, amounts = clips.copy(), np.zeros((len(clips), len(DEGRADE)), np.float32)
    for row, kind in enumerate(rng.integers(0, 5, len(clips))):
        if kind < len(DEGRADE):
            amount = rng.uniform()
            clips[row], amounts[row, kind] = list(DEGRADE.values())[kind](rng, clips[row], amount)
    return clips, amounts


def add_noise(
    rng: np.random.Generator, clip: np.ndarray, amount: float
) -> tuple[np.ndarray, float]:
    """(clip with Gaussian noise, amount)."""
    noise = rng.standard_normal(clip.shape, np.float32) * (MOST_NOISE * amount)
    return np.clip(clip + noise, 0, 255).round().astype(np.uint8), amount


def blur(rng: np.random.Generator, clip: np.ndarray, amount: float) -> tuple[np.ndarray, float]:
    """(clip with Gaussian blur, amount)."""
    del rng
    sigma = MOST_BLUR * amount
    return ndimage.gaussian_filter(clip, (0, sigma, sigma, 0), mode="nearest"), amount


def shuffle(rng: np.random.Generator, clip: np.ndarray, amount: float) -> tuple[np.ndarray, float]:
    """(clip with its frames in random order, 1)."""
    del amount
    return clip[rng.permutation(len(clip))], 1.0


DEGRADE = {"noise": add_noise, "blur": blur, "shuffle": shuffle}
