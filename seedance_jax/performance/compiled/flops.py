"""Operations of a traced function: its products, with loops as often as they run."""

import math

import jax


def count_operations(jaxpr, devices=1):
    """Two for every multiplication of matrix products and convolutions in a jaxpr, at its shapes.

    Everything that runs counts, so what is made again for the backward pass does, too.

    Args:
      devices: of the mesh, all of which run what is inside of a `shard_map`.

    Raises:
      ValueError: a loop whose length is not known, or a kernel that cannot be looked into.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        inner = [count_operations(one, devices) for one in _inner(params)]
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
            raise ValueError(f"operations of a {name} cannot be counted")
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


def traced_operations(function, *args, **named):
    """`count_operations` of a jitted function at these arguments, which may be shapes."""
    shapes = jax.tree.map(_bare, (args, named))
    return count_operations(function.trace(*shapes[0], **shapes[1]).jaxpr.jaxpr)


def _bare(leaf):
    """A shape without its layout, so that the trace is that of one device."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return leaf
