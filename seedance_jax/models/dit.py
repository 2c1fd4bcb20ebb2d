"""Diffusion transformer with decoupled spatial and temporal layers.

Spatial blocks are per-frame multimodal transformers: video and text tokens have their own weights
and attend jointly. Temporal blocks see video tokens only: each window position of a frame attends
to the same window across all frames. Both are the identity at initialisation (Sec. 2.3 of
arXiv:2506.09113; shared timestep modulation with a bias per block as in arXiv:2310.00426).

One input layout serves every task: channels [noisy C | condition C | mask 1], the mask being 1 on
given latent frames. One latent pixel is one token.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.models.attention import QKV, attend, output_projection
from seedance_jax.models.layers import (
    ZEROS,
    Modulation,
    RMSNorm,
    SwiGLU,
    gated,
    layer_norm,
    linear,
    modulate,
    swiglu_hidden,
    timestep_features,
)
from seedance_jax.models.rope import rope_table, text_positions, video_positions
from seedance_jax.sharding import constrain

MODULATION_PARTS = 6  # shift, scale, gate of attention; shift, scale, gate of the MLP

REMAT_POLICIES = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class MLPBranch(nn.Module):
    """tokens + gate * mlp(modulated norm of tokens)."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, shift, scale, gate):
        y = modulate(layer_norm(x), shift, scale)
        y = SwiGLU(swiglu_hidden(x.shape[-1]), dtype=self.dtype, name="mlp")(y)
        return x + gated(y, gate)


class SpatialBlock(nn.Module):
    """Joint attention of every frame's tokens with the text, then an MLP per modality.

    Tokens of a frame attend to their frame and the text; text tokens attend to the text and to all
    frames.
    """

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, text, text_mask, shared, ropes):
        """video [B, T, L, D], text [B, S, D], text_mask [B, S], shared [B, 6, D] -> video, text."""
        video = constrain(video, "batch", "frames", None, None)
        width, (video_rope, text_rope) = video.shape[-1], ropes
        parts = {
            name: Modulation(MODULATION_PARTS, name=f"{name}_modulation")(shared)
            for name in ("video", "text")
        }
        y = modulate(layer_norm(video), *parts["video"][:2])
        query, key, value = QKV(self.heads, self.dtype, name="video_qkv")(y, video_rope)
        y = modulate(layer_norm(text), *parts["text"][:2])
        text_query, text_key, text_value = QKV(self.heads, self.dtype, name="text_qkv")(
            y, text_rope
        )
        video_out = self._frames_attend(query, key, value, text_key, text_value, text_mask)
        text_out = self._text_attends(text_query, key, value, text_key, text_value, text_mask)
        video_out = output_projection(width, self.dtype, "video_out")(video_out)
        text_out = output_projection(width, self.dtype, "text_out")(text_out)
        video = video + gated(video_out, parts["video"][2])
        text = text + gated(text_out, parts["text"][2])
        video = MLPBranch(self.dtype, name="video_mlp")(video, *parts["video"][3:])
        text = MLPBranch(self.dtype, name="text_mlp")(text, *parts["text"][3:])
        return video, text

    def _frames_attend(self, query, key, value, text_key, text_value, text_mask):
        mask = jnp.ones((*text_mask.shape[:1], query.shape[2]), bool)
        mask = jnp.concatenate([mask, text_mask], axis=1)[:, None, None]  # [B, 1, 1, L + S]

        def one_frame(query, key, value):
            key = jnp.concatenate([key, text_key], axis=1)
            value = jnp.concatenate([value, text_value], axis=1)
            return attend(query, key, value, mask)

        return jax.vmap(one_frame, in_axes=1, out_axes=1)(query, key, value)

    def _text_attends(self, text_query, key, value, text_key, text_value, text_mask):
        flat = (key.shape[0], key.shape[1] * key.shape[2], *key.shape[3:])
        key = jnp.concatenate([key.reshape(flat), text_key], axis=1)
        value = jnp.concatenate([value.reshape(flat), text_value], axis=1)
        mask = jnp.concatenate([jnp.ones(flat[:2], bool), text_mask], axis=1)[:, None, None]
        return attend(text_query, key, value, mask)


class TemporalBlock(nn.Module):
    """Attention of each window of the frame with itself across all frames, then an MLP."""

    heads: int
    window: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, shared, grid_rope):
        """video [B, T, H, W, D], shared [B, 6, D] -> video."""
        _, t, h, w, width = video.shape
        parts = Modulation(MODULATION_PARTS, name="modulation")(shared)
        y = modulate(layer_norm(video), *parts[:2])
        y = constrain(to_windows(y, self.window), "batch", None, "windows", None, None)
        inside = to_windows(jnp.ones((1, t, h, w, 1), bool), self.window)[0, ..., 0]
        rope = tuple(to_windows(table[None], self.window)[0] for table in grid_rope)
        query, key, value = QKV(self.heads, self.dtype, name="qkv")(y, rope)
        y = self._windows_attend(query, key, value, inside)
        y = output_projection(width, self.dtype, "out")(y)
        y = from_windows(y, self.window, (h, w))
        video = constrain(video + gated(y, parts[2]), "batch", "frames", None, None, None)
        return MLPBranch(self.dtype, name="mlp")(video, *parts[3:])

    def _windows_attend(self, query, key, value, inside):
        """[B, T, M, P, N, K] for M windows of P positions; `inside` [T, M, P] hides padding."""

        def one_window(query, key, value, inside):
            b, t, p, n, k = query.shape
            flat = (b, t * p, n, k)
            mask = inside.reshape(1, 1, 1, t * p)
            query, key, value = (array.reshape(flat) for array in (query, key, value))
            return attend(query, key, value, mask).reshape(b, t, p, n, k)

        return jax.vmap(one_window, in_axes=(2, 2, 2, 1), out_axes=2)(query, key, value, inside)


def to_windows(x, window):
    """[B, T, H, W, D] -> [B, T, M, P, D]: M windows of P positions, zero padded where needed."""
    (b, t, h, w, d), (rows, columns) = x.shape, window
    x = jnp.pad(x, ((0, 0), (0, 0), (0, -h % rows), (0, -w % columns), (0, 0)))
    height, width = x.shape[2] // rows, x.shape[3] // columns
    x = x.reshape(b, t, height, rows, width, columns, d).transpose(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(b, t, height * width, rows * columns, d)


def from_windows(x, window, size):
    """Inverse of `to_windows` for frames of `size` (H, W)."""
    (b, t, _, _, d), (rows, columns), (h, w) = x.shape, window, size
    height, width = -(-h // rows), -(-w // columns)
    x = x.reshape(b, t, height, width, rows, columns, d).transpose(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(b, t, height * rows, width * columns, d)[:, :, :h, :w]


class BlockPair(nn.Module):
    """One spatial and one temporal block: the unit that is scanned over depth."""

    heads: int
    window: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry, text_mask, shared, ropes):
        video, text = carry
        b, t, h, w, d = video.shape
        video_rope, text_rope = ropes
        frame_rope = tuple(table.reshape(t, h * w, -1) for table in video_rope)
        spatial = SpatialBlock(self.heads, self.dtype, name="spatial")
        video, text = spatial(
            video.reshape(b, t, h * w, d), text, text_mask, shared, (frame_rope, text_rope)
        )
        temporal = TemporalBlock(self.heads, self.window, self.dtype, name="temporal")
        video = temporal(video.reshape(b, t, h, w, d), shared, video_rope)
        return (video, text), None


class DiT(nn.Module):
    """Predicts the velocity of noisy latents.

    Attributes:
      latent_channels: C of the autoencoder.
      width, heads: of every block; `depth` counts (spatial, temporal) pairs.
      window: (rows, columns) of a temporal window, in latent pixels.
      remat: "none", "full" or "dots": what the backward pass recomputes.
      dtype: of matrix products; norms, modulation and the output stay float32.
    """

    latent_channels: int
    width: int
    depth: int
    heads: int
    window: tuple[int, int]
    remat: str = "none"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, xt, t, text, text_mask, condition_latents, condition_mask):
        """Velocity of `xt`, float32 [B, T, H, W, C].

        Args:
          xt: noisy latents [B, T, H, W, C].
          t: time of each sample [B]; 0 is data, 1 is noise.
          text, text_mask: text tokens [B, S, E] and their validity [B, S].
          condition_latents: clean latents [B, T, H, W, C] of the given frames.
          condition_mask: 1 on given latent frames [B, T]; the other condition latents are ignored.
        """
        _, frames, height, width, _ = xt.shape
        given = condition_mask.astype(xt.dtype)[:, :, None, None, None]
        mask_channel = jnp.broadcast_to(given, (*xt.shape[:-1], 1))
        video = jnp.concatenate([xt, condition_latents * given, mask_channel], axis=-1)
        video = linear(self.width, (None, "embed"), use_bias=True, dtype=self.dtype, name="patch")(
            video
        )
        text = RMSNorm(name="text_norm")(text)
        text = linear(self.width, (None, "embed"), dtype=self.dtype, name="text_in")(text)
        shared, final = self._time(t)
        ropes = self._ropes(frames, height, width, text.shape[1])
        (video, _), _ = self._blocks()((video, text), text_mask, shared, ropes)
        video = modulate(layer_norm(video).astype(jnp.float32), final[:, 0], final[:, 1])
        return linear(self.latent_channels, ("embed", None), ZEROS, use_bias=True, name="out")(
            video
        )

    def _time(self, t):
        """Shared modulation [B, 6, D] of the blocks and [B, 2, D] of the output."""
        y = timestep_features(t, 256)
        y = nn.silu(linear(self.width, (None, "embed"), use_bias=True, name="time_in")(y))
        y = nn.silu(linear(self.width, ("embed", None), use_bias=True, name="time_mid")(y))
        shape = (MODULATION_PARTS + 2, self.width)
        y = linear(shape, ("embed", None, None), ZEROS, use_bias=True, name="time_out")(y)
        return y[:, :MODULATION_PARTS], y[:, MODULATION_PARTS:]

    def _ropes(self, frames, height, width, text_length):
        head_size = self.width // self.heads
        grid = video_positions(frames, height, width, start=text_length)
        text = text_positions(text_length)
        return rope_table(grid, head_size), rope_table(text, head_size)

    def _blocks(self):
        block = BlockPair
        if self.remat != "none":
            block = nn.remat(BlockPair, policy=REMAT_POLICIES[self.remat], prevent_cse=False)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast, nn.broadcast),
            length=self.depth,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        return scanned(self.heads, self.window, self.dtype, name="pairs")
