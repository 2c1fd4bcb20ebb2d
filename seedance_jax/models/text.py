"""Decoder-only language model whose hidden states are the text tokens of the generator.

Pre-norm blocks with rotary attention and SwiGLU, causal, so padding after a text changes nothing.
At toy size it reads bytes and is trained jointly with the generator; byte models pool: only the
hidden state at the last byte of every word is handed on, which is where a causal model has read
the whole word.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from seedance_jax.models.attention import QKV, attend, output_projection
from seedance_jax.models.layers import RMSNorm, SwiGLU, swiglu_hidden
from seedance_jax.sharding import param


class TextBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, rope, mask):
        width = x.shape[-1]
        y = RMSNorm(name="attention_norm")(x)
        query, key, value = QKV(self.heads, self.dtype, name="qkv")(y, rope)
        y = attend(query, key, value, mask)
        x = x + output_projection(width, self.dtype, "attention_out")(y)
        y = RMSNorm(name="mlp_norm")(x)
        return x + SwiGLU(swiglu_hidden(width), dtype=self.dtype, name="mlp")(y)


class TextModel(nn.Module):
    """ids [B, S] and mask [B, S] (True on text) -> hidden states [B, S, width]."""

    vocab_size: int
    width: int
    depth: int
    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids, mask):
        init = param(nn.initializers.normal(1.0), None, "embed")
        embed = nn.Embed(self.vocab_size, self.width, embedding_init=init, name="embed")
        x = embed(ids).astype(self.dtype)
        length = ids.shape[1]
        rope = rope_1d(length, self.width // self.heads)
        causal = jnp.tril(jnp.ones((length, length), bool))
        visible = (causal & mask[:, None, :])[:, None]  # [B, 1, S, S]
        for i in range(self.depth):
            x = TextBlock(self.heads, self.dtype, name=f"block{i}")(x, rope, visible)
        return RMSNorm(name="norm_out")(x)


def rope_1d(length, head_size, theta=10_000.0):
    """Ordinary rotary table (cos, sin), each [S, K/2]."""
    frequencies = theta ** (-jnp.arange(head_size // 2) * 2 / head_size)
    angles = jnp.arange(length)[:, None] * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def word_count(text):
    """How many tokens `pool_words` makes of a text: its words, and one for the start."""
    return 1 + len([word for word in text.split(" ") if word])


def pool_words(hidden, ids, mask, space_id, max_words):
    """Keeps the hidden state at the last byte of every word.

    Args:
      hidden: [B, S, D].
      ids, mask: [B, S] bytes and their validity; the first is the start token, a word of its own.
      space_id: the byte that ends a word.
      max_words: number of output positions; callers make sure that texts fit.

    Returns:
      tokens [B, max_words, D] (zero where absent) and their mask [B, max_words].
    """
    following = jnp.pad(ids[:, 1:], ((0, 0), (0, 1)), constant_values=space_id)
    valid_next = jnp.pad(mask[:, 1:], ((0, 0), (0, 1)))
    ends = mask & ((following == space_id) | ~valid_next) & (ids != space_id)
    ends = ends.at[:, 0].set(True)
    order = jnp.argsort(~ends, axis=1, stable=True)[:, :max_words]
    kept = jnp.take_along_axis(ends, order, axis=1)
    tokens = jnp.take_along_axis(hidden, order[..., None], axis=1)
    return jnp.where(kept[..., None], tokens, 0), kept
