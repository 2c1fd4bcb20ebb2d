"""Diffusion transformer with decoupled spatial and temporal layers (`models/blocks.py`).

One input layout serves every task: channels [noisy C | given C | mask 1], the mask being 1 on given
latent frames; other conditions add channels of their own (`models/conditioning.py`). One latent
pixel is one token. A clip may have several shots: the frames of a shot read its caption and the
global one, temporal blocks tie the shots together.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models import conditioning
from seedance_jax.models.attention import FUSED, KERNELS, SAVED
from seedance_jax.models.blocks import BlockPairs, Text, block_ropes, visible_text
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.layers import (
    MODULATION_PARTS,
    ZEROS,
    RMSNorm,
    layer_norm,
    linear,
    modulate,
    timestep_features,
)
from seedance_jax.models.products import Precision

# What the forward pass keeps for the backward pass, which recomputes the rest: of every pair of
# blocks its input ("hidden"), under every policy but "none", and what the policy names besides.
REMAT_POLICIES = {
    "none": None,  # keep all
    # The outputs of projections and of attention: what is cheap is recomputed, which on a CPU takes
    # less time than keeping it.
    "save_products": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        jax.checkpoint_policies.save_only_these_names(SAVED),
    ),
    "save_attention": jax.checkpoint_policies.save_only_these_names(SAVED),
    "full": jax.checkpoint_policies.nothing_saveable,
    # The inputs and the outputs of attention, moved to the memory of the host.
    "offload": jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=["hidden", SAVED],
        offload_src="device",
        offload_dst="pinned_host",
    ),
}

ATTENTION = ("decoupled", "full")


class DiT(nn.Module):
    """Predicts the velocity of noisy latents.

    Attributes:
      latent_channels: C of the autoencoder.
      width, heads: of every block; `depth` counts (spatial, temporal) pairs.
      window: (rows, columns) of a temporal window, in latent pixels.
      shift: of the windows of every second pair; (0, 0) for none.
      kernel: of the attention of video, see `attention.attend_groups`.
      attention: "decoupled", or "full": every block attends to all frames whole (for comparison).
      remat: what the backward pass recomputes, see `REMAT_POLICIES`.
      dtype: of matrix products; norms, modulation and the output stay float32.
      gradients: type in which devices add up the gradients of kernels; None for `dtype`.
      conditions: names of `conditioning.ADAPTERS`, each with an adapter at the patch embedding.
    """

    latent_channels: int
    width: int
    depth: int
    heads: int
    window: tuple[int, int]
    shift: tuple[int, int] = (0, 0)
    attention: str = "decoupled"
    kernel: str = "auto"
    remat: str = "none"
    dtype: Any = jnp.float32
    gradients: Any = None
    conditions: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        for name in self.conditions:
            check_choice("conditions", name, conditioning.ADAPTERS)
        check_choice("attention", self.attention, ATTENTION)
        check_choice("kernel", self.kernel, ("auto", FUSED, *KERNELS))
        check_choice("remat", self.remat, REMAT_POLICIES)
        for name in ("width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width={self.width} is not a multiple of heads={self.heads}")
        for name in ("window", "shift"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"{name}={getattr(self, name)} must be (rows, columns)")
        if min(self.window) < 1:
            raise ValueError(f"window={self.window}: rows and columns must be at least 1")
        if not all(0 <= s < w for s, w in zip(self.shift, self.window, strict=True)):
            raise ValueError(f"shift={self.shift} must be from 0 to below window={self.window}")
        if self.depth % len(self.shifts):
            raise ValueError(f"depth={self.depth} must be even for shift={self.shift}")

    @property
    def shifts(self) -> tuple[tuple[int, int], ...]:
        """Of the temporal windows, pair after pair, again and again."""
        return ((0, 0), tuple(self.shift)) if any(self.shift) else ((0, 0),)

    @property
    def _precision(self):
        return Precision(self.dtype, self.gradients)

    @nn.compact
    def __call__(self, xt: jax.Array, t: jax.Array, condition: Condition) -> jax.Array:
        """Velocity of `xt`, float32 [B, T, H, W, C].

        Args:
          xt: noisy latents [B, T, H, W, C].
          t: time of each sample [B], or of each of its latent frames [B, T]; 0 is data, 1 is
            noise. Text goes by the time of the noisiest frame.
          condition: with text tokens, not ids.
        """
        video = self._patch(xt, condition)
        tokens = RMSNorm(name="text_norm")(condition.text)
        tokens = linear(self.width, (None, "embed"), dtype=self._precision, name="text_in")(tokens)
        text = Text(tokens, condition.text_mask, visible_text(condition))
        shared, final = self._time(t if t.ndim == 2 else t[:, None])
        full, size = self.attention == "full", xt.shape[2:4]
        windows = [(size, (0, 0)) if full else (self.window, shift) for shift in self.shifts]
        ropes = block_ropes(condition, size, self.width // self.heads, windows, full)
        (video, _), _ = self._blocks()((video, text), shared, ropes)
        video = modulate(layer_norm(video).astype(jnp.float32), final[..., 0, :], final[..., 1, :])
        return linear(self.latent_channels, ("embed", None), ZEROS, use_bias=True, name="out")(
            video
        )

    def _patch(self, xt, condition):
        """Tokens [B, T, H, W, D] of the input layout and of what adapters add to it."""
        channels = jnp.concatenate([xt, conditioning.given_channels(condition, xt)], axis=-1)
        embed = lambda name, **kwargs: linear(  # noqa: E731
            self.width, (None, "embed"), dtype=self._precision, name=name, **kwargs
        )
        video = embed("patch", use_bias=True)(channels)
        for name in self.conditions:
            channels = conditioning.ADAPTERS[name].rasterise(condition, xt)
            video += embed(conditioning.adapter_name(name), init=ZEROS)(channels)
        return video

    def _time(self, t):
        """Shared modulation of video [B, T, 6, D] and text [B, 6, D]; [B, T, 2, D] of the output.

        t: [B, T], T being 1 for one time for all frames.
        """
        y = timestep_features(jnp.concatenate([t, t.max(1, keepdims=True)], axis=1), 256)
        y = nn.silu(linear(self.width, (None, "embed"), use_bias=True, name="time_in")(y))
        y = nn.silu(linear(self.width, ("embed", None), use_bias=True, name="time_mid")(y))
        shape = (MODULATION_PARTS + 2, self.width)
        y = linear(shape, ("embed", None, None), ZEROS, use_bias=True, name="time_out")(y)
        blocks, final = y[..., :MODULATION_PARTS, :], y[:, :-1, MODULATION_PARTS:]
        return (blocks[:, :-1], blocks[:, -1]), final

    def _blocks(self):
        block = BlockPairs
        if self.remat != "none":
            block = nn.remat(block, policy=REMAT_POLICIES[self.remat], prevent_cse=False)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=self.depth // len(self.shifts),
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        full = self.attention == "full"
        settings = (self.heads, self.window, self.shifts, full, self.kernel, self._precision)
        return scanned(*settings, name="pairs")


def check_choice(name: str, value: Any, legal: Any) -> None:
    """Raises ValueError unless the value is one of the legal ones."""
    if value not in legal:
        raise ValueError(f"{name}={value!r}; legal values: {list(legal)}")
