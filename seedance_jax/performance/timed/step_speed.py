"""Seconds of training and sampling steps on the local devices.

The programs are those of training and sampling (`performance.programs`), compiled for the mesh of
the config; the inputs are ones.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data.buckets import Bucket
from seedance_jax.performance import chips, programs
from seedance_jax.performance.timed import subjects, turns
from seedance_jax.stages import job


def train(config: ConfigDict, bucket: Bucket, repeats: int) -> dict[str, Any]:
    """Median seconds, clips per second and MFU of a training step on latents; see `describe`.

    Args:
      config: from `configs/pretrain.py`.

    Raises:
      ValueError: its mesh does not divide the devices, or mesh or accumulate the batch.
    """
    mesh = sharding.make_mesh(**config.mesh)
    job.check_batches([bucket], config.accumulate, mesh)
    program = programs.training(config, mesh, bucket)
    with jax.set_mesh(mesh):
        step = subjects.steps(program.function, mesh, *fill(program.arguments))
        seconds = median_of(step, repeats)
    return describe(bucket.shape, bucket.batch_size, program, seconds)


def sample(
    config: ConfigDict,
    clip: tuple[int, int, int],
    steps: Sequence[int],
    repeats: int,
    batch: int = 1,
) -> dict[str, Any]:
    """`describe` of a guided sampling step without the autoencoder, and "seconds of N steps".

    Args:
      clip: (frames, height, width).
      steps: the numbers N.
    """
    mesh = sharding.make_mesh(**config.mesh)
    program = programs.sampling(config, mesh, clip, batch)
    with jax.set_mesh(mesh):
        arguments, named = fill(program.arguments), fill(program.named)
        step = lambda: jax.block_until_ready(program.function(*arguments, **named))  # noqa: E731
        seconds = median_of(step, repeats)
    report = describe(clip, batch, program, seconds)
    return report | {f"seconds of {count} steps": count * seconds for count in steps}


def median_of(step: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a step, after a first one that compiles."""
    return turns.in_turns({"step": step}, repeats)["step"]


def describe(
    clip: tuple[int, int, int], batch: int, program: programs.Program, seconds: float
) -> dict[str, Any]:
    """Clip, batch, device, seconds, clips per second and MFU (None if the peak is unknown)."""
    peak = chips.peak_flops()
    return {
        "clip": clip,
        "batch": batch,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "seconds": seconds,
        "clips per second": batch / seconds,
        "mfu": peak and program.model_flops / seconds / peak,
    }


def fill(tree: Any) -> Any:
    """Replaces the jax.ShapeDtypeStructs of a tree by sharded arrays of ones."""
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)  # noqa: E731
    return jax.tree.map(lambda leaf: ones(leaf) if is_shape(leaf) else leaf, tree)


def ones(shape: jax.ShapeDtypeStruct) -> jax.Array:
    """An array of ones with the sharding of `shape`; every device makes its own part."""
    make = jax.jit(lambda: jnp.ones(shape.shape, shape.dtype), out_shardings=shape.sharding)
    return make()
