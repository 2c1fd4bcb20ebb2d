"""Finds the videos of a folder and the captions that belong to them."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
METADATA_NAMES = ("metadata.jsonl", "metadata.csv")


class CaptionedFile(NamedTuple):
    """A video file, by its path relative to the folder."""

    name: str
    caption: str
    caption_motion: str


def list_captioned(folder: Path) -> list[CaptionedFile]:
    """All videos below the folder with their captions, in the order of their names.

    Captions stand in `metadata.jsonl` or `metadata.csv` (file_name, caption and, if known,
    caption_motion) or, without either, in a text file beside each video. Raises ValueError naming
    the videos without a caption and the captions without a video.
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
    missing = [name for name in names if not captions.get(name, ("",))[0]]
    if missing:
        raise ValueError(f"{len(missing)} videos of {folder} have no caption: {_some(missing)}")
    if unknown := sorted(captions.keys() - set(names)):
        raise ValueError(f"{len(unknown)} captions of {folder} have no video: {_some(unknown)}")
    return [CaptionedFile(name, *captions[name]) for name in names]


def _some(names: list[str], limit: int = 20) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _read_metadata(folder: Path) -> dict[str, tuple[str, str]]:
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
            motion = row.get("caption_motion") or ""
            captions[row["file_name"]] = (row["caption"].strip(), motion.strip())
    return captions


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


def _read_sidecars(folder: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    paths = {name: (folder / name).with_suffix(".txt") for name in names}
    return {
        name: (path.read_text(encoding="utf-8").strip(), "")
        for name, path in paths.items()
        if path.exists()
    }
