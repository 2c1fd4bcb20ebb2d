"""What is done of a data set that is being built: a file of clip records for every film.

A build that was killed, or ended because too much was lost, goes on from there.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def directory_of(dataset: Path) -> Path:
    """Where the parts of a data set lie until it is finished."""
    return dataset.with_name(dataset.name + ".parts")


def part_path(parts: Path, film: Path, made_by: Sequence[Any]) -> Path:
    """The part of a film (path) as it is now, made by settings and captions (JSON)."""
    stat = film.stat()
    key = json.dumps([os.fsdecode(film), stat.st_size, stat.st_mtime_ns, *made_by])
    return parts / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


def write(path: Path, summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
    """Writes a part, whole or not at all. `summary` and all of a record but "video" are JSON."""
    rows = [{name: row[name] for name in row if name != "video"} for row in records]
    arrays = {f"video_{i}": np.frombuffer(row["video"], np.uint8) for i, row in enumerate(records)}
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            np.savez(stream, about=json.dumps({"summary": dict(summary), "rows": rows}), **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_summary(path: Path) -> dict[str, Any] | None:
    """The summary of a part; None if there is none that can be read."""
    try:
        with np.load(path) as arrays:
            return json.loads(str(arrays["about"]))["summary"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the records of a part."""
    with np.load(path) as arrays:
        for number, row in enumerate(json.loads(str(arrays["about"]))["rows"]):
            yield {**row, "video": arrays[f"video_{number}"].tobytes()}
