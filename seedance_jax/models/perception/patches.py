"""Images as square patches for a vision transformer, and their learned positions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Patches(NamedTuple):
    """T images of each of B examples, cut into L squares, row by row or block by block.

    An image has at least one patch; its padding comes after its patches.

    Attributes:
      pixels: [B, T, L, P * P * 3] in [-1, 1]: rows, columns and channels of a square; of several
        frames in a patch, those of all.
      places: int [B, T, L, 2], the row and column of each square in its image.
      shape: int [B, T, 2], the rows and columns of the image.
      mask: bool [B, T, L], False on padding.
    """

    pixels: jax.Array
    places: jax.Array
    shape: jax.Array
    mask: jax.Array


def join_frames(video: jax.Array, frames: int) -> jax.Array:
    """[B, T, H, W, 3] -> [B, T / frames, H, W, frames * 3], the last frame repeated to fill up."""
    video = jnp.pad(video, ((0, 0), (0, -video.shape[1] % frames), *[(0, 0)] * 3), "edge")
    batch, count, *size, channels = video.shape
    video = jnp.moveaxis(video.reshape(batch, count // frames, frames, *size, channels), 2, 4)
    return video.reshape(batch, count // frames, *size, frames * channels)


def cut(video: jax.Array, patch_size: int, block: int = 1) -> Patches:
    """Patches of images [B, T, H, W, 3] whose sides are multiples of patch_size * block.

    Those of a block of `block` x `block` neighbours follow each other.
    """
    rows, columns = (length // patch_size for length in video.shape[2:4])
    lead, count = video.shape[:2], rows * columns
    places = np.moveaxis(np.indices((rows, columns)), 0, -1)[None, None]
    places = _by_block(_by_block(places, 1), block).reshape(count, 2)
    pixels = _by_block(_by_block(video, patch_size), block).reshape(*lead, count, -1)
    shape = jnp.broadcast_to(jnp.array([rows, columns]), (*lead, 2))
    mask = jnp.ones((*lead, count), bool)
    return Patches(pixels, jnp.broadcast_to(places, (*lead, count, 2)), shape, mask)


def _by_block(x, block):
    """[B, T, H, W, ...] -> [B, T, H / block, W / block, block, block, ...]."""
    (batch, frames, height, width), rest = x.shape[:4], x.shape[4:]
    x = x.reshape(batch, frames, height // block, block, width // block, block, *rest)
    return x.swapaxes(3, 4)


def interpolate(positions: jax.Array, patches: Patches, corners: bool = False) -> jax.Array:
    """Learned positions [side * side, D] of a square grid, at the places of the patches.

    Bilinear, with a wider filter where the image has fewer patches than the grid, as
    `torch.nn.functional.interpolate(antialias=True)`; exact where it has as many. Float32
    [B, T, L, D].

    Args:
      corners: whether corners lie on corners, and the filter is never wider, as with
        `align_corners=True`.
    """
    side = round(len(positions) ** 0.5)
    shape = patches.shape[:, :, None].astype(jnp.float32)  # [B, T, 1, 2]
    places = jnp.where(patches.mask[..., None], patches.places, 0)
    center, reach = places * (side - 1) / jnp.maximum(shape - 1, 1), 1.0
    if not corners:
        center, reach = (places + 0.5) * side / shape - 0.5, jnp.maximum(side / shape, 1)[..., None]
    distance = jnp.abs(jnp.arange(side) - center[..., None]) / reach
    factors = jnp.maximum(1 - distance, 0)
    factors = factors / factors.sum(-1, keepdims=True)  # [B, T, L, 2, side]
    rows, columns = factors[..., 0, :, None], factors[..., 1, None, :]
    factors = (rows * columns).reshape(*patches.mask.shape, side * side)
    return jnp.matmul(factors, positions, precision="highest")


def fit_size(height: int, width: int, unit: int, max_units: int) -> tuple[int, int]:
    """The largest size, in multiples of `unit`, of about the same aspect and at most so many units.

    As the image processor of SigLIP2's NaFlex form in `transformers`.
    """

    def units(scale):
        return [max(1, int(np.ceil(length * scale / unit))) for length in (height, width)]

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        scale = (low + high) / 2
        low, high = (scale, high) if np.prod(units(scale)) <= max_units else (low, scale)
    rows, columns = units(low)
    return rows * unit, columns * unit


def resize(video: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Images [B, T, H, W, 3] in another (height, width): bilinear, antialiased, differentiable."""
    shape = (*video.shape[:2], *size, video.shape[-1])
    return video if shape == video.shape else jax.image.resize(video, shape, "linear")
