"""Trains one stage.

    python -m seedance_jax train --config=configs/pretrain.py:tiny --workdir=runs/pretrain \
        --config.optimizer.peak_lr=1e-3

Started again, it goes on from the last checkpoint of the work directory; a finished run is left as
it is. SIGTERM saves a checkpoint and exits 0. A run that a hook stops early is finished, too, and
says why here and as "stopped" in its metadata.json; started again, it goes on to num_steps.

On several hosts, or as several processes, start the same command once per process: TPU pods, GKE
and SLURM are recognised, elsewhere say --coordinator=host:port --num_processes=2 --process_id=0.
The work directory must be on storage that all of them share.

With --suite=world_v1, a generator of the synthetic world, or adapters merged into theirs, makes the
first clips of that suite every --suite_every steps, and has them judged (see `seedance_jax
evaluate`).
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.evaluation.suite import cases
from seedance_jax.evaluation.suite.hook import SuiteHook
from seedance_jax.performance import chips, cost
from seedance_jax.stages import STAGES, settings
from seedance_jax.training import checkpoint, cluster, hooks, loop, release, run_directory

CONFIG = config_flags.DEFINE_config_file("config", help_string="The stage: configs/<stage>.py:size")
WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
PROFILE = flags.DEFINE_list(
    "profile", None, "start,steps: writes a trace of so many steps from that one on."
)
SUITE = flags.DEFINE_enum(
    "suite", None, sorted(cases.SUITES), "Generators: suite to run while training."
)
SUITE_EVERY = flags.DEFINE_integer("suite_every", 1000, "Steps from one time to the next.", 1)
SUITE_LIMIT = flags.DEFINE_integer("suite_limit", 14, "How many of its first clips.", 1)

# A run may be continued with other values of these fields, and of no others.
MAY_CHANGE = (
    "num_steps",
    "mesh",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_every",
    "accumulate",  # the random draws become others, and nothing else
    "max_skipped",
    "model.kernel",
    "model.remat",
    "data.data_dir",
    "data.num_processes",
    "data.num_threads",
    "data.num_workers",
)


def main(argv):
    del argv
    config, workdir = CONFIG.value, Path(WORKDIR.value)
    for flag in (SUITE_EVERY, SUITE_LIMIT):
        if flag.present and not SUITE.value:
            raise ValueError(f"--{flag.name}={flag.value} does nothing without --suite")
    prepare(config, workdir)
    if run_directory.latest_step(workdir) == config.num_steps and finished(workdir):
        print(f"{workdir}: already trained, {config.num_steps} steps")
        return
    mesh = sharding.make_mesh(**config.mesh)
    buckets = sources.make_buckets(config.data.buckets)
    check_batches(buckets, config.accumulate, mesh)
    stage = STAGES[config.stage](config)
    state, stopped = run(stage, config, workdir, mesh)
    step = int(state.step)
    if step < config.num_steps and not stopped:
        print(f"{workdir}: stopped at step {step} of {config.num_steps}, saved")
        return
    with jax.set_mesh(mesh):
        metadata = stage.finish(state.ema) | {"step": step, "makes": stage.makes}
    metadata |= {"stopped": stopped} if stopped else {}
    if cluster.is_main():
        run_directory.write_json(workdir, "metadata.json", metadata)
    if stopped:
        print(f"{workdir}: stopped at step {step} of {config.num_steps}: {stopped}")
    else:
        print(f"{workdir}: trained, {config.num_steps} steps")


def check_batches(buckets, accumulate, mesh):
    """Raises ValueError unless every batch can be cut into parts, and each part over the mesh."""
    for bucket in buckets:
        if bucket.batch_size % accumulate:
            raise ValueError(f"accumulate={accumulate} does not divide the batch of {bucket}")
    sharding.check_batches({bucket: bucket.batch_size // accumulate for bucket in buckets}, mesh)


def run(stage, config, workdir, mesh):
    """Runs the loop with the hooks and the checkpoints of a training job."""
    flops = step_flops(config)
    log = hooks.LogHook(
        workdir,
        num_steps=config.num_steps,
        every=config.log_every,
        max_skipped=config.max_skipped,
        name=config.stage,
        flops=flops,
        peak=chips.peak_flops() if flops else None,
    )
    called = [log, *([hooks.ProfileHook(workdir, *read_profile())] if PROFILE.value else [])]
    called += [suite_hook(stage, config, workdir, mesh)] if SUITE.value else []
    save = checkpoint.Saver(
        workdir,
        every=config.checkpoint_every,
        keep=config.keep_checkpoints,
        keep_every=config.keep_every,
    )
    options = {
        name: config[name] for name in ("num_steps", "seed", "ema_decay", "init_from", "accumulate")
    }
    try:
        return loop.train(stage, workdir, loop.Settings(mesh=mesh, **options), save, called)
    finally:
        for closed in (save, *called):
            closed.close()


def suite_hook(stage, config, workdir, mesh):
    """The hook of --suite."""
    return SuiteHook(
        workdir,
        run_directory.as_json(config.to_dict()),
        stage,
        name=SUITE.value,
        every=SUITE_EVERY.value,
        limit=SUITE_LIMIT.value,
        mesh=mesh,
    )


def read_profile():
    """(start, steps) of --profile."""
    try:
        start, steps = map(int, PROFILE.value)
    except ValueError:
        raise ValueError(f"profile={','.join(PROFILE.value)} must be start,steps") from None
    return start, steps


def step_flops(config):
    """Operations of the mean step, forward and backward, or None for a stage that is not counted.

    Counted is the generator alone: no frozen encoder, and nothing that `remat` does twice.
    """
    if config.stage != "flow_matching":
        return None
    settings, buckets = config.to_dict(), sources.make_buckets(config.data.buckets)
    flops = [
        bucket.batch_size
        * cost.total(
            cost.count(cost.make_program(settings, cost.latent_shape(*bucket.shape)))
        ).flops
        for bucket in buckets
    ]
    mean = np.average(flops, weights=[bucket.weight for bucket in buckets])
    return (2 if "lora" in config else 3) * float(mean)  # frozen weights need no gradient


def finished(workdir):
    """Whether what later stages need was written, for the newest checkpoint."""
    if not (workdir / "metadata.json").exists():
        return False
    metadata = run_directory.read_json(workdir, "metadata.json")
    return metadata.get("step") == run_directory.latest_step(workdir)


def prepare(config, workdir):
    """Makes the run directory and writes config.json.

    Raises:
      ValueError: a value is illegal, the processes were not started alike, or the directory holds
        checkpoints of another config (the message names every field that differs), or of later
        steps than num_steps, or the run cannot start from `init_from`.
    """
    if config.stage not in STAGES:
        raise ValueError(f"stage={config.stage!r}; legal stages: {sorted(STAGES)}")
    settings.check_values(config)
    if release.exists(workdir):
        raise ValueError(f"{workdir} is a release: start from it with --config.init_from={workdir}")
    wanted, found = run_directory.as_json(config.to_dict()), run_directory.latest_step(workdir)
    alike = {"workdir": str(workdir.resolve()), "checkpoint": found, **cluster.code_version()}
    cluster.check_same(run_directory.flatten({"config": wanted}) | alike)
    if found is not None:
        check_continues(run_directory.read_json(workdir, "config.json"), wanted, workdir)
    elif workdir.exists() and any(workdir.iterdir()) and not (workdir / "config.json").exists():
        raise ValueError(f"{workdir} is not empty and is not a run; use another --workdir")
    if found is None and config.get("init_from"):
        settings.check_source(config)
    cluster.wait("the directory is checked")
    if cluster.is_main():
        workdir.mkdir(parents=True, exist_ok=True)
        run_directory.write_json(workdir, "config.json", wanted)
    cluster.wait("the directory is there")
    if not (workdir / "config.json").exists():
        raise ValueError(f"{workdir} is not on storage that all processes share")


def check_continues(found, wanted, workdir):
    """Raises ValueError unless the run of config `found` can go on with config `wanted`."""
    differing = compare(run_directory.flatten(found), run_directory.flatten(wanted))
    if differing:
        lines = "".join(f"\n  {name}: {old!r} -> {new!r}" for name, old, new in differing)
        raise ValueError(
            f"{workdir} holds a run of another config; use another --workdir, or undo:{lines}"
        )
    old, new, saved = found["num_steps"], wanted["num_steps"], run_directory.latest_step(workdir)
    if new < saved:
        raise ValueError(
            f"num_steps={new}, but {workdir} is at step {saved} already; use another --workdir"
        )
    if new != old:
        print(f"num_steps: {old} -> {new}; the learning rate follows another schedule from here on")


def compare(found, wanted):
    """(name, found value, wanted value) of the fields that differ and may not."""
    names = sorted(found.keys() | wanted.keys())
    return [
        (name, found.get(name), wanted.get(name))
        for name in names
        if found.get(name) != wanted.get(name)
        and not any(name == free or name.startswith(free + ".") for free in MAY_CHANGE)
    ]
