"""Where compiled programs are kept, so that a training that is started again compiles nothing.

Of several processes the first alone writes to JAX's cache, and all read: it must be one folder for
all of them, of storage that they share. So it is one of the run directory, unless another is named.
"""

from typing import Any

import jax
import tqdm

from seedance_jax.training import cluster, places
from seedance_jax.training.places import Place

FOLDER = "compiled"  # of a run directory
OF_ONE = "~/.cache/seedance_jax"


def use(path: str | None) -> None:
    """Sets the folder of JAX's cache that was chosen, maybe in a bucket; "" is none.

    None is JAX's own choice, or else OF_ONE; of several processes nothing before `share`. All of
    them must call it.

    Raises OSError if it is in a bucket that is not there, or may not be written.
    """
    path = jax.config.jax_compilation_cache_dir if path is None else path
    if path is None and not cluster.joined():
        path = OF_ONE
    if path == "" and cluster.joined():
        jax.config.update("jax_enable_compilation_cache", False)
    _set(places.at_home(path) if path else None)
    if path and places.in_bucket(path):
        cluster.of_main(lambda: places.check_writable(path, "the compilation cache"))


def share(workdir: Place) -> None:
    """Has several processes keep what they compile in a run directory, unless a cache was chosen
    or is off."""
    chosen = jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache
    if cluster.joined() and not chosen:
        _set(workdir / FOLDER)


def _set(folder):
    jax.config.update("jax_compilation_cache_dir", folder and str(folder))
    if folder and places.in_bucket(folder):
        # XLA would open a folder of its own in there, by names of files alone.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def announce(batch: Any, seen: set[str]) -> None:
    """Says that a step will be compiled, or fetched from the cache, for a batch of new shapes.

    seen: what was said; it is added to.
    """
    leaves = jax.tree_util.tree_flatten_with_path(batch)[0]
    path, largest = max(leaves, key=lambda leaf: leaf[1].size)
    name, shape = jax.tree_util.keystr(path, simple=True), "x".join(map(str, largest.shape[1:]))
    line = (
        f"compiling the step for {name} {shape}, batch {largest.shape[0]}, unless the cache has it"
    )
    if line not in seen:
        seen.add(line)
        if cluster.is_main():
            tqdm.tqdm.write(line)
