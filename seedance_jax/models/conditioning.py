"""What a velocity depends on besides the noisy latents and the time: the registry of conditions.

A condition is one or more fields of `Condition` and one entry in `CONDITIONS`; a batch has the same
names (`data.schema.CONDITION`). Text is read by the spatial blocks. Given frames are channels of
the patch embedding itself. Every other condition is an adapter: channels of its own with a kernel
of its own, `patch_<name>`, that starts at zero. So a run with an adapter can start from one without
it, whose velocity it has at first (`adapter_paths`).

A value that is not known is NaN, and so is one that is left out: for training, where every
condition is dropped in a share of samples, and for the predictions that guidance moves away from.
Next to its values an adapter therefore has a channel that is 1 where they are known.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seedance_jax.models import rasters
from seedance_jax.models.text import caption_starts


class Condition(NamedTuple):
    """What the velocity depends on besides the noisy latents and the time.

    Attributes:
      text: ids, int [B, S], before the text model has read them; after it tokens [B, S, E].
      text_mask, text_shot: their validity, bool [B, S], and the shot that each belongs to,
        int [B, S]; negative: the global caption.
      frame_shot: the shot of each latent frame, int [B, T].
      given: clean latents [B, T, H, W, C] of the given frames; the others are ignored. None: no
        frame is given.
      given_mask: 1 on given latent frames, float [B, T].
      fps: frames per second, float [B]; NaN of images.
      camera: float [B, T, 3, 4], see `rasters.ray_channels`.
      gravity: m/s^2, float [B].
      states: of objects, float [B, T, N, 5], see `rasters.state_channels`.
    """

    text: Any
    text_mask: Any
    text_shot: Any
    frame_shot: Any
    given: Any = None
    given_mask: Any = None
    fps: Any = None
    camera: Any = None
    gravity: Any = None
    states: Any = None


class Entry(NamedTuple):
    """How a condition is left out, and how it reaches the network.

    Attributes:
      leave_out: (condition, dropped bool [B]) -> the condition without it in those samples.
      rasterise: (condition, xt [B, T, H, W, C]) -> the channels [B, T, H, W, K] of its adapter, K
        not depending on whether it is there; None: it has no adapter.
      dropout: share of the samples of a training that are without it. The config has those of
        text (`caption_dropout`) and of given frames (`condition_dropout`).
    """

    leave_out: Callable[[Condition, jax.Array], Condition]
    rasterise: Callable[[Condition, jax.Array], jax.Array] | None = None
    dropout: float = 0.0


def leave_out_text(condition: Condition, dropped: jax.Array) -> Condition:
    """Of the captions their start tokens alone, which is the empty caption."""
    starts = caption_starts(condition.text_mask, condition.text_shot)
    mask = jnp.where(dropped[:, None], starts, condition.text_mask)
    return condition._replace(text_mask=mask)


def leave_out_given(condition: Condition, dropped: jax.Array) -> Condition:
    """No frame is given."""
    mask = condition.given_mask
    return condition._replace(given_mask=jnp.where(dropped[:, None], jnp.zeros_like(mask), mask))


def leave_out_value(name: str, condition: Condition, dropped: jax.Array) -> Condition:
    """The value of a field is not known."""
    value = getattr(condition, name)
    dropped = dropped.reshape(-1, *[1] * (value.ndim - 1))
    return condition._replace(**{name: jnp.where(dropped, jnp.nan, value)})


def given_channels(condition: Condition, xt: jax.Array) -> jax.Array:
    """[given C | mask 1], zeros where nothing is given, for the patch embedding."""
    if condition.given is None:
        return jnp.zeros((*xt.shape[:-1], xt.shape[-1] + 1), xt.dtype)
    given = condition.given_mask.astype(xt.dtype)[:, :, None, None, None]
    mask = jnp.broadcast_to(given, (*xt.shape[:-1], 1))
    return jnp.concatenate([condition.given * given, mask], axis=-1)


def fps_channels(condition: Condition, xt: jax.Array) -> jax.Array:
    """Octaves from 24 frames per second, and whether the rate is known, the same everywhere."""
    fps = condition.fps
    values = None if fps is None else jnp.log2(fps / 24.0)[:, None, None, None, None]
    return known_channels(values, 1, xt)


def gravity_channels(condition: Condition, xt: jax.Array) -> jax.Array:
    """Logarithm of gravity over that of the Earth, and whether it is known, the same everywhere."""
    gravity = condition.gravity
    values = None if gravity is None else jnp.log(gravity / 9.81)[:, None, None, None, None]
    return known_channels(values, 1, xt)


def camera_channels(condition: Condition, xt: jax.Array) -> jax.Array:
    """Rays of the camera, and whether it is known."""
    camera = condition.camera
    values = None if camera is None else rasters.ray_channels(camera, xt.shape[2:4])
    return known_channels(values, rasters.RAYS, xt)


def state_channels(condition: Condition, xt: jax.Array) -> jax.Array:
    """States of objects where they are, and whether they are known."""
    states, shots = condition.states, condition.frame_shot
    values = None if states is None else rasters.state_channels(states, shots, xt.shape[2:4])
    return known_channels(values, rasters.STATES, xt)


def known_channels(values: jax.Array | None, channels: int, xt: jax.Array) -> jax.Array:
    """Values [B, T, H, W, channels] or broadcastable, NaN or None where unknown, and a mask of one.

    Returns:
      [B, T, H, W, channels + 1], 0 where unknown.
    """
    if values is None:
        return jnp.zeros((*xt.shape[:-1], channels + 1), xt.dtype)
    values = jnp.broadcast_to(values.astype(xt.dtype), (*xt.shape[:-1], channels))
    known = jnp.isfinite(values).all(-1, keepdims=True)
    return jnp.concatenate([jnp.where(known, values, 0), known.astype(xt.dtype)], axis=-1)


CONDITIONS = {
    "text": Entry(leave_out_text),
    "given": Entry(leave_out_given),
    "fps": Entry(partial(leave_out_value, "fps"), fps_channels, dropout=0.1),
    "camera": Entry(partial(leave_out_value, "camera"), camera_channels, dropout=0.5),
    "gravity": Entry(partial(leave_out_value, "gravity"), gravity_channels, dropout=0.5),
    "states": Entry(partial(leave_out_value, "states"), state_channels, dropout=0.5),
}
ADAPTERS = {name: entry for name, entry in CONDITIONS.items() if entry.rasterise is not None}


def leave_out(
    condition: Condition, names: Iterable[str], dropped: jax.Array | None = None
) -> Condition:
    """The condition without those of `names`, in the samples `dropped` [B]; None: in all."""
    dropped = jnp.ones(len(condition.text_mask), bool) if dropped is None else dropped
    for name in names:
        condition = CONDITIONS[name].leave_out(condition, dropped)
    return condition


def drop(key: jax.Array, condition: Condition, shares: dict[str, float]) -> Condition:
    """Leaves out every condition of `shares`, {name: share of samples}, by a draw of its own."""
    for name, share in shares.items():
        key, own = jax.random.split(key)
        dropped = jax.random.bernoulli(own, share, condition.text_mask.shape[:1])
        condition = leave_out(condition, [name], dropped)
    return condition


def adapter_name(name: str) -> str:
    """The name that the adapter of a condition has in the DiT."""
    return f"patch_{name}"


def condition_of(path: tuple[str, ...]) -> str:
    """The condition whose adapter lies at a path of `adapter_paths`."""
    return next(name for name in ADAPTERS if adapter_name(name) == path[-1])


def adapter_paths(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Where the adapters of conditions lie in the weights of a generator."""
    return tuple(("video", adapter_name(name)) for name in names)
