"""Attention of projections in one TPU kernel: their norms and rotation, softmax, and products.

Queries, keys and values are read as projections leave them, [B, T, M, P, N * K], one head of one
group of tokens (the P places of all T frames) at a time. So nothing is transposed or padded in main
memory, every array is read or written once in each direction, and the backward pass needs the
projections alone: logits and their sums are recomputed. All keys of a group are in fast memory at
once, which bounds their number.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from seedance_jax import sharding
from seedance_jax.models import fused_kernels
from seedance_jax.models.fused_kernels import LANES, ROWS, Shape

HIDDEN = -1e30  # logit of a masked key
MAX_LOGITS = 2**19  # at a time
FAST_MEMORY = {  # MiB, by the device_kind of jax
    "TPU v4": 16,
    "TPU v5 lite": 128,
    "TPU v5": 64,
    "TPU v5p": 64,
    "TPU v6 lite": 128,
    "TPU7x": 64,
}


class Tokens(NamedTuple):
    """Tokens in M groups, and what their projections go through.

    Attributes:
      query, key, value: projections [B, T, M, P, N * K].
      table: rotation (cos, sin) side by side, float32 [B, T, M, P, K].
      scales: of the norms of queries and keys, float32 [2, K]; the first may scale logits, too.
      seen: bool [M or 1, T, P]; False hides a token from the others of its group.
    """

    query: jax.Array
    key: jax.Array
    value: jax.Array
    table: jax.Array
    scales: jax.Array
    seen: jax.Array


class Words(NamedTuple):
    """Text tokens: every group attends to them, and they to every group.

    Attributes:
      query, key, value: normalised, rotated and scaled, [B, S, N * K].
      seen: bool [B, M, S]; False hides a token from a group.
    """

    query: jax.Array
    key: jax.Array
    value: jax.Array
    seen: jax.Array


def shape_of(frames: int, places: int, channels: int) -> Shape:
    """The Shape of groups of frames x places tokens."""
    rows = _round_up(places, ROWS)
    keys = _round_up(frames * rows, LANES)
    blocks = -(-keys // max(LANES, MAX_LOGITS // keys // LANES * LANES))
    return Shape(frames, places, channels, rows, keys, _round_up(-(-keys // blocks), LANES))


def fits(frames: int, places: int, heads: int, channels: int) -> bool:
    """Whether the kernel can run for groups of frames x places tokens on the mesh's devices.

    They are TPUs, channels fill lanes, devices have whole heads, and a group leaves room in fast
    memory for what else is there.
    """
    room = FAST_MEMORY.get(sharding.device_kind(), 0) * 2**20 * 3 / 4
    whole = not channels % LANES and not heads % sharding.parts("heads")
    return whole and fast_memory(shape_of(frames, places, channels)) <= room


def fast_memory(shape: Shape) -> int:
    """Bytes of fast memory that the backward pass takes at most; the forward pass takes less."""
    tokens = shape.frames * shape.rows * shape.channels
    moved = 2 * (7 * 2 + 4) * tokens  # this group's arrays and the next one's; tables in float32
    held = shape.channels * ((2 + 2 + 4 + 4) * shape.keys + (2 + 2 + 4) * shape.queries)
    return moved + held + 6 * 4 * shape.block * shape.keys + 2**22


def attend(tokens: Tokens, words: Words | None = None, interpret: bool = False) -> Any:
    """Attention of the tokens of every group to each other, and to the words.

    Returns:
      [B, T, M, P, N * K]; with words a tuple of that, of the attention of the words to each group
      [B, M, S, N * K], and of the logarithms of the sums of its exponentials [B, M, S, N].
    """
    _, frames, _, places, _ = tokens.query.shape
    shape, count = shape_of(frames, places, tokens.table.shape[-1]), 0
    if words is not None:
        count = words.key.shape[1]
        grow = lambda x: jnp.pad(x, ((0, 0), (0, -count % LANES), (0, 0)))  # noqa: E731
        seen = jnp.pad(words.seen, ((0, 0), (0, 0), (0, -count % LANES)))
        words = Words(*(grow(x) for x in words[:3]), _hidden(seen)[:, :, None])
    seen = jnp.pad(tokens.seen, ((0, 0), (0, 0), (0, shape.rows - places)))
    seen = seen.reshape(len(seen), 1, -1)
    seen = jnp.pad(seen, ((0, 0), (0, 0), (0, shape.keys - seen.shape[2])))
    out = _attend(shape, interpret, tokens._replace(seen=_hidden(seen)), words)
    if words is None:
        return out[0]
    log_sum = out[2][:, :, :count]
    log_sum = log_sum.reshape(*log_sum.shape[:3], -1, shape.channels)[..., 0]
    return out[0], out[1][:, :, :count], log_sum


def _round_up(number, multiple):
    return -(-number // multiple) * multiple


def _hidden(seen):
    return jnp.where(seen, 0.0, HIDDEN)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(shape, interpret, tokens, words):
    """`seen` is added to logits: [M or 1, 1, keys] of tokens, [B, M, 1, S] of words."""
    like = jax.ShapeDtypeStruct
    outs = [(like(tokens.query.shape, tokens.query.dtype), "tokens")]
    if words is not None:
        each = _of_each_group(tokens, words)
        outs += [(like(each, words.query.dtype), "each"), (like(each, jnp.float32), "each")]
    dtype, k = tokens.query.dtype, shape.channels
    rows = (shape.queries, shape.keys, shape.keys, shape.queries)
    scratch = [pltpu.VMEM((n, k), dtype) for n in rows]
    arrays = _inputs(tokens, words)
    return _call(fused_kernels.forward, shape, interpret, arrays, outs, scratch)


def _forward(shape, interpret, tokens, words):
    return _attend(shape, interpret, tokens, words), (tokens, words)


def _backward(shape, interpret, kept, slopes):
    tokens, words = kept
    like, (batch, _, groups, _, width) = jax.ShapeDtypeStruct, tokens.query.shape
    dtype, k = tokens.query.dtype, shape.channels
    outs = [(like(tokens.query.shape, dtype), "tokens")] * 3
    outs += [(like((batch, groups, 2, width), jnp.float32), "scales")]
    names = ["tokens"]
    if words is not None:
        outs += [(like(_of_each_group(tokens, words), jnp.float32), "each")] * 3
        names += ["each", "each"]
        words = words._replace(seen=words.seen.swapaxes(-1, -2))
    arrays = _inputs(tokens._replace(seen=tokens.seen.swapaxes(-1, -2)), words)
    arrays += list(zip(slopes, names, strict=True))
    rows = (shape.queries, shape.keys, shape.keys, shape.queries)
    scratch = [pltpu.VMEM((n, k), dtype) for n in rows]
    scratch += [pltpu.VMEM((n, k), jnp.float32) for n in rows[:3]]
    query, key, value, scales, *text = _call(
        fused_kernels.backward, shape, interpret, arrays, outs, scratch
    )
    scales = scales.reshape(batch * groups, 2, -1, k).sum((0, 2))
    of_tokens = Tokens(query, key, value, None, scales, None)
    if words is None:
        return of_tokens, None
    return of_tokens, Words(*(one.sum(1).astype(dtype) for one in text), None)


_attend.defvjp(_forward, _backward)


def _of_each_group(tokens, words):
    batch, _, groups, _, width = tokens.query.shape
    return batch, groups, words.key.shape[1], width


def _inputs(tokens, words):
    """[(array, name of its blocks)]."""
    names = ("tokens",) * 3 + ("table", "scale", "seen")
    arrays = list(zip(tokens, names, strict=True))
    if words is not None:
        arrays += list(zip(words, ("words",) * 3 + ("words_seen",), strict=True))
    return arrays


def _call(kernel, shape, interpret, arrays, outs, scratch):
    """Runs a kernel on every head of every group; arrays and outs: [(array or shape, name)]."""
    values, names = zip(*arrays, strict=True)
    shapes, out_names = zip(*outs, strict=True)
    batch, _, groups, _, width = values[0].shape
    joint = "words" in names

    def body(*refs):
        ins, outs = refs[: len(names)], refs[len(names) : len(names) + len(shapes)]
        text = fused_kernels.Text(*ins[6:10]) if joint else None
        slopes = ins[10 if joint else 6 :]
        held = refs[len(names) + len(shapes) :]
        kernel(shape, ins[:6], text, *([slopes] if slopes else []), outs, held)

    spec = lambda name, x: _spec(shape, name, x.shape)  # noqa: E731
    return pl.pallas_call(
        body,
        grid=(batch, groups, width // shape.channels),
        in_specs=[spec(name, x) for name, x in zip(names, values, strict=True)],
        out_specs=[spec(name, x) for name, x in zip(out_names, shapes, strict=True)],
        out_shape=shapes,
        scratch_shapes=scratch,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel",) * 3, vmem_limit_bytes=fast_memory(shape)
        ),
        name=f"fused_attention_{kernel.__name__}",
        interpret=interpret,
    )(*values)


def _spec(shape, name, array):
    """Blocks of an array of head n of group m of clip b."""
    places = (1, shape.frames, 1, shape.places, shape.channels)
    many = len(array) > 2 and array[0] > 1  # of "seen": whether groups differ
    block, place = {
        "tokens": (places, lambda b, m, n: (b, 0, m, 0, n)),
        "table": (places, lambda b, m, n: (b, 0, m, 0, 0)),
        "scale": (array, lambda b, m, n: (0, 0)),
        "seen": ((1, *array[1:]), lambda b, m, n: (m * many, 0, 0)),
        "words": ((1, array[1], shape.channels), lambda b, m, n: (b, 0, n)),
        "words_seen": ((1, 1, *array[2:]), lambda b, m, n: (b, m, 0, 0)),
        "each": ((1, 1, *array[2:3], shape.channels), lambda b, m, n: (b, m, 0, n)),
        "scales": ((1, 1, 2, shape.channels), lambda b, m, n: (b, m, 0, n)),
    }[name]
    return pl.BlockSpec(block, place)
