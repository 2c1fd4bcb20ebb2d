"""FLOPs by XLA's own count, of programs that are lowered and not compiled."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from seedance_jax.models.blocks import BlockPairs
from seedance_jax.models.text import TextBlock
from seedance_jax.performance.cost import Generation


def lowered_flops(function: Callable, *shapes: Any) -> float:
    """XLA's FLOPs of a function for arguments of these shapes; nothing is compiled or run."""
    return jax.jit(function).lower(*shapes).cost_analysis()["flops"]


def xla_flops(program: Generation) -> float:
    """Forward FLOPs as XLA counts them.

    XLA counts the body of a loop once. So each scan over depth is also lowered as a single step,
    with the shapes it has in the model, and that count is added for every further iteration.
    """
    return sum(_scanned_flops(*part) for part in (program.trained, program.frozen) if part)


def _scanned_flops(model, params, inputs):
    bodies = {}

    def note(call, args, kwargs, context):
        if isinstance(context.module, BlockPairs | TextBlock) and context.method_name == "__call__":
            bodies[context.module.path] = context.module, args
        return call(*args, **kwargs)

    params = nn.unbox(params)
    with nn.intercept_methods(note):
        jax.eval_shape(model.apply, {"params": params}, *inputs)
    flops = lowered_flops(model.apply, {"params": params}, *inputs)
    for path, (block, args) in bodies.items():
        part = functools.reduce(dict.__getitem__, path, params)
        flops += (steps_of(part) - 1) * body_flops(block.clone(parent=None, name=None), part, args)
    return flops


def steps_of(stacked: Any) -> int:
    """Layers in the stacked parameters of a scan."""
    return jax.tree.leaves(stacked)[0].shape[0]


def body_flops(block: nn.Module, stacked: Any, args: tuple) -> float:
    """`lowered_flops` of one iteration of a scan over stacked parameters."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stacked)
    return lowered_flops(block.apply, {"params": one}, *_shapes_of(args))


def _shapes_of(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
