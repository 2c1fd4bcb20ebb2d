"""Low-rank adapters (LoRA, arXiv:2106.09685) as a parameter tree beside the model's.

    W' = W + alpha / rank * a b        a [*layers, *inputs, rank], b [*layers, rank, *outputs]

for chosen kernels W [*layers, *inputs, *outputs]. b starts at zero, so a new adapter changes
nothing. Modules do not know adapters: a pure function merges them into the parameters, in the loss
when they are trained and once when they are used.
"""

from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util


def init_adapters(
    key: jax.Array, boxed: Mapping[str, Any], rank: int, targets: Collection[str]
) -> dict[str, Any]:
    """New adapters for the kernels in the blocks whose submodule is named in `targets`.

    Layers outside of the blocks, such as the DiT's head, have none: "out" is the output projection
    of attention.

    Args:
      boxed: parameters of a module's init with their logical axes; shapes are enough.
      targets: names of submodules, such as "query" or "gate".

    Returns:
      A tree with {"a", "b"} in the place of every adapted kernel, and nothing else.

    Raises:
      ValueError: a target that is no submodule.
    """
    is_box = lambda leaf: isinstance(leaf, nn.meta.AxisMetadata)  # noqa: E731
    flat = traverse_util.flatten_dict(boxed)
    kernels = {
        path: leaf
        for path, leaf in flat.items()
        if path[-1] == "kernel" and is_box(leaf) and "layers" in leaf.names
    }
    legal = {path[-2] for path in kernels}
    if missing := set(targets) - legal:
        raise ValueError(
            f"lora targets {sorted(missing)} are not in the blocks of the model; they have "
            f"{sorted(legal)}"
        )
    chosen = {path: leaf for path, leaf in kernels.items() if path[-2] in targets}
    adapters = {}
    for path, own in zip(chosen, jax.random.split(key, len(chosen)), strict=True):
        shape, layers, inputs = kernel_axes(chosen[path])
        fan_in = jnp.prod(jnp.array(shape[layers:inputs]))
        a = jax.random.normal(own, (*shape[:inputs], rank)) / jnp.sqrt(fan_in)
        adapters[path] = {"a": a, "b": jnp.zeros((*shape[:layers], rank, *shape[inputs:]))}
    return traverse_util.unflatten_dict(adapters)


def kernel_axes(box: nn.meta.AxisMetadata) -> tuple[tuple[int, ...], int, int]:
    """(shape, number of layer axes, number of layer and input axes) of a boxed kernel."""
    layers = box.names.count("layers")
    merged_heads = box.names[layers] == "heads"  # [heads, size, features]: both are inputs
    return box.value.shape, layers, layers + (2 if merged_heads else 1)


def merge(params: Mapping[str, Any], adapters: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """`params` plus `scale` times their adapters, in the dtypes of `params`.

    Raises:
      ValueError: an adapter without a kernel of its path and shape in `params`.
    """
    flat, pairs = (traverse_util.flatten_dict(tree) for tree in (params, adapters))
    check_match(flat, pairs)
    merged = dict(flat)
    for path in {path[:-1] for path in pairs}:
        kernel = flat[path].astype(jnp.float32)
        delta = product(pairs[*path, "a"], pairs[*path, "b"], kernel.shape)
        merged[path] = (kernel + scale * delta).astype(flat[path].dtype)
    return traverse_util.unflatten_dict(merged)


def product(a: jax.Array, b: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The product a b of one adapter in the shape of its kernel."""
    layers = a.ndim + b.ndim - 2 - len(shape)
    rank = a.shape[-1]
    a = a.reshape(*a.shape[:layers], -1, rank)
    return (a @ b.reshape(*b.shape[:layers], rank, -1)).reshape(shape)


def check_match(flat: Mapping[tuple, Any], pairs: Mapping[tuple, Any]) -> None:
    """Raises ValueError naming the first adapters that do not fit the parameters (flat trees)."""
    wrong = []
    for path in sorted({path[:-1] for path in pairs}):
        name = "/".join(path)
        if path not in flat:
            wrong.append(f"{name} is not in the model")
            continue
        a, b, shape = pairs[*path, "a"].shape, pairs[*path, "b"].shape, flat[path].shape
        layers = len(a) + len(b) - 2 - len(shape)
        if layers < 0 or a[-1] != b[layers] or (*a[:-1], *b[layers + 1 :]) != shape:
            wrong.append(f"{name} is {shape}, its adapter {a} x {b}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"adapters do not fit the model: {'; '.join(wrong[:3])}{more}")
