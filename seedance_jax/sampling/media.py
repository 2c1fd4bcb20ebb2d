"""Files around a generated clip: images and clips that it is given, the mp4, sheet and sidecar."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageOps, UnidentifiedImageError

from seedance_jax.data.video import decode_mp4, encode_mp4

SHEET_FRAMES = 6


def read_image(path: str | Path, height: int, width: int) -> tuple[np.ndarray, list[str]]:
    """Reads a first frame: (uint8 [height, width, 3], notes on everything that was changed).

    Transparency is laid over white, 16-bit is scaled to 8, rotation by EXIF is applied, and another
    aspect is cropped around the centre before resizing.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is a directory, not an image that can be read, or not of 8 or 16 bits.
    """
    path = Path(path)
    check_file("image", path)
    try:
        with Image.open(path) as opened:
            deep = ";16" in str(opened.tile)  # Pillow's RGB keeps the high 8 bits and says nothing
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"image {str(path)!r} cannot be read: {error}") from error
    notes = ["turned upright as its EXIF says"] if turned else []
    if image.mode.startswith(("I", "F")):
        low, high = image.getextrema()
        if image.mode == "F" or low < 0 or high > 65535:
            raise ValueError(
                f"image {str(path)!r} has values from {low} to {high} (mode {image.mode}), of an "
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
    image = image.convert("RGB")
    image, changes = fit(image, height, width)
    return np.asarray(image), notes + changes


def fit(image: Image.Image, height: int, width: int) -> tuple[Image.Image, list[str]]:
    """A PIL image cropped around its centre and resized, with notes on what was changed."""
    if image.size == (width, height):
        return image, []
    cropped = image.size[0] * height != image.size[1] * width
    how = "cropped and resized" if cropped else "resized"
    note = f"{how} from {image.size[0]}x{image.size[1]} to {width}x{height}"
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS), [note]


def read_video(
    path: str | Path, height: int, width: int, fps: float
) -> tuple[np.ndarray, list[str]]:
    """Reads a clip to be given: (uint8 [N, height, width, 3], notes on what was changed).

    Frames are cropped as those of `read_image`. They are all kept, whatever `fps` (that of the
    model) is; a clip of another rate is noted.

    Raises FileNotFoundError, or ValueError for a file that cannot be decoded.
    """
    check_file("video", path)
    try:
        frames, found = decode_mp4(path)
    except ValueError as error:
        raise ValueError(f"video {str(path)!r} cannot be read: {error}") from error
    fitted = [fit(Image.fromarray(frame), height, width) for frame in frames]
    notes = list(fitted[0][1])
    if abs(found - fps) > 0.01:
        notes.append(f"its {found:g} frames a second are taken as {fps:g}: speed changes")
    return np.stack([np.asarray(image) for image, _ in fitted]), notes


def check_file(name: str, path: str | Path) -> None:
    """Raises FileNotFoundError if there is nothing at a path, ValueError if that is no file."""
    if Path(path).is_dir():
        raise ValueError(f"{name} {str(path)!r} is a directory; give a file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{name} {str(path)!r} does not exist")


def check_writable(directory: str | Path) -> Path:
    """Makes the output directory; raises OSError with the path if it cannot be written."""
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".write_probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"cannot write to output directory {str(directory)!r}: {error}") from error
    return directory


def next_number(directory: str | Path) -> int:
    """One more than the highest number of the clips and sheets in a directory; 0 if there are none.

    Files are 0000.mp4, 0000_sheet.png, 0000.json, and sheet_0000-0005.png of several clips.
    """
    pattern = re.compile(r"(?:sheet_\d+-)?(\d{4,})(?:_sheet)?\.(?:mp4|png|npy|json)")
    matches = [pattern.fullmatch(path.name) for path in Path(directory).iterdir()]
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def write_clip(
    stem: str | Path, frames: np.ndarray, fps: float, settings: Mapping[str, Any]
) -> Path:
    """Writes stem.mp4 (or stem.png for one frame), stem_sheet.png and stem.json; returns the first.

    Args:
      stem: path without suffix.
      frames: uint8 [T, H, W, 3].
      settings: everything needed to make the clip again; goes to the JSON sidecar.
    """
    stem = Path(stem)
    if len(frames) == 1:
        main = stem.with_name(stem.name + ".png")
        Image.fromarray(frames[0]).save(main)
    else:
        main = stem.with_name(stem.name + ".mp4")
        main.write_bytes(encode_mp4(frames, fps))
    contact_sheet([(settings["prompt"], frames)]).save(stem.with_name(stem.name + "_sheet.png"))
    write_sidecar(stem, {**settings, "fps": fps, "file": main.name})
    return main


def write_array(
    stem: str | Path, array: np.ndarray, fps: float, settings: Mapping[str, Any]
) -> Path:
    """Writes stem.npy (frames or latents) and stem.json, as `write_clip`; returns the first."""
    main = Path(stem).with_name(Path(stem).name + ".npy")
    np.save(main, array)
    write_sidecar(Path(stem), {**settings, "fps": fps, "file": main.name})
    return main


def write_sidecar(stem: Path, settings: Mapping[str, Any]) -> None:
    """Writes stem.json."""
    stem.with_name(stem.name + ".json").write_text(json.dumps(settings, indent=2) + "\n")


def contact_sheet(
    rows: Sequence[tuple[str, np.ndarray]], columns: int = SHEET_FRAMES, min_height: int = 128
) -> Image.Image:
    """A picture of labelled rows (label, frames uint8 [T, H, W, 3]), evenly spaced in time."""
    tiles = []
    for label, frames in rows:
        scale = max(1, -(-min_height // frames.shape[1]))
        chosen = frames[np.linspace(0, len(frames) - 1, min(columns, len(frames))).astype(int)]
        strip = np.concatenate([np.pad(f, ((0, 0), (0, 1), (0, 0))) for f in chosen], axis=1)
        strip = strip.repeat(scale, 0).repeat(scale, 1)
        picture = Image.new("RGB", (strip.shape[1], strip.shape[0] + 16), "white")
        picture.paste(Image.fromarray(strip), (0, 16))
        ImageDraw.Draw(picture).text((3, 2), label, fill="black")
        tiles.append(picture)
    sheet = Image.new("RGB", (max(p.width for p in tiles), sum(p.height for p in tiles)), "white")
    top = 0
    for picture in tiles:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet
