"""The input pipeline: the batch of a step is a pure function of (step, seed, data, buckets).

Nothing is carried from one step to the next. So all hosts agree on the shapes of a step without
talking, and a run resumes exactly by starting at its step, on any number of hosts and workers.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from seedance_jax.data import schema, transforms
from seedance_jax.data.buckets import Bucket, BucketRows, eligible_rows
from seedance_jax.data.examples import PLAIN, Wanted, load_example
from seedance_jax.data.tokenizer import BYTES, Tokenizer

# Examples after which a data set ends; Grain's own infinity overflows in batches of one.
ENDLESS = 2**48
NO_TABLES: Mapping[str, Any] = types.MappingProxyType({})


def captions_of_rows(source: Any) -> Iterator[dict[int, str]]:
    """The captions of every row by the shot they belong to: reads all rows, some 5000 a second."""
    for number in range(len(source)):
        row = source[number]
        yield schema.captions_of(row["caption"], schema.read_shots(row))


def kept_rows(source: Any) -> np.ndarray:
    """The rows that the filter of training keeps, if there is one, int64 [N]."""
    selection = getattr(source, "selection", None)  # a list has none
    return np.arange(len(source)) if selection is None else np.flatnonzero(selection.kept)


def motion_captions(source: Any) -> Iterator[str]:
    """The motion-only captions of the rows that training keeps; reads them all, too."""
    motions = (schema.motion_of(source[int(number)]) for number in kept_rows(source))
    return (motion for motion in motions if motion)


def count_tokens(source: Any, tokenizer: Tokenizer) -> np.ndarray:
    """Tokens of all captions of every row, int64 [rows]; only of bytes they are known already."""
    if tokenizer.identity == BYTES.identity:
        return source.table["caption_tokens"]
    rows = captions_of_rows(source)
    return np.array([sum(map(tokenizer.count, captions.values())) for captions in rows])


def check_captions(
    source: Any, text_length: int, tokenizer: Tokenizer = BYTES, motion: bool = False
) -> None:
    """Raises ValueError if the captions of a clip do not fit in text_length tokens.

    motion: whether the motion-only ones must, too.
    """
    tokens = count_tokens(source, tokenizer)
    kept = np.isin(np.arange(len(tokens)), kept_rows(source))
    if (too_long := np.flatnonzero(kept & (tokens > text_length))).size:
        raise ValueError(
            f"text_length={text_length} is too short for the captions of {too_long.size} of "
            f"{tokens.size} rows (the first is row {too_long[0]}): {tokens[kept].max()} tokens are "
            "needed"
        )
    longest = max(map(tokenizer.count, motion_captions(source)), default=0) if motion else 0
    if longest > text_length:
        raise ValueError(
            f"text_length={text_length} is too short for a motion-only caption of {longest} tokens"
        )


class _Load(grain.transforms.RandomMap):
    def __init__(self, bucket: Bucket, text_length: int | None, wanted: Wanted):
        self._bucket, self._text_length, self._wanted = bucket, text_length, wanted

    def random_map(self, element: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return load_example(element, self._bucket, self._text_length, rng, self._wanted)


def make_dataset(
    source: Any,
    buckets: Sequence[Bucket],
    *,
    text_length: int | None,
    seed: int,
    part: tuple[int, int] = (0, 1),
    side_tables: Mapping[str, Any] = NO_TABLES,
    wanted: Wanted = PLAIN,
) -> grain.MapDataset:
    """Endless data set whose element n is this process's part of the batch of global step n.

    Args:
      source: clip rows by number, with their `table` (`builders.storage.open_split`).
      buckets: one of them makes the batch of a step, the same on all processes.
      text_length: tokens for all captions of a clip; if they do not fit, it is an error. None
        leaves all conditions out.
      seed: of the order and of the augmentation.
      part: (index, count) of this process, as of `sharding.batch_part`: a batch is cut into count
        consecutive parts, so the global batch does not depend on their number.
      side_tables: what was precomputed, by the names of `schema.SIDE_TABLES`: rows for every row
        of `source`, or {bucket: rows} for the rows that can serve it, in order. "latents" are
        used in the place of the pixels, "texts" in that of ids (text_length then counts these).
      wanted: what else examples have, and the tokenizer of the captions.

    An element holds what `schema.EXAMPLE` has: video uint8 [B,T,H,W,3], or latents and stills
    float32 [B,n+1,h,w,C], index int64 [B], the row numbers, and conditions: text and text_shot
    int32 [B,S] (with "texts", text float32 [B,S,E]), text_mask bool [B,S], frame_shot int32
    [B,n+1], fps float32 [B], and the others that are wanted.
    """
    options = {"text_length": text_length, "part": part, "side_tables": side_tables}
    check_dataset(source, buckets, wanted=wanted, **options)
    return arrange(source, buckets, seed=seed, wanted=wanted, **options)


def check_dataset(
    source: Any,
    buckets: Sequence[Bucket],
    *,
    text_length: int | None,
    part: tuple[int, int] = (0, 1),
    side_tables: Mapping[str, Any] = NO_TABLES,
    wanted: Wanted = PLAIN,
) -> None:
    """Raises ValueError for what `make_dataset` cannot make; it may have to read all rows."""
    _check(buckets, part, side_tables)
    if "texts" not in side_tables and text_length is not None:
        check_captions(source, text_length, wanted.tokenizer, wanted.motion)


def arrange(
    source: Any,
    buckets: Sequence[Bucket],
    *,
    text_length: int | None,
    seed: int,
    part: tuple[int, int] = (0, 1),
    side_tables: Mapping[str, Any] = NO_TABLES,
    wanted: Wanted = PLAIN,
) -> grain.MapDataset:
    """`make_dataset` of what `check_dataset` has passed; reads no row."""
    index, count = part
    parts = []
    for number, bucket in enumerate(buckets):
        rows = BucketRows(source, bucket, side_tables)
        parts.append(
            grain.MapDataset.source(rows)
            .seed(child_seed(seed, number))
            .shuffle()
            .repeat(ENDLESS // len(rows))
            .random_map(_Load(bucket, text_length, wanted))
            .batch(bucket.batch_size // count, drop_remainder=True)[index::count]
        )
    return grain.MapDataset.mix(parts, [bucket.weight for bucket in buckets])


def child_seed(seed: int, number: int) -> int:
    """A seed for each number, of one seed."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def mix(datasets: Sequence[grain.MapDataset], weights: Sequence[float]) -> grain.MapDataset:
    """Endless data set each of whose batches comes from one of several, by their weights.

    Which one makes the batch of a step depends on the number of the step alone, so all processes
    agree and a run resumes exactly, as with one data set.
    """
    return grain.MapDataset.mix(datasets, weights) if len(datasets) > 1 else datasets[0]


def _check(
    buckets: Sequence[Bucket], part: tuple[int, int], side_tables: Mapping[str, Any]
) -> None:
    index, count = part
    if not buckets or len(set(buckets)) < len(buckets):
        raise ValueError(f"buckets must be one or more, all different, got {list(buckets)}")
    if not 0 <= index < count:
        raise ValueError(f"part {index} of {count} parts of a batch: must be 0 to {count - 1}")
    for bucket in buckets:
        if bucket.batch_size % count:
            raise ValueError(f"{count} parts must divide the batch size of {bucket}")
        for name, table in side_tables.items():
            if isinstance(table, Mapping) and bucket not in table:
                raise ValueError(f"no {name} for {bucket}, only for {list(table)}")
    if unknown := side_tables.keys() - schema.SIDE_TABLES.keys():
        raise ValueError(f"side tables {sorted(unknown)}; legal: {sorted(schema.SIDE_TABLES)}")


def bucket_schedule(buckets: Sequence[Bucket], num_steps: int) -> np.ndarray:
    """Which bucket (its number) makes the batch of each of the first steps, int64 [num_steps]."""
    parts = [grain.MapDataset.source([number]).repeat(ENDLESS) for number in range(len(buckets))]
    mixed = grain.MapDataset.mix(parts, [bucket.weight for bucket in buckets])
    return np.array([mixed[step] for step in range(num_steps)], np.int64)


class StepIterator(grain.DatasetIterator):
    """Iterates over the batches of a data set from a step on; its state is that number.

    So, unlike the state of Grain's own iterators, it resumes with another number of workers or
    processes too.
    """

    def __init__(self, dataset: grain.MapDataset, step: int, num_workers: int, options: Any):
        super().__init__()
        self._dataset, self._num_workers, self._options = dataset, num_workers, options
        self._step, self._batches = step, None

    def __next__(self) -> dict[str, np.ndarray]:
        if self._batches is None:
            self._batches = self._start()
        batch = next(self._batches)
        self._step += 1
        return batch

    def _start(self) -> grain.DatasetIterator:
        batches = self._dataset[self._step :].to_iter_dataset(self._options)
        if self._num_workers:
            if not flags.FLAGS.is_parsed():  # Grain reads flags when it starts workers
                flags.FLAGS(["seedance"], known_only=True)
            options = grain.MultiprocessingOptions(
                num_workers=self._num_workers,
                per_worker_buffer_size=self._options.prefetch_buffer_size,
            )
            batches = batches.mp_prefetch(options)
        return iter(batches)

    def get_state(self) -> dict[str, int]:
        """The number of the next step."""
        return {"step": self._step}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Continues with the batch of another step."""
        self.close()
        self._step = int(state["step"])

    def close(self) -> None:
        """Stops the threads and workers; iterating starts them again."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None


def make_iterator(
    dataset: grain.MapDataset,
    start_step: int = 0,
    *,
    num_threads: int = 2,
    num_workers: int = 0,
    buffer: int = 4,
) -> StepIterator:
    """Iterates from the batch of start_step on, preparing up to `buffer` batches ahead.

    The batches depend neither on num_threads (that decode, in each worker) nor on num_workers
    (processes; 0: in this one). Call `close()` at the end.
    """
    # A buffer counts batches of video, so Grain's own default (500) would fill the memory.
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=buffer)
    return StepIterator(dataset, start_step, num_workers, options)


def eval_batches(
    source: Any,
    bucket: Bucket,
    *,
    text_length: int | None = None,
    limit: int | None = None,
    side_tables: Mapping[str, Any] = NO_TABLES,
    clips: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields every row that can serve the bucket once, in order, without augmentation.

    With several `clips` of each row, so many of it, one after the other.

    The batches are those of `make_dataset` plus valid bool [B]: the last one repeats its last
    example to the full size, marked False. `limit` stops after that many rows; without text_length
    there are no conditions.
    """
    if text_length is not None:
        check_captions(source, text_length)
    rows = BucketRows(source, bucket, side_tables, clips)
    count = len(rows) if limit is None else min(limit, len(rows))
    for start in range(0, count, bucket.batch_size):
        numbers = np.arange(start, start + bucket.batch_size)
        examples = [
            load_example(rows[number], bucket, text_length, None)
            for number in numbers[numbers < count]
        ]
        examples += [examples[-1]] * (bucket.batch_size - len(examples))
        batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
        yield batch | {"valid": numbers < count}


def middle_clips(source: Any, bucket: Bucket, limit: int | None = None) -> Iterator[np.ndarray]:
    """Yields `transforms.middle_clip` of the first rows that can serve a bucket."""
    rows, _ = eligible_rows(source.table, bucket)
    for row in rows[:limit]:
        yield transforms.middle_clip(source[int(row)], bucket.shape, bucket.stride)
