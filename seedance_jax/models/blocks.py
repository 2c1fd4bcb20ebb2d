"""The blocks of the diffusion transformer: spatial, temporal, and a pair of both.

Spatial blocks are per-frame multimodal transformers: video and text tokens have their own weights
and attend jointly. Temporal blocks see video tokens only: each window position of a frame attends
to the same window across all frames. Both are the identity at initialisation (Sec. 2.3 of
arXiv:2506.09113; shared timestep modulation with a bias per block as in arXiv:2310.00426).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from seedance_jax.models.attention import QKV, attend_frames, attend_groups, output_projection
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.layers import (
    BlockModulation,
    Modulation,
    SwiGLU,
    gated,
    layer_norm,
    modulate,
    swiglu_hidden,
)
from seedance_jax.models.windows import (
    flat_frames,
    frames_apart,
    from_windows,
    heads_apart,
    to_windows,
)
from seedance_jax.sharding import constrain

Rope = tuple[jax.Array, jax.Array]  # (cos, sin), see `rope.rope_table`


class Text(NamedTuple):
    """Text tokens [B, S, D] on their way through the blocks, with what frames may see of them.

    Attributes:
      mask: bool [B, S], False on padding.
      visible: bool [B, T, S]; which tokens a frame attends to, and the other way round.
    """

    tokens: jax.Array
    mask: jax.Array
    visible: jax.Array


def visible_text(condition: Condition) -> jax.Array:
    """Which valid text tokens a frame sees, bool [B, T, S]: of its shot, and of the whole clip."""
    shot = condition.text_shot[:, None]
    same = (shot < 0) | (shot == condition.frame_shot[:, :, None])
    return same & condition.text_mask[:, None]


class MLPBranch(nn.Module):
    """tokens + gate * mlp(modulated norm of tokens)."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, modulation: Modulation) -> jax.Array:
        y = modulate(layer_norm(x), modulation.shift, modulation.scale)
        y = SwiGLU(swiglu_hidden(x.shape[-1]), dtype=self.dtype, name="mlp")(y)
        return x + gated(y, modulation.gate)


class SpatialBlock(nn.Module):
    """Joint attention of every frame's tokens with the text, then an MLP per modality.

    Tokens of a frame attend to their frame (with `full` to all frames) and to the text that the
    frame sees; text tokens attend to all text and to the frames that see them.
    """

    heads: int
    full: bool = False
    kernel: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, video: jax.Array, text: Text, shared: tuple[jax.Array, jax.Array], ropes: Any
    ) -> tuple[jax.Array, Text]:
        """video [B, T, L, D], shared ([B, T or 1, 6, D], [B, 6, D]) -> video, text."""
        video = constrain(video, "batch", "frames", None, None)
        tokens = constrain(text.tokens, "batch", None, None)
        width, (video_rope, text_rope) = video.shape[-1], ropes
        video_attention, video_mlp = BlockModulation(name="video_modulation")(shared[0])
        text_attention, text_mlp = BlockModulation(name="text_modulation")(shared[1])
        y = modulate(layer_norm(video), video_attention.shift, video_attention.scale)
        query, *video_kv = QKV(self.heads, self.dtype, name="video_qkv")(y, video_rope)
        y = modulate(layer_norm(tokens), text_attention.shift, text_attention.scale)
        text_query, *text_kv = QKV(self.heads, self.dtype, name="text_qkv")(y, text_rope)
        video_out = self._frames_attend(query, video_kv, text_kv, text.visible)
        video_kv = [constrain(x, "batch", "frames", None, "heads", None) for x in video_kv]
        text_out = attend_frames(text_query, video_kv, text_kv, text.visible, text.mask)
        video_out = output_projection(width, self.dtype, "video_out")(video_out)
        text_out = output_projection(width, self.dtype, "text_out")(text_out)
        video = video + gated(video_out, video_attention.gate)
        tokens = tokens + gated(text_out, text_attention.gate)
        video = MLPBranch(self.dtype, name="video_mlp")(video, video_mlp)
        tokens = MLPBranch(self.dtype, name="text_mlp")(tokens, text_mlp)
        return video, text._replace(tokens=tokens)

    def _frames_attend(self, query, video_kv, text_kv, visible):
        """query [B, T, L, N, K], video_kv alike, text_kv [B, S, N, K] -> [B, T, L, N, K]."""
        b, t, length = query.shape[:3]
        if self.full:
            query, *video_kv = (heads_apart(x) for x in (query, *video_kv))
            video_kv, axes = [flat_frames(x)[:, None] for x in video_kv], (None, "all_heads")
        else:
            axes = ("frames", "heads")
        groups, length = video_kv[0].shape[1:3]
        key, value = (
            jnp.concatenate([x, jnp.broadcast_to(y[:, None], (b, groups, *y.shape[1:]))], axis=2)
            for x, y in zip(video_kv, text_kv, strict=True)
        )
        seen = jnp.concatenate([jnp.ones((b, t, length), bool), visible], axis=2)
        out = attend_groups(query, key, value, seen, kernel=self.kernel, axes=axes)
        return frames_apart(out) if self.full else out


class TemporalBlock(nn.Module):
    """Attention of each window of the frame with itself across all frames, then an MLP.

    Windows start `shift` (rows, columns) outside of the frame; those at its edges are smaller. With
    `full` the window is the frame, and a mesh divides heads instead of windows.
    """

    heads: int
    window: tuple[int, int]
    shift: tuple[int, int] = (0, 0)
    full: bool = False
    kernel: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array, shared: jax.Array, grid_rope: Rope) -> jax.Array:
        """video [B, T, H, W, D], shared [B, T or 1, 6, D] -> video."""
        attention, mlp = BlockModulation(name="modulation")(shared)
        y = modulate(layer_norm(video), attention.shift, attention.scale)
        y = self._attend(y, grid_rope)
        y = from_windows(y, self.window, self.shift, video.shape[2:4])
        video = constrain(video + gated(y, attention.gate), "batch", "frames", None, None, None)
        return MLPBranch(self.dtype, name="mlp")(video, mlp)

    def _attend(self, y, grid_rope):
        """Normalised tokens [B, T, H, W, D] -> the branch's output in windows [B, T, M, P, D]."""
        _, t, h, w, width = y.shape
        cut = lambda x: to_windows(x, self.window, self.shift)  # noqa: E731
        # Cut first, then exchange: whole windows need one all-to-all.
        y = constrain(cut(y), "batch", "frames", None, None, None)
        y = y if self.full else constrain(y, "batch", None, "windows", None, None)
        inside = cut(jnp.ones((1, t, h, w, 1), bool))[0, ..., 0]
        rope = tuple(cut(table) for table in grid_rope)
        if not self.full:
            rope = tuple(constrain(table, "batch", None, "windows", None, None) for table in rope)
        query, key, value = QKV(self.heads, self.dtype, name="qkv")(y, rope)
        y = self._windows_attend(query, key, value, inside)
        y = output_projection(width, self.dtype, "out")(y)
        # Two constraints, before and after the all-to-all. Without the first, XLA lets the output
        # projection run on frames instead of windows, which costs the backward pass another one.
        y = y if self.full else constrain(y, "batch", None, "windows", None, None)
        return constrain(y, "batch", "frames", None, None, None)

    def _windows_attend(self, query, key, value, inside):
        """[B, T, M, P, N, K] for M windows of P positions; `inside` [T, M, P] hides padding."""
        b, t, m, p, n, k = query.shape

        def by_window(x):
            x = heads_apart(x) if self.full else x
            return x.swapaxes(1, 2).reshape(b, m, t * p, n, k)

        seen = jnp.broadcast_to(inside.swapaxes(0, 1).reshape(1, m, t * p), (b, m, t * p))
        axes = (None, "all_heads") if self.full else ("windows", "heads")
        query, key, value = (by_window(x) for x in (query, key, value))
        out = attend_groups(query, key, value, seen, kernel=self.kernel, axes=axes)
        out = out.reshape(b, m, t, p, n, k).swapaxes(1, 2)
        return frames_apart(out) if self.full else out


class BlockPair(nn.Module):
    """One spatial and one temporal block."""

    heads: int
    window: tuple[int, int]
    shift: tuple[int, int]
    full: bool
    kernel: str
    dtype: Any

    @nn.compact
    def __call__(self, video: jax.Array, text: Text, shared: Any, ropes: Any) -> Any:
        b, t, h, w, d = video.shape
        video, (video_rope, text_rope) = checkpoint_name(video, "hidden"), ropes
        frame_rope = tuple(table.reshape(b, t, h * w, -1) for table in video_rope)
        spatial = SpatialBlock(self.heads, self.full, self.kernel, self.dtype, name="spatial")
        video, text = spatial(video.reshape(b, t, h * w, d), text, shared, (frame_rope, text_rope))
        window, shift = ((h, w), (0, 0)) if self.full else (self.window, self.shift)
        settings = (self.heads, window, shift, self.full, self.kernel, self.dtype)
        temporal = TemporalBlock(*settings, name="temporal")
        return temporal(video.reshape(b, t, h, w, d), shared[0], video_rope), text


class BlockPairs(nn.Module):
    """One pair per window shift: the unit that is scanned over depth."""

    heads: int
    window: tuple[int, int]
    shifts: tuple[tuple[int, int], ...]
    full: bool
    kernel: str
    dtype: Any

    @nn.compact
    def __call__(self, carry: tuple[jax.Array, Text], shared: Any, ropes: Any) -> Any:
        for i, shift in enumerate(self.shifts):
            settings = (self.heads, self.window, shift, self.full, self.kernel, self.dtype)
            carry = BlockPair(*settings, name=f"pair{i}")(*carry, shared, ropes)
        return carry, None
