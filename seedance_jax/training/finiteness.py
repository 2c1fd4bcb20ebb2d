"""Whether weights are finite, and the error of runs of steps and clips that are not.

What is not finite makes everything that uses it not finite.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax import sharding


class NonFiniteError(RuntimeError):
    """Losses and gradients of a run of steps, or a clip that was made, are not finite."""


@jax.jit
def _finite(leaves):
    return [jnp.isfinite(leaf).all() for leaf in leaves]


def check_finite(tree: Any, where: Any) -> None:
    """Raises ValueError, which names the first array, unless all floats of a tree are finite.

    where: what the tree is, for the message.
    """
    flat = [
        (path, leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    # What lies on the host stays there: no device need hold it.
    placed = [leaf for _, leaf in flat if not isinstance(leaf, np.ndarray)]
    found = iter(sharding.fetch(_finite(placed)) if placed else ())
    finite = [
        np.isfinite(leaf).all() if isinstance(leaf, np.ndarray) else next(found) for _, leaf in flat
    ]
    if bad := [path for (path, _), fine in zip(flat, finite, strict=True) if not fine]:
        name = jax.tree_util.keystr(bad[0], simple=True, separator="/")
        raise ValueError(
            f"{where}: {len(bad)} of {len(flat)} arrays of weights have values that are not "
            f"finite, the first is {name}"
        )
