"""Tasks as masks: which latent frames are given. One convention for training and sampling.

A mask is float [T] (or [B, T]) over latent frames, 1 where the clean frame is given. Latent frame 0
holds pixel frame 0 alone, so an image given as the first frame is mask (1, 0, 0, ...).
"""

import jax
import jax.numpy as jnp


def none_given(frames):
    """Text to image or video: nothing is given."""
    return jnp.zeros(frames)


def first_frame(frames):
    """Image to video: the first latent frame is given."""
    return (jnp.arange(frames) == 0).astype(jnp.float32)


MASKS = {"text_to_video": none_given, "image_to_video": first_frame}


def check_weights(task_weights):
    """Raises ValueError for an unknown task, or weights that are negative or all zero."""
    unknown = set(task_weights) - set(MASKS)
    if unknown:
        raise ValueError(f"unknown tasks {sorted(unknown)}; legal tasks: {sorted(MASKS)}")
    weights = list(task_weights.values())
    if min(weights, default=0) < 0 or sum(weights) <= 0:
        raise ValueError(f"task weights {dict(task_weights)} must be >= 0 with a positive sum")


def sample_condition_mask(key, batch_size, frames, task_weights):
    """Draws a task per sample: float mask [B, T] of the given latent frames.

    Args:
      task_weights: {task: weight}, keys of MASKS. Images (one latent frame) are always text to
        image: with their only frame given, nothing would be left to generate.
    """
    check_weights(task_weights)
    if frames == 1:
        return jnp.zeros((batch_size, 1))
    names = sorted(task_weights)
    masks = jnp.stack([MASKS[name](frames) for name in names])
    weights = jnp.array([task_weights[name] for name in names], jnp.float32)
    chosen = jax.random.choice(key, len(names), (batch_size,), p=weights / weights.sum())
    return masks[chosen]
