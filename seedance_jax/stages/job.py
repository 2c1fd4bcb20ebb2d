"""A training job: checks its run directory, trains its stage, and writes what it made."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.models import conditioning
from seedance_jax.pretrained import lineage
from seedance_jax.stages import STAGES, settings
from seedance_jax.stages.directory import (
    check_continues,
    check_unchosen,
    look_at,
    standing,
)
from seedance_jax.training import (
    checkpoint,
    cluster,
    compiling,
    hooks,
    loop,
    run_directory,
    saver,
    startup,
)
from seedance_jax.training.heartbeat import Heartbeat
from seedance_jax.training.lock import hold
from seedance_jax.training.places import Place, absolute, in_bucket


class Outcome(NamedTuple):
    """What came of a training, in words; and whether a signal ended it before its end."""

    message: str
    interrupted: bool = False


def train(
    config: ConfigDict,
    workdir: Place,
    speed: Callable[[ConfigDict, str], tuple] = lambda config, makes: (None, None),
    make_hooks: Sequence[Callable] = (),
    chooses: bool = False,
) -> Outcome:
    """Trains the stage of a config to its end, or goes on with it; returns what came of it.

    Nothing is written before all that can be checked is: a run that is refused leaves no trace.

    Args:
      speed: (config, what it makes) -> (FLOPs of the mean step, the most FLOPs a second of the
        devices), for the log; both may be None.
      make_hooks: each (stage, mesh, save) -> a hook of `loop.train`, with a `close()`; it may
        pin checkpoints of the Saver `save`.
      chooses: whether one of them pins the best checkpoint, for which the run then stands.
    """
    startup.begin()
    before = prepare(config, workdir)
    newest = before[0]
    if newest == config.num_steps and cluster.of_main(lambda: run_directory.finished(workdir)):
        return Outcome(f"{workdir}: already trained, {config.num_steps} steps")
    if not chooses:
        check_unchosen(workdir, config.num_steps)
    mesh = sharding.make_mesh(**config.mesh)
    check_batches(sources.make_buckets(config.data.buckets), config.accumulate, mesh)
    startup.mark("checks")
    stage = STAGES[config.stage](config)
    if config.init_from and newest is None:
        cluster.of_main(lambda: check_start(stage, config))
    startup.mark("stage", stage.frozen)
    make_hooks = [lambda *_: startup.StartupHook(workdir), *make_hooks]
    state, stopped = run(stage, config, workdir, mesh, speed, make_hooks, before)
    step = int(state.step)
    if step < config.num_steps and not stopped:
        return Outcome(f"{workdir}: stopped at step {step} of {config.num_steps}, saved", True)
    with jax.set_mesh(mesh):
        metadata = describe(stage, workdir, state)
    metadata |= {"parents": cluster.of_main(lambda: lineage.read_parents(workdir))}
    metadata |= {"stopped": stopped} if stopped else {}
    cluster.of_main(lambda: run_directory.write_json(workdir, "metadata.json", metadata))
    best = f"; it stands for step {metadata['step']}, its best" if "trained" in metadata else ""
    if stopped:
        return Outcome(f"{workdir}: stopped at step {step} of {config.num_steps}: {stopped}{best}")
    return Outcome(f"{workdir}: trained, {config.num_steps} steps{best}")


def describe(stage: loop.Stage, workdir: Place, state: loop.TrainState) -> dict[str, Any]:
    """What metadata say of the weights that a run was trained to, see `run_directory.final_step`.

    They are those of the checkpoint that is pinned as the best, if a hook chose one.
    """
    last = int(state.step)
    pinned = cluster.of_main(lambda: run_directory.pinned(workdir))
    step, ema = pinned.get(run_directory.BEST, last), state.ema
    if step != last:
        ema = checkpoint.load(workdir, like=ema, step=step)
    metadata = stage.finish(ema) | {"step": step, "makes": stage.makes}
    metadata |= {"trained": last} if step != last else {}
    return metadata | {"weights": lineage.weights_hash(ema)}


def run(
    stage: loop.Stage,
    config: ConfigDict,
    workdir: Place,
    mesh: jax.sharding.Mesh,
    speed: Callable,
    make_hooks: Sequence[Callable],
    before: list,
) -> loop.Trained:
    """Runs the loop with the hooks and the checkpoints of a training job; see `train`.

    before: what `standing` said before anything else was read in the directory.

    Raises ValueError if that has changed by the time that no other run can write there.
    """
    names = ("num_steps", "seed", "ema_decay", "init_from", "accumulate")
    options = loop.Settings(mesh=mesh, **{name: config[name] for name in names})
    log, heart = make_log(config, workdir, *speed(config, stage.makes)), Heartbeat(workdir)
    with contextlib.ExitStack() as held, contextlib.ExitStack() as stack:
        closed = lambda one: stack.enter_context(contextlib.closing(one))  # noqa: E731
        save = closed(
            saver.Saver(
                workdir,
                every=config.checkpoint_every,
                keep=config.keep_checkpoints,
                keep_every=config.keep_every,
            )
        )
        called = [closed(log), *(closed(make(stage, mesh, save)) for make in make_hooks)]
        lost = lambda: (log.lose(), heart.lose())  # noqa: E731
        called += [held.enter_context(contextlib.closing(one)) for one in hold(workdir, lost)]
        if (found := standing(workdir)) != before:
            raise ValueError(
                f"{workdir} has changed meanwhile, start again: [newest step, pins] were {before} "
                f"and are {found}"
            )
        write_config(config, workdir)
        compiling.share(workdir)
        if before[0] is None:
            cluster.of_main(lambda: lineage.write_parents(workdir, config))
        held.enter_context(heart)
        trained = loop.train(stage, workdir, options, save, called, heart.progress)
        if trained.stopped or int(trained.state.step) == config.num_steps:
            heart.ended = "finished"
        return trained


def make_log(
    config: ConfigDict, workdir: Place, flops: float | None, peak: float | None
) -> hooks.LogHook:
    """The log of a training job; flops, peak: as of LogHook."""
    return hooks.LogHook(
        workdir,
        num_steps=config.num_steps,
        every=config.log_every,
        max_skipped=config.max_skipped,
        name=config.stage,
        flops=flops,
        peak=peak,
    )


def check_batches(
    buckets: Sequence[sources.Bucket], accumulate: int, mesh: jax.sharding.Mesh
) -> None:
    """Raises ValueError unless every batch can be cut into parts, and each part over the mesh."""
    for bucket in buckets:
        if bucket.batch_size % accumulate:
            raise ValueError(f"accumulate={accumulate} does not divide the batch of {bucket}")
    sharding.check_batches({bucket: bucket.batch_size // accumulate for bucket in buckets}, mesh)


def prepare(config: ConfigDict, workdir: Place) -> list:
    """Checks a config and its run directory; types that are "auto" are settled in the config.

    Returns what `standing` said before all else was read.

    Raises:
      ValueError: a value is illegal, the processes were not started alike, or the directory holds
        checkpoints of another config (the message names every field that differs), or of later
        steps than num_steps, or the run cannot start from `init_from`.
    """
    if config.stage not in STAGES:
        raise ValueError(f"stage={config.stage!r}; legal stages: {sorted(STAGES)}")
    settings.check_values(config)
    before, earlier = cluster.of_main(lambda: look_at(workdir))
    found = before[0]
    settings.settle_types(config, earlier)
    wanted = run_directory.as_json(config.to_dict())
    # A bucket is the same for all; of a path of its machine each must say what it sees there.
    seen = found if in_bucket(workdir) else run_directory.latest_step(workdir)
    alike = {"workdir": str(absolute(workdir)), "checkpoint": seen, **cluster.code_version()}
    cluster.check_same(run_directory.flatten({"config": wanted}) | alike)
    if earlier is not None:
        check_continues(earlier, wanted, workdir, found)
    if found is None and config.get("init_from"):
        cluster.of_main(lambda: settings.check_source(config))
    cluster.wait("the directory is checked")
    return before


def check_start(stage: loop.Stage, config: ConfigDict) -> None:
    """Says which conditions are new in a run that starts from `init_from`.

    Raises ValueError if it cannot start from that: it has other parts, or weights of other shapes.
    """
    run_directory.check_parts(config.init_from, stage.identity)
    params = nn.unbox(jax.eval_shape(stage.init, jax.random.key(0)))
    wanted = run_directory.as_json(config.to_dict())
    parts = stage.inherit, stage.may_lack
    for path in checkpoint.check_start(wanted, config.init_from, params, *parts):
        name = conditioning.condition_of(path)
        print(f"{config.init_from} does not know the condition {name}: its weights start at zero")


def write_config(config: ConfigDict, workdir: Place) -> None:
    """Makes the run directory and writes config.json.

    Raises ValueError in all processes if not all of them see it.
    """

    def write():
        workdir.mkdir(parents=True, exist_ok=True)
        run_directory.write_json(workdir, "config.json", run_directory.as_json(config.to_dict()))

    cluster.of_main(write)
    seen = cluster.gather(in_bucket(workdir) or (workdir / "config.json").exists())
    if not all(seen):
        blind = [process for process, there in enumerate(seen) if not there]
        raise ValueError(
            f"{workdir} is not on storage that all processes share: process 0 wrote config.json, "
            f"and processes {blind} do not see it"
        )
