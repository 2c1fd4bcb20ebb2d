"""Multi-head attention, and its projections with normalised queries and keys."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.layers import FAN_IN, RMSNorm, linear
from seedance_jax.models.rope import rotate

HIDDEN = -1e30  # logit of a hidden key; finite, so that a query without keys has no NaN


@jax.checkpoint
def attend(query, key, value, mask=None):
    """Softmax attention [B, Lq, N, K] x [B, Lk, M, K] -> [B, Lq, N, K].

    N / M neighbouring queries share a key; mask: bool, broadcastable to [B, N, Lq, Lk], False hides
    a key.

    Weights are normalised after they met the values, [Lq, K] instead of [Lq, Lk], and the backward
    pass makes them again instead of keeping them: less memory, and half the time on a CPU.
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


class QKV(nn.Module):
    """Projects tokens [..., L, D] to rotated queries and keys, and values, each [..., L, N, K]."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, rope):
        features, axes = (self.heads, x.shape[-1] // self.heads), ("embed", "heads", None)
        query, key, value = (
            linear(features, axes, dtype=self.dtype, name=name)(x)
            for name in ("query", "key", "value")
        )
        query = rotate(RMSNorm(name="query_norm")(query), rope)
        key = rotate(RMSNorm(name="key_norm")(key), rope)
        return query, key, value


def output_projection(width, dtype, name, init=FAN_IN):
    """Merges heads [..., L, N, K] back to tokens [..., L, width]."""
    return linear(width, ("heads", None, "embed"), init, axis=(-2, -1), dtype=dtype, name=name)
