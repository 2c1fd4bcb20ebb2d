"""Says how a run goes on, from anywhere that its directory can be read.

    python -m seedance_jax status runs/vae
    python -m seedance_jax status gs://bucket/runs/vae --json=status.jsonl

It uses no accelerator, joins no processes and writes nothing, so a run is not disturbed. The state
is "running"; "finished"; "interrupted", saved by a signal; "failed", with the error; "lost", if it
has given no sign for a minute, as when it was killed; or "unknown", if it wrote down no start.
The goodput is the share of the time since the first start in which steps were computed that were
not lost with a host.
"""

import json

import numpy as np

from seedance_jax.commands import cli
from seedance_jax.data.buckets import Bucket
from seedance_jax.training import places, run_directory, status

JSON = cli.define_path("json", None, "File to add the report to, a line.")
USAGE = "status takes one run directory, as in: python -m seedance_jax status runs/vae"


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise ValueError(f"{USAGE}; given: {argv[1:]}")
    places.check_place("WORKDIR", argv[1])
    workdir = places.place(argv[1])
    config = run_directory.read_json(workdir, "config.json")
    if "data" not in config:
        raise ValueError(f"{workdir} is not a run: its config.json is that of something else")
    report = status.read(workdir, clips_per_step(config))
    if JSON.value:
        with places.place(JSON.value).open("a") as file:
            file.write(json.dumps(report) + "\n")
    print(*status.lines(report), sep="\n")


def clips_per_step(config: dict) -> float:
    """Clips of the mean batch of a config."""
    buckets = [Bucket(*bucket) for bucket in config["data"]["buckets"]]
    weights = [bucket.weight for bucket in buckets]
    return float(np.average([bucket.batch_size for bucket in buckets], weights=weights))
