"""Checkpoints as Orbax stores them: read, checked, and written of weights alone."""

import contextlib
import dataclasses
import functools
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from seedance_jax import sharding
from seedance_jax.training import cluster, places, replicas
from seedance_jax.training.checksums import ROLLED, check_sums, checksums, read_sums
from seedance_jax.training.places import Place
from seedance_jax.training.saver import open_manager, stored_fields


def read_state(state: Any, workdir: str | Place, step: int) -> tuple[Any, Any]:
    """(state, rolled-out batch or None) of a checkpoint. All processes must call it."""
    path = _path(workdir, step)
    like = _abstract(stored_fields(state))
    read = replicas.read_once(functools.partial(_read_whole, path / "state"), like)
    sums = cluster.of_main(lambda: read_sums(path))
    check_sums(checksums(read), sums)
    read = state.replace(**read) if dataclasses.is_dataclass(state) else read
    return read, _read_rolled(path, sums)


def _path(workdir, step):
    return epath.Path(places.absolute(workdir)) / "checkpoints" / str(step)


def _read_whole(path, like):
    reader = ocp.StandardCheckpointHandler()
    try:
        return reader.restore(path, args=ocp.args.StandardRestore(like))
    finally:
        reader.close()


def check_rolled(workdir: str | Place, step: int) -> None:
    """Raises ValueError if the rolled-out batch of a checkpoint cannot be cut over the mesh."""
    path, tree = _path(workdir, step), {}
    with contextlib.suppress(Exception):  # if damaged, `_read_rolled` says so
        tree = cluster.of_main(lambda: _rolled_shapes(path))
    sizes = {f"rollout of {path}": leaf.shape[0] for leaf in jax.tree.leaves(tree)}
    if sizes:
        sharding.check_batches(sizes, jax.sharding.get_mesh())


def _rolled_shapes(path):
    """Shapes and dtypes of the rolled-out batch of a checkpoint; None if it has none."""
    if not (path / "rollout").exists():
        return None
    with _reading(path) as (reader, _):
        tree = reader.metadata(path / "rollout").tree
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _read_rolled(path, sums):
    shapes = cluster.of_main(lambda: _rolled_shapes(path))
    if shapes is None:
        return None
    where = sharding.batch_sharding(jax.sharding.get_mesh())
    like = sharding.place_shapes(shapes, where)
    batch = replicas.read_once(functools.partial(_read_parts, path, "rollout"), like)
    check_sums(checksums(batch, ROLLED), sums)
    return batch


def _read_parts(path, name, like):
    """Some of the arrays that a checkpoint has under a name."""
    restore_args = ocp.checkpoint_utils.construct_restore_args(like)
    args = ocp.args.PyTreeRestore(like, restore_args=restore_args, partial_restore=True)
    with _reading(path) as (reader, path):
        return reader.restore(path / name, args=args)


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
    """The EMA weights of a checkpoint, laid out like `like`; OSError if it is damaged.

    All processes that `like` lies on must call it.
    """
    path, item = epath.Path(path), {"ema": _abstract(like)}
    restored = replicas.read_once(functools.partial(_read_parts, path, "state"), item)["ema"]
    ask = replicas.asker(like)
    with _reading(path):
        check_sums(checksums(restored, ".ema"), ask(lambda: read_sums(path)))
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
