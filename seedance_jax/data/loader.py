"""The input pipeline: the batch of a step is a pure function of (step, seed, data, buckets).

Nothing is carried from one step to the next. So all hosts agree on the shapes of a step without
talking, and a run resumes exactly by starting at its step, on any number of hosts and workers.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags, logging

from seedance_jax.data import schema, transforms
from seedance_jax.data.tokenizer import BYTES, Tokenizer

# Examples after which a data set ends; Grain's own infinity overflows in batches of one.
ENDLESS = 2**48


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


def num_shots(table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Shots of every row, int64 [rows]."""
    return np.char.count(table["shot_frames"], " ") + 1


def captions_of_rows(source: Any) -> Iterator[dict[int, str]]:
    """The captions of every row by the shot they tell of: reads all rows, some 5000 a second."""
    for number in range(len(source)):
        row = source[number]
        yield schema.captions_of(row["caption"], schema.read_shots(row))


def count_tokens(source: Any, tokenizer: Tokenizer) -> np.ndarray:
    """Tokens of all captions of every row, int64 [rows]; only of bytes they are known already."""
    if tokenizer.identity == BYTES.identity:
        return source.table["caption_tokens"]
    rows = captions_of_rows(source)
    return np.array([sum(map(tokenizer.count, captions.values())) for captions in rows])


def check_captions(source: Any, text_length: int, tokenizer: Tokenizer = BYTES) -> None:
    """Raises ValueError if the captions of a clip do not fit in text_length tokens."""
    tokens = count_tokens(source, tokenizer)
    if (too_long := np.flatnonzero(tokens > text_length)).size:
        raise ValueError(
            f"text_length={text_length} is too short for the captions of {too_long.size} of "
            f"{tokens.size} rows (the first is row {too_long[0]}): {tokens.max()} tokens are needed"
        )


class _Rows:
    """Random access to the rows of a bucket, and to their latents and texts if there are any."""

    def __init__(self, source: Any, rows: np.ndarray, latents: Any | None, texts: Any | None):
        if latents is not None and len(latents) != len(rows):
            raise ValueError(f"{len(latents)} latents for the {len(rows)} rows of a bucket")
        if texts is not None and len(texts) != len(source):
            raise ValueError(f"{len(texts)} texts for {len(source)} rows")
        self._source, self._rows, self._latents, self._texts = source, rows, latents, texts

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = int(self._rows[index])
        row = {"index": self._rows[index], "row": self._source[number]}
        row |= {} if self._latents is None else {"latents": self._latents[index]}
        return row | ({} if self._texts is None else {"texts": self._texts[number]})


def load_example(
    element: Mapping[str, Any],
    bucket: Bucket,
    text_length: int | None,
    rng: np.random.Generator | None,
    tokenizer: Tokenizer = BYTES,
) -> dict[str, np.ndarray]:
    """Turns rows into one example; without rng, the one in the middle of every random choice.

    Without text_length it has no text.

    Latents were made of the sub-clip in the middle, so there the choice is not random.
    """
    row, rng = element["row"], None if "latents" in element else rng
    numbers = transforms.choose_frames(row, bucket.frames, bucket.stride, rng)
    if text_length is None:
        text = {}
    elif "texts" in element:
        text = transforms.load_text_tokens(row, numbers, text_length, element["texts"])
    else:
        text = transforms.load_text(row, numbers, text_length, tokenizer)
    example = {"index": np.int64(element["index"]), **text}
    if "latents" not in element:
        return example | {"video": transforms.load_video(row, numbers, bucket.shape[1:], rng)}
    shape = transforms.latent_shape(*bucket.shape)
    return example | transforms.load_latents(row, element["latents"], shape)


class _Load(grain.transforms.RandomMap):
    def __init__(self, bucket: Bucket, text_length: int | None, tokenizer: Tokenizer):
        self._bucket, self._text_length, self._tokenizer = bucket, text_length, tokenizer

    def random_map(self, element: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return load_example(element, self._bucket, self._text_length, rng, self._tokenizer)


def make_dataset(
    source: Any,
    buckets: Sequence[Bucket],
    *,
    text_length: int | None,
    seed: int,
    part: tuple[int, int] = (0, 1),
    latents: Mapping[Bucket, Any] | None = None,
    texts: Any | None = None,
    tokenizer: Tokenizer = BYTES,
) -> grain.MapDataset:
    """Endless data set whose element n is this process's part of the batch of global step n.

    Args:
      source: clip rows by number, with their `table` (`builders.storage.open_split`).
      buckets: one of them makes the batch of a step, the same on all processes.
      text_length: tokens for all captions of a clip; if they do not fit, it is an error. None
        leaves text out.
      seed: of the order and of the augmentation.
      part: (index, count) of this process, as of `sharding.batch_part`: a batch is cut into count
        consecutive parts, so the global batch does not depend on their number.
      latents: rows of latents to use in the place of the pixels, for every bucket; row k belongs
        to the k-th row that can serve the bucket.
      texts: rows of text tokens to use in the place of ids, one for every row of `source`;
        text_length then counts these.
      tokenizer: of the captions.

    An element holds video uint8 [B,T,H,W,3], or latents and stills float32 [B,n+1,h,w,C], text and
    text_shot int32 [B,S], text_mask bool [B,S], frame_shot int32 [B,n+1] and index int64 [B], the
    row numbers; with `texts` text_tokens float32 [B,S,E] in the place of text; see
    `schema.EXAMPLE`.
    """
    _check(buckets, part, latents)
    index, count = part
    if texts is None and text_length is not None:
        check_captions(source, text_length, tokenizer)
    parts = []
    for number, bucket in enumerate(buckets):
        rows, _ = eligible_rows(source.table, bucket)
        rows = _Rows(source, rows, latents[bucket] if latents else None, texts)
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        parts.append(
            grain.MapDataset.source(rows)
            .seed(own_seed)
            .shuffle()
            .repeat(ENDLESS // len(rows))
            .random_map(_Load(bucket, text_length, tokenizer))
            .batch(bucket.batch_size // count, drop_remainder=True)[index::count]
        )
    return grain.MapDataset.mix(parts, [bucket.weight for bucket in buckets])


def _check(buckets: Sequence[Bucket], part: tuple[int, int], latents: Mapping | None) -> None:
    index, count = part
    if not buckets or len(set(buckets)) < len(buckets):
        raise ValueError(f"buckets must be one or more, all different, got {list(buckets)}")
    if not 0 <= index < count:
        raise ValueError(f"part {index} of {count} parts of a batch: must be 0 to {count - 1}")
    for bucket in buckets:
        if bucket.batch_size % count:
            raise ValueError(f"{count} parts must divide the batch size of {bucket}")
        if latents is not None and bucket not in latents:
            raise ValueError(f"no latents for {bucket}, only for {list(latents)}")


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
    latents: Any | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields every row that can serve the bucket once, in order, without augmentation.

    The batches are those of `make_dataset` plus valid bool [B]: the last one repeats its last
    example to the full size, marked False. `limit` stops after that many rows; without text_length
    there is no text.
    """
    if text_length is not None:
        check_captions(source, text_length)
    eligible, _ = eligible_rows(source.table, bucket)
    rows = _Rows(source, eligible, latents, None)
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
