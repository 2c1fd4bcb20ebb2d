"""Products of tokens with weights, in the form that is fast on the platform."""

import functools
import math
from typing import Any

import jax
from absl import logging

from seedance_jax import sharding


def dot_general(x: jax.Array, kernel: jax.Array, dimensions: Any, **kwargs: Any) -> jax.Array:
    """`jax.lax.dot_general` of tokens [..., *inputs] with a kernel [*inputs, *outputs].

    For one CPU it is a product of two matrices: of arrays with more dimensions XLA transposes the
    operands of the kernel's gradient in memory, which takes longer than the product. Otherwise it
    is as it is written: tokens that a mesh divides must not be flattened.

    Args:
      dimensions: that contract all `inputs`, and no batch dimensions.

    Returns:
      [..., *outputs].
    """
    if not sharding.one_cpu():
        return jax.lax.dot_general(x, kernel, dimensions, **kwargs)
    _announce()
    count = len(dimensions[0][0])
    lead, inputs, outputs = x.shape[:-count], x.shape[-count:], kernel.shape[count:]
    x, kernel = x.reshape(-1, math.prod(inputs)), kernel.reshape(math.prod(inputs), -1)
    y = jax.lax.dot_general(x, kernel, (((1,), (0,)), ((), ())), **kwargs)
    return y.reshape(*lead, *outputs)


@functools.cache
def _announce():
    logging.info("products of tokens with weights on one CPU: of two matrices")
