"""Optimizers and learning-rate schedules, chosen by name."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib


def learning_rate(
    peak_lr: float, warmup_steps: int, num_steps: int, decay_to: float = 0.0
) -> optax.Schedule:
    """Linear warm-up from 0, then cosine decay to the share `decay_to` of the peak at num_steps."""
    warmup_steps, last = min(warmup_steps, max(num_steps - 1, 1)), max(num_steps, 2)
    end = decay_to * peak_lr
    return optax.warmup_cosine_decay_schedule(0.0, peak_lr, warmup_steps, last, end)


def adamw(
    schedule: optax.Schedule, weight_decay: float, mu_dtype: Any = jnp.float32
) -> optax.GradientTransformation:
    """AdamW with weight decay on matrices only; mu_dtype: type of the first moment."""
    return optax.adamw(
        schedule, b1=0.9, b2=0.98, weight_decay=weight_decay, mask=matrices, mu_dtype=mu_dtype
    )


def adafactor(schedule: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """Adafactor (arXiv:1804.04235) without momentum, at AdamW's learning rates.

    The second moment of a matrix is factored into sums over rows and columns, unless a side is
    shorter than 128.
    """
    return optax.chain(
        optax.scale_by_factored_rms(),
        optax.clip_by_block_rms(1.0),
        optax.add_decayed_weights(weight_decay, mask=matrices),
        optax.scale_by_learning_rate(schedule),
    )


def matrices(params: Any) -> Any:
    """True for every parameter with two or more dimensions."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def muon(schedule: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """Muon for the kernels of `kernel_dimensions`, AdamW for the rest (optax.contrib.muon).

    Orthogonalised updates (arXiv:2502.16982) need fewer steps than AdamW's, each with a few more
    matrix products.
    """
    return optax.contrib.muon(
        schedule,
        ns_steps=4,
        weight_decay=weight_decay,
        adam_learning_rate=lambda count: 0.2 * schedule(count),
        muon_weight_dimension_numbers=kernel_dimensions,
    )


def kernel_dimensions(params: Any) -> Any:
    """Muon's dimension numbers of the convolutions of an autoencoder, or of the kernels in the
    blocks of a generator; None for other parameters.

    Raises:
      ValueError: the parameters are of neither.
    """
    if set(params) & {"encoder", "decoder"}:
        return jax.tree.map(_of_convolution, params)
    if "video" in params:
        return jax.tree.map_with_path(_of_block, params)
    raise ValueError("optimizer.name='muon' is for the autoencoder and the generator")


def _of_convolution(leaf):
    """Kernels [..., in, out]: all inputs of an output together."""
    if leaf.ndim < 4:
        return None
    return optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)


def _of_block(path, leaf):
    """Kernels [layers, in, out], [layers, in, heads, size] or, of layers called `out`,
    [layers, heads, size, out]: all heads together."""
    # A box of a parameter's logical axes is a step of its path, too, and has no key.
    *modules, name = (entry.key for entry in path if hasattr(entry, "key"))
    if name != "kernel" or not {"pairs", "blocks"} & set(modules):
        return None
    inputs = leaf.ndim - 2 if modules[-1].endswith("out") else 1
    axes = tuple(range(1, leaf.ndim))
    return optax.contrib.MuonDimensionNumbers(axes[:inputs], axes[inputs:])


OPTIMIZERS = {
    "adamw": adamw,
    "adamw_bf16": functools.partial(adamw, mu_dtype=jnp.bfloat16),
    "adafactor": adafactor,
    "muon": muon,
}


def make_optimizer(
    *,
    name: str,
    peak_lr: float,
    warmup_steps: int,
    num_steps: int,
    weight_decay: float,
    clip_norm: float,
    decay_to: float = 0.0,
) -> optax.GradientTransformation:
    """Gradient clipping by global norm, then the optimizer `name` under the `learning_rate`.

    Raises:
      ValueError: an unknown name, a rate, step count or norm that is not positive, or `decay_to`
        outside [0, 1].
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer.name={name!r}; legal names: {sorted(OPTIMIZERS)}")
    for field, value in (("peak_lr", peak_lr), ("clip_norm", clip_norm), ("num_steps", num_steps)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{field}={value}: must be positive and finite")
    if not 0 <= decay_to <= 1:
        raise ValueError(f"decay_to={decay_to}: must be from 0 to 1")
    schedule = learning_rate(peak_lr, warmup_steps, num_steps, decay_to)
    return optax.chain(
        optax.clip_by_global_norm(clip_norm), OPTIMIZERS[name](schedule, weight_decay)
    )
