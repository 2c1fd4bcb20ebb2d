"""The file of votes: JSON lines, appended whole or not at all, and the preferences in it.

A row is a vote, or takes one back:

    {"schema": "seedance_jax.votes/1", "kind": "vote", "id": "3f...", "pair": "9c...",
     "voter": "ann", "time": "2026-01-31T12:00:00+00:00", "seconds": 12.5,
     "prompt": "a red ball rolls", "seed": 3, "height": 64, "width": 64, "num_frames": 17,
     "fps": 12, "given": [{"name": "image", "path": "../first.png", "sha256": "..."}],
     "files": [{"path": "../b/0003.mp4", "sha256": "..."}, {"path": "../a/0003.mp4", ...}],
     "answers": {"prompt_following": "first", "motion_quality": "tie"}}
    {"schema": "seedance_jax.votes/1", "kind": "undo", "id": ..., "vote": "3f...", "voter": "ann",
     "time": ...}

`files` are in the order in which they were shown, and "first" says that files[0] is the best and
files[1] the worst of the two. Paths are relative to the file of votes. A row counts once its
newline is there: what a crash leaves of a row is passed over, and cut off by the next one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seedance_jax.data import json_lines
from seedance_jax.data.preferences.answers import AXES, FIRST, SECOND, TIE, check_answers

SCHEMA = "seedance_jax.votes/1"
FIELDS = {
    "vote": ("id", "voter", "time", "pair", "prompt", "seed", "given", "files", "answers"),
    "undo": ("id", "voter", "time", "vote"),
}


class Preference(NamedTuple):
    """One answer that tells two clips apart, or says that they do not differ.

    axis: one of `answers.AXES`. winner, loser: files; of a tie in the order in which they
    were shown. given: files of the images that both clips were given, {name: path}.
    """

    axis: str
    winner: Path
    loser: Path
    tie: bool
    prompt: str
    seed: int
    voter: str
    given: dict


def read_votes(
    path: str | Path, ties: bool = False, unopposed: bool = False, check_files: bool = True
) -> list[Preference]:
    """The list of Preferences in a file of votes, those taken back left out.

    What `unopposed` leaves is the kind of pair that Seedance's reward models are trained on
    (arXiv:2506.09113, section 4): best on one axis, and no worse on the others.

    Args:
      path: the file.
      ties: also ties, for models that know them (Bradley-Terry with ties).
      unopposed: leave out preferences whose winner loses another axis of the same vote.
      check_files: whether clips must be there, and be those that were voted on.

    Raises:
      ValueError: a row that is no vote of this schema, or a clip that has changed since.
      FileNotFoundError: no file, or a clip that is not there.
    """
    path, found = Path(path), []
    for row in standing(read_rows(path)):
        clips = [path.parent / file["path"] for file in row["files"]]
        if check_files:
            for clip, file in zip(clips, row["files"], strict=True):
                check_clip(clip, file["sha256"])
        given = {image["name"]: path.parent / image["path"] for image in row["given"]}
        about = (row["prompt"], row["seed"], row["voter"], given)
        opposed = {FIRST, SECOND} <= set(row["answers"].values())
        for axis, answer in row["answers"].items():
            if answer in (FIRST, SECOND) and not (unopposed and opposed):
                winner, loser = clips if answer == FIRST else clips[::-1]
                found.append(Preference(axis, winner, loser, False, *about))
            elif answer == TIE and ties:
                found.append(Preference(axis, *clips, True, *about))
    return found


def check_clip(path: Path, sha256: str) -> None:
    """Raises an error unless the file is there and has this hash."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} was voted on and does not exist")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path} is not the clip that was voted on: it has changed since")


def standing(rows: Sequence[Mapping[str, Any]]) -> list[dict]:
    """The votes that were not taken back."""
    gone = {row["vote"] for row in rows if row["kind"] == "undo"}
    return [row for row in rows if row["kind"] == "vote" and row["id"] not in gone]


def votes_of(rows: Sequence[Mapping[str, Any]], voter: str) -> list[dict]:
    """The standing votes of a voter, the oldest first."""
    return [row for row in standing(rows) if row["voter"] == voter]


def read_rows(path: str | Path) -> list[dict]:
    """All rows of a file; raises ValueError for one that is not of this schema."""
    return [check_row(row, where) for where, row in json_lines.read(path)]


def check_row(row: Any, where: str) -> dict[str, Any]:
    """A row; raises ValueError, with where it stands, if it is none."""
    schema = row.get("schema") if isinstance(row, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{where} has schema={schema!r}, not {SCHEMA!r}: give another --votes")
    kind = row.get("kind")
    if kind not in FIELDS:
        raise ValueError(f"{where}: kind={kind!r} is not one of {sorted(FIELDS)}")
    if missing := [name for name in FIELDS[kind] if name not in row]:
        raise ValueError(f"{where} has no {', '.join(missing)}")
    if kind == "vote":
        answers = row["answers"]
        asked = [name for name in AXES if isinstance(answers, dict) and name in answers]
        try:
            check_answers(answers, asked)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        files = row["files"]
        if not isinstance(files, list) or len(files) != 2 or not all(map(is_file, files)):
            raise ValueError(f"{where}: files={files!r} are not two of path and sha256")
    return row


def is_file(value: Any) -> bool:
    """Whether a value tells of a file."""
    return isinstance(value, dict) and {"path", "sha256"} <= set(value)
