"""Products of tokens with weights, in the form that is fast on the platform."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from seedance_jax import sharding

CPU_FLAGS = ("amx_bf16", "avx512_bf16")  # of /proc/cpuinfo, where bfloat16 products are fast


def resolve_dtype(dtype: Any) -> Any:
    """`dtype`, or for "auto" the one whose products are fastest on the platform.

    That is "bfloat16" on accelerators and on one CPU with instructions for it, else "float32".
    """
    if dtype != "auto":
        return dtype
    short = sharding.platform() != "cpu" or (jax.device_count() == 1 and _has_short_products())
    return "bfloat16" if short else "float32"


@functools.cache
def _has_short_products(path="/proc/cpuinfo"):
    """Whether the CPU multiplies bfloat16; unknown is no."""
    file = Path(path)
    words = set(file.read_text().split()) if file.exists() else set()
    return not words.isdisjoint(CPU_FLAGS)


def choose(dtype: Any) -> tuple[Any, Callable]:
    """(type of the arrays, `dot_general`) of a layer whose products are of type `dtype`.

    bfloat16 on one CPU is that of the operands alone: arrays, results and the products for the
    gradients of kernels are float32. Rounded results are what is slow there.
    """
    dtype = resolve_dtype(dtype)
    if dtype is None or jnp.dtype(dtype) != jnp.bfloat16 or not sharding.one_cpu():
        return dtype, dot_general
    return jnp.float32, functools.partial(dot_general, product=_short_product)


def _product(x, kernel):
    return jax.lax.dot_general(x, kernel, (((1,), (0,)), ((), ())))


def _short(x, y, contracted):
    x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
    return jax.lax.dot_general(x, y, (contracted, ((), ())), preferred_element_type=jnp.float32)


@jax.custom_vjp
def _short_product(x, kernel):
    """x [L, D] times kernel [D, F], both rounded to bfloat16; the result is float32.

    The gradient of x is such a product, too; that of the kernel is a product in float32, because
    there the left operand is transposed, and CPUs are slow at that in bfloat16. It has no
    forward-mode derivative.
    """
    return _short(x, kernel, ((1,), (0,)))


def _forward(x, kernel):
    # Not `_short_product`: a policy of `jax.checkpoint` can name a product, not what holds one.
    return _short(x, kernel, ((1,), (0,))), (x, kernel)


def _backward(saved, gradient):
    x, kernel = saved
    of_kernel = jax.lax.dot_general(x, gradient, (((0,), (0,)), ((), ())))
    return _short(gradient, kernel, ((1,), (1,))), of_kernel


_short_product.defvjp(_forward, _backward)


def dot_general(
    x: jax.Array,
    kernel: jax.Array,
    dimensions: Any,
    precision: None = None,
    product: Callable = _product,
) -> jax.Array:
    """`jax.lax.dot_general` of tokens [..., *inputs] with a kernel [*inputs, *outputs].

    For one CPU it is a product of two matrices: of arrays with more dimensions XLA transposes the
    operands of the kernel's gradient in memory, which takes longer than the product. Otherwise it
    is as it is written: tokens that a mesh divides must not be flattened.

    Args:
      dimensions: that contract all `inputs`, and no batch dimensions.
      precision: None; Flax passes it.
      product: (x, kernel) -> their product, of two matrices.

    Returns:
      [..., *outputs].
    """
    if not sharding.one_cpu():
        return jax.lax.dot_general(x, kernel, dimensions)
    _announce()
    count = len(dimensions[0][0])
    lead, inputs, outputs = x.shape[:-count], x.shape[-count:], kernel.shape[count:]
    x, kernel = x.reshape(-1, math.prod(inputs)), kernel.reshape(math.prod(inputs), -1)
    return product(x, kernel).reshape(*lead, *outputs)


@functools.cache
def _announce():
    logging.info("products of tokens with weights on one CPU: of two matrices")
