"""Vision-language model: a vision tower whose tokens a decoder-only language model reads.

The sequence is [visual tokens of all frames][text]. Attention is causal throughout, so a token of
the text knows the frames and the text before it, and nothing after it. Positions count the tokens
of the sequence one by one, frame after frame and row after row, as in the text that the language
model was trained on; padding, of patches or of text, has none and changes nothing.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models import products
from seedance_jax.models.layers import LayerNorm, linear
from seedance_jax.models.perception.vision import Patches, VisionTower
from seedance_jax.models.text import TextModel
from seedance_jax.sharding import constrain


class Projector(nn.Module):
    """A block of visual tokens [B, T, L, D] -> one of the language model [B, T, L / size, width].

    Norm, then an MLP of two layers (the merger of Qwen2-VL, arXiv:2409.12191).

    Attributes:
      size: tokens of a block, which follow each other.
    """

    width: int
    size: int
    dtype: products.Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = LayerNorm(name="norm")(x)
        x = x.reshape(*x.shape[:2], x.shape[2] // self.size, -1)
        options = {"dtype": self.dtype, "use_bias": True}
        up = linear(x.shape[-1], ("embed", "mlp"), name="up", **options)
        down = linear(self.width, ("mlp", "embed"), name="down", **options)
        return down(nn.gelu(up(x), approximate=False))


class VisionLanguageModel(nn.Module):
    """Patches of frames and a text -> logits of the token that follows chosen ones of the text.

    Attributes:
      tower: its patches come from `tower.read(video, block)`.
      text: with layers (-1,).
      block: `block` x `block` neighbouring patches become one token of the language model.
    """

    tower: VisionTower
    text: TextModel
    block: int = 2

    def setup(self) -> None:
        precision = products.Precision(self.text.dtype, self.text.gradients)
        self.projector = Projector(self.text.width, self.block**2, precision)

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
        """Hidden states [B, S, E] of the text, which follows the frames."""
        visual, seen = self.embed_frames(patches)
        text = self.text.embed_tokens(ids)
        x = jnp.concatenate([visual.astype(text.dtype), text], axis=1)
        mask = jnp.concatenate([seen, mask], axis=1)
        order = jnp.arange(mask.shape[1])
        visible = ((order[:, None] >= order) & mask[:, None, :])[:, None]
        positions = jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)
        return self.text.extend_embedded(x, positions, visible)[:, visual.shape[1] :]

    def embed_frames(self, patches: Patches) -> tuple[jax.Array, jax.Array]:
        """(visual tokens [B, V, D] of all frames, one after the other, their mask [B, V])."""
        visual = constrain(self.projector(self.tower(patches)), "batch", None, None, None)
        seen = patches.mask.reshape(*visual.shape[:3], -1).all(-1)
        return visual.reshape(len(visual), -1, visual.shape[-1]), seen.reshape(len(seen), -1)
