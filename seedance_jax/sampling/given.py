"""Given frames: from images and clips of a request to clean latents and a mask.

See `diffusion.tasks` for what is given how. Everything is first {pixel frame: image}, whatever the
argument it came by; frames of a latent frame that are missing repeat the nearest given one.

Latents come back as they were given. Of the pixels, those of a latent frame that follows generated
ones are decoded after another past than they were encoded with: of the tiny autoencoder the last of
its four frames, where an image belongs, loses 0.4 dB to the round trip, the first of them 3 dB.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.schema import FRAME_STRIDE
from seedance_jax.pretrained import codec

# Frames besides a multiple of FRAME_STRIDE of a clip that is extended so.
EXTENSIONS = {"forward": 1, "backward": 0}
IMAGES = {"image": 3, "last_image": 3}  # dimensions; the other arguments may be clips, too


def collect(
    size: Sequence[int],
    image: Any = None,
    last_image: Any = None,
    video: Any = None,
    extend: str = "forward",
    frames: Any = None,
) -> dict[int, np.ndarray]:
    """{pixel frame: uint8 [H, W, 3]} of all that a request gives.

    Args:
      size: (num_frames, height, width) of the clip.
      image, last_image: the first and the last frame, uint8 [H, W, 3].
      video: a clip, uint8 [N, H, W, 3], that the result begins with (extend "forward") or ends
        with ("backward").
      frames: {pixel frame: image or clip that begins there}.

    Raises ValueError if something has another type, size or place than it can have, if a frame is
    given twice, or if nothing is left to generate.
    """
    num_frames = size[0]
    check_extend(extend)
    if frames is not None and not isinstance(frames, dict):
        raise ValueError(f"frames must be {{pixel frame: image}}, got {type(frames).__name__}")
    parts = [("image", 0, image), ("last_image", num_frames - 1, last_image)]
    if video is not None:
        check_pixels("video", video, size, ndim=4)
        check_length(len(video), extend, num_frames)
        parts.append(("video", 0 if extend == "forward" else num_frames - len(video), video))
    parts += [(f"frames[{index!r}]", index, value) for index, value in (frames or {}).items()]
    given, sources = {}, {}
    for name, start, array in parts:
        if array is None:
            continue
        for index, picture in place(name, start, array, size):
            if index in given:
                raise ValueError(f"frame {index} is given twice, by {sources[index]} and {name}")
            given[index], sources[index] = picture, name
    if len(groups_of(given)) > (num_frames - 1) // FRAME_STRIDE:
        raise ValueError(
            f"{len(given)} given frames of num_frames={num_frames} leave nothing to generate"
        )
    return given


def place(name: str, start: Any, array: Any, size: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    """(pixel frame, image) of everything in an image or a clip that begins at `start`."""
    clip = check_pixels(name, array, size, ndim=IMAGES.get(name))
    if isinstance(start, bool) or not isinstance(start, int | np.integer):
        raise ValueError(f"{name}: a frame number must be an integer, got {start!r}")
    last = start + len(clip) - 1
    if start < 0 or last >= size[0]:
        raise ValueError(
            f"{name} has frames {start} to {last}; num_frames={size[0]} has 0 to {size[0] - 1}"
        )
    whole = start in (0, *range(1, size[0], FRAME_STRIDE)) and last % FRAME_STRIDE == 0
    if len(clip) > 1 and not whole:
        raise ValueError(
            f"{name} has frames {start} to {last}; a clip must begin at frame 0 or 4n+1 and end at "
            "4n, where latent frames do"
        )
    return list(enumerate(clip, start))


def check_pixels(name: str, array: Any, size: Sequence[int], ndim: int | None = None) -> np.ndarray:
    """The array as a clip [N, H, W, 3]; ValueError unless it is uint8 of the clip's size."""
    shape = tuple(size[1:])
    if isinstance(array, str):
        raise ValueError(f"{name}={array!r} is text; read it with seedance_jax.data.images")
    if not isinstance(array, np.ndarray):
        raise ValueError(
            f"{name} is {type(array).__name__}; must be a numpy array, uint8 {(*shape, 3)}"
        )
    legal = (ndim,) if ndim else (3, 4)
    if array.dtype != np.uint8 or array.ndim not in legal or array.shape[-3:] != (*shape, 3):
        kind = ("N", *shape, 3) if ndim == 4 else (*shape, 3)
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}; must be uint8 {kind}, see "
            "seedance_jax.data.images.read_image"
        )
    return array[None] if array.ndim == 3 else array


def check_extend(extend: str) -> None:
    """ValueError unless clips can be extended that way."""
    if extend not in EXTENSIONS:
        raise ValueError(f"extend={extend!r}; legal: {list(EXTENSIONS)}")


def check_length(length: int, extend: str, num_frames: int) -> None:
    """ValueError unless a clip of that length can be extended to num_frames."""
    rest = EXTENSIONS[extend]
    if length % FRAME_STRIDE != rest or not length:
        below = max(legal_length(length, rest), FRAME_STRIDE * (1 - rest) + rest)
        raise ValueError(
            f"video has {length} frames; to be extended {extend} it must have a multiple of "
            f"{FRAME_STRIDE}{' and 1' if rest else ''}: cut it to {below}"
        )
    if length >= num_frames:
        raise ValueError(
            f"video has {length} frames, num_frames={num_frames} counts them and the new ones: "
            f"give {length + (FRAME_STRIDE if rest else 1)} or more"
        )


def legal_length(length: int, rest: int) -> int:
    """The largest multiple of FRAME_STRIDE, and `rest`, that is at most `length`."""
    return length - (length - rest) % FRAME_STRIDE


def cut_to_extend(video: Any, extend: str) -> tuple[Any, list[str]]:
    """(clip of a length that can be extended, notes): the frames next to the new ones stay.

    Raises ValueError for another way to extend.
    """
    check_extend(extend)
    end = {"forward": "first", "backward": "last"}[extend]
    return cut(video, EXTENSIONS[extend], end, f"to be extended {extend}")


def cut_to_place(video: Any, start: Any) -> tuple[Any, list[str]]:
    """(clip that ends where a latent frame does if it begins at pixel frame `start`, notes)."""
    return cut(video, int(start == 0), "last", f"from frame {start}")


def cut(video: Any, rest: int, end: str, why: str) -> tuple[Any, list[str]]:
    """(clip of legal length without its "first" or "last" frames, notes); too short ones stay."""
    length = legal_length(len(video), rest)
    extra = len(video) - length
    if not extra or length < 1:
        return video, []
    kept = {"first": video[extra:], "last": video[:length]}[end]
    dropped = f"the {end} {extra}" if extra > 1 else f"the {end}"
    return kept, [f"cut from {len(video)} to {length} frames {why}: not {dropped}"]


def groups_of(given: Mapping[int, np.ndarray]) -> list[int]:
    """The latent frames that pixel frames belong to, in order."""
    return sorted({-(-index // FRAME_STRIDE) for index in given})


def encode_given(
    model: Any, weights: Mapping[str, Any], given: Mapping[int, np.ndarray], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents float32 [T, h, w, C], zero where nothing is given, and their mask [T].

    Neighbouring given latent frames are encoded together, as a clip; one that begins later than
    the first latent frame is encoded as the continuation of its own first frame.
    """
    latents, mask = np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)
    groups = groups_of(given)
    for _, run in itertools.groupby(enumerate(groups), lambda pair: pair[1] - pair[0]):
        run = [group for _, group in run]
        pixels = [picture for group in run for picture in fill_group(group, given)]
        before = [] if run[0] == 0 else pixels[:1]
        clip = np.stack(before + pixels)[None]
        encoded = np.concatenate(list(codec.encode_stream(model, weights, clip, chunk=1)), axis=1)
        latents[run], mask[run] = encoded[0, len(before) :], 1.0
    return latents, mask


def fill_group(group: int, given: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The images of a latent frame: one for the first, four for another, repeated where missing."""
    own = range(max(FRAME_STRIDE * (group - 1) + 1, 0), FRAME_STRIDE * group + 1)
    own = own if group else range(1)
    known = [index for index in own if index in given]
    return [given[min(known, key=lambda other: abs(other - index))] for index in own]
