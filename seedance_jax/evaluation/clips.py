"""Sets of clips to measure: a folder of video files, or a split of the data set of a run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from seedance_jax.data import listing, loader, remote, sources
from seedance_jax.data.remote import Place, place
from seedance_jax.data.rows import listed
from seedance_jax.data.video import ClipError, VideoReader
from seedance_jax.pretrained import runs

FPS_TOLERANCE = 0.01  # relative: 29.97 is not 30 in all containers


class Clips(NamedTuple):
    """frames: uint8 [N, T, H, W, 3]; fps: of all; name: where they are from; files: their names,
    if that is a folder."""

    frames: Any
    fps: float
    name: str
    files: tuple = ()

    @property
    def form(self) -> str:
        """What sets must have in common, in words."""
        return describe(self.frames.shape[1:], self.fps)


def describe(shape: Sequence[int], fps: float) -> str:
    """A shape (T, H, W, 3) and a rate in words."""
    return "{} frames of {}x{}".format(*shape[:3]) + f" at {fps:g} fps"


def read_clips(where: str, limit: int | None = None, data_dir: str = "") -> Clips:
    """The first clips of a folder, or of "RUN:SPLIT", the split of the data a run was trained on.

    Args:
      limit: at most so many; None is all.
      data_dir: where the data set of a run is, if it has moved.

    Raises:
      FileNotFoundError: there is no such folder or run.
      ValueError: it has no clips, one cannot be read, or they differ in length, size or rate.
    """
    run, colon, split = where.rpartition(":")
    if place(where).is_dir() or not colon:
        return read_folder(where, limit)
    return read_split(run, split, limit, data_dir)


def read_folder(folder: str | Place, limit: int | None = None) -> Clips:
    """`read_clips` of the video files of a folder, in the order of their names.

    Warns of what lies deeper, or looks like a film and is none by its name.
    """
    if not place(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no folder of clips, nor a RUN:SPLIT")
    paths, left_out = find_clips(place(folder))
    if left_out:
        logging.warning("%s: %d files left out:%s", folder, len(left_out), listed(left_out))
    if not paths:
        raise ValueError(f"{folder} has no clips ({' '.join(listing.VIDEO_SUFFIXES)})")
    rows, first = [], None
    for path in paths[:limit]:
        try:
            with remote.local(path) as here, VideoReader(here) as reader:
                frames, fps = reader.read(), float(reader.rate)
        except ClipError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        if reader.notes:
            logging.warning("%s: %s", path, "; ".join(reader.notes))
        clip = Clips(frames[None], fps, str(path))
        first = first or clip
        check_same(first, clip)
        rows.append(frames)
    files = tuple(path.name for path in paths[:limit])
    return Clips(np.stack(rows), first.fps, str(folder), files)


def find_clips(folder: Place) -> tuple[list[Place], list[str]]:
    """(the video files of a folder, what else may be one in it, or below it, and why it is not)."""
    found = listing.list_files(folder)
    deep = [f"{name}: in a folder of its own" for name in found.videos if "/" in name]
    unread = [f"{name}: {reason}" for name, reason in found.left_out.items() if "/" not in name]
    films = [
        f"{name}: looks like a film, and has no suffix of one"
        for name in found.others
        if "/" not in name and listing.looks_like_a_film(folder / name)
    ]
    return [folder / name for name in found.videos if "/" not in name], [*deep, *unread, *films]


def read_split(run: str, split: str, limit: int | None = None, data_dir: str = "") -> Clips:
    """`read_clips` of the rows of a split that can serve the first bucket of clips of a run."""
    data = runs.read_data(runs.open_run(run, flag="RUN:SPLIT", finished=False), data_dir)
    bucket, source = sources.video_bucket(data["buckets"]), sources.open_split(data, split)
    frames = np.stack(list(loader.middle_clips(source, bucket, limit)))
    return Clips(frames, sources.clip_fps(data), f"{run}:{split}")


def check_same(reference: Clips, other: Clips) -> None:
    """Raises ValueError, naming both, unless they have one length, size and rate."""
    shapes = [clips.frames.shape[1:] for clips in (reference, other)]
    if shapes[0] != shapes[1] or abs(other.fps / reference.fps - 1.0) > FPS_TOLERANCE:
        raise ValueError(
            f"{other.name}: {other.form}, but {reference.name}: {reference.form}; clips that are "
            "compared must have one length, size and rate"
        )
