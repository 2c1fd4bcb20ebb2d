"""Clips that are compared, by number: files, and rows of a data set, cut to a bucket."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import remote, rows, schema, transforms
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.video import ClipError, VideoReader, decode_mp4, encode_mp4


class ClipFile(NamedTuple):
    """A film or picture: its path, and what it holds."""

    path: str
    num_frames: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, height, width)."""
        return self.num_frames, self.height, self.width

    def row(self) -> dict[str, Any]:
        """What `transforms` need of a record, as of a clip of one shot."""
        shot = schema.Shot(self.num_frames, self.path)
        return self._asdict() | {
            "id": self.path,
            "caption": self.path,
            "shots": schema.write_shots([shot]),
            "video": remote.place(self.path).read_bytes(),
        }


class Clips:
    """Clips by number: first files, then the rows of a data set, if there is one.

    Beside files, rows are encoded as `sample` encodes: data sets keep more of the colour, and which
    of two clips is true would be told by the codec.
    """

    def __init__(self, files: Sequence[ClipFile] = (), dataset: Any = None):
        self._files, self._dataset = files, dataset

    def fit(self, number: int, bucket: Bucket) -> bool:
        """Whether a clip is long and large enough for a bucket.

        Of a row the bucket must show all: what is wrong with it may be in any frame.
        """
        frames, height, width = self._shape(number)
        whole = number < len(self._files) or frames < bucket.span + bucket.stride
        return whole and frames >= bucket.span and height >= bucket.height and width >= bucket.width

    def _shape(self, number):
        if number < len(self._files):
            return self._files[number].shape
        table, row = self._dataset.table, number - len(self._files)
        return tuple(int(table[name][row]) for name in ("num_frames", "height", "width"))

    def read(self, number: int, bucket: Bucket) -> np.ndarray:
        """The middle of a clip, uint8 [T, H, W, 3] of a bucket."""
        if number < len(self._files):
            row = self._files[number].row()
        else:
            row = self._dataset[number - len(self._files)]
            row = _encoded(row) if self._files else row
        return transforms.middle_clip(row, bucket.shape, bucket.stride)


def _encoded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose clip is as `sample` would have written it."""
    frames, fps = decode_mp4(row["video"])
    return {**row, "video": encode_mp4(frames, fps)}


def open_files(paths: Sequence[str]) -> list[ClipFile]:
    """What files hold; ValueError naming all that are not there, or that cannot be read."""
    found, wrong = [], []
    for path in paths:
        try:
            found.append(_open_file(path))
        except FileNotFoundError:
            wrong.append(f"{path}: no such file")
        except ClipError as error:
            wrong.append(f"{path}: {error}")
    if wrong:
        raise ValueError(f"{len(wrong)} clips cannot be compared:{rows.listed(wrong)}")
    return found


def _open_file(path: str) -> ClipFile:
    with VideoReader(remote.place(path).read_bytes()) as reader:
        frames = reader.frames()
        height, width, _ = reader.show(next(frames)).shape
        length = reader.length or 1 + sum(1 for _ in frames)
        return ClipFile(path, length, height, width)


def check_sizes(pairs: Sequence[tuple[ClipFile, ClipFile]]) -> None:
    """Raises ValueError naming the pairs whose clips differ in frames, height or width."""
    wrong = [
        f"{one.path} {_told(one)}, {other.path} {_told(other)}"
        for one, other in dict.fromkeys(pairs)  # each once, whatever it is judged by
        if one.shape != other.shape
    ]
    if wrong:
        raise ValueError(f"{len(wrong)} pairs are of clips of two sizes:{rows.listed(wrong)}")


def _told(clip: ClipFile) -> str:
    return f"({clip.num_frames} frames of {clip.height}x{clip.width})"
