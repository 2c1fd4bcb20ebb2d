"""Speed of the input pipeline: the very loader of training, alone, without an accelerator.

What is said of a core is by processor time, of all threads and workers, so other work on the
machine does not spoil it. Storage counts only for a data set that the machine does not hold in
memory from before.
"""

import json
import math
import multiprocessing
import os
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import loader, schema, transforms
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.side_tables import build_latents
from seedance_jax.data.video import encode_mp4

CAPTION = "A film of a pattern that moves to the left."
CLIPS = 8  # of a data set that is thrown away


class Input(NamedTuple):
    """Batches to measure (`loader.make_dataset`), and the bytes that one clip has on disk."""

    dataset: Any
    stored: float


def film(frames, height, width, seed=0):
    """Waves that move under grain, uint8 [T,H,W,3]: as mp4 about as many bits as a real film."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, : width + 2 * frames]
    down, right = rng.uniform(0.01, 0.2, (2, 3))
    waves = 128 + 100 * np.sin(y[..., None] * down + x[..., None] * right)
    moved = np.stack([waves[:, 2 * t : 2 * t + width] for t in range(frames)])
    return np.clip(moved + rng.integers(-6, 7, moved.shape), 0, 255).astype(np.uint8)


def write_throw_away(clips, latents, bucket):
    """Writes data sets, clips of a bucket's shape and random latents of them, to two directories.

    All clips are one film, under other names.
    """
    frames, height, width = bucket.shape
    told = {"caption": CAPTION, "caption_motion": "", "fps": 24.0, "num_frames": frames}
    told |= {"shots": schema.write_shots([schema.Shot(frames, CAPTION)])}
    told |= {"height": height, "width": width, "video": encode_mp4(film(*bucket.shape), 24)}
    names = [f"clip/{number}" for number in range(CLIPS)]

    def records():
        return ({"id": name, **told} for name in names)

    with storage.writing(Path(clips)) as draft:
        rows = storage.write_records(draft, "clips", schema.CLIP, {"train": records})
        storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
        storage.write_json(draft / "spec.json", {})
    rng, shape = np.random.default_rng(0), (2, *transforms.latent_shape(*bucket.shape))
    build_latents(latents, ((name, *rng.normal(size=shape)) for name in names), {})


def make_inputs(bucket, text_length, clips, latents=None):
    """{"mp4": Input, "latents": Input} of the batches of a bucket.

    Args:
      clips: directory of a data set with the split "train".
      latents: directory of the latents of its rows that can serve the bucket; None leaves that out.
    """
    source = storage.open_split(clips, "train")
    options = {"text_length": text_length, "seed": 0}
    stored = stored_bytes(clips, "train") / len(source)
    inputs = {"mp4": Input(loader.make_dataset(source, [bucket], **options), stored)}
    if latents is not None:
        encoded = storage.open_split(latents, "latents")
        tables = {"latents": {bucket: encoded}}
        dataset = loader.make_dataset(source, [bucket], side_tables=tables, **options)
        # The row with the captions is read too, and the film in it.
        inputs["latents"] = Input(dataset, stored + stored_bytes(latents, "latents") / len(encoded))
    return inputs


def stored_bytes(directory, split):
    """Bytes of the files of a split."""
    return sum(path.stat().st_size for path in Path(directory).glob(f"*/*/*-{split}.array_record*"))


def measure(dataset, threads, workers, seconds):
    """Draws batches for so long: {"clips/s", "clips/s per core", "batch MB/s"}."""
    options = {"num_threads": threads, "num_workers": workers, "buffer": max(threads, 1)}
    batches = loader.make_iterator(dataset, **options)
    try:
        # What was made ahead while others still started would seem to cost nothing.
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


def processor_seconds():
    """Seconds of processor time of this process and of its workers that run (Linux)."""
    workers = [Path(f"/proc/{one.pid}/stat") for one in multiprocessing.active_children()]
    # After the name, which may hold spaces, come the fields 3, 4, ...; 14 and 15 are ticks.
    fields = [path.read_text().rpartition(")")[2].split() for path in workers]
    ticks = sum(int(field[11]) + int(field[12]) for field in fields)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def in_turns(inputs, threads, workers, seconds, repeats):
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
    """A training step that the input must keep up with.

    Attributes:
      seconds: that it takes.
      batch: clips, over all hosts.
      hosts: that read different parts of it.
    """

    seconds: float
    batch: int
    hosts: int


def read_steps(path, shape, hosts):
    """[Step], the fastest possible ones, of the lines that `compile --json` wrote for such clips.

    Raises:
      ValueError: there is none for clips of this shape, that trains and fits.
    """
    reports = [json.loads(line) for line in Path(path).read_text().splitlines()]
    steps = []
    for one in reports:
        if one["program"] == "train" and tuple(one["clip"]) == tuple(shape) and "bounds" in one:
            # Hosts whose devices differ along sequence or tensor alone read the same part.
            parts = math.gcd(hosts, one["mesh"]["data"] * one["mesh"]["fsdp"])
            steps.append(Step(max(one["bounds"].values()), one["batch"], parts))
    if not steps:
        raise ValueError(f"no training step for clips of {tuple(shape)} that fits in {path}")
    return steps


def share(rate, step, cores):
    """What of a step the input is on hosts of `cores` cores, at `rate` clips per second and core.

    Above 1 the accelerators wait.
    """
    needed = step.batch / step.hosts / step.seconds / rate
    return {**step._asdict(), "cores needed per host": needed, "share of a step": needed / cores}
