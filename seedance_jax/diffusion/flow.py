"""Flow matching on straight paths.

    xt = (1 - t) x0 + t noise        velocity = d xt / d t = noise - x0
    x0 = xt - t velocity             noise = xt + (1 - t) velocity

so t = 0 is data and t = 1 is noise. Functions are pure and work in float32. Time t has shape [],
[B] or [B, T] (one time per latent frame).
"""

import jax
import jax.numpy as jnp


def expand(t: jax.Array, x: jax.Array) -> jax.Array:
    """Appends axes to t [], [B] or [B, T] so that it broadcasts to x [B, T, ...]."""
    return t.reshape(t.shape + (1,) * (x.ndim - t.ndim))


def expand_frames(t: jax.Array, x: jax.Array) -> jax.Array:
    """Adds axes to t [] or [T] so that it broadcasts to x [B, T, ...]."""
    return expand(t[None] if t.ndim else t, x)


def interpolate(x0: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
    """xt, the point at time t on the path from x0 to noise, all [B, T, H, W, C]."""
    t = expand(t, x0)
    return (1 - t) * x0 + t * noise


def velocity_target(x0: jax.Array, noise: jax.Array) -> jax.Array:
    """The target of the network, the same everywhere on the path."""
    return noise - x0


def masked_mean_square(error: jax.Array, given: jax.Array) -> jax.Array:
    """Mean square of error [B, T, H, W, C] over frames that are not given ([B, T], 1 = given)."""
    weight = jnp.broadcast_to(expand(1.0 - given, error), error.shape)
    return (weight * error**2).sum() / jnp.maximum(weight.sum(), 1.0)
