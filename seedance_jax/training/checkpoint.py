"""Resuming, and handing weights from one stage to the next.

A checkpoint is `checkpoints/<step>/{state, data, rollout, checksums}` of a run directory: the
TrainState, the input iterator, the rolled-out batch that the next steps train on, if they do, and a
sum over the bits of every array. The weights of a release (`training/release.py`) can be read all
the same.

A checkpoint gets its name when it is complete, so a process may end at any moment. One that turns
out to be damaged is moved to `damaged/<step>`.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from seedance_jax.training import cluster, places, release, replicas, run_directory
from seedance_jax.training.finiteness import check_finite
from seedance_jax.training.places import Place, place


def restore(
    state: Any,
    workdir: str | Place,
    init_from: str = "",
    inherit: Sequence[str] = (),
    may_lack: Sequence[tuple[str, ...]] = (),
) -> tuple[Any, Any]:
    """Resumes `workdir`; failing that starts from another run's EMA; else it is `state`.

    Returns (state, the rolled-out batch of the checkpoint or None), the batch laid out over the
    mesh of `jax.set_mesh`.

    A checkpoint that cannot be read is moved aside, loudly, and the one before it is taken; but
    first both are read again, as the storage may have been away for a while.
    `inherit` names the top-level parts of the weights to take from the other run; () is all. What
    lies at the paths `may_lack` it may be without: that stays as it is in `state`. Whether the
    others fit, `check_start` says before.

    Raises:
      OSError: there are checkpoints, and none can be read; they stay where they are.
      ValueError: the mesh does not divide the rolled-out batch; its checkpoint stays, too.
    """
    if (restored := _newest(state, workdir)) is not None:
        return restored
    if init_from:
        parts, new = split_new(state.ema, init_from, inherit, may_lack)
        ema = traverse_util.flatten_dict(load(init_from, like=parts)) | new
        ema = {**state.ema, **traverse_util.unflatten_dict(ema)}
        copy = lambda: jax.tree.map(jnp.copy, ema)  # noqa: E731
        slow = {name: copy() for name in state.slow}
        return state.replace(params=ema, ema=copy(), slow=slow), None
    return state, None


def _newest(state, workdir, failed=frozenset()):
    """What `restore` returns of the newest checkpoint that can be read; None if there are none.

    failed: steps that could not be read before, when an earlier one could.
    """
    steps, errors = cluster.of_main(lambda: run_directory.all_steps(workdir)), {}
    for step in reversed(steps):
        restored, reason = _attempt(state, workdir, step)
        if reason:
            errors[step] = reason
        elif errors.keys() <= failed:
            cluster.of_main(lambda: _set_aside(workdir, errors))
            return restored
        else:
            del restored  # there may be no room for another
            return _newest(state, workdir, failed | errors.keys())
    if errors:
        lines = "".join(f"\n  step {step}: {reason}" for step, reason in errors.items())
        raise OSError(f"no checkpoint of {workdir} can be read:{lines}")
    return None


def _attempt(state, workdir, step):
    """(what `restore` returns of a checkpoint, "") or (None, why it cannot be read), in all."""
    from seedance_jax.training import stored

    stored.check_rolled(workdir, step)
    restored, reason = None, ""
    try:
        restored = stored.read_state(state, workdir, step)
    except Exception as error:  # the reasons are many, and all of the storage's making
        reason = f"{type(error).__name__}: {stored.one_line(error)}"
    # If one process cannot read its part, none may go on with this step.
    reason = next(filter(None, cluster.gather(reason)), "")
    return (None if reason else restored), reason


def check_start(
    config: Mapping[str, Any],
    init_from: str | Place,
    params: Mapping[str, Any],
    inherit: Sequence[str] = (),
    may_lack: Sequence[tuple[str, ...]] = (),
) -> list[tuple[str, ...]]:
    """The paths of `may_lack` that start as new where `params` start from a run; see `restore`.

    Args:
      config: that asks for `params`, as JSON.
      params: arrays, or their shapes and dtypes.

    Raises ValueError as `check_fits`.
    """
    parts, new = split_new(params, init_from, inherit, may_lack)
    check_fits(config, init_from, parts)
    return [path for path in may_lack if any(full[: len(path)] == path for full in new)]


def split_new(
    params: Mapping[str, Any],
    init_from: str | Place,
    inherit: Sequence[str] = (),
    may_lack: Sequence[tuple[str, ...]] = (),
) -> tuple[dict, dict]:
    """(the params that come from a run, by path those of them that start as new instead).

    New is what lies at a path of `may_lack` where the run `init_from` has nothing.
    """
    params = {name: params[name] for name in inherit} if inherit else params
    flat = traverse_util.flatten_dict(params)
    below = lambda tree, path: [full for full in tree if full[: len(path)] == path]  # noqa: E731
    ask = replicas.asker(params)
    names = lambda: [*traverse_util.flatten_dict(stored_tree(init_from))]  # noqa: E731
    stored = ask(names) if may_lack else []
    absent = [path for path in may_lack if below(flat, path) and not below(stored, path)]
    new = {full: flat.pop(full) for path in absent for full in below(flat, path)}
    return traverse_util.unflatten_dict(flat), new


def _set_aside(workdir, errors):
    """Moves the checkpoints of {step: reason} to damaged/<step>, or <step>.1, ..."""
    for step, reason in errors.items():
        _move_aside(workdir, step, reason)


def _move_aside(workdir, step, reason):
    folder = place(workdir) / "damaged"
    folder.mkdir(exist_ok=True)
    taken = sum(1 for path in folder.glob(f"{step}*") if path.name.split(".")[0] == str(step))
    target = folder / (f"{step}.{taken}" if taken else str(step))
    directory = place(workdir) / "checkpoints" / str(step)
    places.set_aside(directory, target, run_directory.COMMITTED)
    message = f"WARNING: the checkpoint of step {step} cannot be read and is now {target}; going "
    print(message + f"back to an earlier one. {reason}", file=sys.stderr, flush=True)


def check_fits(
    config: Mapping[str, Any], init_from: str | Place, params: Mapping[str, Any]
) -> None:
    """Raises ValueError naming the config fields that differ unless `params` can start from a run.

    If none of the fields of models does, it names the first weights.
    Only names and shapes of weights count; a config may well differ in fields that change neither.
    `config` is what asks for `params`, as JSON.
    """
    shapes = lambda tree: {  # noqa: E731
        jax.tree_util.keystr(path): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
    wanted, stored = shapes(params), stored_tree(init_from)
    found = shapes({name: stored[name] for name in params if name in stored})
    if found != wanted:
        sections = ("stage", "vae", "text", "model")
        configs = run_directory.read_json(init_from, "config.json"), config
        configs = map(run_directory.complete, configs)
        old, new = (
            {name: run_directory.of_weights(c[name]) for name in sections if name in c}
            for c in configs
        )
        names = [name for name in wanted | found if found.get(name) != wanted.get(name)]
        first = ({name: tree.get(name) for name in names[:3]} for tree in (found, wanted))
        lines = run_directory.differences(old, new) or run_directory.differences(*first)
        raise ValueError(
            f"{len(names)} of {len(wanted | found)} weights are not as in the run {init_from}; "
            f"what differs:{lines}"
        )


def load(
    workdir: str | Place,
    like: Any = None,
    parts: Sequence[str] = (),
    step: int | str | None = None,
) -> Any:
    """Reads the EMA weights of a checkpoint, laid out like `like` (or on the host).

    If `like` lies on several processes, all of these must call it.

    Args:
      parts: names of the top-level parts to read; () is all.
      step: see `run_directory.find_step`.

    Raises:
      FileNotFoundError: the run has no such checkpoint.
      OSError: it is damaged; no other is taken in its place.
      ValueError: weights are not finite.
    """
    weights = _load(workdir, like, parts, step)
    check_finite(weights, workdir)
    return weights


def _load(workdir, like, parts, step):
    if like is None:
        tree = stored_tree(workdir, step)
        tree = {part: tree[part] for part in parts} if parts else tree
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
    ask = replicas.asker(like)
    path, released = ask(lambda: (_checkpoint(workdir, step), release.exists(workdir)))
    if released:
        return release.placed(ask(lambda: release.read(workdir, like)), like)
    from seedance_jax.training import stored  # as below: releases are read without Orbax

    return stored.read_weights(path, like)


def stored_tree(workdir: str | Place, step: int | str | None = None) -> Any:
    """Names, shapes and dtypes of the EMA weights of a checkpoint; step: as of `load`."""
    path = _checkpoint(workdir, step)
    if release.exists(workdir):
        return release.tree(workdir)
    from seedance_jax.training import stored

    return stored.read_tree(path)


def _checkpoint(workdir, step):
    found = run_directory.find_step(workdir, step)
    return places.absolute(workdir) / "checkpoints" / str(found)


def save_weights(workdir: str | Place, params: Any) -> None:
    """Writes weights that were not trained here as the checkpoint of step 0 of a run."""
    from seedance_jax.training import stored

    stored.write_weights(workdir, params)
