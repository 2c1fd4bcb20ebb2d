"""Image and video files that a clip is given, as arrays of its size, and what was changed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from seedance_jax.data.video import ClipError, VideoReader


def read_image(
    path: str | Path, height: int, width: int, name: str = "image"
) -> tuple[np.ndarray, list[str]]:
    """Reads a first frame: (uint8 [height, width, 3], notes on everything that was changed).

    It is `open_image`, of which another aspect is cropped around the centre before resizing.
    """
    image, notes = open_image(path, name)
    image, changes = fit(image, height, width)
    return np.asarray(image), notes + changes


def open_image(path: str | Path, name: str = "image") -> tuple[Image.Image, list[str]]:
    """Reads an image as RGB in its own size: (image, notes on everything that was changed).

    Transparency is laid over white, 16-bit is scaled to 8, and rotation by EXIF is applied. Errors
    begin with `name`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is a directory, not an image that can be read, or not of 8 or 16 bits.
    """
    path = Path(path)
    check_file(name, path)
    try:
        with Image.open(path) as opened:
            deep = ";16" in str(opened.tile)  # Pillow's RGB keeps the high 8 bits and says nothing
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{name} {str(path)!r} cannot be read: {error}") from error
    notes = ["turned upright as its EXIF says"] if turned else []
    if image.mode.startswith(("I", "F")):
        low, high = image.getextrema()
        if image.mode == "F" or low < 0 or high > 65535:
            raise ValueError(
                f"{name} {str(path)!r} has values from {low} to {high} (mode {image.mode}), of an "
                "unknown range; give one of 8 or 16 bits"
            )
        deep = True
        image = Image.fromarray(np.round(np.asarray(image) / 257.0).astype(np.uint8))
    if deep:
        notes.append("scaled from 16 to 8 bits")
    if "A" in image.getbands() or "transparency" in image.info:
        notes.append("transparency laid over white")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB"), notes


def fit(image: Image.Image, height: int, width: int) -> tuple[Image.Image, list[str]]:
    """A PIL image cropped around its centre and resized, with notes on what was changed."""
    if image.size == (width, height):
        return image, []
    cropped = image.size[0] * height != image.size[1] * width
    how = "cropped and resized" if cropped else "resized"
    note = f"{how} from {image.size[0]}x{image.size[1]} to {width}x{height}"
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS), [note]


def read_video(
    path: str | Path, height: int, width: int, fps: float, name: str = "video", *, most: int
) -> tuple[np.ndarray, list[str]]:
    """Reads a clip to be given: (uint8 [N, height, width, 3], notes on what was changed).

    Frames are cropped as those of `read_image`, one by one. They are all kept, whatever `fps` (that
    of the model) is; a clip of another rate is noted.

    Raises FileNotFoundError, or ValueError for a file that cannot be decoded, or has more than
    `most` frames.
    """
    frames, changes = [], []
    with open_video(name, path) as reader:
        for frame in reader.frames():
            if (reader.length or len(frames) + 1) > most:
                count = reader.length or f"more than {most}"
                raise ValueError(f"{name} {str(path)!r} has {count} frames, {most} at most fit")
            picture, changes = fit(Image.fromarray(reader.show(frame)), height, width)
            frames.append(np.asarray(picture))
    notes, rate = [*reader.notes, *changes], float(reader.rate)
    if abs(rate - fps) > 0.01:
        notes.append(f"its {rate:g} frames a second are taken as {fps:g}: speed changes")
    return np.stack(frames), notes


def count_frames(path: str | Path, name: str = "video") -> int | None:
    """The number of frames of a clip, if its header tells; errors as of `read_video`."""
    with open_video(name, path) as reader:
        return reader.length


@contextlib.contextmanager
def open_video(name: str, path: str | Path) -> Iterator[VideoReader]:
    """Opens a clip; what is wrong with it, also later, is said with its name and path."""
    check_file(name, path)
    try:
        with VideoReader(path) as reader:
            yield reader
    except ClipError as error:
        raise ValueError(f"{name} {str(path)!r} cannot be read: {error}") from error


def check_file(name: str, path: str | Path) -> None:
    """Raises FileNotFoundError if there is nothing at a path, ValueError if that is no file."""
    if Path(path).is_dir():
        raise ValueError(f"{name} {str(path)!r} is a directory; give a file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{name} {str(path)!r} does not exist")
