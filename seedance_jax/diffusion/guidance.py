"""Guidance: combining predictions under different conditions."""

import jax
import jax.numpy as jnp


def classifier_free(velocity_fn, positive, negative, guidance_scale):
    """Velocity(x, t) guided from the negative towards, and beyond, the positive condition.

    `velocity_fn(x, t, condition)` is called once on a doubled batch. Scale 1 is the positive
    prediction itself and needs no second half; scale 0 is the negative one.

    Args:
      positive, negative: conditions as trees of arrays [B, ...] of equal shapes.
    """
    if guidance_scale == 1.0:
        return lambda x, t: velocity_fn(x, t, positive)
    both = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), positive, negative)

    def guided(x, t):
        velocity = velocity_fn(jnp.concatenate([x, x]), t, both)
        towards, away = jnp.split(velocity, 2)
        return away + guidance_scale * (towards - away)

    return guided
