"""Windows of a frame, and the two ways to lay tokens of all frames over devices."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from seedance_jax.sharding import constrain

RowsColumns = Sequence[int]


def window_grid(
    window: RowsColumns, shift: RowsColumns, size: RowsColumns
) -> list[tuple[int, int, int]]:
    """[(before, windows, after) of the rows, the same of the columns]: padding and how many."""
    grid = []
    for length, offset, total in zip(window, shift, size, strict=True):
        count = -(-(total + offset) // length)
        grid.append((offset, count, count * length - total - offset))
    return grid


def to_windows(x: jax.Array, window: RowsColumns, shift: RowsColumns) -> jax.Array:
    """[B, T, H, W, D] -> [B, T, M, P, D]: M windows of P positions, zero padded where needed."""
    (b, t, *size, d), (rows, columns) = x.shape, window
    (top, height, bottom), (left, width, right) = window_grid(window, shift, size)
    x = jnp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right), (0, 0)))
    x = x.reshape(b, t, height, rows, width, columns, d).transpose(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(b, t, height * width, rows * columns, d)


def from_windows(
    x: jax.Array, window: RowsColumns, shift: RowsColumns, size: RowsColumns
) -> jax.Array:
    """Inverse of `to_windows` for frames of `size` (H, W)."""
    (b, t, _, _, d), (rows, columns) = x.shape, window
    (top, height, _), (left, width, _) = window_grid(window, shift, size)
    x = x.reshape(b, t, height, width, rows, columns, d).transpose(0, 1, 2, 4, 3, 5, 6)
    x = x.reshape(b, t, height * rows, width * columns, d)
    return x[:, :, top : top + size[0], left : left + size[1]]


def heads_apart(x: jax.Array) -> jax.Array:
    """From frames divided over devices to heads divided, of all frames (arXiv:2309.14509).

    x: [B, T, ..., N, K].
    """
    middle = [None] * (x.ndim - 4)
    x = constrain(x, "batch", "frames", *middle, "heads", None)
    return constrain(x, "batch", None, *middle, "all_heads", None)


def frames_apart(x: jax.Array) -> jax.Array:
    """Inverse of `heads_apart`."""
    middle = [None] * (x.ndim - 4)
    x = constrain(x, "batch", None, *middle, "all_heads", None)
    return constrain(x, "batch", "frames", *middle, "heads", None)


def flat_frames(x: jax.Array) -> jax.Array:
    """[B, T, L, ...] -> [B, T * L, ...]."""
    return x.reshape(x.shape[0], -1, *x.shape[3:])
