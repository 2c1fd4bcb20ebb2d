"""Gradient accumulation: a large batch in the memory of a small one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from seedance_jax import sharding


def accumulated(grad_fn: Callable, count: int, layout: Any = None) -> Callable:
    """A grad_fn(params, batch, key, frozen) -> ((loss, metrics), grads) with gradient accumulation.

    The batch [B, ...] is split into `count` parts [B / count, ...], computed one after the other.
    Loss, metrics and gradients are means over the parts, weighted by metrics["weight"] if there is
    such a metric (>= 0: the total weight of the part's loss). For a loss that is a (weighted) mean
    this is the gradient of the whole batch. Part i has the key fold_in(key, i), so random numbers
    differ from those of the whole batch.

    Args:
      count: 1 returns grad_fn.
      layout: shardings of the parameters, for the sum of the gradients.

    Raises:
      ValueError: when called, for a batch that `count` does not divide.
    """
    if count == 1:
        return grad_fn

    def whole(params, batch, key, frozen):
        def add(total, part):
            number, batch = part
            batch = jax.tree.map(lambda x: sharding.constrain(x, "batch"), batch)
            values = grad_fn(params, batch, jax.random.fold_in(key, number), frozen)
            weight = jnp.float32(values[0][1].get("weight", 1.0))
            total, weights = total
            total = jax.tree.map(lambda a, b: a + weight * b, total, values)
            return (pin(total), weights + weight), None

        def pin(total):
            (loss, metrics), grads = total
            if layout is not None:
                grads = jax.lax.with_sharding_constraint(grads, layout)
            return (loss, metrics), grads

        parts = jnp.arange(count), jax.tree.map(lambda x: split(x, count), batch)
        first = jax.tree.map(lambda x: x[0], parts[1])
        shapes = jax.eval_shape(grad_fn, params, first, key, frozen)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), shapes)
        (total, weights), _ = jax.lax.scan(add, (pin(zeros), jnp.float32(0.0)), parts)
        weights = jnp.where(weights > 0, weights, 1.0)  # without any, all is zero
        return jax.tree.map(lambda leaf: leaf / weights, total)

    return whole


def split(x: jax.Array, count: int) -> jax.Array:
    """[B, ...] -> [count, B / count, ...]; part i has the examples i, i + count, ...

    So every device splits its own examples, and nothing is exchanged.

    Raises ValueError unless `count` divides B.
    """
    if len(x) % count:
        raise ValueError(f"accumulate={count} does not divide the batch of {len(x)} examples")
    return jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0)
