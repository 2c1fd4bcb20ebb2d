"""Gradient accumulation: a large batch in the memory of a small one."""

import jax
import jax.numpy as jnp

from seedance_jax import sharding


def accumulated(grad_fn, count, layout=None):
    """A grad_fn(params, batch, key, frozen) -> ((loss, metrics), grads) that works part by part.

    The batch [B, ...] is cut into `count` parts [B / count, ...], one after the other; loss,
    metrics and gradients are the means over them, in which a part counts metrics["weight"] if there
    is such a metric (>= 0; of what its loss is a mean over), and else as much as any other. For a
    loss that is a (weighted) mean this is the gradient of the whole batch. Part i has the key
    fold_in(key, i), so its random draws are not those that the whole batch would have had.

    Args:
      count: 1 leaves grad_fn as it is.
      layout: shardings of the parameters, which the sum of the gradients takes.

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


def split(x, count):
    """[B, ...] -> [count, B / count, ...]; part i holds the examples i, i + count, ...

    So each device cuts the examples that it has, whatever their number of devices is.
    """
    size = x.shape[0]
    if size % count:
        raise ValueError(f"accumulate={count} must divide the batch size, which is {size}")
    return jnp.moveaxis(x.reshape(size // count, count, *x.shape[1:]), 1, 0)
