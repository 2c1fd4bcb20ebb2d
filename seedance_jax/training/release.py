"""Releases: run directories with one safetensors file of parameters, for distribution.

A release is `config.json`, `metadata.json` and `weights.safetensors`: the parameters in bfloat16
under their tree paths, joined by dots. Whatever reads a finished run (`checkpoint.load`) also reads
a release, as float32; training cannot be resumed from it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import ml_dtypes
import numpy as np
import safetensors
from flax import traverse_util
from safetensors.numpy import save, save_file

from seedance_jax.training import places
from seedance_jax.training.places import Place, place

FILE = "weights.safetensors"
POINTER = b"version https://git-lfs"  # begins what stands for a file until it is fetched


def exists(workdir: str | Place) -> bool:
    """Whether a run directory is a release."""
    return (place(workdir) / FILE).is_file()


def check_fetched(path: Place) -> None:
    """Raises ValueError if a file is a Git LFS pointer."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ValueError(f"{path} is a Git LFS pointer, not the file: git lfs pull")


@contextlib.contextmanager
def _open(workdir: str | Place) -> Iterator[Any]:
    """The weights of a release, as safetensors opens them; ValueError if they cannot be read."""
    path = place(workdir) / FILE
    check_fetched(path)
    try:
        with safetensors.safe_open(places.fetch(path), "np") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def write(workdir: str | Place, params: Mapping[str, Any], step: int) -> None:
    """Writes parameters (nested dict of float arrays), rounded to bfloat16."""
    flat = traverse_util.flatten_dict(jax.device_get(params), sep=".")
    tensors = {name: np.asarray(leaf).astype(ml_dtypes.bfloat16) for name, leaf in flat.items()}
    save_tensors(tensors, place(workdir) / FILE, {"step": str(step)})


def save_tensors(
    tensors: Mapping[str, np.ndarray], path: Place, metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file with the default permissions of new files."""
    if places.in_bucket(path):
        path.write_bytes(save(dict(tensors), metadata=dict(metadata)))
        return
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata=metadata)  # makes it readable by the owner only
    path.chmod(mode)


def step(workdir: str | Place) -> int:
    """The training step of a release."""
    with _open(workdir) as file:
        found = (file.metadata() or {}).get("step", "")
    if not found.isdigit():
        raise ValueError(
            f"{place(workdir) / FILE} names no step: these are no weights of a release"
        )
    return int(found)


def tree(workdir: str | Place) -> dict[str, Any]:
    """Shapes of the parameters, a nested dict of jax.ShapeDtypeStruct."""
    with _open(workdir) as file:
        flat = {
            name: jax.ShapeDtypeStruct(file.get_slice(name).get_shape(), np.float32)
            for name in file.keys()
        }
    return traverse_util.unflatten_dict(flat, sep=".")


def read(workdir: str | Place, like: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in `like`, with its dtypes, as numpy arrays."""
    flat = traverse_util.flatten_dict(like, sep=".")
    with _open(workdir) as file:
        read = {name: file.get_tensor(name).astype(leaf.dtype) for name, leaf in flat.items()}
    return traverse_util.unflatten_dict(read, sep=".")


def placed(params: Any, like: Any) -> Any:
    """Numpy arrays with the shardings of `like`, where it has some."""

    def place(value, leaf):
        layout = getattr(leaf, "sharding", None)
        if layout is None:
            return value
        return jax.make_array_from_callback(value.shape, layout, lambda index: value[index])

    return jax.tree.map(place, params, like)
