"""Compiles the programs of a config for TPUs that need not be there, and says what they would need.

    python -m seedance_jax compile --config=configs/pretrain.py:7b --topology=v5p:4x4x4 \
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
from seedance_jax.data import sources
from seedance_jax.data.loader import Bucket
from seedance_jax.models.vae import VAE
from seedance_jax.performance import chips, cost, programs
from seedance_jax.performance.compiled import analysis
from seedance_jax.performance.meshes import Setting, candidates
from seedance_jax.pretrained.runs import as_tuples
from seedance_jax.sampling.sizes import SIZES

CONFIG = config_flags.DEFINE_config_file("config", help_string="configs/pretrain.py:size")
VAE_CONFIG = config_flags.DEFINE_config_file("vae", help_string="configs/vae.py:size")
TOPOLOGY = flags.DEFINE_string("topology", None, "CHIP:AxB[xC], such as v5p:4x4x4.", required=True)
MESH = flags.DEFINE_list("mesh", None, "axis=size,...; one may be -1. Default: the config's.")
PROGRAM = flags.DEFINE_enum("program", "train", ["train", "sample", "encode", "decode"], "Which.")
SIZE = flags.DEFINE_enum("size", None, list(SIZES), "Named size, 16:9.")
SECONDS = flags.DEFINE_float("seconds", 5, "Of the clip, with --size.", 0)
BATCH = flags.DEFINE_integer("batch", None, "Clips in all, over all devices.", 1)
SEARCH = flags.DEFINE_integer("search", 0, "Compiles the so many likeliest meshes and remats.", 0)
JSON = flags.DEFINE_string("json", None, "File to add the reports to, a line each.")


def main(argv):
    del argv
    config, topology = CONFIG.value, TOPOLOGY.value
    bucket, vae = choose_bucket(config), open_vae(config)
    settings = choose_settings(config, bucket)
    devices = chips.open_topology(topology)
    reports = []
    for setting in settings:
        print(f"{topology}, {PROGRAM.value} {describe(bucket)}, {setting}", flush=True)
        mesh = sharding.make_mesh(devices, **setting.mesh)
        report = analysis.compile_for(topology, *make_programs(config, setting, mesh, bucket, vae))
        report |= {"program": PROGRAM.value, "mesh": setting.mesh, "remat": setting.remat}
        reports.append(report | {"clip": bucket.shape, "batch": bucket.batch_size})
        for line in analysis.lines(report):
            print(f"  {line}", flush=True)
        if JSON.value:
            with Path(JSON.value).open("a") as file:
                file.write(json.dumps(reports[-1]) + "\n")
    if SEARCH.value:
        print_ranking(settings, reports)
    if not any(report["memory"]["fits"] for report in reports):
        sys.exit(1)


def choose_bucket(config):
    """The shape and number of the clips that the flags ask for, or else the config's first."""
    if config.stage != "flow_matching" or "lora" in config:
        what = "adapters" if "lora" in config else f"stage={config.stage!r}"
        raise ValueError(f"{what}: only whole generators (configs/pretrain.py) can be compiled")
    bucket = sources.make_buckets(config.data.buckets)[0]
    if SECONDS.present and not SIZE.value:
        raise ValueError("--seconds needs --size")
    fps = sources.clip_fps(config.data.to_dict())
    clip = cost.clip_shape(SIZE.value, SECONDS.value, fps) if SIZE.value else bucket.shape
    batch = BATCH.value or (bucket.batch_size if PROGRAM.value == "train" else 1)
    return Bucket(*clip, batch)


def open_vae(config):
    """The autoencoder of --vae; ValueError where it is missing, or would not be used."""
    encodes = PROGRAM.value == "train" and not config.data.latents
    needed = encodes or PROGRAM.value in ("encode", "decode")
    if needed and VAE_CONFIG.value is None:
        other = ", or --config.data.latents=true: train on precomputed latents" * encodes
        raise ValueError(f"--program={PROGRAM.value} needs --vae=configs/vae.py:base{other}")
    if VAE_CONFIG.value is not None and not needed:
        raise ValueError(f"--vae: --program={PROGRAM.value} of this config runs no autoencoder")
    return VAE(**as_tuples(VAE_CONFIG.value.vae.to_dict())) if needed else None


def choose_settings(config, bucket):
    """[Setting]: the one of the flags, or the likeliest of a search."""
    count = chips.count_devices(TOPOLOGY.value)
    if SEARCH.value:
        if PROGRAM.value != "train" or MESH.value:
            raise ValueError("--search is of the mesh of --program=train; leave out --mesh")
        return candidates(config, bucket, count, chips.device_memory(TOPOLOGY.value))[
            : SEARCH.value
        ]
    sizes = sharding.read_mesh(MESH.value) if MESH.value else dict(config.mesh)
    shape = sharding.mesh_shape(count, **sizes)
    mesh = sharding.plan_mesh(count, **sizes)
    if PROGRAM.value == "train":
        sharding.check_batches({bucket: bucket.batch_size // config.accumulate}, mesh)
    if config.model.heads % mesh.shape["tensor"]:
        raise ValueError(
            f"tensor={mesh.shape['tensor']} does not divide heads={config.model.heads}"
        )
    return [Setting(dict(zip(sharding.MESH_AXES, shape, strict=True)), config.model.remat)]


def make_programs(config, setting, mesh, bucket, vae):
    """(the program, the same in plain operations to be counted, or None)."""
    clip, batch = bucket.shape, bucket.batch_size

    def make(kernel):
        changed = config.copy_and_resolve_references()
        with changed.unlocked():
            changed.model.remat, changed.model.kernel = setting.remat, kernel
        if PROGRAM.value == "train":
            return programs.training(changed, mesh, bucket, vae)
        return programs.sampling(changed, mesh, clip, batch)

    if PROGRAM.value == "encode":
        return programs.encoding(vae, mesh, clip, batch), None
    if PROGRAM.value == "decode":
        return programs.decoding(vae, mesh, clip, batch), None
    return make(config.model.kernel), make("xla")


def describe(bucket):
    return f"{bucket.batch_size} clips of {'x'.join(map(str, bucket.shape))}"


def print_ranking(settings, reports):
    """The settings that fit, the fastest possible first."""
    pairs = [(r, s) for r, s in zip(reports, settings, strict=True) if r["memory"]["fits"]]
    pairs.sort(key=lambda pair: max(pair[0]["bounds"].values()))
    print(f"\n{len(pairs)} of {len(settings)} fit" + (", the best first:" if pairs else ""))
    for report, setting in pairs:
        bound = max(report["bounds"].values())
        print(f"  at best {1e3 * bound:,.3g} ms ({report['binds']}), MFU <= "
              f"{100 * report['mfu_at_most']:.1f} %: {setting}")  # fmt: skip
