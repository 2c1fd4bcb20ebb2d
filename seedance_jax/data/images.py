"""Image and video files that a clip is given, as arrays of its size, and what was changed."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from seedance_jax.data.color_profiles import png_chunk, to_srgb
from seedance_jax.data.pointers import check_fetched
from seedance_jax.data.video import ClipError, VideoReader

MAX_PIXELS = 2**27  # of an image; 400 MB as RGB
SCALED = "scaled from 16 to 8 bits"
# What makes an image upright, by its orientation in EXIF.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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

    Of several frames the first is taken, rotation by EXIF is applied, 16-bit is scaled to 8,
    colours are converted to sRGB, and transparency is laid over white. Errors begin with `name`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is a directory, not an image that can be read, of more than MAX_PIXELS, or not
        of 8 or 16 bits.
    """
    path = Path(path)
    check_file(name, path)
    where = f"{name} {str(path)!r}"
    image, notes = load_first(path, where)
    image, scaled = to_eight_bits(image, where)
    try:
        image, converted = to_srgb(image)
    except ValueError as error:  # a mode that Pillow cannot convert
        raise ValueError(f"{where} cannot be read: {error}") from error
    notes += scaled + converted
    if image.mode == "RGBA":
        notes.append("transparency laid over white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image, notes


def load_first(path: Path, where: str) -> tuple[Image.Image, list[str]]:
    """(the first frame of a file, upright, notes); errors, all ValueError, begin with `where`."""
    if not path.stat().st_size:
        raise ValueError(f"{where} is empty")
    image, notes = None, []
    with warnings.catch_warnings(record=True) as caught, _without_limit():
        warnings.simplefilter("always")
        try:
            with Image.open(path) as opened:
                size = opened.size
                if 0 < size[0] * size[1] <= MAX_PIXELS:
                    image, notes = _load(opened)
                    if opened.format == "PNG":  # Pillow passes over it
                        image.info["cicp"] = png_chunk(path, b"cICP")
        except UnidentifiedImageError as error:
            check_fetched(path, where)
            raise ValueError(f"{where} is no image of a format that Pillow reads") from error
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes Pillow raise nearly anything
            what = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{where} cannot be read: {what}") from error
    if image is None:
        most = f"more than {MAX_PIXELS:,}: make it smaller" if all(size) else "none at all"
        raise ValueError(f"{where} has {size[0]}x{size[1]} pixels, {most}")
    said = [" ".join(str(one.message).split()) for one in caught if one.category is UserWarning]
    return image, notes + [f"read with a warning: {line}" for line in dict.fromkeys(said)]


@contextlib.contextmanager
def _without_limit():
    """Pillow's own limit warns, in three lines, or does not say how large the image is."""
    kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = kept


def _load(opened):
    """(the first frame of an open image, upright, notes)."""
    deep = ";16" in str(opened.tile)  # Pillow's RGB keeps the high 8 bits and says nothing
    notes, frames = [], getattr(opened, "n_frames", 1)
    if frames > 1:
        notes.append(f"the first of its {frames} frames is taken")
    tiff = opened.format == "TIFF"
    says = _orientation(opened) if tiff else 1
    opened.load()  # which turns a TIFF; others have no EXIF before, or load to look for it
    image, left = opened.copy(), _orientation(opened)
    says = says if tiff else left
    if left in TURNS:
        image = image.transpose(TURNS[left])
    if says in TURNS:
        notes.append("turned upright as its EXIF says")
    elif says is None:
        notes.append("not turned: its EXIF cannot be read")
    elif says != 1:
        notes.append(f"not turned: its EXIF orientation is {says!r}, none of 1 to 8")
    return image, notes + ([SCALED] if deep and image.mode.startswith("RGB") else [])


def _orientation(opened):
    """What EXIF says of the orientation; 1 if nothing, None if it cannot be read."""
    try:
        return opened.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # struct.error, SyntaxError, KeyError, ...: whatever a damaged one makes
        return None


def to_eight_bits(image: Image.Image, where: str) -> tuple[Image.Image, list[str]]:
    """(grey of 16 bits as of 8, anything else as it is, notes); ValueError for an unknown range."""
    if not image.mode.startswith(("I", "F")):
        return image, []
    values, clear = np.asarray(image), image.info.get("transparency")
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > 65535:
        raise ValueError(
            f"{where} has values from {low} to {high} (mode {image.mode}), of an unknown range; "
            "give one of 8 or 16 bits"
        )
    made = Image.fromarray(np.round(values / 257.0).astype(np.uint8))
    if clear is not None:
        made.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    made.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return made, [SCALED]


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
            if max(reader.length or 0, len(frames) + 1) > most:
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
