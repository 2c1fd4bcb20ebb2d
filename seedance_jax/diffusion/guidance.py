"""Guidance: combining predictions under different conditions."""

import jax.numpy as jnp


def classifier_free(velocity_fn, guidance_scale):
    """Wraps velocity_fn(x, t, drop) into velocity(x, t) guided away from the dropped condition.

    `velocity_fn` gets a doubled batch: the first half with `drop` False, the second True. Scale 1
    is the conditional prediction itself and costs no second evaluation; 0 is the unconditional.
    """
    if guidance_scale == 1.0:
        return lambda x, t: velocity_fn(x, t, jnp.zeros(x.shape[0], bool))

    def guided(x, t):
        drop = jnp.repeat(jnp.array([False, True]), x.shape[0])
        both = velocity_fn(jnp.concatenate([x, x]), t, drop)
        conditional, unconditional = jnp.split(both, 2)
        return unconditional + guidance_scale * (conditional - unconditional)

    return guided
