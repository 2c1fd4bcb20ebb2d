"""Seconds of the steps of training and of sampling on the devices at hand, of made-up clips.

They are the very programs that train and sample (`performance.programs`), compiled for the mesh of
the config; what is in the arrays does not change their time.
"""

import jax
import jax.numpy as jnp

from seedance_jax import sharding
from seedance_jax.performance import chips, programs
from seedance_jax.performance.timed import autoencoder_speed


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

        def step():
            nonlocal state  # which the program takes over
            state, metrics = program.function(state, *others)
            jax.block_until_ready((state, metrics))

        seconds = median_of(step, repeats)
    return describe(bucket.shape, bucket.batch_size, program, seconds)


def sample(config, clip, steps, repeats, batch=1):
    """{"clip", "batch", "seconds" of a guided step, median, "mfu" or None, "seconds of N steps"}.

    Without the autoencoder. Args: clip: (frames, height, width); steps: numbers of steps.
    """
    mesh = sharding.make_mesh(**config.mesh)
    program = programs.sampling(config, mesh, clip, batch)
    with jax.set_mesh(mesh):
        arguments, named = fill(program.arguments), fill(program.named)
        step = lambda: jax.block_until_ready(program.function(*arguments, **named))  # noqa: E731
        seconds = median_of(step, repeats)
    report = describe(clip, batch, program, seconds)
    return report | {f"seconds of {count} steps": count * seconds for count in steps}


def median_of(step, repeats):
    """Median seconds of a step after the first, which compiles."""
    return autoencoder_speed.in_turns({"step": step}, repeats)["step"]


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
    """Arrays of ones, in their layout, for the shapes of a tree; what is no shape stays."""
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)  # noqa: E731
    return jax.tree.map(lambda leaf: ones(leaf) if is_shape(leaf) else leaf, tree)


def ones(shape):
    """An array of a shape; every device makes its own part."""
    make = jax.jit(lambda: jnp.ones(shape.shape, shape.dtype), out_shardings=shape.sharding)
    return make()
