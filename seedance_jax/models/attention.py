"""Multi-head attention: projections with normalised queries and keys, and the kernel's choice."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.layers import FAN_IN, RMSNorm, linear
from seedance_jax.models.rope import rotate


def attend(query, key, value, mask=None):
    """Softmax attention [B, Lq, N, K] x [B, Lk, N, K] -> [B, Lq, N, K]; XLA picks the kernel.

    mask: bool, broadcastable to [B, N, Lq, Lk]; False hides a key.
    """
    return jax.nn.dot_product_attention(query, key, value, mask=mask)


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
