"""Decoder-only language model whose hidden states are the text tokens of the generator.

Pre-norm blocks with grouped-query attention, RoPE and SwiGLU. With `qkv_bias` it is the
architecture of Qwen2.5, with `qk_norm` that of Qwen3 (`models/public/qwen.py` loads their files).
At toy size it reads bytes and is trained jointly with the generator.

A sequence may contain several captions, distinguished by `shot`: a caption does not attend to the
others, and its positions start at 0. Attention is causal, so padding after a text changes nothing,
and the hidden state of a caption's start token is that of the empty caption.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models import products
from seedance_jax.models.attention import attend, output_projection
from seedance_jax.models.layers import RMSNorm, SwiGLU, linear, swiglu_hidden
from seedance_jax.models.rope import interleaved_rope, rope_1d, rotate
from seedance_jax.sharding import constrain, param


class Layout(NamedTuple):
    """Settings of a block; see TextModel."""

    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    qkv_bias: bool
    qk_norm: bool
    epsilon: float
    dtype: Any


class GroupedAttention(nn.Module):
    """Attention in which `heads / kv_heads` neighbouring queries share one key and value."""

    layout: Layout

    @nn.compact
    def __call__(self, x: jax.Array, rope: tuple, visible: jax.Array, slot: Any) -> jax.Array:
        """x [B, S, D] -> [B, S, D]; the other arguments are those of TextBlock."""
        layout = self.layout
        query = self._project("query", layout.heads, x)
        key = self._project("key", layout.kv_heads, x)
        value = self._project("value", layout.kv_heads, x)
        if layout.qk_norm:
            query = RMSNorm(layout.epsilon, name="query_norm")(query)
            key = RMSNorm(layout.epsilon, name="key_norm")(key)
        query, key = rotate(query, rope), rotate(key, rope)
        if slot is not None:
            key = self._remember("key", key, visible.shape[-1], slot)
            value = self._remember("value", value, visible.shape[-1], slot)
        y = attend(query, key, value, visible)
        return output_projection(x.shape[-1], layout.dtype, "out")(y)

    def _project(self, name, heads, x):
        layout, axes = self.layout, ("embed", "heads", None)
        features = (heads, layout.head_size)
        bias = {"use_bias": layout.qkv_bias, "bias_init": param(nn.initializers.zeros, *axes[1:])}
        return linear(features, axes, dtype=layout.dtype, name=name, **bias)(x)

    def _remember(self, name, array, slots, slot):
        """Writes `array` [B, S, N, K] into the cache from `slot` on; returns the whole cache."""
        shape = (array.shape[0], slots, *array.shape[2:])
        cache = self.variable("cache", f"past_{name}", jnp.zeros, shape, array.dtype)
        cache.value = jax.lax.dynamic_update_slice_in_dim(cache.value, array, slot, axis=1)
        return cache.value


class TextBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the unit that is scanned over depth."""

    layout: Layout
    collect: bool

    @nn.compact
    def __call__(
        self, x: jax.Array, rope: tuple, visible: jax.Array, slot: Any, added: Any, number: Any
    ) -> tuple[jax.Array, jax.Array | None]:
        """x [B, S, D] -> (output [B, S, D], the output again if `collect`, else None).

        Args:
          rope: (cos, sin), each [B, S, K/2].
          visible: bool [B, 1, S, keys], the keys that each token attends to.
          slot: index of the first token in a key-value cache with as many slots as `visible` has
            keys; None works without a cache.
          added: what the first blocks add to their outputs, one each, [n, B, S, D], or None.
          number: of this block, if something is added.
        """
        layout, x = self.layout, constrain(x, "batch", None, None)
        y = RMSNorm(layout.epsilon, name="attention_norm")(x)
        x = x + GroupedAttention(layout, name="attention")(y, rope, visible, slot)
        y = RMSNorm(layout.epsilon, name="mlp_norm")(x)
        x = x + SwiGLU(layout.hidden, dtype=layout.dtype, name="mlp")(y)
        if added is not None:
            own = jnp.take(added, number, axis=0, mode="clip").astype(x.dtype)
            x = x + jnp.where(number < len(added), own, 0)
        return x, x if self.collect else None


class TextModel(nn.Module):
    """ids [B, S], mask [B, S] (True on text), shot [B, S] -> hidden states [B, S, E].

    Attributes:
      kv_heads, head_size, hidden: None for `heads`, `width / heads` and 8/3 of the width.
      qkv_bias: biases in the projections of attention (Qwen2.5).
      qk_norm: RMS norms of queries and keys (Qwen3).
      layers: the hidden states to return, concatenated: E = width * len(layers). Numbered like
        `hidden_states` of Hugging Face: 0 is the embedding, i the output of block i, and `depth`
        or -1 that of the last block after the final norm.
      tied: whether the embedding is also the output layer, which only generation uses.
      gradients: type in which devices add up the gradients of kernels; None for `dtype`.
      mrope: of positions with three axes, see `rope.interleaved_rope` (Qwen3-VL); else None.
    """

    vocab_size: int
    width: int
    depth: int
    heads: int
    kv_heads: int | None = None
    head_size: int | None = None
    hidden: int | None = None
    qkv_bias: bool = False
    qk_norm: bool = True
    rope_theta: float = 10_000.0
    epsilon: float = 1e-6
    tied: bool = True
    layers: tuple[int, ...] = (-1,)
    dtype: Any = jnp.float32
    gradients: Any = None
    mrope: tuple[int, int, int] | None = None

    def setup(self) -> None:
        layout = Layout(
            self.heads,
            self.kv_heads or self.heads,
            self._head_size,
            self.hidden or swiglu_hidden(self.width),
            self.qkv_bias,
            self.qk_norm,
            self.epsilon,
            self._precision,
        )
        init = param(nn.initializers.normal(1.0), None, "embed")
        self.embed = nn.Embed(self.vocab_size, self.width, embedding_init=init)
        scanned = nn.scan(
            TextBlock,
            variable_axes={"params": 0, "cache": 0},
            split_rngs={"params": True},
            in_axes=(*[nn.broadcast] * 4, 0),
            length=self.depth,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        self.blocks = scanned(layout, collect=set(self.check_layers()) != {self.depth})
        self.norm_out = RMSNorm(self.epsilon)
        if not self.tied:
            self.head = linear(self.vocab_size, ("embed", None), dtype=self._precision)

    @property
    def _array_dtype(self):
        return products.choose(self.dtype)["dtype"]

    @property
    def _precision(self):
        return products.Precision(self.dtype, self.gradients)

    @property
    def _head_size(self):
        return self.head_size or self.width // self.heads

    def check_layers(self) -> tuple[int, ...]:
        """`layers` without negative numbers; ValueError for one that does not exist."""
        legal = range(-self.depth - 1, self.depth + 1)
        if not self.layers or any(layer not in legal for layer in self.layers):
            raise ValueError(
                f"layers={self.layers}: one or more from {legal[0]} to {self.depth} "
                f"of a model of {self.depth} blocks"
            )
        return tuple(layer % (self.depth + 1) for layer in self.layers)

    def __call__(self, ids: jax.Array, mask: jax.Array, shot: jax.Array | None = None) -> jax.Array:
        """See the class; without `shot` the sequence is one caption."""
        shot = jnp.zeros_like(ids) if shot is None else shot
        order = jnp.arange(ids.shape[1])
        causal = order[:, None] >= order
        together = shot[:, :, None] == shot[:, None, :]
        visible = (causal & together & mask[:, None, :])[:, None]  # [B, 1, S, S]
        return self.extend(ids, caption_positions(mask, shot), visible)

    def extend(
        self, ids: jax.Array, positions: jax.Array, visible: jax.Array, slot: Any = None
    ) -> jax.Array:
        """Hidden states [B, S, E] of tokens that follow those in the mutable "cache".

        Args:
          ids, positions: int [B, S].
          visible: bool [B, 1, S, slots of the cache].
          slot: of the first token; None works without a cache.
        """
        return self.extend_embedded(self.embed_tokens(ids), positions, visible, slot)

    def embed_tokens(self, ids: jax.Array) -> jax.Array:
        """Embeddings [B, S, D] of ids [B, S]."""
        return self.embed(ids).astype(self._array_dtype)

    def extend_embedded(
        self,
        x: jax.Array,
        positions: jax.Array,
        visible: jax.Array,
        slot: Any = None,
        added: jax.Array | None = None,
    ) -> jax.Array:
        """`extend` of embeddings x [B, S, D]; positions [B, S], or with `mrope` [B, S, 3].

        added: [n, B, S, D], what the first n blocks add to their outputs.
        """
        turn = rope_1d if positions.ndim == 2 else interleaved_rope(self.mrope)
        rope = turn(positions, self._head_size, self.rope_theta)
        numbers = None if added is None else jnp.arange(self.depth)
        last, outputs = self.blocks(x, rope, visible, slot, added, numbers)
        states = {0: lambda: x, self.depth: lambda: self.norm_out(last)}
        chosen = [states.get(i, lambda i=i: outputs[i - 1])() for i in self.check_layers()]
        return jnp.concatenate(chosen, axis=-1)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Logits of the next token, float32 [..., vocab_size], from the last hidden states."""
        if self.tied:
            table = self.embed.embedding.astype(self._array_dtype)
            return jnp.einsum("...d,vd->...v", hidden, table, preferred_element_type=jnp.float32)
        return self.head(hidden).astype(jnp.float32)

    def predict(self, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Logits [B, S, vocab_size] after every token; `layers` must be (-1,)."""
        return self.logits(self(ids, mask))


def as_stored(tokens: jax.Array) -> jax.Array:
    """Rounds text tokens to the precision of precomputed ones (bfloat16; `data.schema.TEXTS`).

    So a generator that was trained on precomputed tokens gets equal values in sampling.
    """
    return jax.lax.reduce_precision(tokens, exponent_bits=8, mantissa_bits=7)


def caption_starts(mask: jax.Array, shot: jax.Array) -> jax.Array:
    """True on the first token of every caption, bool [B, S]."""
    before = jnp.pad(shot[:, :-1], ((0, 0), (1, 0)))
    valid_before = jnp.pad(mask[:, :-1], ((0, 0), (1, 0)))
    return mask & (~valid_before | (shot != before))


def caption_positions(mask: jax.Array, shot: jax.Array) -> jax.Array:
    """Position of every token in its caption, int32 [B, S]."""
    order = jnp.arange(mask.shape[1])
    starts = jnp.where(caption_starts(mask, shot), order, 0)
    return order - jax.lax.cummax(starts, axis=1)


def word_count(text: str) -> int:
    """Text tokens that `pool_words` makes of a caption: its words, and one for the start."""
    return 1 + len([word for word in text.split(" ") if word])


def pool_words(
    hidden: jax.Array,
    ids: jax.Array,
    mask: jax.Array,
    shot: jax.Array,
    space_id: int,
    max_words: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One text token per word of a byte-level model: the hidden state at its last byte.

    Args:
      hidden: [B, bytes, D].
      ids, mask, shot: [B, bytes]; the start token of a caption counts as a word.
      space_id: the id that ends a word.
      max_words: S, the number of text tokens; callers make sure that captions fit. 0 returns all
        hidden states.

    Returns:
      tokens [B, S, D] (zero on padding), their mask bool [B, S] and their shot int [B, S].
    """
    if not max_words:
        return jnp.where(mask[..., None], hidden, 0), mask, shot
    starts = caption_starts(mask, shot)
    following = jnp.pad(ids[:, 1:], ((0, 0), (0, 1)), constant_values=space_id)
    goes_on = jnp.pad((mask & ~starts)[:, 1:], ((0, 0), (0, 1)))
    ends = mask & ((following == space_id) | ~goes_on) & (ids != space_id)
    ends = ends | starts
    order = jnp.argsort(~ends, axis=1, stable=True)[:, :max_words]
    kept = jnp.take_along_axis(ends, order, axis=1)
    tokens = jnp.take_along_axis(hidden, order[..., None], axis=1)
    return jnp.where(kept[..., None], tokens, 0), kept, jnp.take_along_axis(shot, order, axis=1)
