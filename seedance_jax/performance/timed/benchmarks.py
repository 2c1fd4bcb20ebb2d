"""The benchmarks by name: each yields reports (dicts for JSON) as they are measured."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from seedance_jax.data import sources
from seedance_jax.data.buckets import Bucket
from seedance_jax.performance.timed import (
    autoencoder_speed,
    dit_speed,
    input_speed,
    startup_speed,
    step_speed,
    table,
    turns,
)
from seedance_jax.pretrained.runs import MAKES, what_it_makes
from seedance_jax.sampling import sizes


class Benchmark(NamedTuple):
    """A function of an object with `settings` as attributes, which yields reports."""

    run: Callable[[SimpleNamespace], Iterator[dict]]
    settings: tuple[str, ...]


def clip_sizes(given: SimpleNamespace) -> list[tuple[int, int, int]]:
    """All (frames, height, width) of the lists `frames` and `sides`."""
    return [(int(t), int(side), int(side)) for side in given.sides for t in given.frames]


def diffusers(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Seconds, ratios and peak memory next to diffusers."""
    widths = given.width, given.decoder_width
    for size in clip_sizes(given):
        report = {"clip": size} | autoencoder_speed.compare(
            size, *widths, given.chunk, given.repeats
        )
        for what in ("encode", "decode"):
            for who in ("ours", "diffusers"):
                peak = autoencoder_speed.peak_memory(
                    autoencoder_speed.one_runner, who, what, size, *widths, given.chunk
                )
                report[f"{who} {what} MiB"] = peak
        yield report


def length(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Peak memory of a streamed and of a whole decode."""
    widths = given.width, given.decoder_width
    for frames, side, _ in clip_sizes(given):
        runner = functools.partial(
            autoencoder_speed.peak_memory, autoencoder_speed.stream_runner, frames, side
        )
        yield {
            "frames": frames,
            "side": side,
            "streamed MiB": runner(*widths, False),
            "whole MiB": runner(*widths, True) if frames <= 121 else None,
        }


def thin(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Decode seconds of full and thin widths, in turns."""
    for frames, side, _ in clip_sizes(given):
        models = {"full": autoencoder_speed.autoencoder(given.width, given.decoder_width)}
        first, *rest = models["full"].decoder_widths
        models["thin"] = models["full"].clone(
            decoder_widths=(first, *(size // 2 for size in rest)), decoder_blocks=(2,) * 4
        )
        runners = {
            name: autoencoder_speed.decode_runner(model, frames, side, whole=True)
            for name, model in models.items()
        }
        median = turns.in_turns(runners, given.repeats)
        yield {"clip": (frames, side, side), **median, "speed-up": median["full"] / median["thin"]}


def dit(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Seconds of forward and backward next to diffusers' WanTransformer3DModel."""
    settings = {"width": given.dit_width, "layers": given.layers, "text_tokens": given.text_tokens}
    lengths = dict.fromkeys(map(int, given.tokens), vars(given)["pass"])
    yield from measure_rows(given, table.dit_rows(lengths, given.torch_compile, **settings))


def whole_table(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """All that the README says of a CPU, or some rows of it."""
    yield from measure_rows(given, table.choose(table.all_rows(), given.rows))


def measure_rows(given: SimpleNamespace, rows: list[table.Row]) -> Iterator[dict[str, Any]]:
    """Yields the reports of rows."""
    options = {"peer": given.peer, "against": given.against}
    yield from table.measure(rows, given.repeats, given.row_seconds, **options)


def dit_cost(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """How cost grows with the length of a 480p clip, for decoupled and full attention."""
    config = generator(given).to_dict()
    for seconds in (2, 4, 6, 8, 10, 12):
        yield dit_speed.growth(config, seconds, width=128, repeats=given.repeats)


def input_pipeline(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Clips per second of the loader alone, and what part of training steps that would be."""
    data = given.generator.data.to_dict()
    shape = sources.make_buckets(data["buckets"])[0].shape
    bucket, steps = Bucket(*shape, batch_size=1), input_steps(given, shape)
    with tempfile.TemporaryDirectory() as folder:
        clips, latents = given.data, given.latents
        if not clips:
            clips, latents = f"{folder}/clips/set", f"{folder}/latents/set"
            input_speed.write_throw_away(clips, latents, bucket)
        inputs = input_speed.make_inputs(bucket, data["text_length"], clips, latents)
        settings = data["num_threads"], list(map(int, given.workers)), given.window, given.repeats
        for name, count, report in input_speed.in_turns(inputs, *settings):
            yield {"input": name, "clip": shape, "workers": count, **report}
            for step in steps:
                part = input_speed.share(report["clips/s per core"], step, given.cores)
                yield {"input": name, "workers": count, **part}


def input_steps(given: SimpleNamespace, shape: tuple[int, int, int]) -> list[input_speed.Step]:
    """[input_speed.Step] whose input is compared: of `step_seconds` and `batch`, or of a file."""
    one = [given.step_seconds, given.batch]
    if given.steps is None and one == [None, None]:
        return []
    if given.cores is None or (given.steps is None) == (None in one):
        raise ValueError(
            "a step is --step_seconds and --batch, or --steps=FILE, with --hosts and --cores"
        )
    if given.steps is not None:
        return input_speed.read_steps(given.steps, shape, given.hosts)
    if given.batch % given.hosts:
        raise ValueError(f"hosts={given.hosts} does not divide batch={given.batch}")
    return [input_speed.Step(*one, given.hosts)]


def train(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Seconds and MFU of training steps, on latents."""
    for clip in clips(given):
        bucket = Bucket(*clip, given.batch or jax.device_count())
        yield step_speed.train(given.generator, bucket, given.repeats)


def sample(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Seconds of steps of sampling with guidance, without the autoencoder."""
    steps = list(map(int, given.num_inference_steps))
    for clip in clips(given):
        yield step_speed.sample(given.generator, clip, steps, given.repeats, given.batch or 1)


def startup(given: SimpleNamespace) -> Iterator[dict[str, Any]]:
    """Seconds of `sample` in new processes, part by part: the first, and medians of others."""
    yield from startup_speed.measure(given.repeats)


def clips(given: SimpleNamespace) -> list[tuple[int, int, int]]:
    """[(frames, height, width)] of a size and all seconds, or of the config's first bucket."""
    data = generator(given).data.to_dict()
    return [sizes.clip_of(data, given.size, float(seconds)) for seconds in given.seconds]


def generator(given: SimpleNamespace) -> ConfigDict:
    """The config, which must be of a generator."""
    if (makes := what_it_makes(given.generator)) not in ("generator", "adapters"):
        raise ValueError(f"--generator is a config that makes {MAKES[makes]}, no generator")
    return given.generator


CODEC = ("sides", "frames", "width", "decoder_width")
STEP = ("generator", "size", "seconds", "batch", "repeats")
ROWS = ("repeats", "row_seconds", "peer", "against")
DIT = ("tokens", "pass", "dit_width", "layers", "text_tokens", "torch_compile", *ROWS)
INPUT = (
    *("generator", "data", "latents", "workers", "window", "repeats"),
    *("step_seconds", "batch", "steps", "hosts", "cores"),
)
BENCHMARKS = {
    "table": Benchmark(whole_table, ("rows", *ROWS)),
    "diffusers": Benchmark(diffusers, (*CODEC, "chunk", "repeats")),
    "length": Benchmark(length, CODEC),
    "thin": Benchmark(thin, (*CODEC, "repeats")),
    "dit": Benchmark(dit, DIT),
    "dit_cost": Benchmark(dit_cost, ("generator", "repeats")),
    "input": Benchmark(input_pipeline, INPUT),
    "train": Benchmark(train, STEP),
    "sample": Benchmark(sample, (*STEP, "num_inference_steps")),
    "startup": Benchmark(startup, ("repeats",)),
}
