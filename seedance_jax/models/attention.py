"""Multi-head attention: its kernels, and which of them runs."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from absl import logging
from jax.ad_checkpoint import checkpoint_name

from seedance_jax import sharding
from seedance_jax.models.layers import FAN_IN, linear

HIDDEN = -1e30  # logit of a masked key; finite, so that a query without keys gives no NaN
LANES = 128  # of a TPU's vector unit: splash attention needs multiples of it
SAVED = "attention"  # checkpoint name of the outputs, for remat policies
MAX_LOGITS = 1_200_000  # at a time in a CPU's kernel; two cores are fastest at about as many
MAX_BLOCK = 1024  # most queries, and most keys, in a block of splash attention


@jax.checkpoint
def attend(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Softmax attention without a custom kernel, [B, Lq, N, K] -> [B, Lq, N, K].

    The softmax is normalised after the product with the values, on [Lq, K] instead of [Lq, Lk], and
    the backward pass recomputes the weights: less memory, and half the time on a CPU.

    Args:
      query: [B, Lq, N, K].
      key, value: [B, Lk, N / R, K]; R neighbouring queries share a key (grouped-query attention).
      mask: bool, broadcastable to [B, N, Lq, Lk]; False hides a key.
    """
    key, value = (jnp.repeat(x, query.shape[2] // x.shape[2], axis=2) for x in (key, value))
    logits = jnp.einsum("bqnk,blnk->bnql", query, key, preferred_element_type=jnp.float32)
    logits = logits * query.shape[-1] ** -0.5
    if mask is not None:
        logits = jnp.where(mask, logits, HIDDEN)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    total = weights.sum(-1).swapaxes(1, 2)[..., None]  # [B, Lq, N, 1]
    out = jnp.einsum("bnql,blnk->bqnk", weights.astype(value.dtype), value)
    return (out / total).astype(value.dtype)


def attend_groups(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    seen: jax.Array,
    *,
    kernel: str = "auto",
    axes: tuple[str | None, str | None] = ("frames", "heads"),
) -> jax.Array:
    """Attention of G groups of tokens, each group to its own keys or all to the same ones.

    Args:
      query: [B, G, Lq, N, K]; key, value: [B, G, Lk, N, K], or [B, 1, Lk, N, K] for all groups.
      seen: bool [B, G, Lk]; False hides a key from its group.
      kernel: one of `KERNELS`, or "auto": see `choose_kernel`.
      axes: logical axis names of the dimensions G and N.

    Returns:
      [B, G, Lq, N, K].
    """
    group, heads = axes
    tokens = ("batch", group, None, heads, None)
    keys = tokens if key.shape[1] == query.shape[1] else ("batch", None, None, heads, None)
    names = (tokens, keys, keys, ("batch", group, None))
    run = sharding.on_shards(KERNELS[choose_kernel(kernel, query.dtype)], names, tokens)
    return run(query, key, value, seen)


def _each_group(attend_one, axis, query, key, value, seen):
    """Maps attention over the groups; keys that all groups share are not repeated."""
    if key.shape[axis] == query.shape[axis]:
        return jax.vmap(attend_one, axis, axis)(query, key, value, seen)
    key, value = key.squeeze(axis), value.squeeze(axis)
    return jax.vmap(attend_one, (axis, None, None, axis), axis)(query, key, value, seen)


def choose_kernel(kernel: str, dtype: Any, fused: bool = False) -> str:
    """The name of the kernel that runs; it is logged once.

    "auto" is the fastest one of the platform that is compiled for: "fused" on TPUs where it can
    run, else "splash"; "cudnn" on GPUs for 16-bit types (it has no others), "blocks" on CPUs, else
    "xla".

    Args:
      fused: whether `models/fused.py` has the kernel; see `fused.fits`.

    Raises:
      ValueError: an unknown name, "cudnn" with a type that is not 16-bit, or "fused" where it
        cannot run.
    """
    if kernel not in ("auto", FUSED, *KERNELS):
        raise ValueError(f"kernel={kernel!r}; legal values: {['auto', FUSED, *KERNELS]}")
    platform, short = sharding.platform(), jnp.dtype(dtype).itemsize == 2
    name = kernel
    if kernel == "auto":
        fastest = {"tpu": FUSED if fused else "splash", "gpu": "cudnn" if short else "xla"}
        name = (fastest | {"cpu": "blocks"}).get(platform, "xla")
    if name == "cudnn" and not short:
        raise ValueError(f"kernel='cudnn' has no {jnp.dtype(dtype)}; use bfloat16, or kernel='xla'")
    if name == FUSED and not fused:
        raise ValueError(
            "kernel='fused' is for TPUs, heads of a multiple of 128 channels, and groups of tokens "
            "that fit in fast memory; use kernel='auto'"
        )
    _announce(name, platform, str(jnp.dtype(dtype)))
    return name


@functools.cache
def _announce(kernel, platform, dtype):
    logging.info("attention kernel on %s for %s: %s", platform, dtype, kernel)


def _plain(query, key, value, seen):
    one = lambda query, key, value, seen: attend(query, key, value, seen[:, None, None])  # noqa: E731
    return checkpoint_name(_each_group(one, 1, query, key, value, seen), SAVED)


def blocks(query: jax.Array, key: jax.Array, value: jax.Array, seen: jax.Array) -> jax.Array:
    """Attention of a few heads, or of a few queries of one, at a time: the logits of `MAX_LOGITS`
    pairs stay in the cache of a CPU, forward and backward."""
    (*lead, length, heads, channels), keys = query.shape, key.shape[2]
    every = math.prod(lead) * heads
    count = -(-length // max(1, MAX_LOGITS // keys))  # blocks of queries
    size = -(-length // count)
    together = largest_divisor(every, max(1, MAX_LOGITS // (size * keys)))

    def by_head(x):  # [B, G or 1, L, N, K] -> [every / together, together, L, K]
        x = jnp.broadcast_to(x.swapaxes(2, 3), (*lead, heads, x.shape[2], channels))
        return x.reshape(-1, together, x.shape[3], channels)

    query = jnp.pad(by_head(query), ((0, 0), (0, 0), (0, count * size - length), (0, 0)))
    query = query.reshape(-1, together, count, size, channels).swapaxes(1, 2)
    bias = jnp.repeat(jnp.where(seen, 0.0, HIDDEN).reshape(-1, 1, keys), heads, axis=0)
    bias = bias.reshape(-1, together, 1, keys)

    def attend_heads(arrays):
        query, *rest = arrays
        return _each(lambda query: _attend_block(query, *rest), query)

    out = _each(attend_heads, (query, by_head(key), by_head(value), bias)).swapaxes(1, 2)
    out = out.reshape(*lead, heads, count * size, channels)[..., :length, :]
    return checkpoint_name(out.swapaxes(2, 3), SAVED)


@jax.checkpoint
def _attend_block(query, key, value, bias):
    """query [heads, queries, K], key and value [heads, keys, K], bias [heads, 1, keys]."""
    logits = jnp.einsum("nqk,nlk->nql", query, key, preferred_element_type=jnp.float32)
    logits = logits * query.shape[-1] ** -0.5 + bias
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    out = jnp.einsum("nql,nlk->nqk", weights.astype(value.dtype), value)
    return (out / weights.sum(-1, keepdims=True)).astype(value.dtype)


def _each(function, arrays):
    """`jax.lax.map`, without a loop for one element."""
    if len(jax.tree.leaves(arrays)[0]) > 1:
        return jax.lax.map(function, arrays)
    return function(jax.tree.map(lambda x: x[0], arrays))[None]


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`."""
    return next(size for size in range(min(number, limit), 0, -1) if not number % size)


def _cudnn(query, key, value, seen):
    """cuDNN's flash attention, in bfloat16 or float16."""

    def one(query, key, value, seen):
        shape = (len(seen), 1, query.shape[1], key.shape[1])
        mask = jnp.broadcast_to(seen[:, None, None], shape)
        return jax.nn.dot_product_attention(query, key, value, mask=mask, implementation="cudnn")

    return checkpoint_name(_each_group(one, 1, query, key, value, seen), SAVED)


def splash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    seen: jax.Array,
    interpret: bool = False,
) -> jax.Array:
    """TPU splash attention (Pallas); hidden keys and padding are in a segment of their own."""
    from jax.experimental.pallas.ops.tpu import splash_attention as library

    *_, length, heads, channels = query.shape
    query_block, key_block = block_size(length), block_size(key.shape[2])
    query, key, value = (
        _pad(x.swapaxes(2, 3), block)
        for x, block in ((query, query_block), (key, key_block), (value, key_block))
    )  # [B, G, N, L, K]
    seen = jnp.pad(seen, ((0, 0), (0, 0), (0, key.shape[3] - seen.shape[2])))
    mask = library.MultiHeadMask([library.FullMask((query.shape[3], key.shape[3]))] * heads)
    one = library.make_splash_mha(
        mask,
        block_sizes=library.BlockSizes(
            block_q=query_block,
            block_kv=key_block,
            block_kv_compute=key_block,
            block_q_dkv=query_block,
            block_kv_dkv=key_block,
            block_kv_dkv_compute=key_block,
            use_fused_bwd_kernel=True,
        ),
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name=SAVED,
        interpret=interpret,
    )

    def attend_one(query, key, value, seen):
        ones = jnp.ones(query.shape[1], jnp.int32)
        segments = library.SegmentIds(q=ones, kv=seen.astype(jnp.int32))
        return one(query, key, value, segment_ids=segments)

    query = (query * channels**-0.5).astype(query.dtype)
    out = jax.vmap(functools.partial(_each_group, attend_one, 0))(query, key, value, seen)
    return out.swapaxes(2, 3)[:, :, :length, :, :channels]


def block_size(length: int) -> int:
    """Tokens per block: as few blocks of at most MAX_BLOCK as possible, then little padding."""
    blocks = -(-length // MAX_BLOCK)
    return -(-length // (blocks * LANES)) * LANES


def _pad(x, block):
    """Pads tokens and channels of [B, G, N, L, K] to multiples of `block` and LANES."""
    tokens, channels = -x.shape[3] % block, -x.shape[4] % LANES
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, tokens), (0, channels)))


FUSED = "fused"  # takes projections instead of queries, keys and values: `models/fused.py`
KERNELS = {"xla": _plain, "blocks": blocks, "splash": splash, "cudnn": _cudnn}


def output_projection(width: int, dtype: Any, name: str, init: Any = FAN_IN) -> nn.DenseGeneral:
    """Layer that projects heads [..., L, N, K] to tokens [..., L, width]."""
    return linear(width, ("heads", None, "embed"), init, axis=(-2, -1), dtype=dtype, name=name)
