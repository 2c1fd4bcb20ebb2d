"""Guidance: combining predictions under different conditions.

Two scales, one for the text and one for the given frames (Eq. (3) of arXiv:2211.09800 with a
negative caption in the place of the empty one):

    v = v(negative, nothing given)
      + image_scale (v(negative, frames) - v(negative, nothing given))
      + text_scale  (v(caption, frames)  - v(negative, frames))

which is the weighted sum of three predictions whose weights add up to one. Those of weight zero are
not evaluated: with image_scale 1 it is the usual guidance (arXiv:2207.12598), with both scales 1
the prediction itself.
"""

import jax
import jax.numpy as jnp

from seedance_jax.diffusion.flow import expand, expand_frames

ALWAYS = (0.0, 1.0)

# What each prediction is without: names of `models.conditioning.CONDITIONS`. In sampling a negative
# prompt stands for no text.
LEFT_OUT = {"positive": (), "negative": ("text",), "unconditional": ("text", "given")}


def guidance_weights(guidance_scale=1.0, image_guidance_scale=1.0):
    """The weights, other than 0, of the predictions in `LEFT_OUT`."""
    weights = {
        "positive": guidance_scale,
        "negative": image_guidance_scale - guidance_scale,
        "unconditional": 1.0 - image_guidance_scale,
    }
    return {name: weight for name, weight in weights.items() if weight}


def guided(velocity_fn, conditions, weights, rescale=0.0, interval=ALWAYS):
    """Velocity(x, t) under guidance; x [B, T, H, W, C], t [] or [T].

    `velocity_fn(x, t, condition)` is called once, on all conditions joined along the batch.

    Args:
      conditions: {name: condition} for the names in `weights`, and "positive" in any case: trees
        of arrays [B, ...] with a field `given_mask` [B, T], 1 on given frames.
      weights: of `guidance_weights`.
      rescale: how far the standard deviation of the generated frames goes back to that of the
        positive prediction, a Python number from 0 to 1 (Sec. 3.4 of arXiv:2305.08891).
      interval: (low, high), Python numbers: guides only where low <= t <= high (arXiv:2404.07724);
        elsewhere only the positive prediction is evaluated.
    """
    positive = conditions["positive"]

    def plain(x, t):
        return velocity_fn(x, t, positive)

    if list(weights) == ["positive"]:
        return plain
    always = tuple(interval) == ALWAYS
    weights = weights if always else {"positive": 0.0} | weights
    names = list(weights)
    joined = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *map(conditions.get, names))

    def combined(x, t):
        inside = inside_interval(t, interval).astype(x.dtype)
        parts = jnp.split(velocity_fn(jnp.concatenate([x] * len(names)), t, joined), len(names))
        parts = dict(zip(names, parts, strict=True))
        # Frames outside of the interval have the positive prediction.
        shares = {name: inside * weights[name] for name in names}
        if not always:
            shares["positive"] += 1.0 - inside
        velocity = sum(expand_frames(shares[name], x) * parts[name] for name in names)
        if not rescale or "positive" not in parts:
            return velocity
        ratio = deviation_ratio(parts["positive"], velocity, 1.0 - positive.given_mask)
        return velocity * (1.0 + expand_frames(rescale * inside, x) * (expand(ratio, x) - 1.0))

    def only_inside(x, t):
        return jax.lax.cond(inside_interval(t, interval).any(), combined, plain, x, t)

    return combined if always else only_inside


def inside_interval(t, interval):
    """Whether low <= t <= high, bool of the shape of t."""
    return (interval[0] <= t) & (t <= interval[1])


def deviation_ratio(first, second, frames):
    """Standard deviation of `first` over that of `second`, [B], in the frames that count [B, T]."""

    def deviation(x):
        weight = jnp.broadcast_to(expand(frames, x), x.shape)
        weight = weight / expand(jnp.maximum(flat(weight).sum(1), 1.0), x)
        mean = expand(flat(weight * x).sum(1), x)
        return jnp.sqrt(flat(weight * (x - mean) ** 2).sum(1))

    return deviation(first) / jnp.maximum(deviation(second), 1e-12)


def flat(x):
    """[B, ...] -> [B, N]."""
    return x.reshape(x.shape[0], -1)
