"""FLOPs of a traced function: its products, each loop counted as often as it runs."""

import math
from typing import Any

import jax
from flax import linen as nn
from jax.extend.core import Jaxpr

from seedance_jax.performance.cost import Generation


def count_flops(jaxpr: Jaxpr, devices: int = 1) -> int:
    """FLOPs of the matrix products and convolutions in a jaxpr: two per multiplication.

    Everything that runs counts, recomputation for the backward pass included.

    Args:
      devices: number of devices of the mesh, all of which run the body of a `shard_map`.

    Raises:
      ValueError: products in a loop of unknown length or in a Pallas kernel.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        inner = [count_flops(one, devices) for one in _inner(params)]
        if name == "dot_general":
            total += _product(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "scan":
            total += params["length"] * sum(inner)
        elif name == "cond":
            total += max(inner)
        elif name == "shard_map":
            total += devices * sum(inner)
        elif name in ("pallas_call", "while") and sum(inner):
            raise ValueError(f"FLOPs of a {name} cannot be counted")
        else:
            total += sum(inner)
    return total


def _inner(params):
    """The jaxprs among the parameters of an equation."""
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if hasattr(one, "eqns"):
                yield one
            elif hasattr(one, "jaxpr") and hasattr(one.jaxpr, "eqns"):
                yield one.jaxpr


def _product(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * equation.outvars[0].aval.size * math.prod(left[i] for i in contracted)


def _convolution(equation):
    kernel = equation.invars[1].aval
    axes = equation.params["dimension_numbers"].rhs_spec
    return 2 * equation.outvars[0].aval.size * kernel.size // kernel.shape[axes[0]]


def traced_flops(function: Any, *args: Any, **named: Any) -> int:
    """`count_flops` of a jitted function for these arguments, which may be shapes."""
    shapes = jax.tree.map(_bare, (args, named))
    return count_flops(function.trace(*shapes[0], **shapes[1]).jaxpr.jaxpr)


def forward_flops(generation: Generation) -> int:
    """`traced_flops` of the forward pass of one clip, a frozen language model included.

    It is that of plain attention: what a kernel of some platform pads is not counted.
    """
    model = generation.trained.model
    plain = model.clone(dit={**model.dit, "kernel": "xla"})
    parts = [generation.trained._replace(model=plain), generation.frozen]
    parts = [part for part in parts if part]
    calls = [(jax.jit(p.model.apply), {"params": nn.unbox(p.params)}, *p.inputs) for p in parts]
    return sum(traced_flops(*call) for call in calls)


def _bare(leaf):
    """A shape without its sharding, so that the trace is that of one device."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return leaf
