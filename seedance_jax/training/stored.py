"""Checkpoints as Orbax stores them: read, checked, and written of weights alone."""

import contextlib
import dataclasses
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from seedance_jax import sharding
from seedance_jax.training import places
from seedance_jax.training.checksums import ROLLED, check_sums, checksums
from seedance_jax.training.places import Place
from seedance_jax.training.saver import open_manager, stored_fields


def read_state(state: Any, workdir: str | Place, step: int) -> tuple[Any, Any]:
    """(state, rolled-out batch or None) of a checkpoint."""
    with open_manager(workdir) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(_abstract(stored_fields(state))))
        read = manager.restore(step, args=args).state
        read = state.replace(**read) if dataclasses.is_dataclass(state) else read
        path = epath.Path(manager.directory) / str(step)
        check_sums(checksums(read), path)
    return read, _read_rolled(path)


def check_rolled(workdir: str | Place, step: int) -> None:
    """Raises ValueError if the rolled-out batch of a checkpoint cannot be cut over the mesh."""
    path, tree = epath.Path(places.absolute(workdir)) / "checkpoints" / str(step), {}
    if not (path / "rollout").exists():
        return
    with contextlib.suppress(Exception), _reading(path) as (reader, _):
        tree = reader.metadata(path / "rollout").tree  # if damaged, `_read_rolled` says so
    sizes = {f"rollout of {path}": leaf.shape[0] for leaf in jax.tree.leaves(tree)}
    sharding.check_batches(sizes, jax.sharding.get_mesh())


def _read_rolled(path):
    if not (path / "rollout").exists():
        return None
    with _reading(path) as (reader, _):
        where = sharding.batch_sharding(jax.sharding.get_mesh())
        like = sharding.place_shapes(reader.metadata(path / "rollout").tree, where)
        restore_args = ocp.checkpoint_utils.construct_restore_args(like)
        args = ocp.args.PyTreeRestore(like, restore_args=restore_args)
        batch = reader.restore(path / "rollout", args=args)
    check_sums(checksums(batch, ROLLED), path)
    return batch


@contextlib.contextmanager
def _reading(path):
    """(reader, path) of a checkpoint; what cannot be read is an OSError that names it."""
    reader, path = ocp.PyTreeCheckpointHandler(), epath.Path(path)
    try:
        yield reader, path
    except (OSError, ValueError) as error:
        raise OSError(f"cannot read the checkpoint {path}: {one_line(error)}") from error
    finally:
        reader.close()


def read_weights(path: Place, like: Any) -> Any:
    """The EMA weights of a checkpoint, laid out like `like`; OSError if it is damaged."""
    item = {"ema": _abstract(like)}
    restore_args = ocp.checkpoint_utils.construct_restore_args(item)
    args = ocp.args.PyTreeRestore(item, restore_args=restore_args, partial_restore=True)
    with _reading(path) as (reader, path):
        restored = reader.restore(path / "state", args=args)["ema"]
        check_sums(checksums(restored, ".ema"), path)
    return restored


def read_tree(path: Place) -> Any:
    """Names, shapes and dtypes of the EMA weights of a checkpoint."""
    with _reading(path) as (reader, path):
        return reader.metadata(path / "state").tree["ema"]


def write_weights(workdir: str | Place, params: Any) -> None:
    """Writes weights alone, as `checkpoint.save_weights`."""
    with open_manager(workdir) as manager:
        sums = ocp.args.JsonSave(checksums(params, ".ema"))
        state = ocp.args.StandardSave({"ema": params})
        manager.save(0, args=ocp.args.Composite(state=state, checksums=sums))


def one_line(error: Exception) -> str:
    """The beginning of a message, in one line."""
    return " ".join(str(error).split())[:300]


def _abstract(tree):
    return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
