"""Optimizers and learning-rate schedules, chosen by name."""

import math

import jax
import optax


def learning_rate(peak_lr, warmup_steps, num_steps):
    """Linear warm-up from 0, then cosine decay to 0 at num_steps."""
    warmup_steps = min(warmup_steps, max(num_steps - 1, 1))
    return optax.warmup_cosine_decay_schedule(0.0, peak_lr, warmup_steps, max(num_steps, 2))


def adamw(schedule, weight_decay):
    """AdamW; decays matrices only, not biases and scales."""
    return optax.adamw(schedule, b1=0.9, b2=0.98, weight_decay=weight_decay, mask=matrices)


def matrices(params):
    """True for every parameter with two or more dimensions."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


OPTIMIZERS = {"adamw": adamw}


def make_optimizer(*, name, peak_lr, warmup_steps, num_steps, weight_decay, clip_norm):
    """Gradient clipping by global norm, then the optimizer `name` under a warm-up cosine schedule.

    Raises:
      ValueError: an unknown name, or a rate, step count or norm that is not positive.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer.name={name!r}; legal names: {sorted(OPTIMIZERS)}")
    for field, value in (("peak_lr", peak_lr), ("clip_norm", clip_norm), ("num_steps", num_steps)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{field}={value}: must be positive and finite")
    schedule = learning_rate(peak_lr, warmup_steps, num_steps)
    return optax.chain(
        optax.clip_by_global_norm(clip_norm), OPTIMIZERS[name](schedule, weight_decay)
    )
