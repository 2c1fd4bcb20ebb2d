"""Encodes and decodes video: whole, in chunks of time at constant memory, or in tiles of space.

`autoencoder` is {"params", "mean", "std"} of `runs.load_autoencoder`; latents are normalised, video
is in [-1, 1]. Chunks give the same as the whole. Tiles do not, because attention and zero padding
then work on tiles instead of frames: they are for devices whose memory is too small for one frame.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax import sharding
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained.executables import KeptProgram


def encode(model: VAE, autoencoder: Mapping[str, Any], video: jax.Array) -> jax.Array:
    """video float [B, T, H, W, 3] in [-1, 1] -> normalised latents [B, t, h, w, C].

    For use under jit, so values are not checked; `encode_stream` and `to_pixels` check them.
    """
    mean, _ = model.apply({"params": autoencoder["params"]}, video, method="encode")
    return (mean - autoencoder["mean"]) / autoencoder["std"]


def decode(model: VAE, autoencoder: Mapping[str, Any], latents: jax.Array) -> jax.Array:
    """Normalised latents [B, t, h, w, C] -> video [B, T, H, W, 3], clipped to [-1, 1]."""
    latents = latents * autoencoder["std"] + autoencoder["mean"]
    video = model.apply({"params": autoencoder["params"]}, latents, method="decode")
    return limit(video)


def decode_bytes(
    model: VAE, autoencoder: Mapping[str, Any], latents: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Normalised latents -> (video uint8 [B, T, H, W, 3], whether each clip is finite [B]).

    For use under jit.
    """
    video = decode(model, autoencoder, latents)
    return to_bytes(video), all_finite(video)


def limit(video: jax.Array) -> jax.Array:
    """Values clipped to [-1, 1]; infinities become NaN, which shows that they are no colours."""
    return jnp.where(jnp.isfinite(video), jnp.clip(video, -1.0, 1.0), jnp.nan)


def all_finite(clips: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Whether all values of each clip are finite, bool [B] of [B, T, H, W, C]; numpy or jax."""
    finite = np.isfinite(clips) if isinstance(clips, np.ndarray) else jnp.isfinite(clips)
    return finite.all((1, 2, 3, 4))


@functools.partial(KeptProgram, static=("model",))
def encode_chunk(
    model: VAE, autoencoder: Mapping[str, Any], cache: Any, video: jax.Array
) -> tuple[jax.Array, Any]:
    """`encode` of one chunk: (latents, next cache); the first chunk of a clip has cache {}."""
    variables = {"params": autoencoder["params"], **cache}
    (mean, _), cache = model.apply(variables, video, method="encode", mutable=["cache"])
    return (mean - autoencoder["mean"]) / autoencoder["std"], cache


@functools.partial(KeptProgram, static=("model",), donate=("cache",))
def decode_chunk(
    model: VAE, autoencoder: Mapping[str, Any], cache: Any, latents: jax.Array
) -> tuple[jax.Array, Any]:
    """`decode` of one chunk: (video, next cache); the first chunk of a clip has cache {}."""
    latents = latents * autoencoder["std"] + autoencoder["mean"]
    variables = {"params": autoencoder["params"], **cache}
    video, cache = model.apply(variables, latents, method="decode", mutable=["cache"])
    return limit(video), cache


def encode_stream(
    model: VAE, autoencoder: Mapping[str, Any], video: np.ndarray, chunk: int = 4
) -> Iterator[np.ndarray]:
    """Yields the normalised latents of a video, `chunk` latent frames at a time.

    Args:
      video: [B, T, H, W, 3], float in [-1, 1] or uint8; may be a memory map, of which one chunk at
        a time is on the device.

    Raises:
      ValueError: a size that cannot be encoded (before anything runs), or values out of range (at
        their chunk).
    """
    check_axes("video", video.shape)
    time, _ = model.compression
    latent_frames = model.latent_shape(*video.shape[1:4])[0]
    check_chunk(chunk)
    starts = [0, *range(1 + time * (chunk - 1), 1 + time * (latent_frames - 1), time * chunk)]
    cache = {}
    for start, stop in itertools.pairwise([*starts, video.shape[1]]):
        pixels = to_pixels(np.asarray(video[:, start:stop]))
        latents, cache = encode_chunk(model, autoencoder, cache, pixels)
        yield sharding.fetch(latents)


def decode_stream(
    model: VAE, autoencoder: Mapping[str, Any], latents: np.ndarray, chunk: int = 1
) -> Iterator[np.ndarray]:
    """Yields the video of normalised latents [B, t, h, w, C], `chunk` latent frames at a time.

    Raises:
      ValueError: before anything runs, for a wrong number of channels or values that are not
        finite.
    """
    check_chunk(chunk)
    check_axes("latents", latents.shape)
    if not np.isfinite(np.asarray(latents)).all():
        raise ValueError("latents have values that are not finite")
    if latents.shape[-1] != model.latent_channels:
        raise ValueError(f"latents {latents.shape}: the last axis must be {model.latent_channels}")
    cache = {}
    for start in range(0, latents.shape[1], chunk):
        video, cache = decode_chunk(model, autoencoder, cache, latents[:, start : start + chunk])
        yield sharding.fetch(video)


def check_axes(name: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the shape is [batch, time, height, width, channels], none empty."""
    if len(shape) != 5 or 0 in shape:
        axes = "[batch, time, height, width, channels]"
        raise ValueError(f"{name} of shape {tuple(shape)}: must be {axes}, none of them 0")


def check_chunk(chunk: int) -> None:
    """Raises ValueError unless `chunk` is a positive number of latent frames."""
    if chunk != int(chunk) or chunk < 1:
        raise ValueError(f"chunk={chunk} latent frames: must be 1 or more")


def from_bytes(video: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """uint8 [0, 255] -> float32 [-1, 1]; numpy or jax."""
    return video.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_bytes(video: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """float [-1, 1] -> uint8 [0, 255], rounded to the nearest; numpy or jax."""
    return ((video + 1.0) * 127.5).round().astype(np.uint8)


def to_pixels(video: np.ndarray) -> np.ndarray:
    """uint8 [0, 255] or float [-1, 1] -> float32 [-1, 1]; ValueError for anything else."""
    if video.dtype == np.uint8:
        return from_bytes(video)
    if not np.issubdtype(video.dtype, np.floating):
        raise ValueError(f"video of type {video.dtype}: must be uint8 or floating point")
    low, high = float(video.min()), float(video.max())
    if not (low >= -1.0 and high <= 1.0):  # true for NaN, too
        raise ValueError(f"video values reach from {low} to {high}: must be within [-1, 1]")
    return video.astype(np.float32)


def decode_tiled(
    model: VAE,
    autoencoder: Mapping[str, Any],
    latents: np.ndarray,
    tile: int = 16,
    overlap: int = 4,
) -> np.ndarray:
    """Decodes latents [B, t, h, w, C] in overlapping tiles of tile x tile latent positions.

    Tiles are blended linearly where they overlap. The result differs from `decode`;
    `evaluate --tile` measures how much.

    Raises:
      ValueError: tile below 1, or overlap not in [0, tile / 2].
    """
    if tile < 1:
        raise ValueError(f"tile={tile} latent positions: must be 1 or more")
    if not 0 <= overlap <= tile // 2:
        raise ValueError(f"overlap={overlap}: must be in [0, {tile // 2}], half a tile of {tile}")
    space = model.compression[1]
    total = coverage = 0.0
    for rows, columns in itertools.product(
        tile_slices(latents.shape[2], tile, overlap), tile_slices(latents.shape[3], tile, overlap)
    ):
        frames = np.concatenate(
            list(decode_stream(model, autoencoder, latents[:, :, rows, columns])), axis=1
        )
        if isinstance(total, float):
            size = [space * side for side in latents.shape[2:4]]
            total = np.zeros((*frames.shape[:2], *size, 3), np.float32)
            coverage = np.zeros((*size, 1), np.float32)
        ramps = [ramp(frames.shape[axis], overlap * space) for axis in (2, 3)]
        own = np.minimum.outer(*ramps)[..., None]
        place = tuple(slice(part.start * space, part.stop * space) for part in (rows, columns))
        total[:, :, *place] += own * frames
        coverage[place] += own
    return total / coverage


def tile_slices(size: int, tile: int, overlap: int) -> list[slice]:
    """Slices of at most `tile` that cover `size`; neighbours overlap by at least `overlap`."""
    if size <= tile:
        return [slice(0, size)]
    starts = [*range(0, size - tile, tile - overlap), size - tile]
    return [slice(start, start + tile) for start in starts]


def ramp(size: int, overlap: int) -> np.ndarray:
    """Blending factors of a tile along an axis: 1 inside, ramps over `overlap` at both ends."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 1.0
    return np.minimum(distance / (overlap + 1.0), 1.0).astype(np.float32)
