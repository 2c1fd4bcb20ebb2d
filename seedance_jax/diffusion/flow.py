"""Flow matching on straight paths.

    xt = (1 - t) x0 + t noise        velocity = d xt / d t = noise - x0
    x0 = xt - t velocity             noise = xt + (1 - t) velocity

so t = 0 is data and t = 1 is noise. Every function is pure, in float32. Time t is one number for
all, or of shape [B], or [B, T]: one time for each latent frame.
"""

import jax.numpy as jnp


def expand(t, x):
    """Appends axes to t ([], [B] or [B, T]) until it broadcasts against x [B, T, ...]."""
    return t.reshape(t.shape + (1,) * (x.ndim - t.ndim))


def expand_frames(t, x):
    """Makes t [] or [T], the same for all samples, broadcast against x [B, T, ...]."""
    return expand(t[None] if t.ndim else t, x)


def interpolate(x0, noise, t):
    """The point xt of the path at time t."""
    t = expand(t, x0)
    return (1 - t) * x0 + t * noise


def velocity_target(x0, noise):
    """What the network learns to predict anywhere on the path."""
    return noise - x0


def masked_mean_square(error, given):
    """Mean of error^2 [B, T, H, W, C] over the frames that are not given ([B, T], 1 = given)."""
    weight = jnp.broadcast_to(expand(1.0 - given, error), error.shape)
    return (weight * error**2).sum() / jnp.maximum(weight.sum(), 1.0)
