"""What training a generator holds on a device, from shapes alone.

State is laid out as training would lay it out. Activations are what reverse differentiation of the
very program keeps between its two passes; a compiler may do better (fuse) or worse (transfers). The
logits of the attention that it is at come on top.
"""

import functools
import math
from collections import Counter
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from seedance_jax import sharding
from seedance_jax.models import lora as adapters
from seedance_jax.models.dit import REMAT_POLICIES
from seedance_jax.performance import cost
from seedance_jax.training.optimizer import make_optimizer


class State(NamedTuple):
    """Bytes on one device."""

    parameters: int
    gradients: int
    average: int
    optimizer: int
    language: int  # a finished model: parameters alone
    base: int = 0  # what adapters are trained on: parameters alone
    merged: int = 0  # those of them that adapters are added to, with these
    slow: int = 0  # copies of the parameters beside the average


def state_bytes(program, mesh, optimizer, lora=None, slow_copies=0):
    """State of a Generation on a device of a mesh.

    `optimizer` and `lora`, if adapters are trained, are sections of the config (dicts);
    `slow_copies` is how many a stage has.
    """
    base = program.trained.params
    boxed = _adapters(base, lora) if lora else base
    params, parameters = nn.unbox(boxed), _share(boxed, mesh)
    moments = tree_bytes(jax.eval_shape(make_optimizer(num_steps=1, **optimizer).init, params))
    share = moments * parameters // tree_bytes(params)  # laid out as what they belong to
    frozen = program.frozen
    read = _share(frozen.params, mesh, jnp.dtype(frozen.model.dtype)) if frozen else 0
    held = (_share(base, mesh), _share(_adapted(base, params), mesh)) if lora else (0, 0)
    slow = slow_copies * parameters
    return State(parameters, parameters, parameters, share, read, *held, slow)


def _adapters(base, lora):
    """Shapes of the adapters of the section `lora` for boxed parameters."""
    init = functools.partial(adapters.init_adapters, boxed=base, rank=lora["rank"])
    return jax.eval_shape(lambda key: init(key, targets=lora["targets"]), jax.random.key(0))


def _adapted(base, trained):
    """The boxed parameters that trained adapters belong to."""
    flat, pairs = (traverse_util.flatten_dict(tree) for tree in (base, trained))
    return {path: flat[path] for path in {path[:-1] for path in pairs}}


def _share(boxed, mesh, dtype=None):
    """Bytes on one device of parameters laid out over a mesh, in their dtype or in another."""
    layout, leaves = (jax.tree.leaves(f) for f in (sharding.layout(boxed, mesh), nn.unbox(boxed)))
    return sum(
        math.prod(place.shard_shape(leaf.shape)) * (dtype or leaf.dtype).itemsize
        for place, leaf in zip(layout, leaves, strict=True)
    )


def logit_bytes(program, mesh):
    """Of the largest attention of one clip on a device: its logits, float32, all there at once.

    So the plain kernel works (`models.attention.attend`); a kernel that goes through the keys piece
    by piece (flash attention) never holds them.
    """
    split = {cost.VIDEO: "sequence", cost.TEMPORAL: "sequence"}  # frames, windows; text is whole
    pairs = {part: max(own) for part, own in cost.attention_pairs(program).items()}
    shares = [n / mesh.shape.get(split.get(part), 1) for part, n in pairs.items()]
    return 4 * max(shares) * program.trained.model.dit["heads"] / mesh.shape["tensor"]


def tree_bytes(tree):
    """Of all arrays in a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def kept_bytes(program):
    """What one clip keeps for the backward pass, on all devices, besides the parameters."""

    model, params, inputs = program.trained

    def residuals(params, *inputs):
        return jax.vjp(lambda params: model.apply({"params": params}, *inputs), params)[1]

    params = nn.unbox(params)
    kept = _kinds(jax.eval_shape(residuals, params, *inputs)) - _kinds(params)
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
