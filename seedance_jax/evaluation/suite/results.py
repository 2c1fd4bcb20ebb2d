"""The results of a suite on disk: a row per clip, written as they come, so that a run goes on.

<folder>/
    results.jsonl   a row per clip, see `KEYS`
    results.lock    is locked by the run that writes to it
    clips/0000.mp4  and 0000.json, as `seedance_jax sample` writes them and `.vote` reads them
    report.json, report.html
"""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from seedance_jax.data import json_lines
from seedance_jax.data.video import ClipError, decode_mp4, encode_mp4
from seedance_jax.sampling import media
from seedance_jax.training import cluster, places

FILE, LOCK = "results.jsonl", "results.lock"
# What all rows of a folder have in common.
IDENTITY = ("suite", "checksum", "weights", "judges", "settings")
OWN = ("number", "group", "prompt", "seed", "given", "clip", "verdict", "reference")
KEYS = (*IDENTITY, *OWN)
OF_ONE_RUN = (
    "results of one suite, one model and one way to sample and judge belong together; use another "
    "--output"
)


def read_rows(folder: str | places.Place) -> dict[int, dict]:
    """{number: row} of a folder, in order; {} if there is none yet.

    A last line that a killed run has not finished is passed over.

    Raises ValueError if a row cannot be read, is of something else or of another run than the first
    one, or comes twice.
    """
    path = places.place(folder) / FILE
    if not path.exists():
        return {}
    rows = {}
    for where, row in json_lines.read(path):
        if missing := [name for name in KEYS if not isinstance(row, dict) or name not in row]:
            raise ValueError(f"{where} is no result of a suite: it lacks {missing}")
        if row["number"] in rows:
            raise ValueError(f"{where}: clip {row['number']} stands there twice")
        if rows:
            check_same(where, row, f"{path} line 1", next(iter(rows.values())))
        rows[row["number"]] = row
    return dict(sorted(rows.items()))


def check_same(
    where: str,
    row: Mapping[str, Any],
    elsewhere: str,
    other: Mapping[str, Any],
    names: Sequence[str] = IDENTITY,
    why: str = OF_ONE_RUN,
) -> None:
    """Raises ValueError, with both values and why, unless two rows agree in `names`."""
    for name in names:
        if row[name] != other[name]:
            raise ValueError(
                f"{where} has {name}={row[name]!r}, {elsewhere} has {name}={other[name]!r}: {why}"
            )


@contextlib.contextmanager
def open_rows(
    folder: str | Path, identity: Mapping[str, Any]
) -> Iterator[tuple[TextIO | None, set[int]]]:
    """(the file of rows, to append to, of process 0 alone; the set of the numbers that are done).

    Process 0 looks into the folder, and all processes know what it found. An unfinished last line
    is cut off, and so are rows whose clip is lost, which it tells.

    Args:
      identity: `IDENTITY` of this run.

    Raises ValueError, in all processes, if another run has it open or the rows are of another one.
    """
    with contextlib.ExitStack() as stack:
        opened = [None]

        def begin():
            stack.enter_context(lock(places.check_writable(folder)))
            rows = read_rows(folder)
            for row in rows.values():
                check_same("this run", identity, str(folder), row)
            rows = keep_whole(folder, rows)
            opened[0] = stack.enter_context(open(Path(folder) / FILE, "a", encoding="utf-8"))
            return list(rows)

        done = cluster.of_main(begin)
        yield opened[0], set(done)


@contextlib.contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Keeps other runs from writing to a folder; ValueError if one does."""
    path = Path(folder) / LOCK
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another run is writing to {path.with_name(FILE)}") from error
        yield


def keep_whole(folder: str | Path, rows: Mapping[int, dict]) -> dict[int, dict]:
    """Leaves only rows with a clip in the file of a folder, and says what is lost; returns them."""
    kept = {}
    for number, row in rows.items():
        try:
            read_clip(folder, row)
        except (ValueError, OSError) as error:
            print(f"{error}: it counts as not done")
        else:
            kept[number] = row
    path = Path(folder) / FILE
    draft = path.with_suffix(".tmp")
    draft.write_text("".join(map(to_line, kept.values())), encoding="utf-8")
    draft.replace(path)
    return kept


def write_row(file: TextIO, row: Mapping[str, Any]) -> None:
    """Appends a row at once."""
    file.write(to_line(row))
    file.flush()


def to_line(row: Mapping[str, Any]) -> str:
    """A row as it is written."""
    return json.dumps(row, default=plain) + "\n"


def plain(value: Any) -> Any:
    """A number or array of numpy as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


def write_clip(
    folder: str | Path,
    number: int,
    frames: np.ndarray,
    fps: float,
    settings: Mapping[str, Any],
    given: Mapping[int, np.ndarray],
) -> str:
    """Writes a clip, the images that it was given and its sidecar; returns its path in the folder.

    Args:
      given: {frame: image or clip that begins there}.
    """
    clips = Path(folder) / "clips"
    clips.mkdir(exist_ok=True)
    path, files = clips / f"{number:04d}.mp4", {}
    draft = path.with_suffix(".tmp")
    draft.write_bytes(encode_mp4(frames, fps, crf=10))
    draft.replace(path)
    for first, pixels in given.items():
        if pixels.ndim == 3:
            image = clips / f"{number:04d}_given_{first:02d}.png"
            Image.fromarray(pixels).save(image)
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
            files[f"frames {first}"] = {"path": str(image), "sha256": digest}
    settings = {**settings, "fps": fps, "file": path.name, **({"files": files} if files else {})}
    media.write_sidecar(path.with_suffix(""), settings)
    return str(path.relative_to(folder))


def read_clip(folder: str | Path, row: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """(frames uint8 [T,H,W,3], frames a second) of a row, nearly as they were judged.

    Raises FileNotFoundError or ValueError, with the path, if they are not there to read.
    """
    path = Path(folder) / row["clip"]
    if not path.is_file():
        raise FileNotFoundError(f"{path}, of clip {row['number']}, is missing")
    try:
        return decode_mp4(path)
    except ClipError as error:
        raise ValueError(f"{path}, of clip {row['number']}, cannot be read: {error}") from error
