"""Memory of a training step of a generator on one device, from shapes alone.

The state is sharded as in training. Activations are what reverse-mode differentiation keeps from
the forward for the backward pass; XLA may need less (fusion) or more (transfers). The attention
logits of the block being computed come on top.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.sharding import AbstractMesh, Mesh

from seedance_jax import sharding
from seedance_jax.models import lora as adapters
from seedance_jax.models.dit import REMAT_POLICIES
from seedance_jax.performance import cost
from seedance_jax.training.optimizer import make_optimizer


class State(NamedTuple):
    """Bytes of the training state on one device."""

    parameters: int
    gradients: int
    ema: int
    optimizer: int
    text_model: int  # frozen language model
    base: int = 0  # frozen parameters that adapters are trained on
    merged: int = 0  # base parameters with their adapters added
    slow: int = 0  # slow copies besides the EMA


def state_bytes(
    program: cost.Generation,
    mesh: Mesh | AbstractMesh,
    optimizer: Mapping[str, Any],
    lora: Mapping[str, Any] | None = None,
    slow_copies: int = 0,
) -> State:
    """State of a Generation on one device of a mesh.

    Args:
      optimizer: section `optimizer` of the config.
      lora: section `lora` of the config if adapters are trained.
      slow_copies: number of slow copies of the parameters besides the EMA.
    """
    base = program.trained.params
    boxed = _adapters(base, lora) if lora else base
    params, parameters = nn.unbox(boxed), _share(boxed, mesh)
    moments = tree_bytes(jax.eval_shape(make_optimizer(num_steps=1, **optimizer).init, params))
    share = moments * parameters // tree_bytes(params)  # sharded like their parameters
    frozen = program.frozen
    text_model = _share(frozen.params, mesh, jnp.dtype(frozen.model.dtype)) if frozen else 0
    adapted = (_share(base, mesh), _share(_adapted(base, params), mesh)) if lora else (0, 0)
    slow = slow_copies * parameters
    return State(parameters, parameters, parameters, share, text_model, *adapted, slow)


def _adapters(base, lora):
    """Shapes of the adapters of the section `lora` for boxed parameters."""
    init = functools.partial(adapters.init_adapters, boxed=base, rank=lora["rank"])
    return jax.eval_shape(lambda key: init(key, targets=lora["targets"]), jax.random.key(0))


def _adapted(base, trained):
    """The boxed parameters that have adapters."""
    flat, pairs = (traverse_util.flatten_dict(tree) for tree in (base, trained))
    return {path: flat[path] for path in {path[:-1] for path in pairs}}


def _share(boxed, mesh, dtype=None):
    """Bytes on one device of parameters sharded over a mesh, in their dtype or another one."""
    layout, leaves = (jax.tree.leaves(f) for f in (sharding.layout(boxed, mesh), nn.unbox(boxed)))
    return sum(
        math.prod(place.shard_shape(leaf.shape)) * (dtype or leaf.dtype).itemsize
        for place, leaf in zip(layout, leaves, strict=True)
    )


def logit_bytes(program: cost.Generation, mesh: Mesh | AbstractMesh) -> float:
    """Bytes of the float32 logits of the largest attention of one clip, on one device.

    The kernel "xla" holds all of them at once; flash attention never does.
    """
    split = {cost.VIDEO: "sequence", cost.TEMPORAL: "sequence"}  # frames, windows; text is not
    pairs = {part: max(own) for part, own in cost.attention_pairs(program).items()}
    shares = [n / mesh.shape.get(split.get(part), 1) for part, n in pairs.items()]
    return 4 * max(shares) * program.trained.model.dit["heads"] / mesh.shape["tensor"]


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays in a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def kept_bytes(program: cost.Generation) -> int:
    """Bytes that one clip keeps for the backward pass, on all devices, without the parameters."""

    model, params, inputs = program.trained

    def residuals(params, *inputs):
        return jax.vjp(lambda params: model.apply({"params": params}, *inputs), params)[1]

    params = nn.unbox(params)
    kept = _kinds(jax.eval_shape(residuals, params, *inputs)) - _kinds(params)
    return sum(math.prod(shape) * dtype.itemsize * count for (shape, dtype), count in kept.items())


def _kinds(tree):
    return Counter((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree))


def activation_bytes(config: Mapping[str, Any], latents: tuple[int, int, int]) -> dict[str, int]:
    """{remat policy: bytes of the activations of one clip with latents (T, H, W)}.

    All policies but "none" recompute the scan one step at a time, so for them the activations of
    one step are added.
    """
    kept = {
        remat: kept_bytes(cost.make_program(config, latents, remat=remat))
        for remat in REMAT_POLICIES
    }
    program = cost.make_program(config, latents)
    one_step = (kept["none"] - kept["full"]) // cost.scan_steps(program)
    return {remat: size + (remat != "none") * one_step for remat, size in kept.items()}
