"""The generator: a text model and the diffusion transformer it feeds, as one tree of weights."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from seedance_jax.models.dit import Condition, DiT
from seedance_jax.models.text import TextModel, as_stored, pool_words


class Generator(nn.Module):
    """Text -> text tokens -> velocity of noisy latents.

    Attributes:
      text_model: fields of TextModel; None where text tokens come from elsewhere.
      dit: fields of DiT.
      space_id, max_words: of `pool_words`.
      finished: whether the text model is one that stays as it is; see `as_stored`.
    """

    text_model: Mapping[str, Any] | None
    dit: Mapping[str, Any]
    space_id: int
    max_words: int
    finished: bool = False

    def setup(self):
        if self.text_model is not None:
            self.text = TextModel(**self.text_model)
        self.video = DiT(**self.dit)

    def encode_text(self, ids, mask, shot):
        """Captions ids, mask, shot [B, S] -> text tokens [B, P, E], their mask and shot [B, P]."""
        hidden = self.text(ids, mask, shot)
        hidden = as_stored(hidden) if self.finished else hidden
        return pool_words(hidden, ids, mask, shot, self.space_id, self.max_words)

    def velocity(self, xt, t, condition):
        """See DiT."""
        return self.video(xt, t, condition)

    def __call__(self, xt, t, text, frames):
        """Velocity float32 [B, T, H, W, C] of `xt` at time t [B] or [B, T].

        text: (ids, mask, shot), each [B, S], or without a text model what `encode_text` gives;
        frames: (frame_shot, latents, mask) of Condition.
        """
        text = text if self.text_model is None else self.encode_text(*text)
        return self.velocity(xt, t, Condition(*text, *frames))


def example_inputs(latent_channels, text_length, text_width=None):
    """Small arguments of a Generator, to initialise it with; text tokens if a width is given."""
    xt = jnp.zeros((1, 2, 2, 2, latent_channels))
    ids, shot = jnp.ones((1, text_length), int), jnp.zeros((1, 2), int)
    text = ids if text_width is None else jnp.zeros((1, text_length, text_width))
    return xt, jnp.ones(1), (text, ids > 0, 0 * ids), (shot, xt, jnp.zeros((1, 2)))
