"""Tasks as masks of given latent frames; training and sampling use the same ones.

A mask is float [T] (or [B, T]) over latent frames, 1 where the clean frame is given. The input of
the network has given frames clean and at time 0 (`show_given`); the loss leaves them out, and
sampling does not change them. Time tells the network how noisy each frame is, so a given frame has
time 0 in every step.

Latent frame 0 encodes pixel frame 0 alone, latent frame i >= 1 pixel frames 4i-3 to 4i. So

- an image given first is latent frame 0, exactly;
- an image given later is a still latent frame: the image four times, encoded as the continuation of
  itself. In training it is the first of the four frames, so that motion before it is undisturbed;
  precomputed latents come with such stills. Where the training step encodes pixels, `hold_images`
  repeats that image four times and it is encoded after its real past: nearly the same, at no cost;
- a clip to extend is given as it is, encoded causally from its first frame.

A loop is first_and_last with one image at both ends. Played repeatedly, its last frame is the first
of the next round, so one of the two can be dropped. The ends share this image only; motion need not
continue over the seam.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp


def none_given(key: jax.Array, frames: int) -> jax.Array:
    """Text to image or video: nothing is given."""
    return jnp.zeros(frames)


def ends_given(
    key: jax.Array,
    frames: int,
    before: tuple[int, int] = (0, 0),
    after: tuple[int, int] = (0, 0),
) -> jax.Array:
    """The first and last latent frames are given; before, after: (least, most) of them."""
    keys, index = jax.random.split(key), jnp.arange(frames)
    first, last = (
        jax.random.randint(own, (), low, high + 1)
        for own, (low, high) in zip(keys, (before, after), strict=True)
    )
    return ((index < first) | (index >= frames - last)).astype(jnp.float32)


def first_frame(key: jax.Array, frames: int) -> jax.Array:
    """Image to video: the first latent frame is given."""
    return ends_given(key, frames, before=(1, 1))


def last_frame(key: jax.Array, frames: int) -> jax.Array:
    """The last latent frame is given."""
    return ends_given(key, frames, after=(1, 1))


def first_and_last(key: jax.Array, frames: int) -> jax.Array:
    """The first and the last latent frame are given."""
    return ends_given(key, frames, before=(1, 1), after=(1, 1))


def extension_forward(key: jax.Array, frames: int) -> jax.Array:
    """A random number of first latent frames is given."""
    return ends_given(key, frames, before=(1, max(frames - 1, 1)))


def extension_backward(key: jax.Array, frames: int) -> jax.Array:
    """A random number of last latent frames is given."""
    return ends_given(key, frames, after=(1, max(frames - 1, 1)))


def in_between(key: jax.Array, frames: int) -> jax.Array:
    """A random number of latent frames at either end is given."""
    most = max((frames - 1) // 2, 1)
    return ends_given(key, frames, before=(1, most), after=(1, most))


def any_frames(key: jax.Array, frames: int) -> jax.Array:
    """Every latent frame is given with the same random probability."""
    share, each = jax.random.split(key)
    return jax.random.bernoulli(each, jax.random.uniform(share), (frames,)).astype(jnp.float32)


MASKS = {
    "text_to_video": none_given,
    "image_to_video": first_frame,
    "last_frame": last_frame,
    "first_and_last": first_and_last,
    "extension_forward": extension_forward,
    "extension_backward": extension_backward,
    "in_between": in_between,
    "any_frames": any_frames,
}

# Tasks whose given frames after the first latent frame are images; the others give clips.
GIVE_IMAGES = ("last_frame", "first_and_last", "any_frames")


def check_weights(task_weights: Mapping[str, float]) -> None:
    """Raises ValueError for an unknown task, or weights that are negative or all zero."""
    unknown = set(task_weights) - set(MASKS)
    if unknown:
        raise ValueError(f"unknown tasks {sorted(unknown)}; legal tasks: {sorted(MASKS)}")
    weights = list(task_weights.values())
    if min(weights, default=0) < 0 or sum(weights) <= 0:
        raise ValueError(f"task weights {dict(task_weights)} must be >= 0 with a positive sum")


def sample_conditions(
    key: jax.Array,
    batch_size: int,
    frames: int,
    task_weights: Mapping[str, float],
    dropout: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Samples a task for each clip: masks [B, T] of given latent frames, and of given images.

    Args:
      task_weights: {task of MASKS: weight}. A mask that leaves nothing to generate, as any given
        frame of an image does, becomes empty.
      dropout: probability of dropping all given frames, for image guidance.
    """
    names = sorted(task_weights)
    weights = jnp.array([task_weights[name] for name in names], jnp.float32)
    images = jnp.array([name in GIVE_IMAGES for name in names])

    def draw(key):
        task_key, mask_key, drop_key = jax.random.split(key, 3)
        task = jax.random.choice(task_key, len(names), p=weights / weights.sum())
        given = jnp.stack([MASKS[name](mask_key, frames) for name in names])[task]
        kept = ~(given.all() | jax.random.bernoulli(drop_key, dropout))
        given = given * kept
        return given, given * images[task] * (jnp.arange(frames) > 0)

    return jax.vmap(draw)(jax.random.split(key, batch_size))


def show_given(
    xt: jax.Array, t: jax.Array, latents: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(xt, t [B, T]) with given frames clean and at time 0.

    Args:
      xt: noisy latents [B, T, H, W, C].
      t: [], [T], [B, 1] or [B, T].
      latents: clean ones, like xt.
      mask: [B, T], 1 on given frames.
    """
    given = mask > 0
    xt = jnp.where(given[:, :, None, None, None], latents, xt)
    return xt, jnp.where(given, 0.0, jnp.broadcast_to(t, mask.shape))


def hold_images(video: jax.Array, images: jax.Array) -> jax.Array:
    """Repeats the first pixel frame of every latent frame where images [B, T] is 1.

    video: [B, 4 (T - 1) + 1, H, W, 3].
    """
    numbers, (frames, latents) = jnp.arange(video.shape[1]), (video.shape[1], images.shape[1])
    stride = max((frames - 1) // max(latents - 1, 1), 1)
    latent = -(-numbers // stride)
    held = jnp.where(images[:, latent] > 0, stride * (latent - 1) + 1, numbers)
    return jnp.take_along_axis(video, held[:, :, None, None, None], axis=1)
