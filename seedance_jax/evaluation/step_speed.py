"""Seconds of the steps of training and of sampling on the devices at hand, of made-up clips.

They are the very programs that train and sample (`evaluation.programs`), compiled for the mesh of
the config; what is in the arrays does not change their time.
"""

import statistics
import time

import jax
import jax.numpy as jnp

from seedance_jax import sharding
from seedance_jax.evaluation import chips, programs


def train(config, bucket, repeats):
    """{"clip", "batch", "seconds" of a step, median, "clips per second", "mfu" or None}.

    Args:
      config: of `configs/pretrain.py`, trained on latents.
      bucket: `data.loader.Bucket` of the batch.

    Raises ValueError if the mesh of the config does not divide devices or batch.
    """
    mesh = sharding.make_mesh(**config.mesh)
    sharding.check_batches({bucket: bucket.batch_size // config.accumulate}, mesh)
    program = programs.training(config, mesh, bucket)
    with jax.set_mesh(mesh):
        state, *others = fill(program.arguments)
        seconds = []
        for _ in range(repeats + 1):  # the first compiles
            start = time.perf_counter()
            state, metrics = program.function(state, *others)
            jax.block_until_ready((state, metrics))
            seconds.append(time.perf_counter() - start)
    return describe(bucket.shape, bucket.batch_size, program, statistics.median(seconds[1:]))


def sample(config, clip, steps, repeats, batch=1):
    """{"clip", "batch", "seconds" of a guided step, median, "mfu" or None, "seconds of N steps"}.

    Without the autoencoder. Args: clip: (frames, height, width); steps: numbers of steps.
    """
    mesh = sharding.make_mesh(**config.mesh)
    program = programs.sampling(config, mesh, clip, batch)
    with jax.set_mesh(mesh):
        (params,), named = fill(program.arguments), fill_named(program.named)
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            jax.block_until_ready(program.function(params, **named))
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[1:])
    report = describe(clip, batch, program, median)
    return report | {f"seconds of {count} steps": count * median for count in steps}


def describe(clip, batch, program, seconds):
    peak = chips.peak_flops()
    return {
        "clip": clip,
        "batch": batch,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "seconds": seconds,
        "clips per second": batch / seconds,
        "mfu": peak and program.useful / seconds / peak,
    }


def fill(tree):
    """Arrays of ones, in their layout, for the shapes of a tree."""
    return jax.tree.map(one, tree)


def fill_named(named):
    """`fill` of what has a shape; settings stay as they are."""
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)  # noqa: E731
    return jax.tree.map(lambda leaf: one(leaf) if is_shape(leaf) else leaf, named)


def one(shape):
    make = jax.jit(lambda: jnp.ones(shape.shape, shape.dtype), out_shardings=shape.sharding)
    return make()
