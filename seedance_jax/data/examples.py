"""From the stored rows of a clip to one example of a batch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import ground_truth, schema, transforms
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.tokenizer import BYTES, Tokenizer


class Wanted(NamedTuple):
    """What examples have besides pixels or latents, captions and the frame rate.

    Attributes:
      tokenizer: of the captions.
      truth: names of `schema.TRUTH`.
      motion: whether the motion-only captions, too.
      random_scale: of what is cut out of the pictures, see `transforms.choose_crop`.
    """

    tokenizer: Tokenizer = BYTES
    truth: tuple[str, ...] = ()
    motion: bool = False
    random_scale: bool = False


PLAIN = Wanted()


def load_example(
    element: Mapping[str, Any],
    bucket: Bucket,
    text_length: int | None,
    rng: np.random.Generator | None,
    wanted: Wanted = PLAIN,
) -> dict[str, np.ndarray]:
    """Turns rows into one example; without rng, the one that `rng_of_clip` chooses.

    Without text_length it has no conditions. Latents were made without rng.
    """
    row, side = element["row"], element["side"]
    rng = rng_of_clip(element) if rng is None or "latents" in side else rng
    numbers = transforms.choose_frames(row, bucket.frames, bucket.stride, rng)
    crop = transforms.choose_crop(row, bucket.shape[1:], rng, wanted.random_scale)
    example = {"index": np.int64(element["index"])}
    if text_length is not None:
        example |= load_text(row, numbers, text_length, side, wanted)
        example |= {"fps": transforms.shown_fps(row, bucket.frames, bucket.stride)}
        last = np.asarray(numbers[:: schema.FRAME_STRIDE])
        example |= {name: ground_truth.READERS[name](row, last, crop) for name in wanted.truth}
    if "latents" not in side:
        return example | {"video": transforms.load_video(row, numbers, crop)}
    shape = transforms.latent_shape(*bucket.shape)
    return example | transforms.load_latents(row, side["latents"], shape)


def rng_of_clip(element: Mapping[str, Any]) -> np.random.Generator | None:
    """What chooses one of the clips of a row that are computed once: the same at any time.

    None, which is the middle of every choice, for the first.
    """
    clip = element["clip"]
    return np.random.default_rng([int(element["index"]), clip]) if clip else None


def load_text(
    row: Mapping[str, Any],
    numbers: range,
    text_length: int,
    side: Mapping[str, Any],
    wanted: Wanted,
) -> dict[str, np.ndarray]:
    """What an example has of captions: their ids, or what was precomputed of them."""
    if "texts" in side:
        return transforms.load_text_tokens(row, numbers, text_length, side["texts"])
    text = transforms.load_text(row, numbers, text_length, wanted.tokenizer)
    if not wanted.motion:
        return text
    return text | transforms.load_motion_text(row, text_length, wanted.tokenizer)
