"""Trains one stage.

    python -m seedance_jax build_data --config=configs/vae.py:tiny
    python -m seedance_jax train --config=configs/vae.py:tiny --workdir=runs/vae \\
        --config.optimizer.peak_lr=1e-3

A generator (configs/pretrain.py) needs --config.vae_run=runs/vae, too, and the latents that
`encode` makes. Started again, a training goes on from the last checkpoint of the work directory; a
finished run is left as it is. SIGTERM saves a checkpoint and exits with --stopped_status. A run
that a hook stops early is finished, too, and says why here and as "stopped" in its metadata.json;
started again, it goes on to num_steps. `seedance_jax status WORKDIR` says how far a training is.

On several hosts, or as several processes, start the same command once per process: TPU pods, GKE
and SLURM are recognised, elsewhere say --coordinator=host:port --num_processes=2 --process_id=0.
The work directory must be on storage that all of them share, or in a bucket, as gs://bucket/run. It
has one run at a time: a second one stops and names the first.

With --suite=world_v1_dev, a generator of the synthetic world, or adapters merged into theirs, makes
the first clips of that suite every --suite_every steps, and has them judged (see `seedance_jax
evaluate`). With --suite_patience=3 the training ends when three of these in a row are no better
than the best; that checkpoint, pinned as "best", is then what the run stands for: what opens the
run or starts from it takes this one, "step" of its metadata.json. Such a run goes on only with the
same suite.
"""

import functools
import sys

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from seedance_jax.commands import cli
from seedance_jax.evaluation.suite import cases
from seedance_jax.evaluation.suite.hook import SuiteHook
from seedance_jax.evaluation.suite.patience import PatientHook
from seedance_jax.performance import chips, cost
from seedance_jax.stages import job
from seedance_jax.training import hooks, loop, run_directory
from seedance_jax.training.places import Place, place
from seedance_jax.training.saver import Saver

CONFIG = config_flags.DEFINE_config_file("config", help_string="The stage: configs/<stage>.py:size")
WORKDIR = cli.define_path("workdir", None, "Directory of the run.", required=True)
PROFILE = flags.DEFINE_list(
    "profile", None, "start,steps: writes a trace of so many steps from that one on."
)
SUITE = flags.DEFINE_enum(
    "suite", None, cases.dev_suites(), "Generators: suite to run while training."
)
SUITE_EVERY = flags.DEFINE_integer("suite_every", 1000, "Steps from one time to the next.", 1)
SUITE_LIMIT = flags.DEFINE_integer("suite_limit", 14, "How many of its first clips.", 1)
SUITE_PATIENCE = flags.DEFINE_integer(
    "suite_patience", None, "Ends when the suite finds so many times in a row nothing better.", 1
)
STOPPED_STATUS = flags.DEFINE_integer(
    "stopped_status",
    0,
    "Exit status of a training that a signal ended, saved: tells a launcher that it is to go on.",
    0,
    255,
)


def main(argv: list[str]) -> None:
    del argv
    config, workdir = CONFIG.value, place(WORKDIR.value)
    for flag in (SUITE_EVERY, SUITE_LIMIT, SUITE_PATIENCE):
        if flag.present and not SUITE.value:
            raise ValueError(f"--{flag.name}={flag.value} does nothing without --suite")
    profile = [lambda *_: hooks.ProfileHook(workdir, *read_profile())] if PROFILE.value else []
    suite = [functools.partial(suite_hook, config, workdir)] if SUITE.value else []
    chooses = bool(SUITE_PATIENCE.value)
    outcome = job.train(config, workdir, speed, [*profile, *suite], chooses)
    print(outcome.message)
    if outcome.interrupted:
        sys.exit(STOPPED_STATUS.value)


def speed(config: ConfigDict, makes: str) -> tuple[float | None, float | None]:
    """(FLOPs of the mean step, the most FLOPs a second), None where they are not counted."""
    flops = cost.training_flops(config, makes)
    return flops, chips.peak_flops() if flops else None


def suite_hook(
    config: ConfigDict, workdir: Place, stage: loop.Stage, mesh: jax.sharding.Mesh, save: Saver
) -> SuiteHook | PatientHook:
    """The hook of --suite."""
    hook = SuiteHook(
        workdir,
        run_directory.as_json(config.to_dict()),
        stage,
        name=SUITE.value,
        every=SUITE_EVERY.value,
        limit=SUITE_LIMIT.value,
        mesh=mesh,
    )
    if not SUITE_PATIENCE.value:
        return hook
    return PatientHook(hook, save, workdir, SUITE_PATIENCE.value)


def read_profile() -> tuple[int, int]:
    """(start, steps) of --profile."""
    try:
        start, steps = map(int, PROFILE.value)
    except ValueError:
        raise ValueError(f"profile={','.join(PROFILE.value)} must be start,steps") from None
    return start, steps
