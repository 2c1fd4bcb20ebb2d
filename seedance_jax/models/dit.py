"""Diffusion transformer with decoupled spatial and temporal layers.

Spatial blocks are per-frame multimodal transformers: video and text tokens have their own weights
and attend jointly. Temporal blocks see video tokens only: each window position of a frame attends
to the same window across all frames. Both are the identity at initialisation (Sec. 2.3 of
arXiv:2506.09113; shared timestep modulation with a bias per block as in arXiv:2310.00426).

One input layout serves every task: channels [noisy C | condition C | mask 1], the mask being 1 on
given latent frames. One latent pixel is one token. A clip may have several shots: the frames of a
shot read its caption and the global one, temporal blocks tie the shots together.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from seedance_jax.models.attention import (
    KERNELS,
    QKV,
    SAVED,
    attend_frames,
    attend_groups,
    output_projection,
)
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
from seedance_jax.models.rope import clip_ropes
from seedance_jax.sharding import constrain

MODULATION_PARTS = 6  # shift, scale, gate of attention; shift, scale, gate of the MLP

# What the backward pass finds, of every pair of blocks; the rest it makes again. Its first stays,
# without words, in all of them.
REMAT_POLICIES = {
    "none": None,
    "save_attention": jax.checkpoint_policies.save_only_these_names(SAVED),
    "full": jax.checkpoint_policies.nothing_saveable,
    # Both wait in the memory of the host.
    "offload": jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=["hidden", SAVED],
        offload_src="device",
        offload_dst="pinned_host",
    ),
}


class Condition(NamedTuple):
    """What the velocity depends on besides the noisy latents and the time.

    Attributes:
      text, text_mask, text_shot: tokens [B, S, E], their validity bool [B, S], and the shot that
        each tells of, int [B, S]; negative: the global caption.
      frame_shot: the shot of each latent frame, int [B, T].
      latents: clean latents [B, T, H, W, C] of the given frames; the others are ignored.
      mask: 1 on given latent frames, float [B, T].
    """

    text: Any
    text_mask: Any
    text_shot: Any
    frame_shot: Any
    latents: Any
    mask: Any


class Text(NamedTuple):
    """Text tokens [B, S, D] on their way through the blocks, with what frames may see of them.

    Attributes:
      visible: bool [B, T, S]; which tokens a frame attends to, and the other way round.
    """

    tokens: Any
    mask: Any
    visible: Any


def visible_text(condition):
    """Which valid text tokens a frame sees, bool [B, T, S]: of its shot, and of the whole clip."""
    shot = condition.text_shot[:, None]
    same = (shot < 0) | (shot == condition.frame_shot[:, :, None])
    return same & condition.text_mask[:, None]


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

    Tokens of a frame attend to their frame (with `full` to all frames) and to the text that the
    frame sees; text tokens attend to all text and to the frames that see them.
    """

    heads: int
    full: bool = False
    kernel: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, text, shared, ropes):
        """video [B, T, L, D], text: Text, shared ([B, T or 1, 6, D], [B, 6, D]) -> video, text."""
        video = constrain(video, "batch", "frames", None, None)
        tokens = constrain(text.tokens, "batch", None, None)
        width, (video_rope, text_rope) = video.shape[-1], ropes
        parts = {
            name: Modulation(MODULATION_PARTS, name=f"{name}_modulation")(vectors)
            for name, vectors in zip(("video", "text"), shared, strict=True)
        }
        y = modulate(layer_norm(video), *parts["video"][:2])
        query, *frames = QKV(self.heads, self.dtype, name="video_qkv")(y, video_rope)
        y = modulate(layer_norm(tokens), *parts["text"][:2])
        text_query, *words = QKV(self.heads, self.dtype, name="text_qkv")(y, text_rope)
        video_out = self._frames_attend(query, frames, words, text.visible)
        frames = [constrain(x, "batch", "frames", None, "heads", None) for x in frames]
        text_out = attend_frames(text_query, frames, words, text.visible, text.mask)
        video_out = output_projection(width, self.dtype, "video_out")(video_out)
        text_out = output_projection(width, self.dtype, "text_out")(text_out)
        video = video + gated(video_out, parts["video"][2])
        tokens = tokens + gated(text_out, parts["text"][2])
        video = MLPBranch(self.dtype, name="video_mlp")(video, *parts["video"][3:])
        tokens = MLPBranch(self.dtype, name="text_mlp")(tokens, *parts["text"][3:])
        return video, text._replace(tokens=tokens)

    def _frames_attend(self, query, frames, words, visible):
        """query [B, T, L, N, K], frames = keys and values alike -> [B, T, L, N, K]."""
        b, t, length = query.shape[:3]
        if self.full:
            query, *frames = (heads_apart(x) for x in (query, *frames))
            frames, axes = [flat_frames(x)[:, None] for x in frames], (None, "all_heads")
        else:
            axes = ("frames", "heads")
        groups, length = frames[0].shape[1:3]
        key, value = (
            jnp.concatenate([x, jnp.broadcast_to(y[:, None], (b, groups, *y.shape[1:]))], axis=2)
            for x, y in zip(frames, words, strict=True)
        )
        seen = jnp.concatenate([jnp.ones((b, t, length), bool), visible], axis=2)
        out = attend_groups(query, key, value, seen, kernel=self.kernel, axes=axes)
        return frames_apart(out) if self.full else out


def heads_apart(x):
    """Moves heads [B, T, ..., N, K] of frames on different devices to a share of heads on each.

    Which every device then has of all frames (Ulysses, arXiv:2309.14509).
    """
    middle = [None] * (x.ndim - 4)
    x = constrain(x, "batch", "frames", *middle, "heads", None)
    return constrain(x, "batch", None, *middle, "all_heads", None)


def frames_apart(x):
    """Inverse of `heads_apart`."""
    middle = [None] * (x.ndim - 4)
    x = constrain(x, "batch", None, *middle, "all_heads", None)
    return constrain(x, "batch", "frames", *middle, "heads", None)


def flat_frames(x):
    """[B, T, L, ...] -> [B, T * L, ...]."""
    return x.reshape(x.shape[0], -1, *x.shape[3:])


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
    def __call__(self, video, shared, grid_rope):
        """video [B, T, H, W, D], shared [B, T or 1, 6, D] -> video."""
        _, t, h, w, width = video.shape
        cut = lambda x: to_windows(x, self.window, self.shift)  # noqa: E731
        parts = Modulation(MODULATION_PARTS, name="modulation")(shared)
        y = modulate(layer_norm(video), *parts[:2])
        # Cut first, then change hands: windows of the whole frame are one all-to-all apart.
        y = constrain(cut(y), "batch", "frames", None, None, None)
        y = y if self.full else constrain(y, "batch", None, "windows", None, None)
        inside = cut(jnp.ones((1, t, h, w, 1), bool))[0, ..., 0]
        rope = tuple(cut(table) for table in grid_rope)
        if not self.full:
            rope = tuple(constrain(table, "batch", None, "windows", None, None) for table in rope)
        query, key, value = QKV(self.heads, self.dtype, name="qkv")(y, rope)
        y = self._windows_attend(query, key, value, inside)
        y = output_projection(width, self.dtype, "out")(y)
        # Said twice, or the projection changes sides too, and its backward pass pays another one.
        y = y if self.full else constrain(y, "batch", None, "windows", None, None)
        y = constrain(y, "batch", "frames", None, None, None)
        y = from_windows(y, self.window, self.shift, (h, w))
        video = constrain(video + gated(y, parts[2]), "batch", "frames", None, None, None)
        return MLPBranch(self.dtype, name="mlp")(video, *parts[3:])

    def _windows_attend(self, query, key, value, inside):
        """[B, T, M, P, N, K] for M windows of P positions; `inside` [T, M, P] hides padding."""
        b, t, m, p, n, k = query.shape

        def by_window(x):
            x = heads_apart(x) if self.full else x
            return x.swapaxes(1, 2).reshape(b, m, t * p, n, k)

        seen = jnp.broadcast_to(inside.swapaxes(0, 1).reshape(1, m, t * p), (b, m, t * p))
        axes = (None, "all_heads") if self.full else ("windows", "heads")
        parts = (by_window(x) for x in (query, key, value))
        out = attend_groups(*parts, seen, kernel=self.kernel, axes=axes)
        out = out.reshape(b, m, t, p, n, k).swapaxes(1, 2)
        return frames_apart(out) if self.full else out


def window_grid(window, shift, size):
    """((before, windows, after) for rows, the same for columns): padding and number of windows."""
    grid = []
    for length, offset, total in zip(window, shift, size, strict=True):
        count = -(-(total + offset) // length)
        grid.append((offset, count, count * length - total - offset))
    return grid


def to_windows(x, window, shift):
    """[B, T, H, W, D] -> [B, T, M, P, D]: M windows of P positions, zero padded where needed."""
    (b, t, *size, d), (rows, columns) = x.shape, window
    (top, height, bottom), (left, width, right) = window_grid(window, shift, size)
    x = jnp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right), (0, 0)))
    x = x.reshape(b, t, height, rows, width, columns, d).transpose(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(b, t, height * width, rows * columns, d)


def from_windows(x, window, shift, size):
    """Inverse of `to_windows` for frames of `size` (H, W)."""
    (b, t, _, _, d), (rows, columns) = x.shape, window
    (top, height, _), (left, width, _) = window_grid(window, shift, size)
    x = x.reshape(b, t, height, width, rows, columns, d).transpose(0, 1, 2, 4, 3, 5, 6)
    x = x.reshape(b, t, height * rows, width * columns, d)
    return x[:, :, top : top + size[0], left : left + size[1]]


class BlockPair(nn.Module):
    """One spatial and one temporal block."""

    heads: int
    window: tuple[int, int]
    shift: tuple[int, int]
    full: bool
    kernel: str
    dtype: Any

    @nn.compact
    def __call__(self, video, text, shared, ropes):
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
    def __call__(self, carry, shared, ropes):
        for i, shift in enumerate(self.shifts):
            settings = (self.heads, self.window, shift, self.full, self.kernel, self.dtype)
            carry = BlockPair(*settings, name=f"pair{i}")(*carry, shared, ropes)
        return carry, None


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
      remat: what the backward pass makes again, see `REMAT_POLICIES`.
      dtype: of matrix products; norms, modulation and the output stay float32.
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

    def __post_init__(self):
        super().__post_init__()
        check_choice("attention", self.attention, ATTENTION)
        check_choice("kernel", self.kernel, ("auto", *KERNELS))
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
    def shifts(self):
        """Of the temporal windows, pair after pair, again and again."""
        return ((0, 0), tuple(self.shift)) if any(self.shift) else ((0, 0),)

    @nn.compact
    def __call__(self, xt, t, condition):
        """Velocity of `xt`, float32 [B, T, H, W, C].

        Args:
          xt: noisy latents [B, T, H, W, C].
          t: time of each sample [B], or of each of its latent frames [B, T]; 0 is data, 1 is
            noise. Text goes by the time of the noisiest frame.
          condition: Condition.
        """
        given = condition.mask.astype(xt.dtype)[:, :, None, None, None]
        mask_channel = jnp.broadcast_to(given, (*xt.shape[:-1], 1))
        video = jnp.concatenate([xt, condition.latents * given, mask_channel], axis=-1)
        video = linear(self.width, (None, "embed"), use_bias=True, dtype=self.dtype, name="patch")(
            video
        )
        tokens = RMSNorm(name="text_norm")(condition.text)
        tokens = linear(self.width, (None, "embed"), dtype=self.dtype, name="text_in")(tokens)
        text = Text(tokens, condition.text_mask, visible_text(condition))
        shared, final = self._time(t if t.ndim == 2 else t[:, None])
        groups = (condition.text_shot, condition.text_mask, condition.frame_shot)
        ropes = clip_ropes(*groups, xt.shape[2:4], self.width // self.heads)
        # Whole on every device: each takes its own part of them, in either layout.
        ropes = jax.tree.map(lambda x: constrain(x, "batch", *[None] * (x.ndim - 1)), ropes)
        (video, _), _ = self._blocks()((video, text), shared, ropes)
        video = modulate(layer_norm(video).astype(jnp.float32), final[..., 0, :], final[..., 1, :])
        return linear(self.latent_channels, ("embed", None), ZEROS, use_bias=True, name="out")(
            video
        )

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
        settings = (self.heads, self.window, self.shifts, full, self.kernel, self.dtype)
        return scanned(*settings, name="pairs")


def check_choice(name, value, legal):
    """Raises ValueError unless the value is one of the legal ones."""
    if value not in legal:
        raise ValueError(f"{name}={value!r}; legal values: {list(legal)}")
