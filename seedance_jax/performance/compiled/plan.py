"""What is to be compiled for a topology: a program of a config, its clips, and its meshes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.data.buckets import Bucket
from seedance_jax.models.vae import VAE
from seedance_jax.performance import chips, programs
from seedance_jax.performance.compiled import analysis
from seedance_jax.performance.meshes import Setting, candidates
from seedance_jax.pretrained.runs import as_tuples, what_it_makes
from seedance_jax.stages import job


class Plan(NamedTuple):
    """One program on one topology.

    Attributes:
      program: a name of PROGRAMS.
      config: of a generator.
      topology: see `chips.parse_topology`.
      bucket: shape and number of the clips, over all devices.
      vae: VAE, or None where the program runs no autoencoder.
      slices: of that topology.
    """

    program: str
    config: ConfigDict
    topology: str
    bucket: Bucket
    vae: VAE | None
    slices: int = 1

    @property
    def devices(self) -> int:
        """JAX devices of all slices."""
        return self.slices * chips.count_devices(self.topology)

    def __str__(self):
        clip = "x".join(map(str, self.bucket.shape))
        slices = f"{self.slices} slices " * (self.slices > 1)
        return f"{slices}{self.topology}, {self.program} {self.bucket.batch_size} clips of {clip}"


PROGRAMS = {
    "train": lambda plan, config, mesh: programs.training(config, mesh, plan.bucket, plan.vae),
    "sample": lambda plan, config, mesh: programs.sampling(
        config, mesh, plan.bucket.shape, plan.bucket.batch_size
    ),
    "encode": lambda plan, _, mesh: programs.encoding(
        plan.vae, mesh, plan.bucket.shape, plan.bucket.batch_size
    ),
    "decode": lambda plan, _, mesh: programs.decoding(
        plan.vae, mesh, plan.bucket.shape, plan.bucket.batch_size
    ),
}
COUNTED = ("train", "sample")  # the others run no kernel that hides its FLOPs


def make_plan(
    program: str,
    config: ConfigDict,
    topology: str,
    clip: tuple[int, int, int],
    batch: int | None = None,
    vae_config: ConfigDict | None = None,
    slices: int = 1,
) -> Plan:
    """Checks what is asked for.

    Args:
      clip: (frames, height, width).
      batch: clips in all; by default those of the config's first bucket in training, else one.
      vae_config: ConfigDict of the autoencoder, if one is given.

    Raises:
      ValueError: no whole generator, or an autoencoder that is missing or would not be used.
    """
    if (makes := what_it_makes(config)) != "generator":
        raise ValueError(
            f"a config of {makes}: only whole generators (configs/pretrain.py) can be compiled"
        )
    usual = sources.make_buckets(config.data.buckets)[0].batch_size if program == "train" else 1
    vae = open_vae(program, config, vae_config)
    chips.check_slices(topology, slices)
    return Plan(program, config, topology, Bucket(*clip, batch or usual), vae, slices)


def open_vae(program: str, config: ConfigDict, vae_config: ConfigDict | None) -> VAE | None:
    """The autoencoder of a program; ValueError where it is missing, or would not be used."""
    encodes = program == "train" and not config.data.latents
    needed = encodes or program in ("encode", "decode")
    if needed and vae_config is None:
        other = ", or --config.data.latents=true: train on precomputed latents" * encodes
        raise ValueError(f"--program={program} needs --vae=configs/vae.py:base{other}")
    if vae_config is not None and not needed:
        raise ValueError(f"--vae: --program={program} of this config runs no autoencoder")
    return VAE(**as_tuples(vae_config.vae.to_dict())) if needed else None


def search(plan: Plan, most: int) -> list[Setting]:
    """The likeliest `most` settings of a training step; see `meshes.candidates`."""
    if plan.program != "train":
        raise ValueError(f"--search={most} is of --program=train, not {plan.program}")
    limit = chips.device_memory(plan.topology)
    return candidates(plan.config, plan.bucket, plan.devices, limit, plan.slices)[:most]


def setting_of(plan: Plan, sizes: dict[str, int]) -> Setting:
    """The setting of the config on a mesh of {axis: size}, one of which may be -1."""
    config, count = plan.config, plan.devices
    shape, mesh = sharding.mesh_shape(count, **sizes), sharding.plan_mesh(count, **sizes)
    if plan.program == "train":
        job.check_batches([plan.bucket], config.accumulate, mesh)
    if config.model.heads % mesh.shape["tensor"]:
        raise ValueError(
            f"tensor={mesh.shape['tensor']} does not divide heads={config.model.heads}"
        )
    return Setting(dict(zip(sharding.MESH_AXES, shape, strict=True)), config.model.remat)


def compile_setting(plan: Plan, setting: Setting, devices: Sequence[jax.Device]) -> dict[str, Any]:
    """The report (`analysis.compile_for`) of a plan on `devices` of `chips.open_topology`."""
    mesh = sharding.make_mesh(devices, **setting.mesh)

    def make(kernel):
        changed = plan.config.copy_and_resolve_references()
        with changed.unlocked():
            changed.model.remat, changed.model.kernel = setting.remat, kernel
        return PROGRAMS[plan.program](plan, changed, mesh)

    counted = make("xla") if plan.program in COUNTED else None
    program = make(plan.config.model.kernel)
    report = analysis.compile_for(plan.topology, program, counted, plan.slices)
    report |= {"program": plan.program, "mesh": setting.mesh, "remat": setting.remat}
    return report | {"clip": plan.bucket.shape, "batch": plan.bucket.batch_size}


def ranking(settings: list[Setting], reports: list[dict]) -> Iterator[str]:
    """Lines: the settings that fit, the fastest possible first."""
    pairs = [(r, s) for r, s in zip(reports, settings, strict=True) if r["memory"]["fits"]]
    pairs.sort(key=lambda pair: max(pair[0]["bounds"].values()))
    yield f"{len(pairs)} of {len(settings)} fit" + (", the best first:" if pairs else "")
    for report, setting in pairs:
        bound = max(report["bounds"].values())
        yield (
            f"  at best {1e3 * bound:,.3g} ms ({report['binds']}), MFU <= "
            f"{100 * report['mfu_at_most']:.1f} %: {setting}"
        )
