"""Saving, resuming and handing weights from one stage to the next.

A checkpoint is `checkpoints/<step>/{state, data, rollout, checksums}` of a run directory: the
TrainState, the input iterator, the rolled-out batch that the next steps train on, if they do, and a
sum over the bits of every array. The weights of a release (`training/release.py`) can be read all
the same.

A checkpoint gets its name when it is complete, so a process may end at any moment. One that turns
out to be damaged is moved to `damaged/<step>`.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax import traverse_util
from orbax.checkpoint import checkpoint_managers as managers

from seedance_jax import sharding
from seedance_jax.training import cluster, release, run_directory

ROLLED = ".rollout"  # begins the names of the checksums of a rolled-out batch


class Saver:
    """Saves every `every` steps and when forced.

    Kept are the last `keep` checkpoints, those of every `keep_every` steps (0: none of these) and
    those that `pin` names. Training goes on while a checkpoint is written. If that fails, the next
    call, or `close`, raises an OSError that says what is safe.
    """

    def __init__(self, workdir, *, every, keep=2, keep_every=0):
        self._every, self._workdir = every, workdir
        self._pins, self._coming = run_directory.read_pins(workdir), {}
        self._manager = _manager(workdir, keep=keep, keep_every=keep_every, pins=self._pins)
        self._done = self._manager.latest_step() or 0

    def __call__(self, step, state, batches, *, rolled=None, force=False):
        """Saves `state` and the position of the `batches` iterator after `step`, if it is due.

        rolled: the rolled-out batch that the next step trains on, too, if there is one.
        """
        self._done = step
        names = [name for name, coming in self._coming.items() if coming == step]
        due = force or names or step % self._every == 0
        if self._manager.latest_step() == step or not due:
            return
        items = {
            "state": ocp.args.StandardSave(_fields(state)),
            "data": grain.checkpoint.CheckpointSave(batches),
            "checksums": ocp.args.JsonSave(checksums(state) | checksums(rolled or {}, ROLLED)),
        }
        items |= {} if rolled is None else {"rollout": ocp.args.StandardSave(rolled)}
        with self._failures():
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        for name in names:
            self._hold(step, name)

    def pin(self, step: int, name: str) -> None:
        """Keeps the checkpoint of `step` as `name`, such as "best", until the name moves on.

        A step to come, or the one whose hooks are running, is saved when it is done, due or not,
        and gets the name then; until then the name stays where it is. All processes must call it.

        Raises:
          ValueError: a name that is empty or a number, or a step that is done and was not saved, or
            whose checkpoint was deleted.
        """
        if not name or name.isdigit():
            raise ValueError(f"pin: {name!r} must be a name, and not a number")
        if step > self._done:
            self._coming[name] = step
        elif step in (saved := self._manager.all_steps()):
            self._hold(step, name)
        else:
            raise ValueError(f"pin {name!r}: no checkpoint of step {step}, only of {sorted(saved)}")

    def _hold(self, step, name):
        with self._failures():
            self._manager.wait_until_finished()  # a name is of a checkpoint that is there
        self._coming.pop(name, None)
        self._pins[name] = step
        if cluster.is_main():
            run_directory.write_json(self._workdir, run_directory.PINS, self._pins)

    def resume(self, batches, step):
        """Restores the iterator saved at `step`, if it was saved by as many processes.

        Otherwise `batches` stays where it is: it already starts at `step`, which for a pipeline
        that is a pure function of the step is the same place.
        """
        self._done = step
        self._manager.reload()  # `restore` may have moved a checkpoint aside
        name = f"process_{jax.process_index()}-of-{jax.process_count()}.json"
        path = Path(self._manager.directory) / str(step) / "data" / name
        if not path.exists():
            return
        try:
            data = grain.checkpoint.CheckpointRestore(batches)
            self._manager.restore(step, args=ocp.args.Composite(data=data))
        except ValueError as error:
            raise OSError(f"{path} is damaged; delete it to go on by the step: {error}") from error

    def preempted(self, step):
        """Whether the platform has announced, on any host, that the job will be stopped."""
        return self._manager.reached_preemption(step)

    def close(self):
        """Waits until everything is on disk."""
        with self._failures():
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _failures(self):
        try:
            yield
        except Exception as error:
            step = run_directory.latest_step(self._workdir)
            safe = "none is there yet" if step is None else f"that of step {step} is safe"
            raise OSError(
                f"cannot write a checkpoint to {self._workdir} ({safe}); make room, or give back "
                f"the permission, and start again: {error}"
            ) from error


def restore(state, workdir, init_from="", inherit=(), may_lack=()):
    """Resumes `workdir`; failing that starts from another run's EMA; else it is `state`.

    Returns (state, the rolled-out batch of the checkpoint or None), the batch laid out over the
    mesh of `jax.set_mesh`.

    A checkpoint that cannot be read is moved aside, loudly, and the one before it is taken.
    `inherit` names the top-level parts of the weights to take from the other run; () is all. What
    lies at the paths `may_lack` it may be without: that stays as it is in `state`.

    Raises:
      OSError: there are checkpoints, and none can be read; they stay where they are.
    """
    steps, errors = run_directory.all_steps(workdir), {}
    for step in reversed(steps):
        try:
            restored = _read_checkpoint(state, workdir, step)
        except Exception as error:  # the reasons are many, and all of the storage's making
            restored, errors[step] = None, f"{type(error).__name__}: {_line(error)}"
        # If one process cannot read its part, none may go on with this step.
        reasons = [reason for reason in cluster.gather(errors.get(step)) if reason]
        if not reasons:
            for bad, reason in errors.items():
                _set_aside(workdir, bad, reason)
            cluster.wait("damaged checkpoints are aside")
            return restored
        errors[step] = reasons[0]
    if errors:
        lines = "".join(f"\n  step {step}: {reason}" for step, reason in errors.items())
        raise OSError(f"no checkpoint of {workdir} can be read:{lines}")
    if init_from:
        parts = {name: state.ema[name] for name in inherit} if inherit else state.ema
        parts, new = split_new(parts, init_from, may_lack)
        check_fits(lambda: run_directory.read_json(workdir, "config.json"), init_from, parts)
        ema = traverse_util.flatten_dict(load(init_from, like=parts)) | new
        ema = {**state.ema, **traverse_util.unflatten_dict(ema)}
        copy = lambda: jax.tree.map(jnp.copy, ema)  # noqa: E731
        slow = {name: copy() for name in state.slow}
        return state.replace(params=ema, ema=copy(), slow=slow), None
    return state, None


def split_new(params, init_from, may_lack):
    """(the params without those that start as new, these by path).

    New is what lies at a path of `may_lack` where the run `init_from` has nothing. It is printed.
    """
    flat = traverse_util.flatten_dict(params)
    below = lambda tree, path: [full for full in tree if full[: len(path)] == path]  # noqa: E731
    stored = traverse_util.flatten_dict(stored_tree(init_from)) if may_lack else {}
    absent = [path for path in may_lack if below(flat, path) and not below(stored, path)]
    for path in absent:
        print(f"{init_from} has no {'/'.join(path)}: it starts as new")
    new = {full: flat.pop(full) for path in absent for full in below(flat, path)}
    return traverse_util.unflatten_dict(flat), new


def _line(error):
    return " ".join(str(error).split())[:300]


def _read_checkpoint(state, workdir, step):
    """(state, rolled-out batch or None)."""
    with _manager(workdir) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(_abstract(_fields(state))))
        read = manager.restore(step, args=args).state
        read = state.replace(**read) if dataclasses.is_dataclass(state) else read
        path = epath.Path(manager.directory) / str(step)
        _check_sums(checksums(read), path)
    return read, _read_rolled(path)


def _fields(state):
    """What is stored of a TrainState: {name: field}, without slow copies if there are none.

    So it is what was stored before states had any.
    """
    if not dataclasses.is_dataclass(state):
        return state
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: value for name, value in fields.items() if name != "slow" or value}


def _read_rolled(path):
    if not (path / "rollout").exists():
        return None
    with _reading(path) as (reader, _):
        where = sharding.batch_sharding(jax.sharding.get_mesh())
        like = sharding.place_shapes(reader.metadata(path / "rollout").tree, where)
        restore_args = ocp.checkpoint_utils.construct_restore_args(like)
        args = ocp.args.PyTreeRestore(like, restore_args=restore_args)
        batch = reader.restore(path / "rollout", args=args)
    _check_sums(checksums(batch, ROLLED), path)
    return batch


def _check_sums(found, directory):
    """Raises ValueError if arrays are not those of a checkpoint, as far as it has their sums."""
    path = directory / "checksums"
    if not path.exists():
        return
    reader = ocp.JsonCheckpointHandler()
    stored = reader.restore(epath.Path(path))
    reader.close()
    wrong = [name for name in found if name in stored and found[name] != stored[name]]
    if wrong:
        names = ", ".join(wrong[:3])
        raise ValueError(f"{len(wrong)} arrays are not those that were saved: {names}")


@jax.jit
def _sums(leaves):
    """The sum modulo 2^32 of the bits of each array: the same on any mesh."""

    def bits(x):
        x = x.astype(jnp.uint8) if x.dtype == bool else x
        return jax.lax.bitcast_convert_type(x, f"uint{8 * x.dtype.itemsize}")

    return [bits(x).sum(dtype=jnp.uint32) for x in leaves]


def _host_sums(leaves):
    """`_sums` of numpy arrays, which no device need hold."""
    return [x.view(f"uint{8 * x.dtype.itemsize}").sum(dtype=np.uint32) for x in leaves]


def checksums(tree, where=""):
    """{name and dtype: checksum} of arrays, which finds bits that changed in storage.

    where: begins the names: the place of `tree` in the state.
    """
    flat = jax.tree_util.tree_leaves_with_path(tree)
    paths, leaves = [path for path, _ in flat], [leaf for _, leaf in flat]
    names = [
        f"{where}{jax.tree_util.keystr(path)} {leaf.dtype}"
        for path, leaf in zip(paths, leaves, strict=True)
    ]
    on_host = all(isinstance(leaf, np.ndarray) for leaf in leaves)
    sums = _host_sums(leaves) if on_host else sharding.fetch(_sums(leaves))
    return dict(zip(names, map(int, sums), strict=True))


def _set_aside(workdir, step, reason):
    """Moves the checkpoint of a step to damaged/<step>, or <step>.1, ... if there is one."""
    if not cluster.is_main():
        return
    folder = Path(workdir) / "damaged"
    folder.mkdir(exist_ok=True)
    taken = sum(1 for path in folder.glob(f"{step}*") if path.name.split(".")[0] == str(step))
    target = folder / (f"{step}.{taken}" if taken else str(step))
    (Path(workdir) / "checkpoints" / str(step)).rename(target)
    message = f"WARNING: the checkpoint of step {step} cannot be read and is now {target}; going "
    print(message + f"back to an earlier one. {reason}", file=sys.stderr, flush=True)


def check_fits(read_config, init_from, params):
    """Raises ValueError naming the config fields that differ unless `params` can start from a run.

    If none of the fields of models does, it names the first weights.
    Only names and shapes of weights count; a config may well differ in fields that change neither.
    `read_config()` is the config that asks for `params`, as JSON.
    """
    shapes = lambda tree: {  # noqa: E731
        jax.tree_util.keystr(path): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
    wanted, stored = shapes(params), stored_tree(init_from)
    found = shapes({name: stored[name] for name in params if name in stored})
    if found != wanted:
        sections = ("stage", "vae", "text", "model")
        configs = run_directory.read_json(init_from, "config.json"), read_config()
        old, new = ({name: c[name] for name in sections if name in c} for c in configs)
        names = [name for name in wanted | found if found.get(name) != wanted.get(name)]
        first = ({name: tree.get(name) for name in names[:3]} for tree in (found, wanted))
        lines = run_directory.differences(old, new) or run_directory.differences(*first)
        raise ValueError(
            f"{len(names)} of {len(wanted | found)} weights are not as in the run {init_from}; "
            f"what differs:{lines}"
        )


def load(workdir, like=None, parts=(), step=None):
    """Reads the EMA weights of a checkpoint, laid out like `like` (or on the host).

    Args:
      parts: names of the top-level parts to read; () is all.
      step: see `run_directory.find_step`.

    Raises:
      FileNotFoundError: the run has no such checkpoint.
      OSError: it is damaged; no other is taken in its place.
    """
    if like is None:
        tree = stored_tree(workdir, step)
        tree = {part: tree[part] for part in parts} if parts else tree
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
    path = _checkpoint(workdir, step)
    if release.exists(workdir):
        return release.read(workdir, like)
    item = {"ema": _abstract(like)}
    restore_args = ocp.checkpoint_utils.construct_restore_args(item)
    args = ocp.args.PyTreeRestore(item, restore_args=restore_args, partial_restore=True)
    with _reading(path) as (reader, path):
        restored = reader.restore(path / "state", args=args)["ema"]
        _check_sums(checksums(restored, ".ema"), path)
    return restored


def stored_tree(workdir, step=None):
    """Names, shapes and dtypes of the EMA weights of a checkpoint; step: as of `load`."""
    path = _checkpoint(workdir, step)
    if release.exists(workdir):
        return release.tree(workdir)
    with _reading(path) as (reader, path):
        return reader.metadata(path / "state").tree["ema"]


@contextlib.contextmanager
def _reading(path):
    """(reader, path) of a checkpoint; what cannot be read is an OSError that names it."""
    reader = ocp.PyTreeCheckpointHandler()
    try:
        yield reader, path
    except (OSError, ValueError) as error:
        raise OSError(f"cannot read the checkpoint {path}: {_line(error)}") from error
    finally:
        reader.close()


def _checkpoint(workdir, step):
    found = run_directory.find_step(workdir, step)
    return epath.Path(workdir).resolve() / "checkpoints" / str(found)


def save_weights(workdir, params):
    """Writes weights that were not trained here as the checkpoint of step 0 of a run."""
    with _manager(workdir) as manager:
        sums = ocp.args.JsonSave(checksums(params, ".ema"))
        state = ocp.args.StandardSave({"ema": params})
        manager.save(0, args=ocp.args.Composite(state=state, checksums=sums))


def _abstract(tree):
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)


class _Pinned:
    """Orbax's policy of keeping the checkpoints of pins {name: step}, as they are now."""

    def __init__(self, pins):
        self._pins = pins

    def should_preserve(self, checkpoints, *, context):
        return [info.step in self._pins.values() for info in checkpoints]


def _manager(workdir, keep=None, keep_every=0, pins=None):
    """Orbax's manager of the checkpoints of a run; those of the `Saver` alone are ever deleted."""
    options = {"enable_async_checkpointing": True}
    if keep is not None:
        policies = [managers.LatestN(keep), _Pinned(pins)]
        policies += [managers.EveryNSteps(keep_every)] if keep_every else []
        options["preservation_policy"] = managers.AnyPreservationPolicy(policies)
        options["cleanup_tmp_directories"] = True  # of processes that were killed
    path = Path(workdir).resolve() / "checkpoints"
    return ocp.CheckpointManager(path, options=ocp.CheckpointManagerOptions(**options))
