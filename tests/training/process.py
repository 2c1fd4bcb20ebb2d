"""A config and its stage, so small that a process spends its time on starting: a few vectors.

    python -m tests.training.process --config=tests/training/process.py --workdir=runs/vectors

is `seedance_jax train` on it; it takes PAUSE seconds for each batch, and with STOP=process,step a
hook of that process stops it from that step on. With READS=file,directory it writes which paths
below a directory it opens, lists and asks about until its first step, one a line.
"""

import os
import sys
import time

from ml_collections import ConfigDict


def get_config():
    """Eight rows a step, on two shards at least."""
    return ConfigDict(
        {
            "stage": "vectors",
            "num_steps": 40,
            "seed": 0,
            "init_from": "",
            "mesh": {"data": 2, "fsdp": -1, "sequence": 1},
            "log_every": 1,
            "checkpoint_every": 3,
            "keep_checkpoints": 2,
            "keep_every": 0,
            "accumulate": 1,
            "max_skipped": 3,
            "ema_decay": 0.9,
            "width": 8,
            "data": {"buckets": ((1, 16, 16, 8),)},
        }
    )


def make_stage(config):
    """Least squares of shuffled rows, with noise."""
    import grain
    import jax
    import numpy as np

    from seedance_jax import sharding
    from seedance_jax.data import loader
    from seedance_jax.training.loop import Stage
    from seedance_jax.training.optimizer import make_optimizer

    rows = np.random.default_rng(0).standard_normal((64, config.width)).astype(np.float32)

    def load(x):
        time.sleep(float(os.environ.get("PAUSE", 0)))
        return {"x": x}

    index, count = sharding.batch_part(sharding.make_mesh(**config.mesh))
    dataset = grain.MapDataset.source(rows).seed(3).shuffle().repeat()
    dataset = dataset.batch(8 // count)[index::count].map(load)
    normal = jax.nn.initializers.normal()

    def loss_fn(params, batch, key, frozen):
        noise = jax.random.normal(key, batch["x"].shape)
        error = batch["x"] @ params["w"] - frozen["target"] + 0.1 * noise
        return (error**2).mean(), {}

    return Stage(
        init=lambda key: {"w": sharding.param(normal, "embed", None)(key, (config.width,) * 2)},
        loss_fn=loss_fn,
        batches=lambda step: loader.make_iterator(dataset, step, num_threads=1, buffer=1),
        optimizer=make_optimizer(
            name="adamw",
            peak_lr=0.1,
            warmup_steps=2,
            num_steps=config.num_steps,
            weight_decay=0.01,
            clip_norm=1.0,
        ),
        frozen={"target": np.float32(0.5)},
        makes="motion",
    )


def stop_when_asked():
    """Has the log of the process that STOP names stop the training; its hooks ask process 0."""
    import jax

    from seedance_jax.training import cluster, hooks
    from seedance_jax.training.stopping import Stop

    process, first = map(int, os.environ["STOP"].split(","))
    log = hooks.LogHook.__call__

    def log_and_stop(self, step, state, metrics):
        log(self, step, state, metrics)
        assert cluster.of_main(lambda: [step, jax.process_index()]) == [step, 0]
        return Stop("enough") if jax.process_index() == process and step >= first else None

    hooks.LogHook.__call__ = log_and_stop


def note_reads():
    """Writes what READS asks for."""
    from seedance_jax.training import startup

    file, directory = os.environ["READS"].split(",")
    log = open(file, "w", buffering=1)

    def note(event, path):
        if not startup.CLOCKS or startup.CLOCKS[0].ended or not isinstance(path, str | os.PathLike):
            return
        if (path := os.path.join(os.getcwd(), os.fspath(path))).startswith(directory):
            log.write(f"{event} {os.path.relpath(path, directory)}\n")

    def asking(path, *args, **more):
        note("stat", path)
        return stat(path, *args, **more)

    stat, os.stat = os.stat, asking
    events = ("open", "os.listdir", "os.scandir")
    sys.addaudithook(lambda event, args: note(event, args[0]) if event in events else None)


if __name__ == "__main__":
    from seedance_jax.commands import cli, train
    from seedance_jax.stages import STAGES

    STAGES["vectors"] = make_stage
    if "STOP" in os.environ:
        stop_when_asked()
    if "READS" in os.environ:
        note_reads()
    cli.run(train, sys.argv[1:], many=True)
