"""The generator: a text model and the diffusion transformer it feeds, as one tree of weights."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from seedance_jax.models.dit import DiT
from seedance_jax.models.text import TextModel, pool_words


class Generator(nn.Module):
    """Byte text -> text tokens -> velocity of noisy latents.

    Attributes:
      text_model: fields of TextModel.
      dit: fields of DiT.
      space_id, max_words: of `pool_words`.
    """

    text_model: Mapping[str, Any]
    dit: Mapping[str, Any]
    space_id: int
    max_words: int

    def setup(self):
        self.text = TextModel(**self.text_model)
        self.video = DiT(**self.dit)

    def encode_text(self, ids, mask):
        """ids, mask [B, S] -> text tokens [B, max_words, E] and their mask [B, max_words]."""
        return pool_words(self.text(ids, mask), ids, mask, self.space_id, self.max_words)

    def velocity(self, xt, t, tokens, tokens_mask, condition_latents, condition_mask):
        """See DiT."""
        return self.video(xt, t, tokens, tokens_mask, condition_latents, condition_mask)

    def __call__(self, xt, t, ids, mask, condition_latents, condition_mask):
        """Velocity float32 [B, T, H, W, C] of `xt` at time t [B] under the text ids [B, S]."""
        tokens, tokens_mask = self.encode_text(ids, mask)
        return self.velocity(xt, t, tokens, tokens_mask, condition_latents, condition_mask)
