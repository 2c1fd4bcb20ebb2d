"""Hugging Face directories: config.json, safetensors, and parameters sharded over a mesh.

Tensors are read and sharded one at a time, so a host never has the whole model in memory.
"""

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seedance_jax import sharding
from seedance_jax.models.public.file_kinds import check_fetched
from seedance_jax.models.public.names import check_shapes, shorten
from seedance_jax.models.public.torch_file import Tensors, as_weights, open_tensors


class Source(NamedTuple):
    """Public tensors, and how they are called.

    Attributes:
      kind: of the model, for reports.
      names: (pattern, replacement) from our names, such as blocks/attention/query/kernel, to
        theirs, in order; of the parameters below `blocks`, which are stacked here, {} is the layer.
      dtype: that parameters shall have.
    """

    kind: str
    tensors: Tensors
    names: tuple[tuple[str, str], ...]
    dtype: Any


def read_config(directory: str | Path) -> tuple[Path, dict[str, Any]]:
    """(path, contents) of config.json; FileNotFoundError, or ValueError as of `read_json`."""
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path, read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; editors of Windows put a byte order mark in front."""
    check_fetched(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object, got {type(found).__name__}")
    return found


def fingerprint(directory: str | Path) -> str:
    """Hash (16 hex digits) of the config and the parameter files in a directory."""
    digest = hashlib.sha256()
    shards = sorted(Path(directory).glob("[!.]*.safetensors"))  # macOS adds ._model.safetensors
    for path in [Path(directory) / "config.json", *shards]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def open_directory(directory: str | Path) -> Tensors:
    """The tensors of model.safetensors or of its shards; no values are read.

    Raises:
      FileNotFoundError: neither exists, or shards are missing.
      ValueError: the index is none.
    """
    directory = Path(directory)
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return open_tensors(directory / "model.safetensors")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(one, str) for one in places.values()):
        raise ValueError(f"{index} has no weight_map of names to files")
    names = sorted(set(places.values()))
    if missing := [name for name in names if not (directory / name).is_file()]:
        raise FileNotFoundError(
            f"{index}: {shorten(f'of {len(names)} files are missing', missing)}"
        )
    parts = [open_tensors(directory / name) for name in names]
    where = {name: part for part in parts for name in part}
    shapes = {name: part.shapes[name] for name, part in where.items()}
    return Tensors(shapes, lambda name: where[name][name])


def load_params(
    source: Source, boxed: Any, mesh: Mesh, optional: Collection[str] = ()
) -> dict[str, Any]:
    """Parameters sharded over the mesh.

    Args:
      boxed: the tree of their shapes, with logical axes.
      optional: prefixes of public names that may exist besides.

    Raises:
      ValueError: names or shapes that do not match one to one, with a report.
    """
    places = jax.tree.leaves(sharding.layout(boxed, mesh))
    flat, tree = jax.tree_util.tree_flatten_with_path(nn.unbox(boxed))
    flat = [("/".join(key.key for key in path), leaf.shape) for path, leaf in flat]
    expected = {
        name: public for path, shape in flat for name, public in _public(source, path, shape)
    }
    check_shapes(source.kind, source.tensors, expected, optional)
    leaves = [
        _load(source, path, shape, place) for (path, shape), place in zip(flat, places, strict=True)
    ]
    return jax.tree_util.tree_unflatten(tree, leaves)


def _public(source, path, shape):
    """[(public name, public shape)] of our parameter at a path, one for each layer."""
    name, layers = path, range(1)
    for pattern, replacement in source.names:
        name = re.sub(pattern, replacement, name)
    if path.startswith("blocks/"):
        layers, shape = range(shape[0]), shape[1:]
    if path.endswith("kernel"):  # theirs are [out, in]
        inputs = 2 if path.endswith("out/kernel") else 1
        shape = (int(np.prod(shape[inputs:])), int(np.prod(shape[:inputs])))
    elif path.endswith("bias"):
        shape = (int(np.prod(shape)),)
    return [(name.replace("/", ".").format(i), shape) for i in layers]


def _load(source, path, shape, place):
    """One of our parameters: a public tensor, or those of all layers stacked."""
    names = [name for name, _ in _public(source, path, shape)]

    def read(name, shape, place):
        array = as_weights(source.tensors[name], name, source.dtype)
        array = (array.T if path.endswith("kernel") else array).reshape(shape)
        return jax.make_array_from_callback(shape, place, lambda index: array[index])

    if not path.startswith("blocks/"):
        return read(names[0], shape, place)
    slice_place = NamedSharding(place.mesh, PartitionSpec(*place.spec[1:]))
    write = jax.jit(_write, donate_argnums=0, out_shardings=place)
    stack = jax.jit(lambda: jnp.zeros(shape, source.dtype), out_shardings=place)()
    for i, name in enumerate(names):
        stack = write(stack, read(name, shape[1:], slice_place), i)
    return stack


def _write(stack, layer, i):
    return stack.at[i].set(layer)
