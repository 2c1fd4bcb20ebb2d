"""Causal video autoencoder: [B, 4n+1, H, W, 3] <-> [B, n+1, H/16, W/16, 48].

Time is causal everywhere: latent frame k depends on pixel frames 0..4k only, and frame 0 is coded
alone, so an image is a clip of one frame. Each resampling stage has a parameter-free shortcut
(average down, duplicate up) beside its residual blocks, after DC-AE (arXiv:2410.10733) and the open
Wan 2.2 autoencoder, whose layer order this module follows.

Strides are (time, space) pairs. With `patch_size` p, the product of the space strides times p is
the spatial compression, and the product of the time strides is the temporal compression.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.sharding import param

FAN_IN = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


def space_to_channels(x, time, space):
    """[B, T, H, W, C] -> [B, T/time, H/space, W/space, C*time*space^2], channel-major."""
    b, t, h, w, c = x.shape
    x = x.reshape(b, t // time, time, h // space, space, w // space, space, c)
    x = x.transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, t // time, h // space, w // space, c * time * space**2)


def channels_to_space(x, time, space):
    """Inverse of `space_to_channels`."""
    b, t, h, w, c = x.shape
    c = c // (time * space**2)
    x = x.reshape(b, t, h, w, c, time, space, space)
    x = x.transpose(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, t * time, h * space, w * space, c)


def average_down(x, features, time, space):
    """Shortcut of a downsampling stage: space to channels, then means over channel groups."""
    x = jnp.pad(x, ((0, 0), (-x.shape[1] % time, 0), (0, 0), (0, 0), (0, 0)))
    x = space_to_channels(x, time, space)
    return x.reshape(*x.shape[:-1], features, -1).mean(-1)


def duplicate_up(x, features, time, space):
    """Shortcut of an upsampling stage: repeats channels, then channels to space.

    The first latent frame stands for one frame only, so the first `time - 1` frames are dropped.
    """
    x = jnp.repeat(x, features * time * space**2 // x.shape[-1], axis=-1)
    return channels_to_space(x, time, space)[:, time - 1 :]


class CausalConv3d(nn.Module):
    """3-D convolution that sees the past only; zero padding in space and before the first frame.

    The time taps are stacked on channels and done as one 2-D convolution per frame: on CPU XLA's
    3-D convolution is half as fast, and elsewhere the two are the same contraction.
    """

    features: int
    kernel: tuple[int, int, int] = (3, 3, 3)
    stride: int = 1  # in time; the first output then needs all its taps inside the input
    init: Any = FAN_IN
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """[B, T, H, W, C] -> [B, T', H, W, features]; T' = T, or (T - taps) / stride + 1."""
        taps, height, width = self.kernel
        shape = (taps, height, width, x.shape[-1], self.features)
        axes = (None, None, None, None, "conv_out")
        kernel = self.param("kernel", param(self.init, *axes), shape)
        bias = self.param("bias", param(nn.initializers.zeros, "conv_out"), (self.features,))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.stride == 1:
            x = jnp.pad(x, ((0, 0), (taps - 1, 0), (0, 0), (0, 0), (0, 0)))
        frames = (x.shape[1] - taps) // self.stride + 1
        last = (frames - 1) * self.stride + 1
        x = jnp.concatenate([x[:, i : i + last : self.stride] for i in range(taps)], -1)
        kernel = jnp.moveaxis(kernel, 0, 2).reshape(height, width, -1, self.features)
        y = conv2d(x.reshape(-1, *x.shape[2:]), kernel, 1)
        return y.reshape(x.shape[0], frames, *y.shape[1:]) + bias.astype(self.dtype)


class FrameConv(nn.Module):
    """2-D convolution of every frame; stride 2 pads right and bottom only."""

    features: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", param(FAN_IN, None, None, None, "conv_out"), shape)
        bias = self.param("bias", param(nn.initializers.zeros, "conv_out"), (self.features,))
        frames = x.reshape(-1, *x.shape[2:]).astype(self.dtype)
        y = conv2d(frames, kernel.astype(self.dtype), self.stride) + bias.astype(self.dtype)
        return y.reshape(*x.shape[:2], *y.shape[1:])


def conv2d(x, kernel, stride):
    """[N, H, W, C] with kernel [h, w, C, F] -> [N, H/stride, W/stride, F]."""
    height, width = kernel.shape[:2]
    if stride == 1:
        padding = ((height // 2, height // 2), (width // 2, width // 2))
    else:
        padding = ((0, 1), (0, 1))
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=dimensions
    )


class ChannelNorm(nn.Module):
    """Scales the channel vector of every position to root-mean-square 1: no statistic over time."""

    @nn.compact
    def __call__(self, x):
        gamma = self.param("gamma", nn.initializers.ones, (x.shape[-1],))
        y = x.astype(jnp.float32)
        length = jnp.sqrt(jnp.maximum((y * y).sum(-1, keepdims=True), 1e-24))
        return (y / length * math.sqrt(x.shape[-1]) * gamma).astype(x.dtype)


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, norm, SiLU, conv, plus the input (projected when the width changes).

    `kernels` are those of the two convolutions; the second starts at zero, so the block starts as
    its shortcut.
    """

    features: int
    kernels: tuple[tuple[int, int, int], ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shortcut = x
        if x.shape[-1] != self.features:
            shortcut = CausalConv3d(self.features, (1, 1, 1), dtype=self.dtype, name="shortcut")(x)
        h = nn.silu(ChannelNorm(name="norm1")(x))
        first, second = self.kernels
        h = CausalConv3d(self.features, first, dtype=self.dtype, name="conv1")(h)
        h = nn.silu(ChannelNorm(name="norm2")(h))
        zeros = nn.initializers.zeros
        last = CausalConv3d(self.features, second, init=zeros, dtype=self.dtype, name="conv2")
        return shortcut + last(h)


class FrameAttention(nn.Module):
    """Single-head self-attention among the positions of one frame."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        b, t, h, w, c = x.shape
        y = ChannelNorm(name="norm")(x)
        qkv = CausalConv3d(3 * c, (1, 1, 1), dtype=self.dtype, name="qkv")(y)
        query, key, value = jnp.split(qkv.reshape(b * t, h * w, 1, 3 * c), 3, axis=-1)
        y = jax.nn.dot_product_attention(query, key, value).reshape(b, t, h, w, c)
        out = CausalConv3d(c, (1, 1, 1), init=nn.initializers.zeros, dtype=self.dtype, name="out")
        return x + out(y)


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    features: int
    kernels: tuple[tuple[int, int, int], ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = ResidualBlock(self.features, self.kernels, self.dtype, name="block0")(x)
        x = FrameAttention(self.dtype, name="attention")(x)
        return ResidualBlock(self.features, self.kernels, self.dtype, name="block1")(x)


class Downsample(nn.Module):
    """Strided 2-D convolution, then a strided causal one over time; frame 0 skips the latter."""

    time: int
    space: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        if self.space == 2:
            x = FrameConv(x.shape[-1], 2, self.dtype, name="space")(x)
        if self.time == 2 and x.shape[1] > 1:
            later = CausalConv3d(x.shape[-1], (3, 1, 1), 2, dtype=self.dtype, name="time")(x)
            x = jnp.concatenate([x[:, :1], later], axis=1)
        return x


class Upsample(nn.Module):
    """Causal convolution to two frames, nearest doubling in space and a 2-D convolution.

    Frame 0 skips the temporal part, and the temporal convolution does not see it.
    """

    time: int
    space: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        if self.time == 2 and x.shape[1] > 1:
            conv = CausalConv3d(2 * x.shape[-1], (3, 1, 1), dtype=self.dtype, name="time")
            first, later = x[:, :1], conv(x[:, 1:])
            b, t, h, w, c = later.shape
            later = later.reshape(b, t, h, w, 2, c // 2).transpose(0, 1, 4, 2, 3, 5)
            x = jnp.concatenate([first, later.reshape(b, 2 * t, h, w, c // 2)], axis=1)
        if self.space == 2:
            x = jnp.repeat(jnp.repeat(x, 2, axis=2), 2, axis=3)
            x = FrameConv(x.shape[-1], 1, self.dtype, name="space")(x)
        return x


class DownStage(nn.Module):
    """Residual blocks and a downsampler, beside the averaging shortcut."""

    features: int
    blocks: int
    kernels: tuple[tuple[int, int, int], ...]
    stride: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shortcut = average_down(x, self.features, *self.stride)
        for i in range(self.blocks):
            x = ResidualBlock(self.features, self.kernels, self.dtype, name=f"block{i}")(x)
        return Downsample(*self.stride, self.dtype, name="down")(x) + shortcut


class UpStage(nn.Module):
    """Residual blocks and an upsampler, beside the duplicating shortcut; blocks alone at (1, 1)."""

    features: int
    blocks: int
    kernels: tuple[tuple[int, int, int], ...]
    stride: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        y = x
        for i in range(self.blocks):
            y = ResidualBlock(self.features, self.kernels, self.dtype, name=f"block{i}")(y)
        if self.stride == (1, 1):
            return y
        up = Upsample(*self.stride, self.dtype, name="up")
        return up(y) + duplicate_up(x, self.features, *self.stride)


class Encoder(nn.Module):
    """Patches -> moments (mean and log variance) [B, t, h, w, 2C]."""

    latent_channels: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    kernels: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[int, int], ...]
    linear_ends: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        kernel = (1, 1, 1) if self.linear_ends else (3, 3, 3)
        moments = 2 * self.latent_channels
        x = CausalConv3d(self.widths[0], kernel, dtype=self.dtype, name="conv_in")(x)
        stages = zip(self.widths, self.blocks, (*self.strides, (1, 1)), strict=True)
        for i, (width, blocks, stride) in enumerate(stages):
            x = DownStage(width, blocks, self.kernels, stride, self.dtype, name=f"stage{i}")(x)
        x = Middle(self.widths[-1], self.kernels, self.dtype, name="middle")(x)
        if not self.linear_ends:
            x = nn.silu(ChannelNorm(name="norm_out")(x))
            x = CausalConv3d(moments, dtype=self.dtype, name="conv_out")(x)
        return CausalConv3d(moments, (1, 1, 1), name="to_latents")(x)


class Decoder(nn.Module):
    """Latents [B, t, h, w, C] -> patches."""

    channels: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    kernels: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[int, int], ...]
    linear_ends: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        kernel = (1, 1, 1) if self.linear_ends else (3, 3, 3)
        if not self.linear_ends:
            x = CausalConv3d(x.shape[-1], (1, 1, 1), name="from_latents")(x)
        x = CausalConv3d(self.widths[0], kernel, dtype=self.dtype, name="conv_in")(x)
        x = Middle(self.widths[0], self.kernels, self.dtype, name="middle")(x)
        stages = zip(self.widths, self.blocks, (*self.strides, (1, 1)), strict=True)
        for i, (width, blocks, stride) in enumerate(stages):
            x = UpStage(width, blocks, self.kernels, stride, self.dtype, name=f"stage{i}")(x)
        if not self.linear_ends:
            x = nn.silu(ChannelNorm(name="norm_out")(x))
        return CausalConv3d(self.channels, kernel, dtype=self.dtype, name="conv_out")(x)


class VAE(nn.Module):
    """The autoencoder. Initialise it with a clip of at least 5 frames, so that every layer runs.

    Attributes:
      latent_channels: C, 48 for (4, 16, 16) compression by 64.
      patch: (time, space): pixels are first regrouped time x space x space on channels.
      encoder_widths, encoder_blocks: channels and residual blocks of each stage, pixel side first.
      decoder_widths, decoder_blocks: the same, latent side first.
      strides: (time, space) of the encoder's stages but the last, which keeps its size; the decoder
        goes through them backwards, and its last stage keeps its size too.
      kernels: (time, height, width) of the two convolutions of every residual block.
      linear_ends: the layers next to pixels and latents are plain projections, without the
        convolution, norm and nonlinearity of the larger models: cheaper, and quicker to train.
      dtype: of the convolutions; norms, latents and output are float32.
    """

    latent_channels: int
    patch: tuple[int, int]
    encoder_widths: tuple[int, ...]
    decoder_widths: tuple[int, ...]
    strides: tuple[tuple[int, int], ...]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    kernels: tuple[tuple[int, int, int], ...] = ((3, 3, 3), (3, 3, 3))
    linear_ends: bool = False
    dtype: Any = jnp.float32

    def setup(self):
        self.encoder = Encoder(
            self.latent_channels,
            self.encoder_widths,
            self.encoder_blocks,
            self.kernels,
            self.strides,
            self.linear_ends,
            self.dtype,
        )
        self.decoder = Decoder(
            3 * self.patch[0] * self.patch[1] ** 2,
            self.decoder_widths,
            self.decoder_blocks,
            self.kernels,
            self.strides[::-1],
            self.linear_ends,
            self.dtype,
        )

    def encode(self, video):
        """video [B, T, H, W, 3] in [-1, 1] -> mean, log variance, each [B, t, h, w, C].

        Raises:
          ValueError: T is not 4n+1, or H or W is not a multiple of the compression.
        """
        check_size(video.shape[1:4], *self.compression)
        moments = self.encoder(to_patches(video, self.patch)).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return mean, jnp.clip(log_variance, -30.0, 20.0)

    def decode(self, latents):
        """latents [B, t, h, w, C] -> video [B, T, H, W, 3]; not clipped to [-1, 1]."""
        return from_patches(self.decoder(latents).astype(jnp.float32), self.patch)

    def __call__(self, video, noise=None):
        """Reconstructs `video` from its posterior's mean, or a sample of it given unit `noise`."""
        mean, log_variance = self.encode(video)
        latents = mean if noise is None else mean + jnp.exp(0.5 * log_variance) * noise
        return self.decode(latents), mean, log_variance

    @property
    def compression(self):
        """(time, space) factors."""
        return tuple(
            patch * math.prod(stride[axis] for stride in self.strides)
            for axis, patch in enumerate(self.patch)
        )

    def latent_shape(self, frames, height, width):
        """(t, h, w, C) of a clip; raises ValueError if the size is not on the grid."""
        time, space = self.compression
        check_size((frames, height, width), time, space)
        return (frames - 1) // time + 1, height // space, width // space, self.latent_channels


def to_patches(video, patch):
    """[B, T, H, W, 3] -> [B, T', H', W', 3 * time * space^2]; frame 0 fills its own time patch."""
    time, space = patch
    video = jnp.concatenate([video[:, :1]] * (time - 1) + [video], axis=1)
    return space_to_channels(video, time, space)


def from_patches(patches, patch):
    """Inverse of `to_patches`: of the first time patch only the last frame is kept."""
    time, space = patch
    return channels_to_space(patches, time, space)[:, time - 1 :]


def check_size(size, time, space):
    """Raises ValueError unless frames = time * n + 1, and height, width are multiples of space."""
    frames, height, width = size
    if frames < 1 or (frames - 1) % time:
        low = max(1, (frames - 1) // time * time + 1)
        raise ValueError(
            f"{frames} frames: must be {time}n+1, such as {low} or {low + time} (1 is an image)"
        )
    for name, value in (("height", height), ("width", width)):
        if value < space or value % space:
            low = max(space, value // space * space)
            raise ValueError(
                f"{name} {value}: must be a multiple of {space}, such as {low} or {low + space}"
            )
