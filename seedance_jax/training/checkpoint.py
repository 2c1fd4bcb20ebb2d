"""Saving, resuming and handing weights from one stage to the next.

A run directory is `config.json`, `metadata.json`, `metrics.jsonl` and `checkpoints/<step>/{state,
data}`: the TrainState and the input iterator. Or it is a release (`training/release.py`), which can
be read all the same.
"""

import hashlib
import json
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from seedance_jax.training import release


class Saver:
    """Saves every `every` steps and when forced, keeping the last `keep` checkpoints."""

    def __init__(self, workdir, *, every, keep=2):
        self._every = every
        self._manager = _manager(workdir, keep=keep)

    def __call__(self, step, state, batches, force=False):
        """Saves `state` and the position of the `batches` iterator after `step`, if it is due."""
        if self._manager.latest_step() == step or not (force or step % self._every == 0):
            return
        items = {
            "state": ocp.args.StandardSave(state),
            "data": grain.checkpoint.CheckpointSave(batches),
        }
        self._manager.save(step, args=ocp.args.Composite(**items), force=True)

    def resume(self, batches, step):
        """Restores the iterator saved at `step`, if it was saved by as many processes.

        Otherwise `batches` stays where it is: it already starts at `step`, which for a pipeline
        that is a pure function of the step is the same place.
        """
        name = f"process_{jax.process_index()}-of-{jax.process_count()}.json"
        if (Path(self._manager.directory) / str(step) / "data" / name).exists():
            data = grain.checkpoint.CheckpointRestore(batches)
            self._manager.restore(step, args=ocp.args.Composite(data=data))

    def preempted(self, step):
        """Whether the platform has announced, on any host, that the job will be stopped."""
        return self._manager.reached_preemption(step)

    def close(self):
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def restore(state, workdir, init_from="", inherit=()):
    """Resumes `workdir`; failing that starts from another run's EMA; else returns `state`.

    `inherit` names the top-level parts of the weights to take from the other run; () is all.
    """
    step = latest_step(workdir)
    if step is not None:
        with _manager(workdir) as manager:
            args = ocp.args.StandardRestore(_abstract(state))
            return manager.restore(step, args=ocp.args.Composite(state=args)).state
    if init_from:
        parts = {name: state.ema[name] for name in inherit} if inherit else state.ema
        check_fits(lambda: read_json(workdir, "config.json"), init_from, parts)
        ema = load(init_from, like=parts)
        ema = {**state.ema, **ema} if inherit else ema
        return state.replace(params=ema, ema=jax.tree.map(jnp.copy, ema))
    return state


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
        configs = read_json(init_from, "config.json"), read_config()
        old, new = ({name: c[name] for name in sections if name in c} for c in configs)
        names = [name for name in wanted | found if found.get(name) != wanted.get(name)]
        first = ({name: tree.get(name) for name in names[:3]} for tree in (found, wanted))
        raise ValueError(
            f"{len(names)} of {len(wanted | found)} weights are not as in the run {init_from}; "
            f"what differs:{differences(old, new) or differences(*first)}"
        )


def differences(found, wanted):
    """One line for every field of two configs that differs; "" if they are equal."""
    found, wanted = flatten(found), flatten(wanted)
    return "".join(
        f"\n  {name}: {found.get(name)!r} -> {wanted.get(name)!r}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    )


def flatten(tree, prefix=""):
    """Nested dictionaries -> {dotted name: value}."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def check_identity(workdir, identity):
    """Writes identity.json, or, once there are checkpoints, raises ValueError if it differs."""
    if latest_step(workdir) is None:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        write_json(workdir, "identity.json", identity)
    elif lines := differences(read_json(workdir, "identity.json"), as_json(identity)):
        raise ValueError(f"{workdir} was trained with other parts than those found now:{lines}")


def latest_step(workdir):
    """Step of the newest finished checkpoint of a run, or None."""
    if release.exists(workdir):
        return release.step(workdir)
    path = Path(workdir) / "checkpoints"
    steps = [int(p.name) for p in path.glob("*") if p.name.isdigit()] if path.is_dir() else []
    return max(steps, default=None)


def load(workdir, like=None, parts=()):
    """Reads the EMA weights of a run's newest checkpoint, laid out like `like` (or on the host).

    `parts` names the top-level parts to read; () is all.

    Raises:
      FileNotFoundError: the run has no checkpoint.
    """
    if like is None:
        tree = stored_tree(workdir)
        tree = {part: tree[part] for part in parts} if parts else tree
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
    if release.exists(workdir):
        return release.read(workdir, like)
    item = {"ema": _abstract(like)}
    restore_args = ocp.checkpoint_utils.construct_restore_args(item)
    args = ocp.args.PyTreeRestore(item, restore_args=restore_args, partial_restore=True)
    reader = ocp.PyTreeCheckpointHandler()
    restored = reader.restore(_newest(workdir), args=args)["ema"]
    reader.close()
    return restored


def stored_tree(workdir):
    """Names, shapes and dtypes of the EMA weights of a run's newest checkpoint."""
    if release.exists(workdir):
        return release.tree(workdir)
    reader = ocp.PyTreeCheckpointHandler()
    tree = reader.metadata(_newest(workdir)).tree["ema"]
    reader.close()
    return tree


def _newest(workdir):
    step = latest_step(workdir)
    if step is None:
        raise FileNotFoundError(f"no checkpoint in {Path(workdir).resolve() / 'checkpoints'}")
    return epath.Path(workdir).resolve() / "checkpoints" / str(step) / "state"


def save_weights(workdir, params):
    """Writes weights that were not trained here as the checkpoint of step 0 of a run."""
    with _manager(workdir) as manager:
        args = ocp.args.StandardSave({"ema": params})
        manager.save(0, args=ocp.args.Composite(state=args))


def fingerprint(params):
    """Hash (16 hex digits) of the names, shapes and values of a weight tree.

    Of arrays that lie on several hosts too: all of them must call it then.
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        array = _whole(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _whole(leaf):
    """An array on this host, gathered from the others if need be."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)


def read_json(workdir, name):
    """A JSON file of a run, `config.json` or `metadata.json`.

    Raises:
      FileNotFoundError: `workdir` has no such file.
    """
    path = Path(workdir) / name
    if not path.is_file():
        what = "is not a run" if name == "config.json" else "is not a finished run"
        raise FileNotFoundError(f"{workdir} {what}: it has no {name}")
    return json.loads(path.read_text())


def as_json(value):
    """The value that `read_json` would give back: tuples become lists."""
    return json.loads(json.dumps(value))


def write_json(workdir, name, value):
    """Writes a JSON file of a run, whole or not at all."""
    path = Path(workdir) / name
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, indent=2) + "\n")
    draft.replace(path)


def _abstract(tree):
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)


def _manager(workdir, keep=None):
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
    path = Path(workdir).resolve() / "checkpoints"
    return ocp.CheckpointManager(path, options=options)
