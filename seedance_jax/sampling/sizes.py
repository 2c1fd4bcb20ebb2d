"""Sizes of clips, by name the pixel tables of the product (Seedance 1.0), multiples of 32.

And what is said of sizes and frame rates that a model was not trained on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from seedance_jax.data import schema, sources
from seedance_jax.data.buckets import Bucket

RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")

# (width, height) by ratio, in the order of RATIOS.
SIZES = {
    "480p": ((864, 480), (736, 544), (640, 640), (544, 736), (480, 864), (960, 416)),
    "720p": ((1248, 704), (1120, 832), (960, 960), (832, 1120), (704, 1248), (1504, 640)),
    "1080p": ((1920, 1088), (1664, 1248), (1440, 1440), (1248, 1664), (1088, 1920), (2176, 928)),
}


def resolve_size(
    size: str | None, ratio: str | None, height: int | None, width: int | None
) -> tuple[int | None, int | None]:
    """(height, width) of a named size, or as they are if none is named; ratio is 16:9 by default.

    Raises ValueError for an unknown name, a ratio without size, or a size and pixels.
    """
    if size is None:
        if ratio is not None:
            raise ValueError(f"ratio={ratio!r} without a size; give one of {list(SIZES)}")
        return height, width
    if height is not None or width is not None:
        raise ValueError(f"size={size!r} and {height=}, {width=}: give a size or pixels, not both")
    if size not in SIZES:
        raise ValueError(f"size={size!r}; legal sizes: {list(SIZES)}")
    ratio = RATIOS[0] if ratio is None else ratio
    if ratio not in RATIOS:
        raise ValueError(f"ratio={ratio!r}; legal ratios: {list(RATIOS)}")
    return SIZES[size][RATIOS.index(ratio)][::-1]


def clip_shape(size: str, seconds: float, fps: float) -> tuple[int, int, int]:
    """(frames, height, width) of a clip of a named size at 16:9.

    Raises:
      ValueError: an unknown size, or a duration that is not a whole number of latent frames.
    """
    steps = seconds * fps / schema.FRAME_STRIDE
    if steps < 0 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(
            f"seconds={seconds} at {fps} fps must be a multiple of {schema.FRAME_STRIDE} frames"
        )
    return 1 + schema.FRAME_STRIDE * round(steps), *resolve_size(size, "16:9", None, None)


def clip_of(
    data: Mapping[str, Any], size: str | None = None, seconds: float = 0.0
) -> tuple[int, int, int]:
    """(frames, height, width) of a named size, or of the first bucket of a config.

    Args:
      data: section `data` of the config.
      size, seconds: see `clip_shape`.
    """
    if size is None:
        return sources.make_buckets(data["buckets"])[0].shape
    return clip_shape(size, seconds, sources.clip_fps(data))


def latent_shape(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """(T, H, W) of the latents of a clip; ValueError for a shape that cannot be encoded."""
    Bucket(frames, height, width, batch_size=1)  # raises
    strides = schema.FRAME_STRIDE, schema.PIXEL_STRIDE
    return (frames - 1) // strides[0] + 1, height // strides[1], width // strides[1]


def size_note(clip: Sequence[int], metadata: Mapping[str, Any]) -> str:
    """What to say of a (num_frames, height, width) that was not trained on; "" of others."""
    trained = [tuple(bucket) for bucket in metadata["buckets"]]
    if tuple(clip) in trained:
        return ""
    size, legal = "x".join(map(str, clip)), ", ".join("x".join(map(str, t)) for t in trained)
    return f"{size} (frames x height x width) is no size that the weights were trained on: {legal}"


def rate_note(fps: float, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """What to say of a frame rate that was not trained on; "" of others. config: of the run."""
    trained = [metadata["fps"]]
    if fps not in trained:
        trained = sources.frame_rates(config["data"])
    if fps in trained:
        return ""
    legal = ", ".join(f"{rate:g}" for rate in trained)
    return f"fps={fps:g} is no frame rate that the weights were trained on: {legal}"
