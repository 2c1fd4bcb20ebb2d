"""MM-RoPE: one three-axis rotary code for text and video tokens in one sequence.

Text token p sits on the space diagonal at (p, p, p). The video block starts right after the last
text position L: latent (t, h, w) sits at (L + t, L + h, L + w), so that without video axes text is
ordinary one-dimensional RoPE (Sec. 2.3 of arXiv:2506.09113, layout of arXiv:2503.10589).
"""

import jax.numpy as jnp

# Shares of the rotated pairs for (time, height, width): 16, 56, 56 of a head of 128 channels, the
# public choice of HunyuanVideo (arXiv:2412.03603, Table 2).
AXIS_SHARES = (16, 56, 56)


def text_positions(length):
    """Positions of `length` text tokens: [S, 3]."""
    return jnp.repeat(jnp.arange(length)[:, None], 3, axis=1)


def video_positions(frames, height, width, start):
    """Positions of the latent grid placed on the diagonal at `start`: [T, H, W, 3]."""
    axes = [start + jnp.arange(size) for size in (frames, height, width)]
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def axis_pairs(head_size):
    """How many rotated pairs of channels each axis gets; the remainder goes to height and width.

    Raises:
      ValueError: the head is odd or too small to give every axis a pair.
    """
    pairs = head_size // 2
    if head_size % 2 or pairs < 3:
        raise ValueError(f"head size {head_size} must be even and at least 6 for three axes")
    time = max(1, pairs * AXIS_SHARES[0] // sum(AXIS_SHARES))
    height = (pairs - time + 1) // 2
    return time, height, pairs - time - height


def rope_table(positions, head_size, theta=10_000.0):
    """Rotation (cos, sin), each float32 [..., K/2], of integer positions [..., 3]."""
    angles = []
    for axis, pairs in enumerate(axis_pairs(head_size)):
        frequencies = theta ** (-jnp.arange(pairs, dtype=jnp.float32) / pairs)
        angles.append(positions[..., axis, None].astype(jnp.float32) * frequencies)
    angles = jnp.concatenate(angles, axis=-1)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x, rope):
    """Rotates heads x [..., L, N, K] by rope = (cos, sin), each [L, K/2] or broadcastable."""
    cos, sin = (table[..., :, None, :] for table in rope)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
