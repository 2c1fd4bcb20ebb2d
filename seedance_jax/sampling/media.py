"""The files of a generated clip: mp4 or png, sheet and sidecar, and the directory they go to."""

import functools
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from seedance_jax.data.video import encode_mp4
from seedance_jax.sampling.labels import draw_label
from seedance_jax.training import places
from seedance_jax.training.places import Place, place

SHEET_FRAMES = 6
ANIMATED = 48  # frames of a moving picture, at most


def next_number(directory: str | Place) -> int:
    """One more than the highest number of the clips and sheets in a directory; 0 if there are none.

    Files are 0000.mp4, 0000_sheet.png, 0000.json, and sheet_0000-0005.png of several clips.
    """
    pattern = re.compile(r"(?:sheet_\d+-)?(\d{4,})(?:_sheet)?\.(?:mp4|png|npy|json)")
    directory = place(directory)
    paths = directory.iterdir() if directory.exists() else ()  # of a bucket none is there, if empty
    matches = [pattern.fullmatch(path.name) for path in paths]
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def write_clip(
    directory: str | Place, frames: np.ndarray, fps: float, settings: Mapping[str, Any]
) -> Place:
    """Writes the next clip of a directory: mp4 (png for one frame), sheet and sidecar.

    Args:
      frames: uint8 [T, H, W, 3].
      settings: everything needed to make the clip again; goes to the JSON sidecar.

    Returns the path of the first file, such as 0000.mp4, beside 0000_sheet.png and 0000.json.
    """
    if len(frames) == 1:
        main, write = ".png", functools.partial(save_png, Image.fromarray(frames[0]))
    else:
        content = encode_mp4(frames, fps)
        main, write = ".mp4", lambda file: file.write(content)
    sheet = functools.partial(save_png, contact_sheet([(settings["prompt"], frames)]))
    return write_next(directory, {main: write, "_sheet.png": sheet}, {**settings, "fps": fps})


def write_array(
    directory: str | Place, array: np.ndarray, fps: float, settings: Mapping[str, Any]
) -> Place:
    """Writes the next 0000.npy (frames or latents) of a directory and its sidecar."""
    write = {".npy": lambda file: np.save(file, array)}
    return write_next(directory, write, {**settings, "fps": fps})


def save_png(image: Image.Image, file: BinaryIO) -> None:
    """Writes an image to an open file."""
    image.save(file, "PNG")


def write_next(
    directory: str | Place,
    files: Mapping[str, Callable[[BinaryIO], Any]],
    settings: Mapping[str, Any],
) -> Place:
    """Writes the files {suffix: function that fills it} of the next number, and their sidecar.

    The sidecar comes last, so that what it names is there and whole; a hidden file keeps the number
    until then. If a file cannot be written, none of them stays. Returns the path of the first file.
    """
    directory = place(directory)
    number = next_number(directory)
    while not (claim := _claim(directory, number)):
        number += 1
    paths = [directory / f"{number:04d}{suffix}" for suffix in files]
    try:
        for path, fill in zip(paths, files.values(), strict=True):
            with places.writing(path) as file:
                fill(file)
        content = sidecar({**settings, "file": paths[0].name})
        places.finish(claim, directory / f"{number:04d}.json", content)
    except BaseException:
        for path in (*paths, claim):
            path.unlink(missing_ok=True)
        raise
    return paths[0]


def _claim(directory: Place, number: int) -> Place | None:
    """The hidden file, made now, by which a number is of one run; None if another has the number.

    That of a run that was killed stays, and its number is not used again.
    """
    claim = directory / f".{number:04d}.claim"
    if not places.create(claim):
        return None
    if (directory / f"{number:04d}.json").exists():  # written since the numbers were listed
        claim.unlink()
        return None
    return claim


def sidecar(settings: Mapping[str, Any]) -> str:
    """The content of a sidecar."""
    return json.dumps(settings, indent=2) + "\n"


def write_sidecar(stem: Place, settings: Mapping[str, Any]) -> None:
    """Writes stem.json."""
    stem.with_name(stem.name + ".json").write_text(sidecar(settings))


def contact_sheet(
    rows: Sequence[tuple[str, np.ndarray]], columns: int = SHEET_FRAMES, min_height: int = 128
) -> Image.Image:
    """A picture of labelled rows (label, frames uint8 [T, H, W, 3]), evenly spaced in time.

    Labels stand above their rows, see `labels.draw_label`.
    """
    tiles = []
    for label, frames in rows:
        scale = max(1, -(-min_height // frames.shape[1]))
        chosen = frames[np.linspace(0, len(frames) - 1, min(columns, len(frames))).astype(int)]
        strip = np.concatenate([np.pad(f, ((0, 0), (0, 1), (0, 0))) for f in chosen], axis=1)
        strip = strip.repeat(scale, 0).repeat(scale, 1)
        tiles += [draw_label(label, strip.shape[1]), Image.fromarray(strip)]
    sheet = Image.new("RGB", (max(t.width for t in tiles), sum(t.height for t in tiles)), "white")
    top = 0
    for tile in tiles:
        sheet.paste(tile, (0, top))
        top += tile.height
    return sheet


def animate(frames: np.ndarray, fps: float) -> bytes:
    """Frames uint8 [T,H,W,3] as WebP that goes round; of clips of more than ANIMATED every n-th."""
    every = -(-len(frames) // ANIMATED)
    first, *others = map(Image.fromarray, frames[::every])
    # The last frame stays a while, to show where the clip begins.
    length = round(1000 * every / fps)
    lengths = [*[length] * len(others), 3 * length]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=lengths,
        loop=0,
        quality=80,
    )
    return buffer.getvalue()
