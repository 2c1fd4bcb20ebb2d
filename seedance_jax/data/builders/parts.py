"""What is done of a data set that is being built: a file of clip records for every film.

A build that was killed, or ended because too much was lost, goes on from there.
"""

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data import remote
from seedance_jax.data.remote import Place


def directory_of(dataset: Place) -> Place:
    """Where the parts of a data set lie until it is finished."""
    return dataset.with_name(dataset.name + ".parts")


def remove(parts: Place) -> None:
    """Removes the parts of a data set that is finished."""
    if remote.in_bucket(parts):
        parts.rmtree(missing_ok=True)
    else:
        shutil.rmtree(parts, ignore_errors=True)


def part_path(parts: Place, film: Place, made_by: Sequence[Any]) -> Place:
    """The part of a film (path) as it is now, made by settings and captions (JSON)."""
    key = json.dumps([os.fsdecode(film), *remote.version(film), *made_by])
    return parts / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


def write(path: Place, summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
    """Writes a part, whole or not at all. `summary` and all of a record but "video" are JSON."""
    rows = [{name: row[name] for name in row if name != "video"} for row in records]
    arrays = {f"video_{i}": np.frombuffer(row["video"], np.uint8) for i, row in enumerate(records)}
    about = json.dumps({"summary": dict(summary), "rows": rows})
    if remote.in_bucket(path):
        content = io.BytesIO()
        np.savez(content, about=about, **arrays)
        path.write_bytes(content.getvalue())
        return
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            np.savez(stream, about=about, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_summary(path: Place) -> dict[str, Any] | None:
    """The summary of a part; None if there is none that can be read."""
    try:
        with np.load(remote.opened(path)) as arrays:
            return json.loads(str(arrays["about"]))["summary"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def read(path: Place) -> Iterator[dict[str, Any]]:
    """Yields the records of a part."""
    with np.load(remote.opened(path)) as arrays:
        for number, row in enumerate(json.loads(str(arrays["about"]))["rows"]):
            yield {**row, "video": arrays[f"video_{number}"].tobytes()}
