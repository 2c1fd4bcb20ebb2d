"""Releases: finished runs whose weights are one safetensors file, to keep and to hand on.

A release is `config.json`, `metadata.json` and `weights.safetensors`: the weights in bfloat16 under
their names in the tree, joined by dots. Whatever reads a finished run (`checkpoint.load`) reads a
release as well, in float32; no training goes on in it.
"""

from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import safetensors
from flax import traverse_util
from safetensors.numpy import save_file

FILE = "weights.safetensors"


def exists(workdir):
    """Whether a run directory is a release."""
    return (Path(workdir) / FILE).is_file()


def write(workdir, params, step):
    """Writes the weights (nested dict of float arrays), rounded to bfloat16."""
    flat = traverse_util.flatten_dict(jax.device_get(params), sep=".")
    tensors = {name: np.asarray(leaf).astype(ml_dtypes.bfloat16) for name, leaf in flat.items()}
    save_tensors(tensors, Path(workdir) / FILE, {"step": str(step)})


def save_tensors(tensors, path, metadata):
    """Writes a safetensors file that others may read as they may any new file."""
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata=metadata)  # is for the owner alone
    path.chmod(mode)


def step(workdir):
    """The training step that the weights are of."""
    with safetensors.safe_open(Path(workdir) / FILE, "np") as file:
        return int(file.metadata()["step"])


def tree(workdir):
    """Shapes of the weights, a nested dict of jax.ShapeDtypeStruct."""
    with safetensors.safe_open(Path(workdir) / FILE, "np") as file:
        flat = {
            name: jax.ShapeDtypeStruct(file.get_slice(name).get_shape(), np.float32)
            for name in file.keys()
        }
    return traverse_util.unflatten_dict(flat, sep=".")


def read(workdir, like):
    """The weights that `like` names, in its dtypes and layout (numpy arrays: on the host)."""
    flat = traverse_util.flatten_dict(like, sep=".")
    with safetensors.safe_open(Path(workdir) / FILE, "np") as file:
        read = {name: _place(file.get_tensor(name), leaf) for name, leaf in flat.items()}
    return traverse_util.unflatten_dict(read, sep=".")


def _place(value, like):
    value = value.astype(like.dtype)
    sharding = getattr(like, "sharding", None)
    if sharding is None:
        return value
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])
