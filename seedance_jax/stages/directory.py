"""What a training job finds in its run directory, and whether it may train there."""

from collections.abc import Mapping
from typing import Any

from seedance_jax.training import cluster, release, run_directory
from seedance_jax.training.lock import FILE, FOLDER
from seedance_jax.training.places import Place, check_writable, in_bucket

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


def standing(workdir: Place) -> list:
    """[newest step, pins] that process 0 finds in a run directory; all processes must call it."""
    return cluster.of_main(lambda: _standing(workdir))


def _standing(workdir):
    return [run_directory.latest_step(workdir), run_directory.read_pins(workdir)]


def look_at(workdir: Place) -> tuple[list, dict[str, Any] | None]:
    """(what `standing` says, the config of the run that is to go on, if there is one).

    Raises ValueError if a directory is no place for a run, OSError if it cannot be written.
    """
    if release.exists(workdir):
        raise ValueError(f"{workdir} is a release: start from it with --config.init_from={workdir}")
    if in_bucket(workdir):
        check_writable(workdir, "the run directory")
    before = _standing(workdir)
    if before[0] is not None:
        return before, run_directory.read_json(workdir, "config.json")
    if not (workdir / "config.json").exists() and other_files(workdir):
        raise ValueError(f"{workdir} is not empty and is not a run; use another --workdir")
    return before, None


def other_files(workdir: Place) -> list[Place]:
    """What is in a directory besides its lock."""
    found = workdir.iterdir() if workdir.exists() else []
    return [path for path in found if path.name not in (FILE, FOLDER)]


def check_unchosen(workdir: Place, num_steps: int) -> None:
    """Raises ValueError if a run would go on without what has chosen its best checkpoint, which it
    would stand for however far it is trained."""
    pinned, newest = cluster.of_main(
        lambda: (run_directory.pinned(workdir), run_directory.latest_step(workdir))
    )
    best = pinned.get(run_directory.BEST)
    if best is not None and newest < num_steps:
        raise ValueError(
            f"{workdir} stands for step {best}, the best that a suite found: go on with --suite "
            "and --suite_patience, which compare what follows with it, or start another run from "
            f"it, --config.init_from={workdir}"
        )


def check_continues(
    found: Mapping[str, Any], wanted: Mapping[str, Any], workdir: Place, saved: int
) -> None:
    """Raises ValueError unless the run of config `found`, saved at a step, can go on with config
    `wanted`."""
    flat = (run_directory.flatten(run_directory.complete(config)) for config in (found, wanted))
    differing = compare(*flat)
    if differing:
        lines = "".join(f"\n  {name}: {old!r} -> {new!r}" for name, old, new in differing)
        raise ValueError(
            f"{workdir} holds a run of another config; use another --workdir, or undo:{lines}"
        )
    old, new = found["num_steps"], wanted["num_steps"]
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
