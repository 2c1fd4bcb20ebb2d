"""Compiles the programs of a config for TPUs that need not be there, and says what they would need.

    python -m seedance_jax.compile --config=configs/pretrain.py:7b --topology=v5p:4x4x4 \
        --mesh=fsdp=8,sequence=8 --size=480p --seconds=5 --batch=64
    python -m seedance_jax.compile --config=configs/pretrain.py:7b --topology=v5e:16x16 --search=6

needs the extra `tpu` (libtpu), and no TPU. The clip and the batch are those of the config's first
bucket unless --size and --batch say otherwise. Fields of the config can be set as in training. The
exit status is 1 if nothing fits.
"""

import json
import os
import sys
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags

from seedance_jax import cli, sharding
from seedance_jax.data import sources
from seedance_jax.data.loader import Bucket
from seedance_jax.evaluation import compiled, cost, programs
from seedance_jax.evaluation.chips import open_topology, parse_topology
from seedance_jax.models.vae import VAE
from seedance_jax.sampling.runs import as_tuples
from seedance_jax.sampling.sizes import SIZES

CONFIG = config_flags.DEFINE_config_file("config", help_string="configs/pretrain.py:size")
VAE_CONFIG = config_flags.DEFINE_config_file("vae", help_string="configs/vae.py:size")
TOPOLOGY = flags.DEFINE_string("topology", None, "CHIP:AxB[xC], such as v5p:4x4x4.", required=True)
MESH = flags.DEFINE_list("mesh", None, "axis=size,...; one may be -1. Default: the config's.")
PROGRAM = flags.DEFINE_enum("program", "train", ["train", "sample", "encode", "decode"], "Which.")
SIZE = flags.DEFINE_enum("size", None, list(SIZES), "Named size, 16:9.")
SECONDS = flags.DEFINE_float("seconds", 5, "Of the clip, with --size.", 0)
BATCH = flags.DEFINE_integer("batch", None, "Clips in all, over all devices.", 1)
SEARCH = flags.DEFINE_integer("search", 0, "Compiles the so many best settings.", 0)
JSON = flags.DEFINE_string("json", None, "File to add the reports to, a line each.")

GENERATOR = ("train", "sample")


def main(argv):
    del argv
    config, bucket = CONFIG.value, choose_bucket(CONFIG.value)
    vae = open_vae(config)
    parse_topology(TOPOLOGY.value)
    sizes = sharding.read_mesh(MESH.value) if MESH.value else dict(config.mesh)
    devices = open_topology(TOPOLOGY.value)
    settings = [{"mesh": sizes, "remat": config.model.remat if PROGRAM.value == "train" else None}]
    if SEARCH.value:
        settings = candidates(config, bucket, len(devices))[: SEARCH.value]
    reports = []
    for number, setting in enumerate(settings, 1):
        print(f"{number} of {len(settings)}: {describe(setting, bucket)}", flush=True)
        report = compile_one(config, bucket, vae, devices, setting)
        reports.append(report)
        for line in compiled.lines(report):
            print(f"  {line}")
        if JSON.value:
            with Path(JSON.value).open("a") as file:
                file.write(json.dumps(report) + "\n")
    ...


if __name__ == "__main__":
    cli.run(main)
