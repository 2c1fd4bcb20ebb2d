"""The generator: a text model and the diffusion transformer it feeds, as one tree of weights."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from seedance_jax.models.dit import Condition, DiT
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

    def encode_text(self, ids, mask, shot):
        """Captions ids, mask, shot [B, S] -> text tokens [B, max_words, E], their mask and shot."""
        hidden = self.text(ids, mask, shot)
        return pool_words(hidden, ids, mask, shot, self.space_id, self.max_words)

    def velocity(self, xt, t, condition):
        """See DiT."""
        return self.video(xt, t, condition)

    def __call__(self, xt, t, text, frames):
        """Velocity float32 [B, T, H, W, C] of `xt` at time t [B] or [B, T].

        text: (ids, mask, shot), each [B, S]; frames: (frame_shot, latents, mask) of Condition.
        """
        return self.velocity(xt, t, Condition(*self.encode_text(*text), *frames))


def example_inputs(latent_channels, text_length):
    """Small arguments of a Generator, to initialise it with."""
    xt = jnp.zeros((1, 2, 2, 2, latent_channels))
    ids, shot = jnp.ones((1, text_length), int), jnp.zeros((1, 2), int)
    return xt, jnp.ones(1), (ids, ids > 0, 0 * ids), (shot, xt, jnp.zeros((1, 2)))
