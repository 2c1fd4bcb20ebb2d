"""Tables of scores of the rows of a data set, which lie beside it and never change.

<data_dir>/scores/<hash of what they are scores of>/
    spec.json     clips, split, scorer and its version, and the hash of the table
    scores.npz    {column: float32 [rows], or text [rows]}

Another version of a scorer, or other clips, have other directories.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from seedance_jax.data import remote, schema, video
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.data.remote import Place

MOST = 256  # pixels of the shorter side at which clips are scored
# What a scorer reads of a clip besides its frames.
READ = ("fps", "shots", "num_frames", "caption", "id", "height", "width")
CAMERA = ("camera_intrinsics", "camera_rotation", "camera_translation")


def _motion(frames, row):
    from seedance_jax.data.curation import motion  # who only filters needs no OpenCV

    return motion.score(frames, float(row["fps"]), _shot_frames(row))


def _known_camera(frames, row):
    from seedance_jax.data.curation import motion, optical_flow

    intrinsics, *rest = (np.asarray(row[name], float) for name in CAMERA)
    shrunk = np.array([frames.shape[2] / row["width"], frames.shape[1] / row["height"], 1.0])
    camera = optical_flow.Camera(shrunk[:, None] * intrinsics, *rest)
    found = motion.score(frames, float(row["fps"]), _shot_frames(row), camera)
    return {name: found[name.removeprefix("known_")] for name in schema.SCORES["known_camera"]}


def _aesthetic(frames, row):
    from seedance_jax.data.curation import aesthetic

    del row
    return aesthetic.score(frames)


def _scene(frames, row):
    from seedance_jax.data.curation import told

    del frames
    return told.score(row)


def _shot_frames(row):
    return [shot.num_frames for shot in schema.read_shots(row)]


class Scorer(NamedTuple):
    """What fills a table.

    Attributes:
      version: raise it when the same clip gets another score.
      score: (frames uint8 [T, H, W, 3], row) -> {column: value}, of the columns that
        `schema.SCORES` has under its name. A row has the fields READ and `needs`.
      needs: fields of records without which it cannot score.
      looks: whether it needs frames; if no scorer does, they are None and nothing is decoded.
    """

    version: int
    score: Callable[[np.ndarray | None, Mapping[str, Any]], dict[str, float | str]]
    needs: tuple[str, ...] = ()
    looks: bool = True


SCORERS = {
    "motion": Scorer(1, _motion),
    "aesthetic": Scorer(1, _aesthetic),
    "known_camera": Scorer(1, _known_camera, CAMERA),
    "scene": Scorer(1, _scene, ("scene",), looks=False),
}
DEFAULT = ("motion", "aesthetic")
REVIEW = "review"  # people in the place of a scorer


def score_row(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | str]:
    """All columns of the scorers of those names, of a record."""
    frames, found = _decode(row) if look(names) else None, {}
    for name in names:
        found |= SCORERS[name].score(frames, row)
    return found


def look(names: Sequence[str]) -> bool:
    """Whether any of the scorers of those names needs frames."""
    return any(SCORERS[name].looks for name in names)


def _decode(row):
    """The frames of a record, uint8 [T, H, W, 3], of MOST lines or fewer."""
    height, width = int(row["height"]), int(row["width"])
    scale = min(MOST / min(height, width), 1.0)
    size = (round(height * scale), round(width * scale))
    return video.decode_mp4(row["video"], None, size)[0]


def build(
    directory: Place,
    split: str,
    names: Sequence[str],
    data_dir: str | Place,
    num_processes: int = 1,
) -> list[Place]:
    """Writes the tables of the scorers of those names unless they exist; their directories.

    Args:
      directory, split: of a finished data set.

    Raises ValueError for an unknown scorer, or one that needs fields which its records lack.
    """
    if unknown := [name for name in names if name not in SCORERS]:
        raise ValueError(f"no scorer {unknown[0]!r}; legal scorers: {', '.join(SCORERS)}")
    source = storage.open_split(directory, split)
    specs = {name: describe(directory, split, name) for name in names}
    places = {name: storage.dataset_directory(data_dir, "scores", specs[name]) for name in names}
    missing = [name for name in names if not storage.is_complete(places[name])]
    for name in missing:
        if lacking := [field for field in SCORERS[name].needs if field not in source[0]]:
            raise ValueError(f"the scorer {name} needs {lacking}, which {directory} does not have")
    if missing:
        columns = _score_all(source, missing, num_processes, f"score {split}")
        for name in missing:
            write_table(
                places[name], specs[name], {own: columns[own] for own in schema.SCORES[name]}
            )
    return list(places.values())


def describe(directory: Place, split: str, name: str, reviews: str = "") -> dict[str, Any]:
    """Everything that determines a table (JSON), and so where it lies.

    name: of a scorer, or REVIEW, whose tables are of `reviews` (`reviews.fingerprint`).
    """
    clips = storage.describe_clips(directory, split)
    if name == REVIEW:
        return {**clips, "scorer": name, "version": 1, "reviews": reviews}
    return {**clips, "scorer": name, "version": SCORERS[name].version}


def _score_all(source, names, num_processes, title):
    """{column: float32 or text [rows]} of all rows."""
    fields = {*READ, *(field for name in names for field in SCORERS[name].needs)}
    fields |= {"video"} if look(names) else set()
    rows = (
        {key: row[key] for key in fields} for row in map(source.__getitem__, range(len(source)))
    )
    scored = ordered_map(functools.partial(score_row, names=names), rows, num_processes)
    with contextlib.closing(scored):
        found = list(tqdm(scored, title, len(source), unit="clip", mininterval=1.0))
    return {
        column: np.array([row[column] for row in found], type_of(column))
        for name in names
        for column in schema.SCORES[name]
    }


def type_of(column: str) -> type:
    """Of the values of a column of `schema.SCORES`."""
    return str if column in schema.TEXT_SCORES else np.float32


def write_table(
    directory: Place, spec: Mapping[str, Any], columns: Mapping[str, np.ndarray]
) -> None:
    """Writes the table of a spec (`describe`), unless it is there."""
    with storage.writing(directory) as draft:
        if draft is not None:
            np.savez(draft / "scores.npz", **columns)
            storage.write_json(draft / "spec.json", spec | {"table": fingerprint(columns)})


def fingerprint(columns: Mapping[str, np.ndarray]) -> str:
    """Hash (16 hex digits) of the names and values of a table."""
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(name.encode() + columns[name].tobytes())
    return digest.hexdigest()[:16]


def open_table(
    directory: Place, split: str, name: str, data_dir: str | Place, reviews: str = ""
) -> tuple[dict[str, np.ndarray], str]:
    """({column: float32 or text [rows]}, its hash) of the scorer of that name; see `describe`.

    Raises ValueError if there is none (the message says how to make it, and what those are of that
    there are), or if it was changed after it was written.
    """
    spec = describe(directory, split, name, reviews)
    place = storage.dataset_directory(data_dir, "scores", spec)
    if not storage.is_complete(place):
        more = " --reviews=FILE" if name == REVIEW else f" --scorers={name}"
        raise ValueError(
            f"no scores {name!r} of split {split!r} of {directory} in {place}{_others(spec, place)}"
            f"; make them with the same config:\n  python -m seedance_jax score --config=... "
            f"--split={split}" + (more if name not in DEFAULT else "")
        )
    with np.load(remote.opened(place / "scores.npz")) as stored:
        columns = dict(stored)
    wanted = json.loads((place / "spec.json").read_text())["table"]
    if (found := fingerprint(columns)) != wanted:
        raise ValueError(f"{place} was changed: its table is {found}, was written as {wanted}")
    return columns, found


def _others(spec, place):
    """What the scores there are differ by, of the same scorer; "" if there are none."""
    specs = [json.loads(path.read_text()) for path in place.parent.glob("*/spec.json")]
    lines = {
        f"\n  there are some of another {key}: {other[key]!r}, not {spec[key]!r}"
        for other in specs
        if other["scorer"] == spec["scorer"] and other["split"] == spec["split"]
        for key in ("clips", "content", "version", "reviews")
        if other.get(key) != spec.get(key)
    }
    return "".join(sorted(lines)) + ("\n" if lines else "")
