"""Finds the videos of a folder and the captions that belong to them."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seedance_jax.data import schema

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
METADATA_NAMES = ("metadata.jsonl", "metadata.csv")


class Captions(NamedTuple):
    """What is told of a video. `shots` are of the file's own frames; none: a single shot."""

    caption: str
    motion: str = ""
    shots: tuple[schema.Shot, ...] = ()


class CaptionedFile(NamedTuple):
    """A video file, by its path relative to the folder."""

    name: str
    captions: Captions


def list_captioned(folder: Path) -> list[CaptionedFile]:
    """All videos below the folder with their captions, in the order of their names.

    Captions stand in `metadata.jsonl` or `metadata.csv` (file_name, caption and, if known,
    caption_motion and shots) or, without either, in a text file beside each video. `shots` is a
    list (in CSV: JSON) of {"num_frames": frames of the file, "caption": "..."}. Raises ValueError
    naming the videos without a caption, the captions without a video and the lines that are wrong.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
    )
    if not names:
        raise ValueError(f"no videos ({' '.join(VIDEO_SUFFIXES)}) in {folder}")
    captions = _read_metadata(folder) or _read_sidecars(folder, names)
    missing = [name for name in names if name not in captions or not captions[name].caption]
    if missing:
        raise ValueError(f"{len(missing)} videos of {folder} have no caption: {_some(missing)}")
    if unknown := sorted(captions.keys() - set(names)):
        raise ValueError(f"{len(unknown)} captions of {folder} have no video: {_some(unknown)}")
    return [CaptionedFile(name, captions[name]) for name in names]


def _some(names: list[str], limit: int = 20) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _read_metadata(folder: Path) -> dict[str, Captions]:
    present = [folder / name for name in METADATA_NAMES if (folder / name).exists()]
    if len(present) > 1:
        raise ValueError(f"{folder} must have one of {METADATA_NAMES}, it has both")
    captions = {}
    for path in present:
        for line, row in READERS[path.suffix](path):
            if not row.get("file_name") or not isinstance(row.get("caption"), str):
                raise ValueError(f"{path}, line {line}: file_name and caption are needed: {row}")
            if row["file_name"] in captions:
                raise ValueError(f"{path}, line {line}: a second caption of {row['file_name']}")
            try:
                captions[row["file_name"]] = _captions(row)
            except ValueError as error:
                raise ValueError(f"{path}, line {line}: {row['file_name']}: {error}") from error
    return captions


def _captions(row: Mapping[str, Any]) -> Captions:
    caption, motion = row["caption"].strip(), row.get("caption_motion") or ""
    shots = row.get("shots") or ()
    if shots:
        shots = json.loads(shots) if isinstance(shots, str) else shots
        shots = schema.check_shots(shots, caption)
    return Captions(caption, motion.strip(), shots)


def _read_jsonl(path: Path) -> Iterator[tuple[int, Mapping]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            yield number, row if isinstance(row, dict) else {}


def _read_csv(path: Path) -> Iterator[tuple[int, Mapping]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, row


READERS = {".jsonl": _read_jsonl, ".csv": _read_csv}


def _read_sidecars(folder: Path, names: list[str]) -> dict[str, Captions]:
    paths = {name: (folder / name).with_suffix(".txt") for name in names}
    return {
        name: Captions(path.read_text(encoding="utf-8").strip())
        for name, path in paths.items()
        if path.exists()
    }
