"""Ways to run an autoencoder: whole, in chunks of time at constant memory, in tiles of space.

`weights` is what `runs.load_autoencoder` returns; latents are normalised, video is in [-1, 1].
Chunks give what the whole gives. Tiles do not: a frame's attention and zero padding then see a tile
instead of the frame, so tiles are for devices that cannot hold one frame.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax import sharding


def encode(model, weights, video):
    """video float [B, T, H, W, 3] in [-1, 1] -> normalised latents [B, t, h, w, C].

    For use under jit, where values cannot be checked; `encode_stream` and `to_pixels` check them.
    """
    mean, _ = model.apply({"params": weights["params"]}, video, method="encode")
    return (mean - weights["mean"]) / weights["std"]


def decode(model, weights, latents):
    """Normalised latents [B, t, h, w, C] -> video [B, T, H, W, 3], clipped to [-1, 1]."""
    latents = latents * weights["std"] + weights["mean"]
    video = model.apply({"params": weights["params"]}, latents, method="decode")
    return jnp.clip(video, -1.0, 1.0)


def decode_bytes(model, weights, latents):
    """`decode` and `to_bytes`, for use under jit: a quarter of the bytes to fetch."""
    return to_bytes(decode(model, weights, latents))


@functools.partial(jax.jit, static_argnums=0)
def encode_chunk(model, weights, cache, video):
    """`encode` of one chunk; cache {} opens a clip. Returns latents and the next cache."""
    variables = {"params": weights["params"], **cache}
    (mean, _), cache = model.apply(variables, video, method="encode", mutable=["cache"])
    return (mean - weights["mean"]) / weights["std"], cache


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def decode_chunk(model, weights, cache, latents):
    """`decode` of one chunk; cache {} opens a clip. Returns video and the next cache."""
    latents = latents * weights["std"] + weights["mean"]
    variables = {"params": weights["params"], **cache}
    video, cache = model.apply(variables, latents, method="decode", mutable=["cache"])
    return jnp.clip(video, -1.0, 1.0), cache


def encode_stream(model, weights, video, chunk=4):
    """Yields the latents of `video`, `chunk` frames of latents at a time, as numpy arrays.

    Args:
      video: [B, T, H, W, 3], float in [-1, 1] or uint8, or anything with a shape that can be sliced
        so (a memory map); only one chunk of it is on the device.

    Raises:
      ValueError: before anything runs, for a bad size; at its chunk, for a bad value.
    """
    check_axes("video", video.shape)
    time, _ = model.compression
    latent_frames = model.latent_shape(*video.shape[1:4])[0]
    check_chunk(chunk)
    starts = [0, *range(1 + time * (chunk - 1), 1 + time * (latent_frames - 1), time * chunk)]
    cache = {}
    for start, stop in itertools.pairwise([*starts, video.shape[1]]):
        pixels = to_pixels(np.asarray(video[:, start:stop]))
        latents, cache = encode_chunk(model, weights, cache, pixels)
        yield sharding.fetch(latents)


def decode_stream(model, weights, latents, chunk=1):
    """Yields the video of latents [B, t, h, w, C], `chunk` frames of latents at a time.

    Raises:
      ValueError: before anything runs, for another number of channels or a value that is not
        finite.
    """
    check_chunk(chunk)
    check_axes("latents", latents.shape)
    if not np.isfinite(np.asarray(latents)).all():
        raise ValueError("latents hold values that are not finite")
    if latents.shape[-1] != model.latent_channels:
        raise ValueError(f"latents {latents.shape}: the last axis must be {model.latent_channels}")
    cache = {}
    for start in range(0, latents.shape[1], chunk):
        video, cache = decode_chunk(model, weights, cache, latents[:, start : start + chunk])
        yield sharding.fetch(video)


def check_axes(name, shape):
    """Raises ValueError unless the shape is [batch, time, height, width, channels], none empty."""
    if len(shape) != 5 or 0 in shape:
        axes = "[batch, time, height, width, channels]"
        raise ValueError(f"{name} of shape {tuple(shape)}: must be {axes}, none of them 0")


def check_chunk(chunk):
    """Raises ValueError unless `chunk` is a positive number of latent frames."""
    if chunk != int(chunk) or chunk < 1:
        raise ValueError(f"chunk={chunk} latent frames: must be 1 or more")


def from_bytes(video):
    """uint8 [0, 255] -> float32 [-1, 1]; numpy or jax."""
    return video.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def to_bytes(video):
    """float [-1, 1] -> uint8 [0, 255], to the nearest; of numpy or under jit."""
    return ((video + 1.0) * 127.5).round().astype(np.uint8)


def to_pixels(video):
    """uint8 [0, 255] or float [-1, 1] -> float32 [-1, 1]; ValueError for anything else."""
    if video.dtype == np.uint8:
        return from_bytes(video)
    if not np.issubdtype(video.dtype, np.floating):
        raise ValueError(f"video of type {video.dtype}: must be uint8 or floating point")
    low, high = float(video.min()), float(video.max())
    if not (low >= -1.0 and high <= 1.0):  # also not a number
        raise ValueError(f"video values reach from {low} to {high}: must be within [-1, 1]")
    return video.astype(np.float32)


def decode_tiled(model, weights, latents, tile=16, overlap=4):
    """Video of latents [B, t, h, w, C], from overlapping tiles of tile x tile latent positions.

    Tiles are blended linearly over their overlap. Not equal to `decode`: `evaluate --tile` measures
    by how much.

    Raises:
      ValueError: no tile, or the overlap is not in [0, tile / 2].
    """
    if tile < 1:
        raise ValueError(f"tile={tile} latent positions: must be 1 or more")
    if not 0 <= overlap <= tile // 2:
        raise ValueError(f"overlap={overlap}: must be in [0, {tile // 2}], half a tile of {tile}")
    space = model.compression[1]
    total = weight = 0.0
    for rows, columns in itertools.product(
        tile_slices(latents.shape[2], tile, overlap), tile_slices(latents.shape[3], tile, overlap)
    ):
        frames = np.concatenate(
            list(decode_stream(model, weights, latents[:, :, rows, columns])), axis=1
        )
        if isinstance(total, float):
            size = [space * side for side in latents.shape[2:4]]
            total = np.zeros((*frames.shape[:2], *size, 3), np.float32)
            weight = np.zeros((*size, 1), np.float32)
        ramps = [ramp(frames.shape[axis], overlap * space) for axis in (2, 3)]
        own = np.minimum.outer(*ramps)[..., None]
        place = tuple(slice(part.start * space, part.stop * space) for part in (rows, columns))
        total[:, :, *place] += own * frames
        weight[place] += own
    return total / weight


def tile_slices(size, tile, overlap):
    """Slices of at most `tile` that cover `size`, neighbours sharing `overlap` or more."""
    if size <= tile:
        return [slice(0, size)]
    starts = [*range(0, size - tile, tile - overlap), size - tile]
    return [slice(start, start + tile) for start in starts]


def ramp(size, overlap):
    """Weights of a tile along one axis: 1 inside, falling towards 0 over `overlap` at both ends."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 1.0
    return np.minimum(distance / (overlap + 1.0), 1.0).astype(np.float32)
