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
    """ids [B, S], mask [B, S] (True on text) and shot [B, S] -> hidden states [B, S, width].

    Captions (runs of one shot) do not see each other.
    """

    vocab_size: int
    width: int
    depth: int
    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids, mask, shot):
        init = param(nn.initializers.normal(1.0), None, "embed")
        embed = nn.Embed(self.vocab_size, self.width, embedding_init=init, name="embed")
        x = embed(ids).astype(self.dtype)
        length = ids.shape[1]
        rope = rope_1d(length, self.width // self.heads)
        causal = jnp.tril(jnp.ones((length, length), bool))
        same = shot[:, :, None] == shot[:, None, :]
        visible = (causal & same & mask[:, None, :])[:, None]  # [B, 1, S, S]
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


def caption_starts(mask, shot):
    """Where the captions of mask and shot [B, S] begin, bool [B, S]."""
    before = jnp.pad(shot[:, :-1], ((0, 0), (1, 0)))
    return mask & ((shot != before) | (jnp.arange(mask.shape[1]) == 0))


def pool_words(hidden, ids, mask, shot, space_id, max_words):
    """Keeps the hidden state at the last byte of every word.

    Args:
      hidden: [B, S, D].
      ids, mask, shot: [B, S] bytes, their validity and their caption; the first byte of a caption
        is the start token, a word of its own.
      space_id: the byte that ends a word.
      max_words: number of output positions; callers make sure that texts fit.

    Returns:
      tokens [B, max_words, D] (zero where absent), their mask and shot [B, max_words].
    """
    starts = caption_starts(mask, shot)
    next_starts, next_valid = (jnp.pad(x[:, 1:], ((0, 0), (0, 1))) for x in (starts, mask))
    following = jnp.pad(ids[:, 1:], ((0, 0), (0, 1)), constant_values=space_id)
    last = (following == space_id) | ~next_valid | next_starts
    ends = starts | (mask & last & (ids != space_id))
    order = jnp.argsort(~ends, axis=1, stable=True)[:, :max_words]
    kept, shot = (jnp.take_along_axis(x, order, axis=1) for x in (ends, shot))
    tokens = jnp.take_along_axis(hidden, order[..., None], axis=1)
    return jnp.where(kept[..., None], tokens, 0), kept, shot
