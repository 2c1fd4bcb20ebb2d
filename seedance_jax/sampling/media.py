"""The files of a generated clip: mp4 or png, sheet and sidecar, and the directory they go to."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from seedance_jax.data.video import encode_mp4

SHEET_FRAMES = 6
ANIMATED = 48  # frames of a moving picture, at most


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
