"""From a stored row to one example of a batch: pure numpy, every random choice from a given rng."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seedance_jax.data import schema, tokenizer, video


def sub_clip(num_frames: int, frames: int, stride: int, rng: np.random.Generator | None) -> range:
    """Frame numbers of `frames` frames, `stride` apart, of a clip of num_frames.

    The start is drawn from rng; without one it is the middle.
    """
    slack = num_frames - ((frames - 1) * stride + 1)
    if slack < 0:
        raise ValueError(f"{frames} frames {stride} apart do not fit in a clip of {num_frames}")
    start = slack // 2 if rng is None else int(rng.integers(slack + 1))
    return range(start, start + (frames - 1) * stride + 1, stride)


def cover_size(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of the same aspect that covers the target (height, width).

    Raises ValueError if that would enlarge the video.
    """
    scale = max(target[0] / height, target[1] / width)
    if scale > 1:
        raise ValueError(f"{height}x{width} is smaller than {target[0]}x{target[1]}")
    return max(round(height * scale), target[0]), max(round(width * scale), target[1])


def crop(frames: np.ndarray, size: tuple[int, int], rng: np.random.Generator | None) -> np.ndarray:
    """Cuts [T,H,W,3] to size (height, width), at random or, without rng, from the middle."""
    slack = [have - want for have, want in zip(frames.shape[1:3], size, strict=True)]
    if rng is None:
        top, left = (extra // 2 for extra in slack)
    else:
        top, left = (int(rng.integers(extra + 1)) for extra in slack)
    return frames[:, top : top + size[0], left : left + size[1]]


def load_video(
    row: Mapping[str, Any],
    shape: tuple[int, int, int],
    stride: int = 1,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Decodes a row into uint8 [frames, height, width, 3] of the given shape, aspect kept."""
    frames, size = shape[0], shape[1:]
    indices = sub_clip(int(row["num_frames"]), frames, stride, rng)
    resized = cover_size(int(row["height"]), int(row["width"]), size)
    decoded, _ = video.decode_mp4(row["video"], indices, resized)
    return np.ascontiguousarray(crop(decoded, size, rng))


def load_latents(row: Mapping[str, Any], latents_row: Mapping[str, Any]) -> np.ndarray:
    """The latents float32 [n+1,h,w,C] of a row; raises ValueError if they are another row's."""
    if row["id"] != latents_row["id"]:
        raise ValueError(f"latents of {latents_row['id']!r} in the place of those of {row['id']!r}")
    return latents_row["latents"].astype(np.float32)


def latent_shape(frames: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Shape of the latents of a video of that shape."""
    time = (frames - 1) // schema.FRAME_STRIDE + 1
    return time, height // schema.PIXEL_STRIDE, width // schema.PIXEL_STRIDE, schema.LATENT_CHANNELS


def load_text(row: Mapping[str, Any], text_length: int) -> dict[str, np.ndarray]:
    """Tokens of the caption: text int32 [S], text_mask bool [S], text_shot int32 [S]."""
    ids, mask = tokenizer.encode(row["caption"], text_length)
    return {"text": ids, "text_mask": mask, "text_shot": np.zeros_like(ids)}
