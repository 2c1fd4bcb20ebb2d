"""Speed of the input pipeline: the loader of training by itself, without an accelerator.

Rates per core are by processor time of all threads and workers, which other work on the machine
does not change. Reading from storage only counts if the data set is not in the page cache.
"""

import json
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grain
import numpy as np

from seedance_jax.data import loader, schema, transforms
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.side_tables import build_latents
from seedance_jax.data.video import encode_mp4

CAPTION = "A film of a pattern that moves to the left."
CLIPS = 8  # in a temporary data set


class Input(NamedTuple):
    """Batches to measure.

    Attributes:
      dataset: of `loader.make_dataset`.
      stored: bytes of one clip on disk.
    """

    dataset: grain.MapDataset
    stored: float


def film(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Moving waves with grain, uint8 [T,H,W,3]; as mp4 about as large as a real film."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, : width + 2 * frames]
    down, right = rng.uniform(0.01, 0.2, (2, 3))
    waves = 128 + 100 * np.sin(y[..., None] * down + x[..., None] * right)
    moved = np.stack([waves[:, 2 * t : 2 * t + width] for t in range(frames)])
    return np.clip(moved + rng.integers(-6, 7, moved.shape), 0, 255).astype(np.uint8)


def write_throw_away(clips: str | Path, latents: str | Path, bucket: Bucket) -> None:
    """Writes temporary data sets to two directories: clips of a bucket's shape, random latents.

    All clips show the same film.
    """
    frames, height, width = bucket.shape
    row = {"caption": CAPTION, "caption_motion": "", "fps": 24.0, "num_frames": frames}
    row |= {"shots": schema.write_shots([schema.Shot(frames, CAPTION)])}
    row |= {"height": height, "width": width, "video": encode_mp4(film(*bucket.shape), 24)}
    names = [f"clip/{number}" for number in range(CLIPS)]

    def records():
        return ({"id": name, **row} for name in names)

    with storage.writing(Path(clips)) as draft:
        rows = storage.write_records(draft, "clips", schema.CLIP, {"train": records})
        storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
        storage.write_json(draft / "spec.json", {})
    rng, shape = np.random.default_rng(0), (2, *transforms.latent_shape(*bucket.shape))
    build_latents(latents, ((name, *rng.normal(size=shape)) for name in names), {})


def make_inputs(
    bucket: Bucket, text_length: int, clips: str | Path, latents: str | Path | None = None
) -> dict[str, Input]:
    """{"mp4": Input, "latents": Input} for batches of a bucket.

    Args:
      clips: directory of a data set with the split "train".
      latents: directory of precomputed latents of its clips; None leaves "latents" out.
    """
    source = storage.open_split(clips, "train")
    options = {"text_length": text_length, "seed": 0}
    stored = stored_bytes(clips, "train") / len(source)
    inputs = {"mp4": Input(loader.make_dataset(source, [bucket], **options), stored)}
    if latents is not None:
        encoded = storage.open_split(latents, "latents")
        tables = {"latents": {bucket: encoded}}
        dataset = loader.make_dataset(source, [bucket], side_tables=tables, **options)
        # The row with the captions is read too, including its video.
        inputs["latents"] = Input(dataset, stored + stored_bytes(latents, "latents") / len(encoded))
    return inputs


def stored_bytes(directory: str | Path, split: str) -> int:
    """Bytes of the files of a split."""
    return sum(path.stat().st_size for path in Path(directory).glob(f"*/*/*-{split}.array_record*"))


def measure(
    dataset: grain.MapDataset, threads: int, workers: int, seconds: float
) -> dict[str, float]:
    """{"clips/s", "clips/s per core", "batch MB/s"} of drawing batches for a number of seconds."""
    options = {"num_threads": threads, "num_workers": workers, "buffer": max(threads, 1)}
    batches = loader.make_iterator(dataset, **options)
    try:
        # Batches that were prefetched while workers started would seem to cost nothing.
        for _ in range(max(workers, 1) * (1 + 2 * options["buffer"])):
            next(batches)
        start, spent, clips = time.perf_counter(), processor_seconds(), 0
        while (passed := time.perf_counter() - start) < seconds or not clips:
            batch = next(batches)
            clips += len(batch["index"])
        spent = processor_seconds() - spent
    finally:
        batches.close()
    size = sum(array.nbytes for array in batch.values()) / len(batch["index"])
    rate = clips / passed
    return {
        "clips/s": rate,
        "clips/s per core": clips / spent,
        "batch MB/s": rate * size / 1e6,
    }


def processor_seconds() -> float:
    """Processor time of this process and its running workers, in seconds (Linux)."""
    workers = [Path(f"/proc/{one.pid}/stat") for one in multiprocessing.active_children()]
    # After the name, which may contain spaces, come fields 3, 4, ...; 14 and 15 are ticks.
    fields = [path.read_text().rpartition(")")[2].split() for path in workers]
    ticks = sum(int(field[11]) + int(field[12]) for field in fields)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def in_turns(
    inputs: Mapping[str, Input],
    threads: int,
    workers: Sequence[int],
    seconds: float,
    repeats: int,
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yields (name, workers, medians of `measure`) of every input with every number of workers."""
    pairs = [(name, count) for name in inputs for count in workers]
    found = {pair: [] for pair in pairs}
    for _ in range(repeats):
        for name, count in pairs:
            found[name, count].append(measure(inputs[name].dataset, threads, count, seconds))
    for (name, count), reports in found.items():
        median = {key: statistics.median(one[key] for one in reports) for key in reports[0]}
        median["stored MB/s"] = median["clips/s"] * inputs[name].stored / 1e6
        yield name, count, median


class Step(NamedTuple):
    """A training step that the input pipeline must keep up with.

    Attributes:
      seconds: duration of the step.
      batch: clips, over all hosts.
      hosts: number of hosts that read different parts of the batch.
    """

    seconds: float
    batch: int
    hosts: int


def read_steps(path: str | Path, shape: tuple[int, int, int], hosts: int) -> list[Step]:
    """Steps at their lower bounds, from the training steps in a file of `compile --json`.

    Raises:
      ValueError: the file has no training step for clips of this shape that fits in memory.
    """
    reports = [json.loads(line) for line in Path(path).read_text().splitlines()]
    steps = []
    for one in reports:
        if one["program"] == "train" and tuple(one["clip"]) == tuple(shape) and "bounds" in one:
            # Hosts that differ only along sequence or tensor read the same part.
            parts = math.gcd(hosts, one["mesh"]["data"] * one["mesh"]["fsdp"])
            steps.append(Step(max(one["bounds"].values()), one["batch"], parts))
    if not steps:
        raise ValueError(f"no training step for clips of {tuple(shape)} that fits in {path}")
    return steps


def share(rate: float, step: Step, cores: int) -> dict[str, float]:
    """The input pipeline's time as a share of a step; above 1 the accelerators wait.

    Args:
      rate: clips per second and core.
      cores: of one host.
    """
    needed = step.batch / step.hosts / step.seconds / rate
    return {**step._asdict(), "cores needed per host": needed, "share of a step": needed / cores}
