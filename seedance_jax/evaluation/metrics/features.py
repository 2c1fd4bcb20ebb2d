"""Features of clips for Frechet and kernel distances: of I3D, or of the world's own network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from seedance_jax.evaluation.metrics.batches import batches
from seedance_jax.models.perception import i3d, world_features
from seedance_jax.models.public.names import check_shapes
from seedance_jax.models.public.torch_file import open_tensors
from seedance_jax.training import release

# Made by `python -m seedance_jax train_features`.
WORLD = Path(__file__).parents[2] / "weights" / "features" / "world.safetensors"


class Features(NamedTuple):
    """A feature network.

    Attributes:
      frechet, kernel: names of the distances over its features.
      minimum: least number of frames of a clip.
      batch_size: clips at a time.
      apply: (params, frames uint8 [B, T, H, W, 3]) -> features [B, D], jitted.
      params: its parameters.
    """

    frechet: str
    kernel: str
    minimum: int
    batch_size: int
    apply: Any
    params: Any


def extract(features: Features, clips: np.ndarray) -> np.ndarray:
    """Features float64 [B, D] of clips uint8 [B, T, H, W, 3].

    Raises:
      ValueError: another array, or clips that are too short.
    """
    if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[-1] != 3 or not len(clips):
        raise ValueError(f"clips must be uint8 [B, T, H, W, 3], got {clips.dtype} {clips.shape}")
    check_length(features, clips.shape[1])
    parts = [
        np.asarray(features.apply(features.params, clips[rows]), np.float64)
        for rows in batches(len(clips), features.batch_size)
    ]
    return np.concatenate(parts)[: len(clips)]


def check_length(features: Features, count: int) -> None:
    """Raises ValueError if clips of `count` frames are too short."""
    if count < features.minimum:
        raise ValueError(
            f"clips of {count} frames: {features.frechet} needs {features.minimum} or more"
        )


def open_i3d(path: str | Path, file: str) -> Features:
    """I3D with public parameters, 400 features, for FVD and KVD.

    Args:
      file: key of `i3d.EPSILONS`, the public file at `path`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: its tensors do not fit.
    """
    params = jax.device_put(i3d.from_torch(open_tensors(path), file))

    def apply(params, frames):
        return i3d.I3D().apply({"params": params}, i3d.preprocess(frames))

    return Features("fvd", "kvd", i3d.MINIMUM, 4, jax.jit(apply), params)


def open_world(path: str | Path = WORLD) -> Features:
    """The small network of the synthetic world, 48 features; by default the released one.

    Over its training clips every feature has mean 0 and variance 1.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: its tensors do not fit.
    """
    tensors = open_tensors(path)
    check_shapes("world features", tensors, world_shapes(), optional=("told_",))
    flat = {name: jnp.asarray(tensors[name], jnp.float32) for name in tensors}
    return world(traverse_util.unflatten_dict(flat, sep="."))


def world(params: Mapping[str, Any]) -> Features:
    """The Features of parameters {"patches", "first", "second", "features", ..., "mean", "std"}."""

    def apply(params, frames):
        video = world_features.preprocess(frames)
        steps = world_features.WorldFeatures({}).apply({"params": params}, video)
        return (world_features.clip_features(steps) - params["mean"]) / params["std"]

    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    return Features("fvd_world", "kvd_world", world_features.MINIMUM, 32, jax.jit(apply), params)


def with_scale(params: Mapping[str, Any], clips: np.ndarray) -> dict[str, Any]:
    """`params` with "mean" and "std", so that the features of clips have mean 0, variance 1."""
    size = 2 * world_features.WIDTH
    unscaled = world({**params, "mean": np.zeros(size), "std": np.ones(size)})
    found = extract(unscaled, clips).astype(np.float32)
    return {**params, "mean": found.mean(0), "std": found.std(0)}


def save_world(params: Mapping[str, Any], path: str | Path) -> None:
    """Writes parameters for `open_world`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    release.save_tensors(traverse_util.flatten_dict(params, sep="."), Path(path), None)


def world_shapes() -> dict[str, tuple[int, ...]]:
    """{name: shape} of the tensors that `open_world` needs; heads are optional."""
    video = jax.ShapeDtypeStruct((1, world_features.MINIMUM, 64, 64, 3), jnp.float32)
    made = jax.eval_shape(world_features.WorldFeatures({}).init, jax.random.key(0), video)
    scale = dict.fromkeys(("mean", "std"), (2 * world_features.WIDTH,))
    flat = traverse_util.flatten_dict(made["params"], sep=".")
    return {name: leaf.shape for name, leaf in flat.items()} | scale
