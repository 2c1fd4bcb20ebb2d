"""Distributions of training times, resolution-aware shift and sampling grids.

Time t runs from 0 (data) to 1 (noise). More tokens need more noise to lose the same detail, so
times are shifted towards noise by t' = a t / (1 + (a - 1) t) (Eq. (23) of arXiv:2403.03206), where
a = sqrt(tokens / reference) grows with resolution and duration. Seedance 1.0 mentions such a shift
(Sec. 2.4 of arXiv:2506.09113) without its constants; reference and limits are our choice.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

REFERENCE_TOKENS = 256  # no shift for an image of 256 x 256 pixels at 16x compression
MIN_SHIFT, MAX_SHIFT = 1.0, 24.0


def resolution_shift(tokens: int, reference: int = REFERENCE_TOKENS) -> float:
    """Shift a of a clip of `tokens` video tokens, clipped to [1, 24].

    reference: tokens of a clip without a shift: the `reference_tokens` of a generator's config.
    """
    return min(max(math.sqrt(tokens / reference), MIN_SHIFT), MAX_SHIFT)


def shift_times(t: jax.Array | np.ndarray, shift: float) -> jax.Array | np.ndarray:
    """Shifts times towards noise: t' = a t / (1 + (a - 1) t). Shift 1 is the identity."""
    return shift * t / (1 + (shift - 1) * t)


def sample_times(
    key: jax.Array, shape: tuple[int, ...], shift: float, mean: float = 0.0, std: float = 1.0
) -> jax.Array:
    """Training times of a shape: logit-normal(mean, std), then shifted."""
    return shift_times(jax.nn.sigmoid(mean + std * jax.random.normal(key, shape)), shift)


def sample_frame_times(
    key: jax.Array, batch_size: int, frames: int, shift: float, share: float
) -> jax.Array:
    """Training times [B, T]: one per clip, or with probability `share` one per latent frame."""
    keys = jax.random.split(key, 3)
    common = sample_times(keys[0], (batch_size, 1), shift)
    own = sample_times(keys[1], (batch_size, frames), shift)
    return jnp.where(jax.random.bernoulli(keys[2], share, (batch_size, 1)), own, common)


def sampling_grid(steps: int, shift: float) -> np.ndarray:
    """Decreasing times [steps + 1] from exactly 1 to exactly 0, uniform before the shift.

    On the host: on a device every number of steps would be a program of its own.
    """
    passed = np.arange(steps, dtype=np.float32) * (np.float32(1) / np.float32(steps))
    return shift_times(np.append(1 - passed, np.float32(0)), shift)
