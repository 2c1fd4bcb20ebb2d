"""The generator: a text model and the diffusion transformer it feeds, as one tree of weights."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.conditioning import Condition
from seedance_jax.models.dit import DiT
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

    def setup(self) -> None:
        if self.text_model is not None:
            self.text = TextModel(**self.text_model)
        self.video = DiT(**self.dit)

    def encode_text(self, condition: Condition) -> Condition:
        """The condition with text tokens [B, P, E], their mask and shot, in the place of ids."""
        ids, mask, shot = condition.text, condition.text_mask, condition.text_shot
        hidden = self.text(ids, mask, shot)
        hidden = as_stored(hidden) if self.finished else hidden
        tokens, mask, shot = pool_words(hidden, ids, mask, shot, self.space_id, self.max_words)
        return condition._replace(text=tokens, text_mask=mask, text_shot=shot)

    def velocity(self, xt: jax.Array, t: jax.Array, condition: Condition) -> jax.Array:
        """Of a condition with text tokens; see DiT."""
        return self.video(xt, t, condition)

    def __call__(self, xt: jax.Array, t: jax.Array, condition: Condition) -> jax.Array:
        """Velocity float32 [B, T, H, W, C] of `xt` at time t [B] or [B, T].

        condition: with ids; without a text model with text tokens.
        """
        condition = condition if self.text_model is None else self.encode_text(condition)
        return self.velocity(xt, t, condition)


def example_inputs(
    latent_channels: int, text_length: int, text_width: int | None = None
) -> tuple[jax.Array, jax.Array, Condition]:
    """Small arguments of a Generator, to initialise it with; text tokens if a width is given."""
    xt = jnp.zeros((1, 2, 2, 2, latent_channels))
    ids, shot = jnp.ones((1, text_length), int), jnp.zeros((1, 2), int)
    text = ids if text_width is None else jnp.zeros((1, text_length, text_width))
    return xt, jnp.ones(1), Condition(text, ids > 0, 0 * ids, shot, xt, jnp.zeros((1, 2)))
