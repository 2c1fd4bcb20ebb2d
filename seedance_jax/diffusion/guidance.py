"""Classifier-free guidance with two scales, for text and for given frames.

Eq. (3) of arXiv:2211.09800 with a negative caption instead of the empty one:

    v = v(negative, nothing given)
      + image_scale (v(negative, frames) - v(negative, nothing given))
      + text_scale  (v(caption, frames)  - v(negative, frames))

a sum of three predictions whose weights add up to one. Predictions of weight zero are not
evaluated: image_scale 1 is the usual guidance (arXiv:2207.12598), both scales 1 are no guidance.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from seedance_jax.diffusion.flow import expand, expand_frames

ALWAYS = (0.0, 1.0)

# What each prediction is without: names of `models.conditioning.CONDITIONS`. In sampling a negative
# prompt stands for no text.
LEFT_OUT = {"positive": (), "negative": ("text",), "unconditional": ("text", "given")}


def guidance_weights(
    guidance_scale: float = 1.0, image_guidance_scale: float = 1.0
) -> dict[str, float]:
    """{prediction in `LEFT_OUT`: its weight}, without zeros."""
    weights = {
        "positive": guidance_scale,
        "negative": image_guidance_scale - guidance_scale,
        "unconditional": 1.0 - image_guidance_scale,
    }
    return {name: weight for name, weight in weights.items() if weight}


def guided(
    velocity_fn: Callable,
    conditions: Mapping[str, Any],
    guidance_weights: Mapping[str, float],
    rescale: float = 0.0,
    interval: tuple[float, float] = ALWAYS,
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The guided velocity(xt, t); xt [B, T, H, W, C], t [] or [T].

    Args:
      velocity_fn: (xt, t, condition) -> velocity; called once on all conditions, concatenated along
        the batch.
      conditions: {name: condition} for the names in `guidance_weights` and for "positive": trees of
        arrays [B, ...] with a field `given_mask` [B, T], 1 on given frames.
      guidance_weights: of the function of this name.
      rescale: how far the standard deviation of the generated frames is moved to that of the
        positive prediction, from 0 to 1 (Sec. 3.4 of arXiv:2305.08891).
      interval: (low, high); guidance only where low <= t <= high (arXiv:2404.07724), elsewhere only
        the positive prediction is evaluated.
    """
    positive = conditions["positive"]

    def plain(x, t):
        return velocity_fn(x, t, positive)

    if list(guidance_weights) == ["positive"]:
        return plain
    always = tuple(interval) == ALWAYS
    weights = ({} if always else {"positive": 0.0}) | guidance_weights
    names = list(weights)
    joined = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *map(conditions.get, names))

    def combined(x, t):
        inside = inside_interval(t, interval).astype(x.dtype)
        parts = jnp.split(velocity_fn(jnp.concatenate([x] * len(names)), t, joined), len(names))
        parts = dict(zip(names, parts, strict=True))
        # Frames outside of the interval get the positive prediction.
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


def inside_interval(t: jax.Array, interval: tuple[float, float]) -> jax.Array:
    """Whether low <= t <= high, bool of the shape of t."""
    return (interval[0] <= t) & (t <= interval[1])


def deviation_ratio(first: jax.Array, second: jax.Array, frames: jax.Array) -> jax.Array:
    """Ratio [B] of the standard deviations of two [B, T, ...] over the frames [B, T] that are 1."""

    def deviation(x):
        weight = jnp.broadcast_to(expand(frames, x), x.shape)
        weight = weight / expand(jnp.maximum(flat(weight).sum(1), 1.0), x)
        mean = expand(flat(weight * x).sum(1), x)
        return jnp.sqrt(flat(weight * (x - mean) ** 2).sum(1))

    return deviation(first) / jnp.maximum(deviation(second), 1e-12)


def flat(x: jax.Array) -> jax.Array:
    """Flattens all dimensions but the first."""
    return x.reshape(x.shape[0], -1)
