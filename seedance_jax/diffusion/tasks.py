"""Tasks as masks: which latent frames are given. One convention for training and sampling.

A mask is float [T] (or [B, T]) over latent frames, 1 where the clean frame is given. A given frame
is shown to the network as it is, at time 0 (`show_given`); the loss leaves it out, and sampling
ends with it as it was given. Time says of every frame how noisy it is, so a given frame says 0: it
looks the same in every step, and nothing is learned about noise that is never to be removed.

Latent frame 0 holds pixel frame 0 alone, latent frame i >= 1 the pixel frames 4i-3 to 4i. So

- an image given first is latent frame 0: exactly that image;
- an image given later is a latent frame that stands still: the image four times, encoded as the
  continuation of itself. Training shows the first of its four frames so, that motion before it may
  go on undisturbed: precomputed latents come with such stills. Where pixels are encoded in the
  step, `hold_images` makes the four frames that image, and they are encoded after their real past:
  near the same, at no cost.
- a clip to be extended is given as it is, encoded causally from its first frame.

A loop is first_and_last with one image at both ends. Played again and again, its last frame is the
first of the next round, so one of the two may be left out; the image is the only thing that both
ends share, motion need not continue over the seam.
"""

import jax
import jax.numpy as jnp


def none_given(key, frames):
    """Text to image or video: nothing is given."""
    return jnp.zeros(frames)


def ends_given(key, frames, before=(0, 0), after=(0, 0)):
    """The first and the last latent frames, as many as a draw from before and after says."""
    keys, index = jax.random.split(key), jnp.arange(frames)
    first, last = (
        jax.random.randint(own, (), low, high + 1)
        for own, (low, high) in zip(keys, (before, after), strict=True)
    )
    return ((index < first) | (index >= frames - last)).astype(jnp.float32)


def first_frame(key, frames):
    """Image to video: the first latent frame is given."""
    return ends_given(key, frames, before=(1, 1))


def last_frame(key, frames):
    """The last latent frame is given."""
    return ends_given(key, frames, after=(1, 1))


def first_and_last(key, frames):
    """The first and the last latent frame are given."""
    return ends_given(key, frames, before=(1, 1), after=(1, 1))


def extension_forward(key, frames):
    """A random number of first latent frames is given."""
    return ends_given(key, frames, before=(1, max(frames - 1, 1)))


def extension_backward(key, frames):
    """A random number of last latent frames is given."""
    return ends_given(key, frames, after=(1, max(frames - 1, 1)))


def in_between(key, frames):
    """A random number of latent frames at either end is given."""
    most = max((frames - 1) // 2, 1)
    return ends_given(key, frames, before=(1, most), after=(1, most))


def any_frames(key, frames):
    """Every latent frame is given with a random probability."""
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

# What they give after the first latent frame are images; what the others give are clips.
GIVE_IMAGES = ("last_frame", "first_and_last", "any_frames")


def check_weights(task_weights):
    """Raises ValueError for an unknown task, or weights that are negative or all zero."""
    unknown = set(task_weights) - set(MASKS)
    if unknown:
        raise ValueError(f"unknown tasks {sorted(unknown)}; legal tasks: {sorted(MASKS)}")
    weights = list(task_weights.values())
    if min(weights, default=0) < 0 or sum(weights) <= 0:
        raise ValueError(f"task weights {dict(task_weights)} must be >= 0 with a positive sum")


def sample_conditions(key, batch_size, frames, task_weights, dropout=0.0):
    """Draws a task per sample: float masks [B, T] of the given latent frames and of given images.

    Args:
      task_weights: {task: weight}, keys of MASKS. A draw that would leave nothing to generate, such
        as anything given of an image, gives nothing.
      dropout: share of samples whose given frames are dropped, so that the network learns what
        image guidance moves away from.
    """
    check_weights(task_weights)
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


def show_given(xt, t, latents, mask):
    """What the network sees: given frames clean, at time 0. Returns xt and t [B, T].

    Args:
      xt, latents: [B, T, H, W, C], noisy and clean; t: [], [T], [B, 1] or [B, T].
    """
    given = mask > 0
    xt = jnp.where(given[:, :, None, None, None], latents, xt)
    return xt, jnp.where(given, 0.0, jnp.broadcast_to(t, mask.shape))


def hold_images(video, images):
    """Makes latent frames of video [B, F, H, W, 3] stand still where `images` [B, T] is 1."""
    numbers, (frames, latents) = jnp.arange(video.shape[1]), (video.shape[1], images.shape[1])
    stride = max((frames - 1) // max(latents - 1, 1), 1)
    latent = -(-numbers // stride)
    held = jnp.where(images[:, latent] > 0, stride * (latent - 1) + 1, numbers)
    return jnp.take_along_axis(video, held[:, :, None, None, None], axis=1)
