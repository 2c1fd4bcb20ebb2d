"""Causal video autoencoder: [B, 4n+1, H, W, 3] <-> [B, n+1, H/16, W/16, 48].

It is causal in time: latent frame k depends on pixel frames 0..4k only, and frame 0 is encoded by
itself, so an image is a clip of one frame. Each resampling stage has a parameter-free shortcut
(average down, duplicate up) beside its residual blocks, after DC-AE (arXiv:2410.10733) and the open
Wan 2.2 autoencoder, whose layers it follows: `models/public/wan.py` loads its files.

Strides are (time, space) pairs. The product of the space strides and the patch is the spatial
compression, the product of the time strides the temporal one.

In chunks: apply with `mutable=["cache"]`, first without a cache and then with the returned one. The
first chunk has 4k+1 pixel frames (any number of latent ones), later ones have 4k; together they
give the same as the whole clip.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.causal import (
    FAN_IN,
    CausalConv3d,
    ChannelNorm,
    Downsample,
    FrameAttention,
    ResidualBlock,
    Upsample,
    average_down,
    channels_to_space,
    duplicate_up,
    is_streaming,
    space_to_channels,
)
from seedance_jax.sharding import constrain


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    features: int
    kernels: tuple[tuple[int, int, int], ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = ResidualBlock(self.features, self.kernels, self.dtype, name="block0")(x)
        x = FrameAttention(self.dtype, name="attention")(x)
        return ResidualBlock(self.features, self.kernels, self.dtype, name="block1")(x)


class DownStage(nn.Module):
    """Residual blocks and a downsampler, plus the averaging shortcut."""

    features: int
    blocks: int
    kernels: tuple[tuple[int, int, int], ...]
    stride: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, first: bool) -> jax.Array:
        shortcut = average_down(x, self.features, *self.stride)
        for i in range(self.blocks):
            x = ResidualBlock(self.features, self.kernels, self.dtype, name=f"block{i}")(x)
        return Downsample(*self.stride, self.dtype, name="down")(x, first) + shortcut


class UpStage(nn.Module):
    """Residual blocks and an upsampler, plus the duplicating shortcut; only blocks at (1, 1)."""

    features: int
    blocks: int
    kernels: tuple[tuple[int, int, int], ...]
    stride: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, first: bool) -> jax.Array:
        y = x
        for i in range(self.blocks):
            y = ResidualBlock(self.features, self.kernels, self.dtype, name=f"block{i}")(y)
        if self.stride == (1, 1):
            return y
        y = Upsample(*self.stride, self.dtype, name="up")(y, first)
        return y + duplicate_up(x, self.features, *self.stride, first)


class Encoder(nn.Module):
    """Patches [B, T, H, W, C] -> mean and log variance [B, t, h, w, 2 latent_channels]."""

    latent_channels: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    kernels: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[int, int], ...]
    linear_ends: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, first: bool) -> jax.Array:
        kernel = (1, 1, 1) if self.linear_ends else (3, 3, 3)
        moments = 2 * self.latent_channels
        x = CausalConv3d(self.widths[0], kernel, dtype=self.dtype, name="conv_in")(x)
        stages = zip(self.widths, self.blocks, (*self.strides, (1, 1)), strict=True)
        for i, (width, blocks, stride) in enumerate(stages):
            stage = DownStage(width, blocks, self.kernels, stride, self.dtype, name=f"stage{i}")
            x = stage(x, first)
        x = Middle(self.widths[-1], self.kernels, self.dtype, name="middle")(x)
        if not self.linear_ends:
            x = nn.silu(ChannelNorm(name="norm_out")(x))
            x = CausalConv3d(moments, dtype=self.dtype, name="conv_out")(x)
        return CausalConv3d(moments, (1, 1, 1), init=mean_first, name="to_latents")(x)


def mean_first(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initial kernel of the moments: FAN_IN for the mean, zeros for the log variance."""
    means = FAN_IN(key, (*shape[:-1], shape[-1] // 2), dtype)
    return jnp.concatenate([means, jnp.zeros_like(means)], axis=-1)


class Decoder(nn.Module):
    """Latents -> patches [B, T, H, W, channels]; the last layer's input is sown as "features"."""

    channels: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    kernels: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[int, int], ...]
    linear_ends: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, first: bool) -> jax.Array:
        kernel = (1, 1, 1) if self.linear_ends else (3, 3, 3)
        if not self.linear_ends:
            x = CausalConv3d(x.shape[-1], (1, 1, 1), name="from_latents")(x)
        x = CausalConv3d(self.widths[0], kernel, dtype=self.dtype, name="conv_in")(x)
        x = Middle(self.widths[0], self.kernels, self.dtype, name="middle")(x)
        stages = zip(self.widths, self.blocks, (*self.strides, (1, 1)), strict=True)
        for i, (width, blocks, stride) in enumerate(stages):
            stage = UpStage(width, blocks, self.kernels, stride, self.dtype, name=f"stage{i}")
            x = stage(x, first)
        if not self.linear_ends:
            x = nn.silu(ChannelNorm(name="norm_out")(x))
        self.sow("intermediates", "features", x)
        return CausalConv3d(self.channels, kernel, dtype=self.dtype, name="conv_out")(x)


class VAE(nn.Module):
    """The autoencoder. Initialise it with a clip of at least 5 frames, so that every layer runs.

    Attributes:
      latent_channels: C, 48 for (4, 16, 16) compression by 64.
      patch: side of the pixel patches that become channels first.
      encoder_widths, encoder_blocks: channels and residual blocks of each stage, from pixels to
        latents.
      decoder_widths, decoder_blocks: the same, from latents to pixels.
      strides: (time, space) of the encoder's stages except the last, which keeps its size; the
        decoder has them in reverse, and its last stage keeps its size, too.
      kernels: (time, height, width) of the two convolutions of every residual block.
      linear_ends: the layers next to pixels and latents are linear, without the convolution, norm
        and nonlinearity of the larger models: cheaper, and faster to train.
      dtype: of the decoder's convolutions; the encoder, the norms and the output are float32.
    """

    latent_channels: int
    patch: int
    encoder_widths: tuple[int, ...]
    decoder_widths: tuple[int, ...]
    strides: tuple[tuple[int, int], ...]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    kernels: tuple[tuple[int, int, int], ...] = ((3, 3, 3), (3, 3, 3))
    linear_ends: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        check_widths("encoder", self.encoder_widths, self.encoder_blocks)
        check_widths("decoder", self.decoder_widths, self.decoder_blocks)
        self.encoder = Encoder(
            self.latent_channels,
            self.encoder_widths,
            self.encoder_blocks,
            self.kernels,
            self.strides,
            self.linear_ends,
        )
        self.decoder = Decoder(
            3 * self.patch**2,
            self.decoder_widths,
            self.decoder_blocks,
            self.kernels,
            self.strides[::-1],
            self.linear_ends,
            self.dtype,
        )

    def encode(self, video: jax.Array) -> tuple[jax.Array, jax.Array]:
        """video [B, T, H, W, 3] in [-1, 1] -> mean, log variance, each [B, t, h, w, C].

        Raises:
          ValueError: not three channels, T not 4n+1 (4n after the first chunk), or H or W not a
            multiple of the compression.
        """
        if video.shape[-1] != 3:
            raise ValueError(f"video {video.shape}: the last axis must be 3 (red, green, blue)")
        first = self._first("encoding")
        check_size(video.shape[1:4], *self.compression, first=first)
        video = self._spread(video, video.shape[2] // self.compression[1])
        moments = self.encoder(to_patches(video, self.patch), first).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return mean, jnp.clip(log_variance, -30.0, 20.0)

    def decode(self, latents: jax.Array) -> jax.Array:
        """latents [B, t, h, w, C] -> video [B, T, H, W, 3], not clipped to [-1, 1]."""
        latents = self._spread(latents, latents.shape[2])
        patches = self.decoder(latents, self._first("decoding"))
        return from_patches(patches.astype(jnp.float32), self.patch)

    def __call__(self, video: jax.Array, noise: jax.Array | None = None) -> tuple[jax.Array, ...]:
        """(reconstruction, mean, log variance), of the mean or, given unit `noise`, of a sample."""
        mean, log_variance = self.encode(video)
        latents = mean if noise is None else mean + jnp.exp(0.5 * log_variance) * noise
        return self.decode(latents), mean, log_variance

    def _spread(self, x, rows):
        """Shards the rows of x [B, T, H, W, C], which become `rows` rows of latents."""
        # XLA's partitioned convolution is badly wrong where two rows of latents come out.
        return constrain(x, "batch", None, "rows" if rows > 2 else None, None, None)

    def _first(self, name):
        """Whether this is the first chunk of a clip; records in the cache that the next is not."""
        first = not self.has_variable("cache", name)
        if is_streaming(self):
            self.put_variable("cache", name, jnp.zeros(()))
        return first

    @property
    def compression(self) -> tuple[int, int]:
        """Downsampling factors (time, space)."""
        time, space = (math.prod(axis) for axis in zip(*self.strides, strict=True))
        return time, space * self.patch

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """(t, h, w, C) of the latents of a clip; ValueError for a size that cannot be encoded."""
        time, space = self.compression
        check_size((frames, height, width), time, space)
        return (frames - 1) // time + 1, height // space, width // space, self.latent_channels


def last_layer(model: VAE, params: Mapping[str, jax.Array], features: jax.Array) -> jax.Array:
    """The decoder's output from the input of its last layer and that layer's parameters."""
    kernel = params["kernel"]
    layer = CausalConv3d(kernel.shape[-1], kernel.shape[:3], dtype=model.dtype)
    patches = layer.apply({"params": params}, features)
    return from_patches(patches.astype(jnp.float32), model.patch)


def to_patches(video: jax.Array, patch: int) -> jax.Array:
    """[B, T, H, W, C] -> [B, T, H/patch, W/patch, C * patch^2], columns before rows.

    This is Wan 2.2's order of the pixels of a patch; `space_to_channels` has rows before columns.
    """
    return space_to_channels(video.swapaxes(2, 3), 1, patch).swapaxes(2, 3)


def from_patches(patches: jax.Array, patch: int) -> jax.Array:
    """Inverse of `to_patches`."""
    return channels_to_space(patches.swapaxes(2, 3), 1, patch).swapaxes(2, 3)


def check_widths(name: str, widths: Sequence[int], blocks: Sequence[int]) -> None:
    """Raises ValueError if a stage without blocks has another width than the stage before."""
    for i, (before, width) in enumerate(itertools.pairwise(widths), start=1):
        if width != before and not blocks[i]:
            raise ValueError(
                f"{name}_widths={widths}: stage {i} has no blocks, so its width must be {before}"
            )


def check_size(size: tuple[int, int, int], time: int, space: int, first: bool = True) -> None:
    """Raises ValueError unless frames = time * n + first, and height, width multiples of space."""
    frames, height, width = size
    if frames < 1 or (frames - first) % time:
        low = max(1, (frames - 1) // time * time + 1) if first else max(time, frames // time * time)
        rule = f"{time}n+1" if first else f"{time}n after the first chunk"
        one = " (1 is an image)" if first else ""
        raise ValueError(f"{frames} frames: must be {rule}, such as {low} or {low + time}{one}")
    for name, value in (("height", height), ("width", width)):
        if value < space or value % space:
            low = max(space, value // space * space)
            raise ValueError(
                f"{name} {value}: must be a multiple of {space}, such as {low} or {low + space}"
            )
