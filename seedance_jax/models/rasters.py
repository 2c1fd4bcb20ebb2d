"""Cameras and objects as channels on the grid of the latents: pure functions of arrays.

A place (x, y) is from (0, 0), the top left corner of the frame, to (1, 1), so that the same arrays
serve every size.
"""

import jax
import jax.numpy as jnp

RAYS = 6
SLOTS = 16  # of objects
STATES = 7 + SLOTS


def ray_channels(camera: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Pluecker coordinates of the ray through the middle of every latent pixel.

    Args:
      camera: [B, T, 3, 4]; columns 0 to 2 take (x, y, 1) to the direction of a ray, column 3 is
        where the camera stands, m. Axes are those of the first camera of the clip.
      size: (H, W) of the latents.

    Returns:
      [B, T, H, W, RAYS]: the unit direction d and the moment o x d of the ray from o, m; NaN where
      the camera is not known.
    """
    (h, w), rays = size, camera[..., None, None, :, :3]
    y, x = jnp.meshgrid((jnp.arange(h) + 0.5) / h, (jnp.arange(w) + 0.5) / w, indexing="ij")
    # Without products of matrices, which accelerators may round to bfloat16.
    d = rays[..., 0] * x[..., None] + rays[..., 1] * y[..., None] + rays[..., 2]
    d /= jnp.linalg.norm(d, axis=-1, keepdims=True)
    o = jnp.broadcast_to(camera[..., None, None, :, 3], d.shape)
    return jnp.concatenate([d, jnp.cross(o, d)], axis=-1)


def state_channels(states: jax.Array, frame_shot: jax.Array, size: tuple[int, int]) -> jax.Array:
    """What is in the latent pixels that the centres of objects lie in; zeros in all others.

    Args:
      states: [B, T, SLOTS, 5], the x, y, depth (m), size (in heights of the frame) and visible
        share of objects; zeros where one is not there, NaN where it is not known, or masked.
      frame_shot: the shot of each latent frame, int [B, T].
      size: (H, W) of the latents.

    Returns:
      [B, T, H, W, STATES]: the objects there; of these the mean of (x, y) from the middle of the
      latent pixel, of the way (x, y) to the next latent frame of the shot, both in latent pixels,
      and of the logarithms of depth, m, and size, in latent pixels; then, for each slot, the
      visible share of its object (as in arXiv:2511.01266, but with one-hot identities: the kernel
      of an adapter makes any others of them). NaN in frames of which no object is known.
    """
    (h, w), known = size, jnp.isfinite(states).all(-1)
    x, y, depth, radius, visible = jnp.moveaxis(jnp.where(known[..., None], states, 0.0), -1, 0)
    there = depth > 0.0
    x, y = x * w, y * h
    # [B, T, SLOTS, H, W], zeros for what is not there and for places out of the frame.
    row, column = (jnp.floor(place).astype(jnp.int32) for place in (y, x))
    rows, columns = jax.nn.one_hot(row, h), jax.nn.one_hot(column, w)
    inside = (rows * there[..., None])[..., :, None] * columns[..., None, :]
    off = [x - column - 0.5, y - row - 0.5]
    # What passes the camera is anywhere in its plane: no way is longer than the frame.
    way = [jnp.clip(steps_of(x, there, frame_shot), -w, w)]
    way += [jnp.clip(steps_of(y, there, frame_shot), -h, h)]
    scale = [jnp.log(jnp.where(there, v, 1.0)) for v in (depth, radius * h)]
    features = jnp.stack([*off, *way, *scale], axis=-1)
    count = inside.sum(2)[..., None]
    total = (inside[..., None] * features[..., None, None, :]).sum(2)
    identity = jnp.moveaxis(inside * visible[..., None, None], 2, -1)
    channels = jnp.concatenate([count, total / jnp.maximum(count, 1.0), identity], axis=-1)
    return jnp.where(known.any(-1)[..., None, None, None], channels, jnp.nan)


def steps_of(place: jax.Array, there: jax.Array, frame_shot: jax.Array) -> jax.Array:
    """Change of places [B, T, N] to the next latent frame; 0 before cuts, ends and what is gone."""
    goes_on = there[:, :-1] & there[:, 1:] & (frame_shot[:, :-1] == frame_shot[:, 1:])[..., None]
    change = jnp.where(goes_on, place[:, 1:] - place[:, :-1], 0.0)
    return jnp.pad(change, ((0, 0), (0, 1), (0, 0)))
