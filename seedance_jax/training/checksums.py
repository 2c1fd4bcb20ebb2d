"""Checksums of the arrays of a checkpoint, which find bits that changed in storage."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from seedance_jax import sharding

ROLLED = ".rollout"  # begins the names of the checksums of a rolled-out batch


def read_sums(directory: epath.Path) -> dict[str, int]:
    """The checksums that a checkpoint has; {} of old ones."""
    path = directory / "checksums"
    if not path.exists():
        return {}
    reader = ocp.JsonCheckpointHandler()
    stored = reader.restore(epath.Path(path))
    reader.close()
    return stored


def check_sums(found: Mapping[str, int], stored: Mapping[str, int]) -> None:
    """Raises ValueError if arrays are not those of a checkpoint, as far as it has their sums."""
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


def checksums(tree: Any, where: str = "") -> dict[str, int]:
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
