"""A training job: checks its run directory, trains its stage, and writes what it made."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.models import conditioning
from seedance_jax.pretrained import lineage
from seedance_jax.stages import STAGES, settings
from seedance_jax.training import checkpoint, cluster, hooks, loop, release, run_directory, saver
from seedance_jax.training.heartbeat import Heartbeat
from seedance_jax.training.lock import FILE, FOLDER, hold
from seedance_jax.training.places import Place, absolute, check_writable, in_bucket
from seedance_jax.training.run_directory import finished

# A run may be continued with other values of these fields, and of no others.
MAY_CHANGE = (
    "name",
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
    "model.gradients",
    "text.gradients",
    "data.data_dir",
    "data.num_processes",
    "data.num_threads",
    "data.num_workers",
    "data.labels",  # those that a filter names are in the identity of the run
)


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
    before = prepare(config, workdir)
    if run_directory.latest_step(workdir) == config.num_steps and finished(workdir):
        return Outcome(f"{workdir}: already trained, {config.num_steps} steps")
    if not chooses:
        check_unchosen(workdir, config.num_steps)
    mesh = sharding.make_mesh(**config.mesh)
    check_batches(sources.make_buckets(config.data.buckets), config.accumulate, mesh)
    stage = STAGES[config.stage](config)
    if config.init_from and run_directory.latest_step(workdir) is None:
        check_start(stage, config)
    state, stopped = run(stage, config, workdir, mesh, speed, make_hooks, before)
    step = int(state.step)
    if step < config.num_steps and not stopped:
        return Outcome(f"{workdir}: stopped at step {step} of {config.num_steps}, saved", True)
    with jax.set_mesh(mesh):
        metadata = describe(stage, workdir, state)
    metadata |= {"parents": lineage.read_parents(workdir)}
    metadata |= {"stopped": stopped} if stopped else {}
    if cluster.is_main():
        run_directory.write_json(workdir, "metadata.json", metadata)
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
        if cluster.is_main() and run_directory.latest_step(workdir) is None:
            lineage.write_parents(workdir, config)
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


def standing(workdir: Place) -> list:
    """[newest step, pins] that process 0 finds in a run directory; all processes must call it."""
    return cluster.of_main(
        lambda: [run_directory.latest_step(workdir), run_directory.read_pins(workdir)]
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
    if release.exists(workdir):
        raise ValueError(f"{workdir} is a release: start from it with --config.init_from={workdir}")
    if in_bucket(workdir):
        cluster.of_main(lambda: str(check_writable(workdir, "the run directory")))
    before = standing(workdir)
    found = run_directory.latest_step(workdir)
    earlier = None if found is None else run_directory.read_json(workdir, "config.json")
    settings.settle_types(config, earlier)
    wanted = run_directory.as_json(config.to_dict())
    alike = {
        "workdir": str(absolute(workdir)),
        "checkpoint": found,
        **cluster.code_version(),
    }
    cluster.check_same(run_directory.flatten({"config": wanted}) | alike)
    if earlier is not None:
        check_continues(earlier, wanted, workdir)
    elif not (workdir / "config.json").exists() and other_files(workdir):
        raise ValueError(f"{workdir} is not empty and is not a run; use another --workdir")
    if found is None and config.get("init_from"):
        settings.check_source(config)
    cluster.wait("the directory is checked")
    return before


def check_unchosen(workdir: Place, num_steps: int) -> None:
    """Raises ValueError if a run would go on without what has chosen its best checkpoint, which it
    would stand for however far it is trained."""
    best = cluster.of_main(lambda: run_directory.pinned(workdir).get(run_directory.BEST))
    if best is not None and run_directory.latest_step(workdir) < num_steps:
        raise ValueError(
            f"{workdir} stands for step {best}, the best that a suite found: go on with --suite "
            "and --suite_patience, which compare what follows with it, or start another run from "
            f"it, --config.init_from={workdir}"
        )


def other_files(workdir: Place) -> list[Place]:
    """What is in a directory besides its lock."""
    found = workdir.iterdir() if workdir.exists() else []
    return [path for path in found if path.name not in (FILE, FOLDER)]


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
    """Makes the run directory and writes config.json; ValueError if not all processes see it."""
    if cluster.is_main():
        workdir.mkdir(parents=True, exist_ok=True)
        run_directory.write_json(workdir, "config.json", run_directory.as_json(config.to_dict()))
    cluster.wait("the directory is there")
    if not (workdir / "config.json").exists():
        raise ValueError(f"{workdir} is not on storage that all processes share")


def check_continues(found: Mapping[str, Any], wanted: Mapping[str, Any], workdir: Place) -> None:
    """Raises ValueError unless the run of config `found` can go on with config `wanted`."""
    flat = (run_directory.flatten(run_directory.complete(config)) for config in (found, wanted))
    differing = compare(*flat)
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


def compare(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[tuple]:
    """(name, found value, wanted value) of the fields that differ and may not."""
    names = sorted(found.keys() | wanted.keys())
    return [
        (name, found.get(name), wanted.get(name))
        for name in names
        if found.get(name) != wanted.get(name)
        and not any(name == free or name.startswith(free + ".") for free in MAY_CHANGE)
    ]
