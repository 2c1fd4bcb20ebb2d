"""From a stored row to one example of a batch: pure numpy, every random choice from a given rng."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import schema, video
from seedance_jax.data.tokenizer import BYTES, Tokenizer


def legal_starts(shot_frames: Sequence[int], frames: int, stride: int) -> np.ndarray:
    """First frames, int64 [N], of the sub-clips in which no latent frame shows two shots.

    Args:
      shot_frames: the length of every shot of the stored clip.
      frames, stride: length (4n+1) and step of the sub-clip.
    """
    shot_of = np.repeat(np.arange(len(shot_frames)), shot_frames)
    starts = np.arange(max(0, len(shot_of) - (frames - 1) * stride))
    shown = shot_of[starts[:, None] + stride * np.arange(frames)]
    # Latent frame 0 holds the first frame, the others hold four each.
    latent = shown[:, 1:].reshape(len(starts), frames // schema.FRAME_STRIDE, schema.FRAME_STRIDE)
    return starts[(latent == latent[..., :1]).all((1, 2))]


def sub_clip(
    shot_frames: Sequence[int], frames: int, stride: int, rng: np.random.Generator | None
) -> range:
    """Frame numbers of `frames` frames, `stride` apart, of a clip with shots of those lengths.

    The start is drawn from rng; without one it is the middle of the legal ones. Raises ValueError
    if there is none.
    """
    starts = legal_starts(shot_frames, frames, stride)
    if not len(starts):
        raise ValueError(
            f"{frames} frames {stride} apart do not fit in a clip with shots of "
            f"{list(shot_frames)} frames, or only with a cut inside a latent frame"
        )
    choice = (len(starts) - 1) // 2 if rng is None else rng.integers(len(starts))
    start = int(starts[choice])
    return range(start, start + (frames - 1) * stride + 1, stride)


def choose_frames(
    row: Mapping[str, Any], frames: int, stride: int, rng: np.random.Generator | None
) -> range:
    """`sub_clip` of a stored row."""
    return sub_clip([shot.num_frames for shot in schema.read_shots(row)], frames, stride, rng)


def cover_size(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of the same aspect that covers the target (height, width).

    Raises ValueError if that would enlarge the video.
    """
    scale = max(target[0] / height, target[1] / width)
    if scale > 1:
        raise ValueError(f"{height}x{width} is smaller than {target[0]}x{target[1]}")
    return max(round(height * scale), target[0]), max(round(width * scale), target[1])


class Crop(NamedTuple):
    """How stored frames become those of a bucket: resized to height x width, then cut.

    top, left, size: of what is cut out; size is (height, width).
    """

    height: int
    width: int
    top: int
    left: int
    size: tuple[int, int]

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """[T, height, width, 3] -> [T, *size, 3]."""
        rows = slice(self.top, self.top + self.size[0])
        return frames[:, rows, self.left : self.left + self.size[1]]


def choose_crop(
    row: Mapping[str, Any],
    size: tuple[int, int],
    rng: np.random.Generator | None,
    random_scale: bool = False,
) -> Crop:
    """The crop of a stored row to size (height, width), aspect kept.

    What is cut out is drawn from rng; without one it is the middle. It is as much of the picture as
    can be, or with `random_scale` and an rng of a scale between that and the stored one, drawn
    uniformly in its logarithm.
    """
    stored = int(row["height"]), int(row["width"])
    resized = cover_size(*stored, size)
    if random_scale and rng is not None:
        scale = (resized[0] / stored[0]) ** rng.random()
        sides = zip(stored, resized, strict=True)
        resized = tuple(max(round(side * scale), least) for side, least in sides)
    slack = [have - want for have, want in zip(resized, size, strict=True)]
    if rng is None:
        top, left = (extra // 2 for extra in slack)
    else:
        top, left = (int(rng.integers(extra + 1)) for extra in slack)
    return Crop(*resized, top, left, tuple(size))


def load_video(row: Mapping[str, Any], numbers: range, crop: Crop) -> np.ndarray:
    """Decodes frames of a row into uint8 [T,H,W,3] of the size of a crop."""
    decoded, _ = video.decode_mp4(row["video"], numbers, (crop.height, crop.width))
    return np.ascontiguousarray(crop.cut(decoded))


def middle_clip(row: Mapping[str, Any], shape: tuple[int, int, int], stride: int) -> np.ndarray:
    """The sub-clip uint8 [T,H,W,3] that is taken of a row where nothing is drawn at random."""
    numbers = choose_frames(row, shape[0], stride, None)
    return load_video(row, numbers, choose_crop(row, shape[1:], None))


def load_latents(
    row: Mapping[str, Any], latents_row: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """{"latents", "stills"} float32 of a row; ValueError if of another row, or another shape."""
    if row["id"] != latents_row["id"]:
        raise ValueError(f"latents of {latents_row['id']!r} in the place of those of {row['id']!r}")
    loaded = {name: latents_row[name].astype(np.float32) for name in ("latents", "stills")}
    for name, array in loaded.items():
        if array.shape != shape:
            raise ValueError(f"{name} of {row['id']!r} are {array.shape}, the bucket needs {shape}")
    return loaded


def latent_shape(frames: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Shape of the latents of a video of that shape."""
    time = (frames - 1) // schema.FRAME_STRIDE + 1
    return time, height // schema.PIXEL_STRIDE, width // schema.PIXEL_STRIDE, schema.LATENT_CHANNELS


def shown_fps(row: Mapping[str, Any], frames: int, stride: int) -> np.ndarray:
    """Frames per second of every `stride`-th frame of a row; NaN of a single one."""
    return np.float32(row["fps"] / stride if frames > 1 else np.nan)


def load_text(
    row: Mapping[str, Any], numbers: range, text_length: int, tokenizer: Tokenizer = BYTES
) -> dict[str, np.ndarray]:
    """The captions of frames of a row: text, text_mask, text_shot [S] and frame_shot [n+1].

    Only the captions of the shots that are seen, counted from 0; the global one if these are two or
    more.
    """
    shots = schema.read_shots(row)
    seen, frame_shot = seen_shots(shots, numbers)
    captions = schema.captions_of(row["caption"], [shots[number] for number in seen])
    return encode_captions(captions, text_length, tokenizer) | {"frame_shot": frame_shot}


def load_motion_text(
    row: Mapping[str, Any], text_length: int, tokenizer: Tokenizer = BYTES
) -> dict[str, np.ndarray]:
    """The motion-only caption of a row: motion_text, motion_text_mask [S].

    Without one, or with several shots, which it does not tell apart, all is masked.
    """
    motion = schema.motion_of(row)
    ids, mask = tokenizer.encode(motion, text_length)
    return {"motion_text": ids, "motion_text_mask": mask & bool(motion)}


def load_text_tokens(
    row: Mapping[str, Any], numbers: range, text_length: int, texts_row: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """`load_text` with what a language model made of it: text float32 [S, E] instead of ids.

    Raises ValueError if the tokens are another row's, or do not fit.
    """
    if row["id"] != texts_row["id"]:
        raise ValueError(f"texts of {texts_row['id']!r} in the place of those of {row['id']!r}")
    seen, frame_shot = seen_shots(schema.read_shots(row), numbers)
    order = {schema.GLOBAL: schema.GLOBAL} if len(seen) > 1 else {}
    order |= {int(number): place for place, number in enumerate(seen)}
    kept = np.isin(texts_row["shot"], list(order))
    tokens = texts_row["tokens"][kept].astype(np.float32)
    if (count := len(tokens)) > text_length:
        raise ValueError(f"{row['id']!r} has {count} text tokens, the text length is {text_length}")
    text = np.zeros((text_length, tokens.shape[1]), np.float32)
    text[:count] = tokens
    shot = np.zeros(text_length, np.int32)
    shot[:count] = [order[int(number)] for number in texts_row["shot"][kept]]
    mask = np.arange(text_length) < count
    return {
        "text": text,
        "text_mask": mask,
        "text_shot": shot,
        "frame_shot": frame_shot,
    }


def seen_shots(shots: Sequence[schema.Shot], numbers: range) -> tuple[np.ndarray, np.ndarray]:
    """The shots that frames of a clip show, and for every latent frame which one of these."""
    shot_of = np.repeat(np.arange(len(shots)), [shot.num_frames for shot in shots])
    seen, frame_shot = np.unique(shot_of[numbers][:: schema.FRAME_STRIDE], return_inverse=True)
    return seen, frame_shot.astype(np.int32)


def encode_captions(
    captions: Mapping[int, str], length: int, tokenizer: Tokenizer = BYTES
) -> dict[str, np.ndarray]:
    """Captions by shot, one after the other: text int32, text_mask bool, text_shot int32 [length].

    Raises ValueError if they do not fit.
    """
    parts = [[tokenizer.start, *tokenizer.to_ids(caption)] for caption in captions.values()]
    counts = [len(part) for part in parts]
    if (total := sum(counts)) > length:
        raise ValueError(
            f"captions of {counts} tokens exceed the text length {length}: {dict(captions)}"
        )
    text = np.full(length, tokenizer.pad, np.int32)
    text[:total] = np.concatenate(parts)
    shot = np.zeros(length, np.int32)
    shot[:total] = np.repeat(list(captions), counts)
    return {"text": text, "text_mask": np.arange(length) < total, "text_shot": shot}
