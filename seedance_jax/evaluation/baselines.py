"""Trivial codes of the autoencoder's size, 48 numbers per 4x16x16 pixels: what it has to beat.

Each takes and gives clips float32 [T, H, W, 3] in [-1, 1], T = 4n+1. As in the autoencoder frame 0
is coded alone, here as four equal frames.
"""

from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
from scipy.sparse.linalg import svds

from seedance_jax.data.schema import FRAME_STRIDE, LATENT_CHANNELS, PIXEL_STRIDE

PATCHES_PER_CLIP = 30
PATCH_SIZE = 3 * FRAME_STRIDE * PIXEL_STRIDE**2
CELL = 4  # 16 / 4 squared, times three colours, is 48


def fit_pca(
    clips: Iterable[np.ndarray], components: int = LATENT_CHANNELS, seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """The best linear code, fitted to `PATCHES_PER_CLIP` patches of each of `clips`."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(to_patches(clip))[:PATCHES_PER_CLIP] for clip in clips]
    mean, basis = principal_directions(np.concatenate(chosen), components)

    def reconstruct(clip):
        coded = (to_patches(clip) - mean) @ basis.T @ basis + mean
        return np.clip(from_patches(coded, clip.shape), -1.0, 1.0)

    return reconstruct


def principal_directions(patches: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and orthonormal directions [components, D] of the largest variance of [N, D]."""
    mean = patches.mean(0)
    start = np.random.default_rng(0).normal(size=min(patches.shape))
    _, _, basis = svds(patches - mean, k=components, v0=start)
    return mean, basis


def area_bicubic(clip: np.ndarray) -> np.ndarray:
    """Means over 4 frames and 4 x 4 pixels, drawn larger again by a cubic filter."""
    frames, height, width, _ = clip.shape
    groups = np.concatenate([clip[:1].repeat(FRAME_STRIDE - 1, 0), clip])
    shape = (-1, FRAME_STRIDE, height // CELL, CELL, width // CELL, CELL, 3)
    small = groups.reshape(shape).mean((1, 3, 5))
    large = np.asarray(jax.image.resize(small, (len(small), height, width, 3), "cubic"))
    return np.clip(large.repeat(FRAME_STRIDE, 0)[-frames:], -1.0, 1.0)


def to_patches(clip: np.ndarray) -> np.ndarray:
    """[T,H,W,3] -> [(n+1) H/16 W/16, 4*16*16*3]; frame 0 fills its own patches four times."""
    _, height, width, _ = clip.shape
    clip = np.concatenate([clip[:1].repeat(FRAME_STRIDE - 1, 0), clip])
    rows, columns = height // PIXEL_STRIDE, width // PIXEL_STRIDE
    shape = (-1, FRAME_STRIDE, rows, PIXEL_STRIDE, columns, PIXEL_STRIDE, 3)
    return clip.reshape(shape).transpose(0, 2, 4, 1, 3, 5, 6).reshape(-1, PATCH_SIZE)


def from_patches(patches: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Inverse of `to_patches`; frame 0 is the mean of its four."""
    _, height, width, _ = shape
    rows, columns = height // PIXEL_STRIDE, width // PIXEL_STRIDE
    patches = patches.reshape(-1, rows, columns, FRAME_STRIDE, PIXEL_STRIDE, PIXEL_STRIDE, 3)
    clip = patches.transpose(0, 3, 1, 4, 2, 5, 6).reshape(-1, height, width, 3)
    first = clip[:FRAME_STRIDE].mean(0, keepdims=True)
    return np.concatenate([first, clip[FRAME_STRIDE:]])
