"""Products of tokens with weights, in the form that is fast on the platform."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import logging
from flax.linen.dtypes import promote_dtype

from seedance_jax import sharding

CPU_FLAGS = ("amx_bf16", "avx512_bf16")  # of /proc/cpuinfo, where bfloat16 products are fast


class Precision(NamedTuple):
    """Types of the operands of products, and of the gradients of kernels.

    Devices add up the gradients of kernels: what each has is rounded to that type, and exchanged.
    On one CPU, where nothing is exchanged, it changes nothing.
    """

    products: Any
    gradients: Any


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


def choose(dtype: Any) -> dict[str, Any]:
    """Fields of a layer whose products are of type `dtype`, which may be a Precision.

    bfloat16 on one CPU is that of the operands alone: arrays, results and the products for the
    gradients of kernels are float32. Rounded results are what is slow there.
    """
    dtype, gradients = dtype if isinstance(dtype, Precision) else (dtype, None)
    dtype = resolve_dtype(dtype)
    if sharding.one_cpu():
        if dtype is None or jnp.dtype(dtype) != jnp.bfloat16:
            return {"dtype": dtype, "dot_general": dot_general}
        product = functools.partial(dot_general, product=_short_product)
        return {"dtype": jnp.float32, "dot_general": product}
    if gradients is None or jnp.dtype(gradients) == jnp.dtype(dtype):
        return {"dtype": dtype, "dot_general": dot_general}
    product = functools.partial(dot_general, product=functools.partial(_rounded, gradients))
    return {"dtype": dtype, "dot_general": product, "promote_dtype": _keep_kernel}


def _keep_kernel(inputs, kernel, bias, *, dtype):
    """Flax's `promote_dtype` of all but the kernel."""
    inputs, bias = promote_dtype(inputs, bias, dtype=dtype)
    return inputs, kernel, bias


def _product(x, kernel):
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rounded(gradients, x, kernel):
    """Product in the type of x [..., D]; the gradient of the kernel [D, F] has type `gradients`.

    It has no forward-mode derivative.
    """
    return _product(x, kernel.astype(x.dtype))


def _keep(gradients, x, kernel):
    return _product(x, kernel.astype(x.dtype)), (x, kernel)  # as in `_forward`


def _differentiate(gradients, saved, slope):
    x, kernel = saved
    tokens = tuple(range(x.ndim - 1))
    of_kernel = jax.lax.dot_general(
        x, slope, ((tokens, tokens), ((), ())), preferred_element_type=gradients
    )
    of_x = jax.lax.dot_general(slope, kernel.astype(x.dtype), (((x.ndim - 1,), (1,)), ((), ())))
    return of_x, of_kernel.astype(kernel.dtype)


_rounded.defvjp(_keep, _differentiate)


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

    Features are one dimension each: of heads [N, K] a TPU's tiles would be filled only if eight
    divided N. For one CPU it is a product of two matrices: of arrays with more dimensions XLA
    transposes the operands of the kernel's gradient in memory, which takes longer than the product.
    Otherwise tokens stay as they are: those that a mesh divides must not be flattened.

    Args:
      dimensions: that contract all `inputs`, and no batch dimensions.
      precision: None; Flax passes it.
      product: (x [..., D], kernel [D, F]) -> their product.

    Returns:
      [..., *outputs].
    """
    count = len(dimensions[0][0])
    lead, inputs, outputs = x.shape[:-count], x.shape[-count:], kernel.shape[count:]
    x, kernel = x.reshape(*lead, math.prod(inputs)), kernel.reshape(math.prod(inputs), -1)
    if sharding.one_cpu():
        _announce()
        x = x.reshape(-1, x.shape[-1])
    return product(x, kernel).reshape(*lead, *outputs)


@functools.cache
def _announce():
    logging.info("products of tokens with weights on one CPU: of two matrices")
