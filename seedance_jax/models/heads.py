"""Projected heads of tokens, and the attention of frames with text and of windows.

Two ways to the same: heads are normalised and rotated, then go through a kernel of
`models/attention.py`; or one kernel does all that (`models/fused.py`).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from seedance_jax import sharding
from seedance_jax.models import fused
from seedance_jax.models.attention import FUSED, HIDDEN, SAVED, attend_groups, choose_kernel
from seedance_jax.models.layers import Scale, linear, rms_norm
from seedance_jax.models.rope import rotate
from seedance_jax.models.windows import flat_frames, frames_apart, heads_apart


class Heads(NamedTuple):
    """Projections, and what is to be applied to those of queries and keys.

    Attributes:
      query, key, value: [..., L, N, K].
      scales: of the RMS norms of queries and keys, [K] each.
      rope: rotations [..., L, K], see `rope.joined_table`.
    """

    query: jax.Array
    key: jax.Array
    value: jax.Array
    scales: tuple[jax.Array, jax.Array]
    rope: jax.Array

    def turned(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """(query, key, value), queries and keys normalised, then rotated."""
        rope = jnp.split(self.rope, 2, axis=-1)
        query, key = (
            rotate(rms_norm(x, scale), rope) for x, scale in zip(self[:2], self.scales, strict=True)
        )
        return query, key, self.value


class QKV(nn.Module):
    """Projects tokens [..., L, D] to Heads."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, rope: jax.Array) -> Heads:
        size = x.shape[-1] // self.heads
        projected = (
            linear((self.heads, size), ("embed", "heads", None), dtype=self.dtype, name=name)(x)
            for name in ("query", "key", "value")
        )
        scales = tuple(Scale(name=f"{name}_norm")(size) for name in ("query", "key"))
        return Heads(*projected, scales, rope)


def frames_attend(
    video: Heads,
    words: Heads,
    visible: jax.Array,
    mask: jax.Array,
    kernel: str = "auto",
    full: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Joint attention of the tokens of every frame and the text: [B, T, L, N, K], [B, S, N, K].

    Args:
      video: Heads of [B, T, L] tokens, which attend to their frame (with `full` to all frames) and
        to the text that it sees.
      words: Heads of [B, S] tokens, which attend to all text and to the frames that see them.
      visible: bool [B, T, S], which tokens a frame sees.
      mask: bool [B, S], False on padding of the text.
      kernel: see `attention.choose_kernel`.
    """
    b, t, length, n, k = video.query.shape
    fits = not full and fused.fits(1, length, n, k)
    if choose_kernel(kernel, video.query.dtype, fits) != FUSED:
        return _frames_attend(video, words, visible, mask, kernel, full)
    query, *text_kv = words.turned()
    flat = lambda x: x.reshape(b, -1, n * k)  # noqa: E731
    tokens = _tokens(video, lambda x: x[:, None], jnp.ones((1, 1, length), bool))
    scaled = query * jnp.asarray(k**-0.5, query.dtype)
    out, *parts = _fused(tokens, fused.Words(*map(flat, (scaled, *text_kv)), visible), "frames")
    out = out.reshape(b, t, length, n, k)
    parts = parts[0].reshape(b, t, -1, n, k), parts[1]
    return out, _join(parts, scaled, text_kv, visible, mask)


def windows_attend(
    heads: Heads, inside: jax.Array, kernel: str = "auto", full: bool = False
) -> jax.Array:
    """Attention of each window with itself across all frames, [B, T, M, P, N, K].

    Args:
      heads: of [B, T, M, P] tokens: M windows of P positions.
      inside: bool [M, P], False on padding.
      full: whether a mesh divides heads instead of windows.
    """
    b, t, m, p, n, k = heads.query.shape
    fits = not full and fused.fits(t, p, n, k)
    seen = jnp.broadcast_to(inside[:, None], (m, t, p))
    if choose_kernel(kernel, heads.query.dtype, fits) == FUSED:
        out = _fused(_tokens(heads, lambda x: x, seen), None, "windows")
        return out.reshape(b, t, m, p, n, k)

    def by_window(x):
        x = heads_apart(x) if full else x
        return x.swapaxes(1, 2).reshape(b, m, t * p, n, k)

    axes = (None, "all_heads") if full else ("windows", "heads")
    seen = jnp.broadcast_to(seen.reshape(1, m, t * p), (b, m, t * p))
    out = attend_groups(*map(by_window, heads.turned()), seen, kernel=kernel, axes=axes)
    out = out.reshape(b, m, t, p, n, k).swapaxes(1, 2)
    return frames_apart(out) if full else out


def _tokens(heads, place, seen):
    """fused.Tokens of heads; `place` puts the groups of [B, ..., D] in [B, T, M, P, D]."""
    merge = lambda x: place(x.reshape(*x.shape[:-2], -1))  # noqa: E731
    scales = jnp.stack([heads.scales[0] * heads.query.shape[-1] ** -0.5, heads.scales[1]])
    return fused.Tokens(*map(merge, heads[:3]), place(heads.rope), scales, seen)


def _fused(tokens, words, group):
    """`fused.attend` on a mesh that divides the groups by the logical axis `group`."""
    many = tokens.seen.shape[0] > 1
    heads = ("batch", None, group, None, "heads")
    names = [*[heads] * 3, (*heads[:-1], None), (None, None), (group if many else None, None, None)]
    out, count = heads, len(names)
    if words is not None:
        names += [*[("batch", None, "heads")] * 3, ("batch", group, None)]
        of_words = ("batch", group, None, "heads")
        out = (heads, of_words, of_words)

    def run(*arrays):
        text = fused.Words(*arrays[count:]) if arrays[count:] else None
        found = fused.attend(fused.Tokens(*arrays[:count]), text)
        return jax.tree.map(lambda x: checkpoint_name(x, SAVED), found)

    return sharding.on_shards(run, names, out)(*tokens, *(words or ()))


def _join(parts, query, text_kv, visible, mask):
    """Attention of the text to all frames and to itself, [B, S, N, K].

    Args:
      parts: its attention to each frame alone [B, T, S, N, K], and the logarithms of the sums of
        the exponentials [B, T, S, N].
      query: scaled.
    """
    out, log_sum = parts
    log_sum = jnp.where(visible[..., None], log_sum, HIDDEN)
    to_text = jnp.einsum("bqnk,bsnk->bqns", query, text_kv[0], preferred_element_type=jnp.float32)
    to_text = jnp.where(mask[:, None, None], to_text, HIDDEN)
    high = jax.lax.stop_gradient(jnp.maximum(log_sum.max(1), to_text.max(-1)))
    to_video, to_text = jnp.exp(log_sum - high[:, None]), jnp.exp(to_text - high[..., None])
    total = to_video.sum(1) + to_text.sum(-1)
    dtype = text_kv[1].dtype
    joined = jnp.einsum("btqn,btqnk->bqnk", to_video.astype(dtype), out)
    joined = joined + jnp.einsum("bqns,bsnk->bqnk", to_text.astype(dtype), text_kv[1])
    return (joined / total[..., None]).astype(dtype)


def _frames_attend(video, words, visible, mask, kernel, full):
    """`frames_attend` by heads that are normalised and rotated first."""
    (query, *video_kv), (text_query, *text_kv) = video.turned(), words.turned()
    axes, own = ("frames", "heads"), video_kv
    if full:
        query, *own = (heads_apart(x) for x in (query, *video_kv))
        own, axes = [flat_frames(x)[:, None] for x in own], (None, "all_heads")
    b, groups, length = own[0].shape[:3]
    key, value = (
        jnp.concatenate([x, jnp.broadcast_to(y[:, None], (b, groups, *y.shape[1:]))], axis=2)
        for x, y in zip(own, text_kv, strict=True)
    )
    ones = jnp.ones((b, query.shape[1], length), bool)
    seen = jnp.concatenate([ones, visible], axis=2)
    out = attend_groups(query, key, value, seen, kernel=kernel, axes=axes)
    video_kv = [sharding.constrain(x, "batch", "frames", None, "heads", None) for x in video_kv]
    text_out = attend_frames(text_query, video_kv, text_kv, visible, mask)
    return frames_apart(out) if full else out, text_out


@jax.checkpoint
def attend_frames(
    query: jax.Array,
    video_kv: tuple[jax.Array, jax.Array],
    text_kv: tuple[jax.Array, jax.Array],
    visible: jax.Array,
    mask: jax.Array,
) -> jax.Array:
    """Attention of text to the video tokens of all frames and to text, [B, S, N, K].

    Equal to `attend` over both concatenated, but frames may be sharded: what devices exchange is
    no larger than the text.

    Args:
      query: of the text, [B, S, N, K].
      video_kv: keys and values, each [B, T, P, N, K] with P positions per frame.
      text_kv: keys and values, each [B, S, N, K].
      visible: bool [B, T, S], the frames that a text token attends to.
      mask: bool [B, S], False on padding of the text.
    """
    query = query * jnp.asarray(query.shape[-1] ** -0.5, query.dtype)
    to_video = jnp.einsum(
        "bqnk,btlnk->bnqtl", query, video_kv[0], preferred_element_type=jnp.float32
    )
    to_text = jnp.einsum("bqnk,bsnk->bnqs", query, text_kv[0], preferred_element_type=jnp.float32)
    to_video = jnp.where(visible.swapaxes(1, 2)[:, None, :, :, None], to_video, HIDDEN)
    to_text = jnp.where(mask[:, None, None], to_text, HIDDEN)
    highest = jnp.maximum(to_video.max((-2, -1)), to_text.max(-1))[..., None]
    highest = jax.lax.stop_gradient(highest)
    to_video, to_text = jnp.exp(to_video - highest[..., None]), jnp.exp(to_text - highest)
    total = (to_video.sum((-2, -1)) + to_text.sum(-1)).swapaxes(1, 2)[..., None]
    dtype = text_kv[1].dtype
    out = jnp.einsum("bnqtl,btlnk->bqnk", to_video.astype(dtype), video_kv[1])
    out = out + jnp.einsum("bnqs,bsnk->bqnk", to_text.astype(dtype), text_kv[1])
    return (out / total).astype(dtype)
