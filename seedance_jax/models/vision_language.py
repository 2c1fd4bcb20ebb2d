"""Vision-language model: a vision tower whose tokens a decoder-only language model reads.

The sequence is [visual tokens of all frames][text], or a text in which the visual tokens have
their places. Attention is causal throughout, so a token knows the frames and the text before it,
and nothing after it. Positions count the tokens of the sequence one by one, frame after frame and
row after row, as in the text that the language model was trained on; padding, of patches or of
text, has none and changes nothing. With M-RoPE a frame has one position in time, and its rows and
columns count from there.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models import products
from seedance_jax.models.layers import LayerNorm, linear
from seedance_jax.models.perception.patches import Patches
from seedance_jax.models.perception.vision import VisionTower
from seedance_jax.models.text import TextModel
from seedance_jax.sharding import constrain


class Projector(nn.Module):
    """A block of visual tokens [B, T, L, D] -> one of the language model [B, T, L / size, width].

    Norm, then an MLP of two layers (the merger of Qwen2-VL, arXiv:2409.12191).

    Attributes:
      size: tokens of a block, which follow each other.
      joint: whether the norm is of a block instead of each of its tokens.
    """

    width: int
    size: int
    dtype: products.Precision
    joint: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = LayerNorm(name="norm")
        x = x if self.joint else norm(x)
        x = x.reshape(*x.shape[:2], x.shape[2] // self.size, -1)
        x = norm(x) if self.joint else x
        options = {"dtype": self.dtype, "use_bias": True}
        up = linear(x.shape[-1], ("embed", "mlp"), name="up", **options)
        down = linear(self.width, ("mlp", "embed"), name="down", **options)
        return down(nn.gelu(up(x), approximate=False))


class Sequence(NamedTuple):
    """What the language model reads.

    Attributes:
      ids: int [B, S].
      visual: bool [B, S], where visual tokens stand.
      mask: bool [B, S], False on padding.
    """

    ids: jax.Array
    visual: jax.Array
    mask: jax.Array


class VisionLanguageModel(nn.Module):
    """Patches of frames and a text -> logits of the token that follows chosen ones of the text.

    Attributes:
      tower: its patches come from `tower.read(video, block)`.
      text: with layers (-1,).
      block: `block` x `block` neighbouring patches become one token of the language model.
      placeholder: the id that stands for a visual token in a text, which has as many of them as
        there are; None: they come before the text.
    """

    tower: VisionTower
    text: TextModel
    block: int = 2
    placeholder: int | None = None

    def setup(self) -> None:
        precision = products.Precision(self.text.dtype, self.text.gradients)
        settings = self.text.width, self.block**2, precision
        self.projector = Projector(*settings)
        self.deep = [Projector(*settings, joint=True) for _ in self.tower.deep]

    def __call__(
        self, patches: Patches, ids: jax.Array, mask: jax.Array, places: jax.Array
    ) -> jax.Array:
        """Logits float32 [B, A, vocab_size] of what follows the tokens at `places`.

        Args:
          ids, mask: [B, S], the text; the mask is False on padding, which may be anywhere.
          places: int [B, A], indices into the text.
        """
        hidden = self.hidden_states(patches, ids, mask)
        return self.text.logits(jnp.take_along_axis(hidden, places[..., None], axis=1))

    def hidden_states(self, patches: Patches, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Hidden states [B, S, E] of the text."""
        visual, deep, seen = self.embed_frames(patches)
        sequence = self._arrange(ids, mask, seen)
        rank = _before(sequence.visual)[..., None]
        put = lambda tokens, others: jnp.where(  # noqa: E731
            sequence.visual[..., None],
            jnp.take_along_axis(tokens, rank, axis=1, mode="clip").astype(others.dtype),
            others,
        )
        x = put(visual, self.text.embed_tokens(sequence.ids))
        added = jnp.stack([put(part, jnp.zeros_like(x)) for part in deep]) if deep else None
        order = jnp.arange(x.shape[1])
        visible = ((order[:, None] >= order) & sequence.mask[:, None, :])[:, None]
        positions = self._positions(sequence, patches)
        hidden = self.text.extend_embedded(x, positions, visible, added=added)
        return hidden[:, -ids.shape[1] :]

    def embed_frames(self, patches: Patches) -> tuple[jax.Array, list[jax.Array], jax.Array]:
        """Visual tokens of all frames, one after the other.

        Returns:
          Those for the start of the sequence [B, V, D], those that are added in the first blocks,
          and the mask [B, V] of both.
        """
        tokens, outputs = self.tower.features(patches)
        outputs = () if outputs is None else outputs
        visual = [self.projector(tokens), *(p(x) for p, x in zip(self.deep, outputs, strict=True))]
        visual = [constrain(part, "batch", None, None, None) for part in visual]
        seen = patches.mask.reshape(*visual[0].shape[:3], -1).all(-1)
        visual = [part.reshape(len(part), -1, part.shape[-1]) for part in visual]
        return visual[0], visual[1:], seen.reshape(len(seen), -1)

    def _arrange(self, ids, mask, seen):
        if self.placeholder is not None:
            visual = ids == self.placeholder
            return Sequence(ids, visual, mask)
        front = ((0, 0), (seen.shape[1], 0))
        visual = jnp.pad(jnp.zeros(ids.shape, bool), front, constant_values=True)
        return Sequence(jnp.pad(ids, front), visual, jnp.concatenate([seen, mask], axis=1))

    def _positions(self, sequence, patches):
        """int [B, S], or of a language model with M-RoPE [B, S, 3]."""
        if self.text.mrope is None:
            return jnp.maximum(jnp.cumsum(sequence.mask, axis=1) - 1, 0)
        size, rank = self.block**2, _before(sequence.visual)
        extents = jnp.pad(jnp.cumsum(patches.shape.max(-1) // self.block, axis=1), ((0, 0), (1, 0)))
        frames = rank // (patches.mask.shape[2] // size)  # that have ended before
        starts = jnp.take_along_axis(extents, frames, axis=1)
        starts = starts + _before(sequence.mask & ~sequence.visual)
        places = patches.places[:, :, ::size] // self.block
        places = places.reshape(len(places), -1, 2)
        places = jnp.take_along_axis(places, rank[..., None], axis=1, mode="clip")
        places = jnp.where(sequence.visual[..., None], places, 0)
        return starts[..., None] + jnp.pad(places, ((0, 0), (0, 0), (1, 0)))


def _before(marks):
    """How many of the marks [B, S] come before each place."""
    return jnp.cumsum(marks, axis=1) - marks
