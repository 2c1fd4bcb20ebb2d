"""What the table of benchmarks measures, in a process that waits until it is its turn.

    PYTHONPATH=CHECKOUT python subjects.py

serves a checkout of this repository, which may be an earlier one: only what both have is used. It
reads lines of JSON, {"prepare": subject, **settings} and {"run": 1}, and answers each with one:
{"device": ...}, {"seconds": ...} or {"error": ...}.
"""

import functools
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import jax
import numpy as np

# Modules of earlier checkouts that have another name today.
EARLIER = {
    "performance.timed.dit_speed": "evaluation.dit_speed",
    "performance.timed.step_speed": "evaluation.step_speed",
    "performance.timed.input_speed": "evaluation.input_speed",
    "performance.timed.autoencoder_speed": "evaluation.throughput",
}


def module(name: str) -> ModuleType:
    """A module of the package of the checkout, by the name it has today."""
    try:
        return importlib.import_module(f"seedance_jax.{name}")
    except ModuleNotFoundError:
        if name not in EARLIER:
            raise
        return importlib.import_module(f"seedance_jax.{EARLIER[name]}")


def dit(
    who: str, tokens: int, what: str, width: int, layers: int, text_tokens: int, compiled: bool
) -> Callable[[], Any]:
    """A pass of the DiT, ours or diffusers'; see `dit_speed`."""
    speed = module("performance.timed.dit_speed")
    shape = (tokens // int(np.prod(speed.FRAME)), *speed.FRAME)
    if who == "diffusers":
        return speed.reference_runners(width, layers, shape, text_tokens, compiled)[what]
    return speed.our_runners(speed.make_dit(width, layers), shape, text_tokens)[what]


def autoencoder(
    who: str, what: str, clip: Sequence[int], width: int, decoder_width: int, chunk: int
) -> Callable[[], Any]:
    """Encoding or decoding of a clip (T, H, W), by ours or diffusers' of random parameters."""
    speed = module("performance.timed.autoencoder_speed")
    if who == "diffusers":
        return speed.make_runners(tuple(clip), width, decoder_width, chunk)[who, what]
    model, channels = speed.autoencoder(width, decoder_width), np.ones(speed.CHANNELS, np.float32)
    loaded = {"params": speed.random_params(model), "mean": 0 * channels, "std": channels}
    rng = np.random.default_rng(0)
    if what == "encode":
        video = rng.uniform(-1, 1, (1, *clip, 3)).astype(np.float32)
        return lambda: list(speed.codec.encode_stream(model, loaded, video, chunk))
    latents = rng.normal(size=(1, *model.latent_shape(*clip))).astype(np.float32)
    return lambda: list(speed.codec.decode_stream(model, loaded, latents, chunk))


def train(
    who: str, config: str, fields: Mapping[str, Any], clip: Sequence[int], batch: int
) -> Callable[[], Any]:
    """A training step of a generator, on latents of ones."""
    speed, config = module("performance.timed.step_speed"), read_config(config, fields)
    mesh = module("sharding").make_mesh(**config.mesh)
    bucket = module("data.loader").Bucket(*clip, batch)
    program = speed.programs.training(config, mesh, bucket)
    with jax.set_mesh(mesh):
        return steps(program.function, mesh, *speed.fill(program.arguments))


def train_autoencoder(
    who: str, config: str, fields: Mapping[str, Any], clip: Sequence[int], batch: int
) -> Callable[[], Any]:
    """A training step of the autoencoder, on clips of a data set that is thrown away."""
    config, loop = read_config(config, fields), module("training.loop")
    mesh, sources = module("sharding").make_mesh(**config.mesh), module("data.sources")
    with tempfile.TemporaryDirectory() as folder, jax.set_mesh(mesh):
        config.data.update({"data_dir": folder, "buckets": ((*clip, batch, 1.0),)})
        bucket = module("data.loader").Bucket(*clip, batch)
        write = module("performance.timed.input_speed").write_throw_away
        write(sources.KINDS["world"].locate(config.data.to_dict()), f"{folder}/latents/set", bucket)
        stage = module("stages.vae").make_stage(config)
        batch = module("sharding").put_batch(next(stage.batches(0)))
        state, layout = loop.init_state(stage, jax.random.key(0), mesh)
        step = loop.make_step(stage, layout, seed=0, ema_decay=config.ema_decay)
        return steps(step, mesh, state, batch, dict(stage.frozen))


def sample(
    who: str, config: str, fields: Mapping[str, Any], clip: Sequence[int], batch: int
) -> Callable[[], Any]:
    """A guided sampling step, without the autoencoder."""
    speed, config = module("performance.timed.step_speed"), read_config(config, fields)
    mesh = module("sharding").make_mesh(**config.mesh)
    program = speed.programs.sampling(config, mesh, tuple(clip), batch)
    with jax.set_mesh(mesh):
        arguments = speed.fill(program.arguments)
        named = getattr(speed, "fill_named", speed.fill)(program.named)

    def step():
        with jax.set_mesh(mesh):
            jax.block_until_ready(program.function(*arguments, **named))

    return step


def world(who: str, clip: Sequence[int], slice: str, clips: int) -> Callable[[], Any]:
    """So many records of clips (T, H, W) of the world, as data sets have them."""
    spec = module("data.world").WorldSpec(*clip, slice=slice)
    record = module("data.builders.world_clips").clip_record
    return lambda: [record(("train", index), spec) for index in range(clips)]


def judge(who: str, clip: Sequence[int], slice: str, clips: int) -> Callable[[], Any]:
    """Verdicts on so many clips of the world."""
    made, verdict = module("data.world"), module("evaluation.judges.verdict")
    earlier = getattr(verdict, "expected_scene", None)  # of another checkout
    scene_of = earlier or module("data.world.showing").expected_scene
    rows = [made.generate("train", k, made.WorldSpec(*clip, slice=slice)) for k in range(clips)]
    shown = [(row["frames"], row["fps"], scene_of(row)) for row in rows]
    return lambda: [verdict.judge_clip(*each) for each in shown]


def encode(who: str, clip: Sequence[int], slice: str, clips: int) -> Callable[[], Any]:
    """Latents of so many clips of the world by the released autoencoder, a quarter at a time."""
    runs, storage = module("pretrained.runs"), module("data.builders.storage")
    spec, folder = module("data.world").WorldSpec(*clip, slice=slice), tempfile.TemporaryDirectory()
    write = module("data.builders.world_clips").build_world
    source = storage.open_split(write(folder.name, spec, {"train": clips}), "train")
    _, model, weights = runs.autoencoder_of(runs.open_run(runs.RELEASED, "generator"))
    bucket = module("data.buckets").Bucket(*clip, clips // 4)
    apply = jax.jit(lambda params, video: model.apply(params, video, method="encode")[0])
    encode_fn = functools.partial(apply, jax.device_put({"params": weights["params"]}))

    def run(folder=folder):  # which is there as long as this function
        return list(module("pretrained.latents").encode_rows(source, bucket, encode_fn))

    return run


def steps(function: Callable, mesh: jax.sharding.Mesh, state: Any, *others: Any) -> Callable:
    """A function without arguments that makes one training step and waits for it."""

    def step():
        nonlocal state  # its buffers are donated to the program
        with jax.set_mesh(mesh):
            state, metrics = function(state, *others)
            jax.block_until_ready((state, metrics))

    return step


def read_config(name: str, fields: Mapping[str, Any]) -> Any:
    """The config of "pretrain:tiny" with other values for some fields, {dotted name: value}."""
    file, _, size = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(size)
    config.update_from_flattened_dict(fields)
    return config


SUBJECTS = {
    "dit": dit,
    "autoencoder": autoencoder,
    "train": train,
    "train_autoencoder": train_autoencoder,
    "sample": sample,
    "world": world,
    "judge": judge,
    "encode": encode,
}


def seconds_of(runner: Callable[[], Any]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    runner()
    return time.perf_counter() - start


def serve(lines: TextIO, answers: TextIO) -> None:
    """Answers every line; what was prepared last is what runs, and has run once before."""
    runner = None
    for line in lines:
        message = json.loads(line)
        try:
            if subject := message.pop("prepare", None):
                runner = None  # its memory is free before more is taken
                runner = SUBJECTS[subject](**message)
                answer = {"seconds": seconds_of(runner)}
            elif "run" in message:
                answer = {"seconds": seconds_of(runner)}
            else:
                answer = {"device": f"{jax.device_count()} x {jax.devices()[0].device_kind}"}
                answer["checkout"] = str(Path(module("sharding").__file__).parents[1])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        serve(sys.stdin, answers)
