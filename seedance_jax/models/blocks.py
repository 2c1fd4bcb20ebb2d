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

from seedance_jax.models.attention import output_projection
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.heads import QKV, frames_attend, windows_attend
from seedance_jax.models.layers import (
    BlockModulation,
    Modulation,
    SwiGLU,
    gated,
    layer_norm,
    modulate,
    swiglu_hidden,
)
from seedance_jax.models.rope import clip_positions, joined_table
from seedance_jax.models.windows import from_windows, to_windows
from seedance_jax.sharding import constrain


class Ropes(NamedTuple):
    """Rotations (see `rope.joined_table`) in the layout that they are used in.

    Attributes:
      frames: of the video in spatial blocks, [B, T, L, K].
      text: [B, S, K].
      windows: of the video in temporal blocks [B, T, M, P, K], for each shift of the windows.
    """

    frames: jax.Array
    text: jax.Array
    windows: tuple[jax.Array, ...]


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


def block_ropes(
    condition: Condition, size: tuple[int, int], head_size: int, windows: Any, full: bool
) -> Ropes:
    """The rotations of a clip; positions are cut first, and each device computes its own.

    Args:
      size: (H, W) of a latent frame.
      windows: [(rows, columns), (shift of rows, of columns)] of the temporal blocks.
      full: as in TemporalBlock.
    """
    groups = (condition.text_shot, condition.text_mask, condition.frame_shot)
    video, text = clip_positions(*groups, size)
    flat = constrain(video.reshape(*video.shape[:2], -1, 3), "batch", "frames", None, None)
    axes = ("frames", None) if full else (None, "windows")
    cut = [constrain(to_windows(video, *one), "batch", *axes, None, None) for one in windows]
    return jax.tree.map(lambda x: joined_table(x, head_size), Ropes(flat, text, tuple(cut)))


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
        self, video: jax.Array, text: Text, shared: tuple[jax.Array, jax.Array], ropes: Ropes
    ) -> tuple[jax.Array, Text]:
        """video [B, T, L, D], shared ([B, T or 1, 6, D], [B, 6, D]) -> video, text."""
        video = constrain(video, "batch", "frames", None, None)
        tokens = constrain(text.tokens, "batch", None, None)
        width = video.shape[-1]
        video_attention, video_mlp = BlockModulation(name="video_modulation")(shared[0])
        text_attention, text_mlp = BlockModulation(name="text_modulation")(shared[1])
        y = modulate(layer_norm(video), video_attention.shift, video_attention.scale)
        heads = QKV(self.heads, self.dtype, name="video_qkv")(y, ropes.frames)
        y = modulate(layer_norm(tokens), text_attention.shift, text_attention.scale)
        words = QKV(self.heads, self.dtype, name="text_qkv")(y, ropes.text)
        video_out, text_out = frames_attend(
            heads, words, text.visible, text.mask, self.kernel, self.full
        )
        video_out = output_projection(width, self.dtype, "video_out")(video_out)
        text_out = output_projection(width, self.dtype, "text_out")(text_out)
        video = video + gated(video_out, video_attention.gate)
        tokens = tokens + gated(text_out, text_attention.gate)
        video = MLPBranch(self.dtype, name="video_mlp")(video, video_mlp)
        tokens = MLPBranch(self.dtype, name="text_mlp")(tokens, text_mlp)
        return video, text._replace(tokens=tokens)


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
    def __call__(self, video: jax.Array, shared: jax.Array, rope: jax.Array) -> jax.Array:
        """video [B, T, H, W, D], shared [B, T or 1, 6, D], rope [B, T, M, P, K] -> video."""
        attention, mlp = BlockModulation(name="modulation")(shared)
        y = modulate(layer_norm(video), attention.shift, attention.scale)
        y = self._attend(y, rope)
        y = from_windows(y, self.window, self.shift, video.shape[2:4])
        video = constrain(video + gated(y, attention.gate), "batch", "frames", None, None, None)
        return MLPBranch(self.dtype, name="mlp")(video, mlp)

    def _attend(self, y, rope):
        """Normalised tokens [B, T, H, W, D] -> the branch's output in windows [B, T, M, P, D]."""
        h, w, width = y.shape[2:]
        cut = lambda x: to_windows(x, self.window, self.shift)  # noqa: E731
        # Cut first, then exchange: whole windows need one all-to-all.
        y = constrain(cut(y), "batch", "frames", None, None, None)
        y = y if self.full else constrain(y, "batch", None, "windows", None, None)
        inside = cut(jnp.ones((1, 1, h, w, 1), bool))[0, 0, ..., 0]
        heads = QKV(self.heads, self.dtype, name="qkv")(y, rope)
        y = windows_attend(heads, inside, self.kernel, self.full)
        y = output_projection(width, self.dtype, "out")(y)
        # Two constraints, before and after the all-to-all. Without the first, XLA lets the output
        # projection run on frames instead of windows, which costs the backward pass another one.
        y = y if self.full else constrain(y, "batch", None, "windows", None, None)
        return constrain(y, "batch", "frames", None, None, None)


class BlockPair(nn.Module):
    """One spatial and one temporal block."""

    heads: int
    window: tuple[int, int]
    shift: tuple[int, int]
    full: bool
    kernel: str
    dtype: Any

    @nn.compact
    def __call__(self, video: jax.Array, text: Text, shared: Any, ropes: Ropes) -> Any:
        """`ropes` has one array of `windows`."""
        b, t, h, w, d = video.shape
        video = checkpoint_name(video, "hidden")
        spatial = SpatialBlock(self.heads, self.full, self.kernel, self.dtype, name="spatial")
        video, text = spatial(video.reshape(b, t, h * w, d), text, shared, ropes)
        window, shift = ((h, w), (0, 0)) if self.full else (self.window, self.shift)
        settings = (self.heads, window, shift, self.full, self.kernel, self.dtype)
        temporal = TemporalBlock(*settings, name="temporal")
        return temporal(video.reshape(b, t, h, w, d), shared[0], ropes.windows[0]), text


class BlockPairs(nn.Module):
    """One pair per window shift: the unit that is scanned over depth."""

    heads: int
    window: tuple[int, int]
    shifts: tuple[tuple[int, int], ...]
    full: bool
    kernel: str
    dtype: Any

    @nn.compact
    def __call__(self, carry: tuple[jax.Array, Text], shared: Any, ropes: Ropes) -> Any:
        for i, shift in enumerate(self.shifts):
            own = ropes._replace(windows=ropes.windows[i : i + 1])
            settings = (self.heads, self.window, shift, self.full, self.kernel, self.dtype)
            carry = BlockPair(*settings, name=f"pair{i}")(*carry, shared, own)
        return carry, None
