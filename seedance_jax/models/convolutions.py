"""Convolutions of clips [B, T, H, W, C], each as the platform that is compiled for runs it fastest.

On accelerators they are what they say: one convolution of XLA. On CPUs XLA's 3D convolution is
several times slower than 2D ones, so a 3D kernel is a sum of 2D ones over its taps in time, or
less:

- three taps in time, in float32: by Winograd's minimal filtering (arXiv:1509.09308) over time alone
  6 convolutions make 4 frames instead of 12. Rounding errors are about twice those of the sum;
- a kernel without extent in space is one matrix product, in float32;
- the frames before a clip are zeros, so its frame 0 takes one convolution instead of three;
- a 3x3 kernel after nearest-neighbour upsampling, in float32: a 2x2 kernel before it, another one
  for each of the four pixels that a pixel becomes, which is 16 products instead of 36.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from seedance_jax import sharding


def by_platform(name: str, cpu: Callable, default: Callable, *arrays: jax.Array) -> jax.Array:
    """`cpu` or `default` of the arrays, as the platform that is compiled for decides; logged."""
    on_cpu = sharding.platform() == "cpu"
    _announce(name, sharding.platform(), (cpu if on_cpu else default).__name__)
    return jax.lax.platform_dependent(*arrays, cpu=cpu, default=default)


@functools.cache
def _announce(name, platform, function):
    logging.info("%s on %s: %s", name, platform, function)


def conv3d(x: jax.Array, kernel: jax.Array, stride: int = 1, zeros: int = 0) -> jax.Array:
    """Convolves [B, T, H, W, C] with a kernel [t, h, w, in, out]; zero padding in space only.

    Args:
      stride: in time.
      zeros: how many frames at the start of `x` are known to be zeros.
    """

    def winograd(x, kernel):
        return winograd_conv3d(x, kernel, zeros)

    def product(x, kernel):
        return product_conv3d(x, kernel, stride)

    def taps(x, kernel):
        return taps_conv3d(x, kernel, stride)

    def native(x, kernel):
        return native_conv3d(x, kernel, stride)

    cpu = taps
    if x.dtype == jnp.float32:
        if kernel.shape[1:3] == (1, 1):
            cpu = product
        elif kernel.shape[0] == 3 and stride == 1:
            cpu = winograd
    shape = "x".join(map(str, kernel.shape[:3]))
    return by_platform(f"{shape} convolution, stride {stride}, {x.dtype}", cpu, native, x, kernel)


def native_conv3d(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`conv3d` as one 3D convolution."""
    _, height, width, _, _ = kernel.shape
    padding = ((0, 0), (height // 2, height // 2), (width // 2, width // 2))
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, 1, 1), padding, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )


def taps_conv3d(
    x: jax.Array, kernel: jax.Array, time_stride: int, stride: int = 1, padding: Any = None
) -> jax.Array:
    """`conv3d` as the sum of one `conv2d` per time tap."""
    taps = kernel.shape[0]
    last = (x.shape[1] - taps) // time_stride * time_stride + 1
    frames = [x[:, i : i + last : time_stride] for i in range(taps)]
    return sum(conv2d(*tap, stride, padding) for tap in zip(frames, kernel, strict=True))


def product_conv3d(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`conv3d` of a kernel without extent in space as one matrix product."""
    taps = kernel.shape[0]
    last = (x.shape[1] - taps) // stride * stride + 1
    x = jnp.concatenate([x[:, i : i + last : stride] for i in range(taps)], axis=-1)
    return x @ kernel.reshape(x.shape[-1], -1)


def winograd_conv3d(x: jax.Array, kernel: jax.Array, zeros: int = 0) -> jax.Array:
    """`conv3d` of three taps with stride 1: tiles of 4 frames, and one of those that are left."""
    parts = []
    if zeros == 2:
        parts, x = [conv2d(x[:, 2:3], kernel[2])], x[:, 1:]
    while (frames := x.shape[1] - 2) > 0:
        size = min(4, frames)
        count = frames // size * size
        parts.append(_tiles(x[:, : count + 2], kernel, size))
        x = x[:, count:]
    return jnp.concatenate(parts, axis=1)


def _tiles(x, kernel, size):
    """`winograd_conv3d` in tiles of `size` frames, which divides T - 2."""
    of_frames, of_kernel, of_products = minimal_filter(size)
    last = x.shape[1] - 1 - size
    frames = [x[:, i : i + last : size] for i in range(size + 2)]
    products = [
        conv2d(combine(row, frames), combine(taps, kernel))
        for row, taps in zip(of_frames, of_kernel, strict=True)
    ]
    y = jnp.stack([combine(row, products) for row in of_products], axis=2)
    return y.reshape(y.shape[0], -1, *y.shape[3:])


def combine(factors: Sequence[float], arrays: Sequence[jax.Array]) -> jax.Array:
    """The sum of arrays times factors, without those whose factor is 0."""
    return sum(float(a) * x for a, x in zip(factors, arrays, strict=True) if a)


# Of the points that are short binary fractions these have the smallest errors of rounding.
POINTS = {1: (0, -1), 2: (0, 1, -1), 3: (0, 1, -1, 2), 4: (0, 0.75, -0.75, 1.5, -1.5)}


@functools.cache
def minimal_filter(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of F(size, 3), which filters size + 2 numbers x with 3 taps k by size + 2 products.

    They are those of polynomials that are evaluated at POINTS and at infinity.

    Returns:
      a [size + 2, size + 2], b [size + 2, 3] and c [size, size + 2]: c @ ((a @ x) * (b @ k)) is
      the result.
    """
    points = np.array(POINTS[size], float)
    others = [np.delete(points, i) for i in range(len(points))]
    rows = [np.append(np.poly(rest)[::-1], 0) for rest in others]
    scale = [np.prod(point - rest) for point, rest in zip(points, others, strict=True)]
    infinity = np.eye(size + 2)[-1:]
    taps = np.vander(points, 3, increasing=True) / np.array(scale)[:, None]
    results = np.vander(points, size, increasing=True)
    return (
        np.stack([*rows, np.poly(points)[::-1]]),
        np.concatenate([taps, infinity[:, -3:]]),
        np.concatenate([results, infinity[:, -size:]]).T,
    )


def conv2d(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: Any = None) -> jax.Array:
    """Convolves each frame of [B, T, H, W, C] with a kernel [h, w, in, out].

    By default zero padding keeps the size of the frames.
    """
    padding = padding or [(size // 2, size // 2) for size in kernel.shape[:2]]
    y = jax.lax.conv_general_dilated(
        x.reshape(-1, *x.shape[2:]),
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(*x.shape[:2], *y.shape[1:])


def upsampled_conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`conv2d` of twice as many rows and columns, by the nearest neighbour, with a 3x3 kernel."""
    cpu = phases_conv2d if x.dtype == jnp.float32 else repeated_conv2d
    return by_platform(f"convolution after upsampling, {x.dtype}", cpu, repeated_conv2d, x, kernel)


def repeated_conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`upsampled_conv2d` as it is defined."""
    return conv2d(jnp.repeat(jnp.repeat(x, 2, axis=2), 2, axis=3), kernel)


def phases_conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`upsampled_conv2d` as one 2x2 convolution, which makes four pixels at a time."""
    b, t, h, w, _ = x.shape
    phases = jnp.concatenate([half for rows in halves(kernel, 0) for half in halves(rows, 1)], -1)
    y = conv2d(x, phases, padding=((1, 1), (1, 1))).reshape(b, t, h + 1, w + 1, 2, 2, -1)
    rows = [
        jnp.stack([y[:, :, i : h + i, j : w + j, i, j] for j in range(2)], axis=4) for i in range(2)
    ]
    return jnp.stack(rows, axis=3).reshape(b, t, 2 * h, 2 * w, -1)


def halves(kernel: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Two taps for the first and the second of each pair of equal numbers, from three taps."""
    first, second, third = jnp.split(kernel, 3, axis)
    return (
        jnp.concatenate([first, second + third], axis),
        jnp.concatenate([first + second, third], axis),
    )
