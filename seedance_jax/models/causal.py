"""Layers of the autoencoder: causal convolutions, and down- and upsampling.

Every layer takes a whole clip, parallel over time, or a clip in chunks: with a mutable "cache"
collection each layer keeps the last frames that the next chunk needs. The first chunk finds no
cache; from this a layer also knows that it contains frame 0, which is encoded by itself.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.convolutions import conv2d, conv3d, upsampled_conv2d
from seedance_jax.sharding import param

FAN_IN = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


class CausalConv3d(nn.Module):
    """3D convolution, causal in time; zero padding in space and before the first frame.

    With `stride` 2 in time there is no padding in time: frame 0 starts the first window instead of
    ending it, and the T frames after it give T / 2.
    """

    features: int
    kernel: tuple[int, int, int] = (3, 3, 3)
    stride: int = 1
    init: Any = FAN_IN
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, H, W, C] -> [B, T', H, W, features]; T' = T, or (T + past - taps) / stride + 1."""
        taps = self.kernel[0]
        axes = (None, None, None, None, "conv_out")
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", param(self.init, *axes), shape)
        bias = self.param("bias", param(nn.initializers.zeros, "conv_out"), (self.features,))
        past = taps - self.stride
        zeros = past if self.stride == 1 and not self.has_variable("cache", "past") else 0
        x = with_past(self, x.astype(self.dtype), past, zeros)
        if x.shape[1] < taps:
            return jnp.zeros((*x.shape[:1], 0, *x.shape[2:4], self.features), self.dtype)
        y = conv3d(x, kernel.astype(self.dtype), self.stride, zeros)
        return y + bias.astype(self.dtype)


def with_past(module: nn.Module, x: jax.Array, count: int, zeros: int) -> jax.Array:
    """Prepends the `count` frames before `x` [B, T, H, W, C], and caches its last ones.

    Without a cache, as in the first chunk, `zeros` frames of zeros are prepended.
    """
    if not count:
        return x
    if module.has_variable("cache", "past"):
        x = jnp.concatenate([module.get_variable("cache", "past"), x], axis=1)
    elif zeros:
        x = jnp.pad(x, ((0, 0), (zeros, 0), (0, 0), (0, 0), (0, 0)))
    if is_streaming(module):
        module.put_variable("cache", "past", x[:, x.shape[1] - count :])
    return x


def is_streaming(module: nn.Module) -> bool:
    """Whether the caller keeps a cache, so that more chunks may follow."""
    return module.is_mutable_collection("cache") and not module.is_initializing()


class FrameConv(nn.Module):
    """3x3 convolution of every frame to half its size, padded right and bottom only, or to twice.

    Attributes:
      resize: "down", by a stride of 2, or "up", by repeating every pixel before.
    """

    features: int
    resize: str
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", param(FAN_IN, None, None, None, "conv_out"), shape)
        bias = self.param("bias", param(nn.initializers.zeros, "conv_out"), (self.features,))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.resize == "up":
            y = upsampled_conv2d(x, kernel)
        else:
            y = conv2d(x, kernel, 2, ((0, 1), (0, 1)))
        return y + bias.astype(self.dtype)


class ChannelNorm(nn.Module):
    """RMS norm over the channels of every position, in float32: no statistics over time."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gamma = self.param("gamma", nn.initializers.ones, (x.shape[-1],))
        y = x.astype(jnp.float32)
        square = jnp.maximum((y * y).sum(-1, keepdims=True), 1e-24)
        return (y * (jax.lax.rsqrt(square) * math.sqrt(x.shape[-1])) * gamma).astype(x.dtype)


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, norm, SiLU, conv, plus the input (projected if the width changes).

    `kernels` are the sizes of the two convolutions; the second starts at zero, so the block starts
    as its shortcut.
    """

    features: int
    kernels: tuple[tuple[int, int, int], ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shortcut = x
        if x.shape[-1] != self.features:
            shortcut = CausalConv3d(self.features, (1, 1, 1), dtype=self.dtype, name="shortcut")(x)
        first, second = self.kernels
        h = nn.silu(ChannelNorm(name="norm1")(x))
        h = CausalConv3d(self.features, first, dtype=self.dtype, name="conv1")(h)
        h = nn.silu(ChannelNorm(name="norm2")(h))
        zeros = nn.initializers.zeros
        last = CausalConv3d(self.features, second, init=zeros, dtype=self.dtype, name="conv2")
        return shortcut + last(h)


class FrameAttention(nn.Module):
    """Single-head self-attention within each frame."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, t, h, w, c = x.shape
        y = ChannelNorm(name="norm")(x)
        qkv = CausalConv3d(3 * c, (1, 1, 1), dtype=self.dtype, name="qkv")(y)
        query, key, value = jnp.split(qkv.reshape(b * t, h * w, 1, 3 * c), 3, axis=-1)
        y = jax.nn.dot_product_attention(query, key, value).reshape(b, t, h, w, c)
        out = CausalConv3d(c, (1, 1, 1), init=nn.initializers.zeros, dtype=self.dtype, name="out")
        return x + out(y)


class Downsample(nn.Module):
    """Strided 2D convolution, then a strided causal one over time, which skips frame 0."""

    time: int
    space: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, first: bool) -> jax.Array:
        """x [B, T, H, W, C]; first: whether its frame 0 is that of the clip."""
        if self.space == 2:
            x = FrameConv(x.shape[-1], "down", self.dtype, name="space")(x)
        if self.time == 2:
            later = CausalConv3d(x.shape[-1], (3, 1, 1), 2, dtype=self.dtype, name="time")(x)
            x = jnp.concatenate([x[:, :1], later], axis=1) if first else later
        return x


class Upsample(nn.Module):
    """Causal convolution to twice the frames, nearest-neighbour upsampling and 2D convolution.

    The temporal convolution skips frame 0, and has not got it in its past.
    """

    time: int
    space: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, first: bool) -> jax.Array:
        """x [B, T, H, W, C]; first: whether its frame 0 is that of the clip."""
        if self.time == 2:
            skipped, later = x[:, :first], x[:, first:]
            later = CausalConv3d(2 * x.shape[-1], (3, 1, 1), dtype=self.dtype, name="time")(later)
            b, t, h, w, c = later.shape
            later = later.reshape(b, t, h, w, 2, c // 2).transpose(0, 1, 4, 2, 3, 5)
            x = jnp.concatenate([skipped, later.reshape(b, 2 * t, h, w, c // 2)], axis=1)
        if self.space == 2:
            x = FrameConv(x.shape[-1], "up", self.dtype, name="space")(x)
        return x


def space_to_channels(x: jax.Array, time: int, space: int) -> jax.Array:
    """[B, T, H, W, C] -> [B, T/time, H/space, W/space, C*time*space^2], channel-major."""
    b, t, h, w, c = x.shape
    x = x.reshape(b, t // time, time, h // space, space, w // space, space, c)
    x = x.transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, t // time, h // space, w // space, c * time * space**2)


def channels_to_space(x: jax.Array, time: int, space: int) -> jax.Array:
    """Inverse of `space_to_channels`."""
    b, t, h, w, c = x.shape
    c = c // (time * space**2)
    x = x.reshape(b, t, h, w, c, time, space, space)
    x = x.transpose(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, t * time, h * space, w * space, c)


def average_down(x: jax.Array, features: int, time: int, space: int) -> jax.Array:
    """Shortcut of a downsampling stage: space to channels, then means over groups of channels.

    Zeros are padded before frame 0, which is a group by itself.
    """
    x = jnp.pad(x, ((0, 0), (-x.shape[1] % time, 0), (0, 0), (0, 0), (0, 0)))
    x = space_to_channels(x, time, space)
    return x.reshape(*x.shape[:-1], features, -1).mean(-1)


def duplicate_up(x: jax.Array, features: int, time: int, space: int, first: bool) -> jax.Array:
    """Shortcut of an upsampling stage: repeats channels, then channels to space.

    Frame 0 becomes one frame only: if it is in `x` (`first`), `time - 1` frames are dropped.
    """
    x = jnp.repeat(x, features * time * space**2 // x.shape[-1], axis=-1)
    return channels_to_space(x, time, space)[:, (time - 1) * first :]
