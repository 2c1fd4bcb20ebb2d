"""What training a generator holds on a device, from shapes alone.

State is laid out as training would lay it out. Activations are what reverse differentiation of the
very program keeps between its two passes; a compiler may do better (fuse) or worse (transfers, and
the weights of the attention that it is at, unless a kernel spares them).
"""

import math
from collections import Counter
from typing import NamedTuple

import flax.linen as nn
import jax

from seedance_jax import sharding
from seedance_jax.evaluation import cost
from seedance_jax.models.dit import REMAT_POLICIES
from seedance_jax.training.optimizer import make_optimizer


class State(NamedTuple):
    """Bytes on one device."""

    parameters: int
    gradients: int
    average: int
    optimizer: int


def state_bytes(program, mesh, optimizer):
    """State of a program on one device of a mesh; `optimizer` is the config's section (a dict)."""
    layout = jax.tree.leaves(sharding.layout(program.params, mesh))
    params = nn.unbox(program.params)
    leaves = jax.tree.leaves(params)
    parameters = sum(
        math.prod(place.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for place, leaf in zip(layout, leaves, strict=True)
    )
    moments = tree_bytes(jax.eval_shape(make_optimizer(num_steps=1, **optimizer).init, params))
    share = moments * parameters // tree_bytes(params)  # laid out as what they belong to
    return State(parameters, parameters, parameters, share)


def tree_bytes(tree):
    """Of all arrays in a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def kept_bytes(program):
    """What one clip keeps for the backward pass, on all devices, besides the parameters."""

    def residuals(params, *inputs):
        return jax.vjp(lambda params: program.model.apply({"params": params}, *inputs), params)[1]

    params = nn.unbox(program.params)
    kept = _kinds(jax.eval_shape(residuals, params, *program.inputs)) - _kinds(params)
    return sum(math.prod(shape) * dtype.itemsize * count for (shape, dtype), count in kept.items())


def _kinds(tree):
    return Counter((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree))


def activation_bytes(config, latents):
    """{remat policy: bytes of one clip}; of the others the scan recomputes one step at a time.

    So for them the most that a step of the scan keeps is added: a share of "none".
    """
    kept = {
        remat: kept_bytes(cost.make_program(config, latents, remat=remat))
        for remat in REMAT_POLICIES
    }
    program = cost.make_program(config, latents)
    one_step = (kept["none"] - kept["full"]) // cost.scan_steps(program)
    return {remat: size + (remat != "none") * one_step for remat, size in kept.items()}
