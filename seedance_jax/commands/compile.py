"""Compiles the programs of a config for TPUs that need not be there, and says what they would need.

    python -m seedance_jax compile --config=configs/pretrain.py:7b --topology=v5p:4x4x4 \\
        --mesh=fsdp=8,sequence=8 --size=480p --seconds=5 --batch=64
    python -m seedance_jax compile --config=configs/pretrain.py:7b --topology=v5e:16x16 --search=6

needs the extra `tpu` (libtpu), and no TPU. The clip and the batch are those of the config's first
bucket unless --size and --batch say otherwise. Fields of the config can be set as in training. The
exit status is 1 if nothing fits.
"""

import json
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from seedance_jax import sharding
from seedance_jax.commands import cli
from seedance_jax.performance import chips
from seedance_jax.performance.compiled import analysis, plan
from seedance_jax.sampling import sizes

CONFIG = config_flags.DEFINE_config_file("config", help_string="configs/pretrain.py:size")
VAE_CONFIG = config_flags.DEFINE_config_file("vae", help_string="configs/vae.py:size")
TOPOLOGY = flags.DEFINE_string("topology", None, "CHIP:AxB[xC], such as v5p:4x4x4.", required=True)
MESH = flags.DEFINE_list("mesh", None, "axis=size,...; one may be -1. Default: the config's.")
PROGRAM = flags.DEFINE_enum("program", "train", list(plan.PROGRAMS), "Which.")
SLICES = flags.DEFINE_integer("slices", 1, "Of that topology; mesh.data spans them.", 1)
SIZE = flags.DEFINE_enum("size", None, list(sizes.SIZES), "Named size, 16:9.")
SECONDS = flags.DEFINE_float("seconds", 5, "Of the clip, with --size.", 0)
BATCH = flags.DEFINE_integer("batch", None, "Clips in all, over all devices.", 1)
SEARCH = flags.DEFINE_integer("search", 0, "Compiles the so many likeliest meshes and remats.", 0)
JSON = cli.define_path("json", None, "File to add the reports to, a line each.")


def main(argv: list[str]) -> None:
    del argv
    config, topology = CONFIG.value, TOPOLOGY.value
    cli.needs({"--size": ("seconds",)})
    if SEARCH.value and MESH.value:
        raise ValueError(f"--search={SEARCH.value} looks for the mesh; leave out --mesh")
    clip = sizes.clip_of(config.data.to_dict(), SIZE.value, SECONDS.value)
    wanted = plan.make_plan(
        PROGRAM.value, config, topology, clip, BATCH.value, VAE_CONFIG.value, SLICES.value
    )
    if SEARCH.value:
        settings = plan.search(wanted, SEARCH.value)
    else:
        axes = sharding.read_mesh(MESH.value) if MESH.value else dict(config.mesh)
        settings = [plan.setting_of(wanted, axes)]
    devices, reports = chips.open_topology(topology, SLICES.value), []
    for setting in settings:
        print(f"{wanted}, {setting}", flush=True)
        reports.append(plan.compile_setting(wanted, setting, devices))
        print(*(f"  {line}" for line in analysis.lines(reports[-1])), sep="\n", flush=True)
        if JSON.value:
            with Path(JSON.value).open("a") as file:
                file.write(json.dumps(reports[-1]) + "\n")
    if SEARCH.value:
        print("", *plan.ranking(settings, reports), sep="\n")
    if not any(report["memory"]["fits"] for report in reports):
        sys.exit(1)
