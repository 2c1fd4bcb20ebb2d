"""Buckets: the shapes of batches, and which rows of a data set can serve them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from seedance_jax.data import schema, transforms


@dataclasses.dataclass(frozen=True)
class Bucket:
    """One shape of batch: frames (4n+1, 1 = images), size in pixels, clips per global batch.

    `weight` is the share of steps relative to the other buckets; `stride` keeps every so many-th
    frame.
    """

    frames: int
    height: int
    width: int
    batch_size: int
    weight: float = 1.0
    stride: int = 1

    def __post_init__(self):
        if self.frames < 1 or self.frames % schema.FRAME_STRIDE != 1:
            raise ValueError(f"frames must be 1, 5, 9, 13, ... (4n+1) in {self}")
        for size in (self.height, self.width):
            if size < schema.PIXEL_STRIDE or size % schema.PIXEL_STRIDE:
                raise ValueError(f"height and width must be 16, 32, 48, ... in {self}")
        if self.batch_size < 1 or self.stride < 1 or not self.weight > 0:
            raise ValueError(f"batch_size, stride and weight must be positive in {self}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, height, width) of a clip."""
        return self.frames, self.height, self.width

    @property
    def span(self) -> int:
        """Frames of the stored clip from the first to the last that are used."""
        return (self.frames - 1) * self.stride + 1


def eligible_rows(table: Mapping[str, np.ndarray], bucket: Bucket) -> tuple[np.ndarray, dict]:
    """Returns the rows int64 [N] that can serve a bucket and, per reason, how many cannot.

    Raises ValueError if none can.
    """
    short = table["num_frames"] < bucket.span
    small = (table["height"] < bucket.height) | (table["width"] < bucket.width)
    cut = ~_starts_somewhere(table["shot_frames"], bucket)
    rows = np.flatnonzero(~short & ~small & ~cut)
    excluded = {
        f"fewer than {bucket.span} frames": int(short.sum()),
        f"smaller than {bucket.height}x{bucket.width}": int((small & ~short).sum()),
        "a cut inside a latent frame wherever it starts": int((cut & ~small & ~short).sum()),
    }
    if not len(rows):
        raise ValueError(f"none of {len(short)} rows can serve {bucket}: {excluded}")
    if excluded := {reason: count for reason, count in excluded.items() if count}:
        logging.info(
            "%s: %d of %d rows excluded: %s", bucket, sum(excluded.values()), len(short), excluded
        )
    return rows, excluded


def _starts_somewhere(shot_frames: np.ndarray, bucket: Bucket) -> np.ndarray:
    """Whether a clip with those shots (a `schema.TABLE` column) has a legal start, bool [rows]."""
    kinds, kind = np.unique(shot_frames, return_inverse=True)
    lengths = [[int(count) for count in text.split()] for text in kinds]
    starts = [transforms.legal_starts(shots, bucket.frames, bucket.stride) for shots in lengths]
    return np.array([len(numbers) > 0 for numbers in starts])[kind]


def clips_per_row(table: Mapping[str, np.ndarray], bucket: Bucket, most: int) -> int:
    """How many clips of each row latents of a bucket are computed of: 1 or `most`.

    It is 1 where every row that can serve the bucket has but one clip to give, in time and space.
    """
    rows, _ = eligible_rows(table, bucket)
    if (table["num_frames"][rows] > bucket.span).any():
        return most
    sizes = {*zip(table["height"][rows].tolist(), table["width"][rows].tolist(), strict=True)}
    target = bucket.height, bucket.width
    return 1 if all(transforms.cover_size(*size, target) == target for size in sizes) else most


def num_shots(table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Shots of every row, int64 [rows]."""
    return np.char.count(table["shot_frames"], " ") + 1


class BucketRows:
    """Random access to the rows that can serve a bucket, and to what side tables have of them.

    Side tables have all these rows, whichever of them `source.selection` keeps: so what was
    precomputed stays as it is when the filter changes. A table of a bucket may have several clips
    of each row, one after the other; an element is one of them then, of number "clip".

    Args:
      clips: of each row, where no table says how many.
    """

    def __init__(self, source: Any, bucket: Bucket, side_tables: Mapping[str, Any], clips: int = 1):
        self._source, self._clips = source, clips
        self._rows, _ = eligible_rows(source.table, bucket)
        self._places = (
            np.arange(len(self._rows))
            if source.selection is None
            else source.selection.among(self._rows, f"of {bucket}")
        )
        self._by_row, self._by_bucket = {}, {}
        for name, table in side_tables.items():
            if isinstance(table, Mapping):
                self._by_bucket[name] = table[bucket]
                self._clips, odd = divmod(len(table[bucket]), len(self._rows))
                if odd or not self._clips:
                    found = f"{len(table[bucket])} {name}"
                    raise ValueError(f"{found} for the {len(self._rows)} rows of {bucket}")
            else:
                self._by_row[name] = table
                if len(table) != len(source):
                    raise ValueError(f"{len(table)} {name} for {len(source)} rows")

    def __len__(self) -> int:
        return len(self._places) * self._clips

    def __getitem__(self, index: int) -> dict[str, Any]:
        chosen, clip = divmod(int(index), self._clips)
        place = int(self._places[chosen])
        number = int(self._rows[place])
        entry = place * self._clips + clip
        side = {name: table[entry] for name, table in self._by_bucket.items()}
        side |= {name: table[number] for name, table in self._by_row.items()}
        return {"index": self._rows[place], "row": self._source[number], "side": side, "clip": clip}
