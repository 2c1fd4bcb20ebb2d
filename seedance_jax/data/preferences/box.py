"""The file of votes while it is voted on."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seedance_jax.data import appended
from seedance_jax.data.appended import Rows as Box
from seedance_jax.data.preferences.pairs import Clip, Pair
from seedance_jax.data.preferences.votes import SCHEMA, read_rows, standing

CLIP_FIELDS = ("height", "width", "num_frames", "fps")


@contextlib.contextmanager
def open_box(path: str | Path, pairs: Sequence[Pair]) -> Iterator[Box]:
    """Opens, or begins, the file of votes on these pairs, and keeps others from writing to it.

    Raises:
      ValueError: a row of another schema, or a vote on clips that are not among the pairs.
      OSError: another process has it open, or it cannot be written.
    """
    in_use = "is in use by another voting page; give another --votes"
    with appended.open_rows(path, read_rows, in_use) as box:
        check_pairs(box, pairs)
        yield box


def check_pairs(box: Box, pairs: Sequence[Pair]) -> None:
    """Raises ValueError if a vote is on other clips than those of the pairs."""
    known = {identify(describe_files(box, pair.clips)) for pair in pairs}
    for row in standing(box.rows):
        if identify(row["files"]) not in known:
            names = " and ".join(file["path"] for file in row["files"])
            raise ValueError(
                f"{box.path} has votes on {names}, which are not clips of these folders, or have "
                "changed since; give another --votes"
            )


def identify(files: Sequence[Mapping[str, str]]) -> frozenset:
    """What two files are, in whatever order."""
    return frozenset((file["path"], file["sha256"]) for file in files)


def describe_files(box: Box, clips: Sequence[Clip]) -> list[dict[str, str]]:
    """Clips as a row tells of them; paths are relative to the box."""
    return [{"path": relative(box, clip.path), "sha256": clip.sha256} for clip in clips]


def relative(box: Box, path: str | Path) -> str:
    """A path as seen from the file of votes."""
    return os.path.relpath(Path(path).resolve(), box.path.resolve().parent)


def cast(
    box: Box,
    voter: str,
    pair: Pair,
    clips: Sequence[Clip],
    answers: Mapping[str, str],
    seconds: float,
) -> dict[str, Any]:
    """Appends a vote on a pair; see `votes` for the row, which it returns.

    Args:
      clips: the two of the pair in the order in which they were shown.
      answers: {axis: answer}, legal ones.
      seconds: how long the voter took.
    """
    given = [image._asdict() | {"path": relative(box, image.path)} for image in pair.given]
    settings = {name: clips[0].settings[name] for name in CLIP_FIELDS}
    about = {"pair": pair.id, "prompt": pair.prompt, "seed": pair.seed, **settings, "given": given}
    files = {"files": describe_files(box, clips), "answers": dict(answers)}
    return append(box, "vote", voter, {"seconds": seconds} | about | files)


def take_back(box: Box, voter: str, vote: str) -> dict[str, Any]:
    """Appends that the vote of this id does not count."""
    return append(box, "undo", voter, {"vote": vote})


def append(box: Box, kind: str, voter: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Appends a row, whole or not at all; see `appended.append`."""
    row = {"schema": SCHEMA, "kind": kind, "id": appended.new_id(), "voter": voter}
    return appended.append(box, "a vote", row | {"time": appended.now()} | dict(fields))
