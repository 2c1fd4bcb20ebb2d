"""Saving, resuming and handing weights from one stage to the next.

A run directory is `config.json`, `metrics.jsonl` and `checkpoints/<step>/{state, data, topology}`:
the TrainState, the input iterator, and how many processes and workers that iterator was cut for.
"""

import hashlib
import json
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


class Saver:
    """Saves every `every` steps and when forced, keeping the last `keep` checkpoints."""

    def __init__(self, workdir, *, every, keep=2, num_workers=0):
        self._every, self._workdir = every, workdir
        self._topology = {"processes": jax.process_count(), "workers": num_workers}
        self._manager = _manager(workdir, keep=keep)

    def __call__(self, step, state, batches, force=False):
        """Saves `state` and the position of the `batches` iterator after `step`, if it is due."""
        if self._manager.latest_step() == step or not (force or step % self._every == 0):
            return
        items = {"state": ocp.args.StandardSave(state)}
        items["data"] = grain.checkpoint.CheckpointSave(batches)
        items["topology"] = ocp.args.JsonSave(self._topology)
        self._manager.save(step, args=ocp.args.Composite(**items), force=True)

    def resume(self, batches, step):
        """Restores the iterator saved at `step` if it was cut for as many processes and workers.

        Otherwise `batches` stays where it is: it already starts at `step`, which for a pure
        pipeline is the same place.
        """
        if self._manager.latest_step() != step:
            return
        found = self._manager.restore(
            step, args=ocp.args.Composite(topology=ocp.args.JsonRestore())
        ).topology
        if found == self._topology:
            data = grain.checkpoint.CheckpointRestore(batches)
            self._manager.restore(step, args=ocp.args.Composite(data=data))

    def preempted(self, step):
        """Whether the platform has announced, on any host, that the job will be stopped."""
        return self._manager.reached_preemption(step)

    def close(self):
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def restore(state, workdir, init_from=""):
    """Resumes `workdir`; failing that starts from another run's EMA; else returns `state`."""
    step = latest_step(workdir)
    if step is not None:
        with _manager(workdir) as manager:
            args = ocp.args.StandardRestore(_abstract(state))
            return manager.restore(step, args=ocp.args.Composite(state=args)).state
    if init_from:
        ema = load(init_from, like=state.ema)
        return state.replace(params=ema, ema=jax.tree.map(jnp.copy, ema))
    return state


def latest_step(workdir):
    """Step of the newest finished checkpoint of a run, or None."""
    path = Path(workdir) / "checkpoints"
    steps = [int(p.name) for p in path.glob("*") if p.name.isdigit()] if path.is_dir() else []
    return max(steps, default=None)


def load(workdir, like=None, name="ema"):
    """Reads one weight tree of a run's newest checkpoint, laid out like `like` (or on the host).

    Raises:
      FileNotFoundError: the run has no checkpoint.
    """
    step = latest_step(workdir)
    if step is None:
        raise FileNotFoundError(f"no checkpoint in {Path(workdir).resolve() / 'checkpoints'}")
    path = Path(workdir).resolve() / "checkpoints" / str(step) / "state"
    with ocp.PyTreeCheckpointer() as reader:
        if like is None:
            tree = reader.metadata(path).item_metadata.tree[name]
            like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
        item = {name: _abstract(like)}
        restore_args = ocp.checkpoint_utils.construct_restore_args(item)
        args = ocp.args.PyTreeRestore(item, restore_args=restore_args, partial_restore=True)
        return reader.restore(path, args=args)[name]


def fingerprint(params):
    """Hash (16 hex digits) of the names, shapes and values of a weight tree."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def read_config(workdir):
    """The configuration of a run, as nested dictionaries.

    Raises:
      FileNotFoundError: `workdir` is not a run directory.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{workdir} is not a run: it has no config.json")
    return json.loads(path.read_text())


def _abstract(tree):
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)


def _manager(workdir, keep=None):
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
    path = Path(workdir).resolve() / "checkpoints"
    return ocp.CheckpointManager(path, options=options)
