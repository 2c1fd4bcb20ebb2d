"""Discriminators of the autoencoder: patches of single frames (appearance) and clips (motion).

PatchGAN (arXiv:1611.07004) without normalisation of activations; every convolution has spectral
norm 1 (arXiv:1802.05957), which keeps training stable at high compression.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.convolutions import taps_conv3d
from seedance_jax.sharding import param

ITERATIONS = 16  # of the power method, from a fixed start: no state, accurate to a few percent


class SpectralConv(nn.Module):
    """Convolution of [B, T, H, W, C] whose kernel is divided by its spectral norm.

    `stride` is (time, space); with space 1 the 4 x 4 kernels make a frame one pixel smaller.
    """

    features: int
    kernel: tuple[int, int, int]
    stride: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        time, space = self.stride
        shape = (*self.kernel, x.shape[-1], self.features)
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        kernel = self.param("kernel", param(init, None, None, None, None, "conv_out"), shape)
        bias = self.param("bias", param(nn.initializers.zeros, "conv_out"), (self.features,))
        kernel = kernel / spectral_norm(kernel.reshape(-1, self.features))
        past = self.kernel[0] // 2
        x = jnp.pad(x, ((0, 0), (past, past), (0, 0), (0, 0), (0, 0)))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        y = taps_conv3d(x, kernel, time, space, ((1, 1), (1, 1)))
        return y + bias.astype(self.dtype)


def spectral_norm(matrix: jax.Array) -> jax.Array:
    """Largest singular value of a matrix [rows, columns], by the power method; differentiable."""
    fixed = jax.lax.stop_gradient(matrix)
    v = jnp.ones(matrix.shape[1]) / jnp.sqrt(matrix.shape[1])

    def iterate(v, _):
        return unit(fixed.T @ unit(fixed @ v)), None

    v, _ = jax.lax.scan(iterate, v + 1e-3 * jnp.arange(matrix.shape[1]), length=ITERATIONS)
    return unit(fixed @ v) @ matrix @ v


def unit(vector: jax.Array) -> jax.Array:
    """`vector` with length 1."""
    return vector / (jnp.linalg.norm(vector) + 1e-12)


class PatchDiscriminator(nn.Module):
    """[B, T, H, W, C] -> [B, t, h, w] scores of overlapping patches, positive for real ones.

    Attributes:
      widths: channels of the strided layers; each halves space and, except the first, time.
      taps: size of the kernels in time; 1 scores every frame by itself and has no stride in time.
    """

    widths: tuple[int, ...]
    taps: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = (self.taps, 4, 4)
        for i, width in enumerate(self.widths):
            stride = (1 if i == 0 or self.taps == 1 else 2, 2)
            x = SpectralConv(width, kernel, stride, self.dtype, name=f"conv{i}")(x)
            x = nn.leaky_relu(x, 0.2)
        out = SpectralConv(1, kernel, (1, 1), self.dtype, name="out")
        return out(x)[..., 0].astype(jnp.float32)


class Discriminator(nn.Module):
    """Scores of chosen frames of a clip and, if it is longer than one frame, of the whole clip."""

    widths: tuple[int, ...]
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.frames = PatchDiscriminator(self.widths, 1, self.dtype)
        self.clips = PatchDiscriminator(self.widths, 3, self.dtype)

    def __call__(self, video: jax.Array, chosen: jax.Array) -> tuple[jax.Array, ...]:
        """video [B, T, H, W, 3], frame indices int [B, frames] -> one or two arrays of scores."""
        frames = jnp.take_along_axis(video, chosen[:, :, None, None, None], axis=1)
        scores = (self.frames(frames),)
        return scores if video.shape[1] == 1 else (*scores, self.clips(video))


def hinge_discriminator(real: Sequence[jax.Array], fake: Sequence[jax.Array]) -> jax.Array:
    """Hinge loss of the discriminator: scores of real above 1, of fake below -1."""
    pairs = zip(real, fake, strict=True)
    terms = [0.5 * (nn.relu(1.0 - r).mean() + nn.relu(1.0 + f).mean()) for r, f in pairs]
    return sum(terms) / len(terms)


def hinge_generator(fake: Sequence[jax.Array]) -> jax.Array:
    """Adversarial loss of the generator: the negative mean of its scores."""
    return -sum(scores.mean() for scores in fake) / len(fake)
