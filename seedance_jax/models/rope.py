"""MM-RoPE: 3D rotary position embedding of the text and the video of all shots of a clip.

Tokens come in groups: the global caption if there is one, then the caption and the video of every
shot. Caption token i of a group that starts at s has position s + (i, i, i); the video follows the
S tokens of its caption: latent (t, h, w) of the shot has position s + S + (t, h, w). The next group
starts after the largest extent of that video. So text alone has ordinary 1D RoPE, and a shot and
its caption have the same relative positions as in a clip of one shot (Sec. 2.3 of arXiv:2506.09113,
layout of arXiv:2503.10589; the start of the next group is our choice, and a global caption is
followed by a gap of one frame).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

# Channels for (time, height, width) of a head of 128 channels, as in HunyuanVideo
# (arXiv:2412.03603, Table 2); other head sizes have the same shares.
AXIS_SHARES = (16, 56, 56)


def group_positions(
    text_shot: jax.Array, text_mask: jax.Array, frame_shot: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Positions of the captions and frames of one clip.

    Args:
      text_shot: int [S], the shot of each text token; negative: the global caption.
      text_mask: bool [S], False on padding.
      frame_shot: int [T], the shot of each latent frame: 0, ... 0, 1, ...
      size: (H, W) of a latent frame.

    Returns:
      int32 text positions [S] on all axes, positions of the frames in time [T], and the origin of
      height and width of each frame [T].
    """
    groups = jnp.arange(len(frame_shot) + 1)  # 0 is the global caption, 1 the first shot
    tokens = (jnp.maximum(text_shot, -1)[:, None] + 1 == groups) & text_mask[:, None]  # [S, G]
    frames = frame_shot[:, None] + 1 == groups  # [T, G]
    lengths, durations = tokens.sum(0), frames.sum(0)
    extents = jnp.where(lengths + durations > 0, jnp.maximum(durations, max(size)), 0)
    starts = jnp.cumsum(lengths + extents) - lengths - extents

    def place(members, origins):
        rank = jnp.cumsum(members, 0) - 1
        return jnp.where(members, origins + rank, 0).sum(1)

    origins = starts + lengths
    return place(tokens, starts), place(frames, origins), jnp.where(frames, origins, 0).sum(1)


def axis_pairs(head_size: int) -> tuple[int, int, int]:
    """Rotated pairs of channels for (time, height, width); the remainder goes to the latter two.

    Raises:
      ValueError: the head is odd or too small to give every axis a pair.
    """
    pairs = head_size // 2
    if head_size % 2 or pairs < 3:
        raise ValueError(f"head size {head_size} must be even and at least 6 for three axes")
    time = max(1, pairs * AXIS_SHARES[0] // sum(AXIS_SHARES))
    height = (pairs - time + 1) // 2
    return time, height, pairs - time - height


def rope_table(
    positions: tuple[jax.Array, jax.Array, jax.Array], head_size: int, theta: float = 10_000.0
) -> tuple[jax.Array, jax.Array]:
    """Rotation (cos, sin), each float32 [..., K/2].

    Args:
      positions: integer arrays (time, height, width) that broadcast to [...].
    """
    angles = []
    for axis, pairs in zip(positions, axis_pairs(head_size), strict=True):
        frequencies = theta ** (-jnp.arange(pairs, dtype=jnp.float32) / pairs)
        angles.append(axis[..., None].astype(jnp.float32) * frequencies)
    shape = jnp.broadcast_shapes(*(part.shape[:-1] for part in angles))
    angles = [jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in angles]
    angles = jnp.concatenate(angles, axis=-1)
    return jnp.cos(angles), jnp.sin(angles)


def rope_1d(positions: jax.Array, head_size: int, theta: float) -> tuple[jax.Array, jax.Array]:
    """1D RoPE (cos, sin), each [..., head_size / 2], of integer positions [...]."""
    return _turn(positions[..., None], head_size, theta)


def interleaved_rope(sections: tuple[int, int, int]) -> Callable:
    """`rope_1d` of positions [..., 3], in which pairs of channels turn with one axis each.

    The axes take turns, and one that has turned its `sections` leaves its turn to the first
    (M-RoPE of Qwen3-VL, arXiv:2511.21631).
    """

    def turn(positions, head_size, theta):
        pair = np.arange(head_size // 2)
        axes = np.where(pair < 3 * np.array(sections)[pair % 3], pair % 3, 0)
        return _turn(positions[..., axes], head_size, theta)

    return turn


def _turn(positions, head_size, theta):
    """(cos, sin) of positions [..., head_size / 2], or [..., 1] for all pairs of channels."""
    frequencies = theta ** (-jnp.arange(head_size // 2, dtype=jnp.float32) * 2 / head_size)
    angles = positions.astype(jnp.float32) * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def clip_positions(
    text_shot: jax.Array, text_mask: jax.Array, frame_shot: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """(time, height, width) of the video [B, T, H, W, 3] and of the text [B, S, 3].

    Arguments as in `group_positions`, with a batch dimension in front.
    """
    place = jax.vmap(lambda *clip: group_positions(*clip, size))
    text, time, origin = place(text_shot, text_mask, frame_shot)
    rows, columns = (origin[..., None] + jnp.arange(length) for length in size)
    grid = (time[:, :, None, None], rows[:, :, :, None], columns[:, :, None, :])
    return jnp.stack(jnp.broadcast_arrays(*grid), -1), jnp.stack([text] * 3, -1)


def joined_table(positions: jax.Array, head_size: int) -> jax.Array:
    """Rotations of positions [..., 3] as one array, float32 [..., K]: cos, then sin."""
    axes = tuple(positions[..., i] for i in range(3))
    return jnp.concatenate(rope_table(axes, head_size), axis=-1)


def rotate(x: jax.Array, rope: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates heads x [..., L, N, K] by rope = (cos, sin), each [..., L, K/2] or broadcastable."""
    cos, sin = (table[..., :, None, :] for table in rope)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
