"""Multi-scale distance of image gradients, for training without the public weights of LPIPS.

It has no learned features: it compares place and sharpness of edges, which squared error weighs
little. Its values cannot be compared with LPIPS.
"""

import jax
import jax.numpy as jnp


def gradient_distance(x: jax.Array, y: jax.Array, scales: int = 3) -> jax.Array:
    """Mean absolute difference of the pixel gradients of two images, [B, H, W, 3] -> [B].

    Averaged over `scales` resolutions, each half of the one before.
    """
    total = 0.0
    for _ in range(scales):
        for axis in (1, 2):
            difference = jnp.diff(x, axis=axis) - jnp.diff(y, axis=axis)
            total += jnp.abs(difference).mean((1, 2, 3)) / (2 * scales)
        x, y = halve(x), halve(y)
    return total


def halve(x: jax.Array) -> jax.Array:
    """Means of 2 x 2 pixels, [B, H, W, C] -> [B, H // 2, W // 2, C]."""
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID") / 4.0
