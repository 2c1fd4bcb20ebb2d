"""The programs that run on a pod, lowered for a mesh from shapes alone: nothing is allocated.

They are the very functions that training and sampling jit. The mesh may be of devices that are not
there (`performance.chips.open_topology`).
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import schema
from seedance_jax.data.buckets import Bucket
from seedance_jax.diffusion import solvers, times
from seedance_jax.performance import cost
from seedance_jax.pretrained import codec, text_encoder
from seedance_jax.sampling import sampler, sizes
from seedance_jax.stages import flow_matching, generator_inputs
from seedance_jax.training import loop
from seedance_jax.training.optimizer import make_optimizer

GUIDED = ("positive", "negative")


class Program(NamedTuple):
    """A jitted function and its arguments, as shapes with their layout.

    Attributes:
      model_flops: FLOPs that the model needs (`performance.cost`): without what `remat` recomputes.
    """

    function: Any
    arguments: tuple
    named: dict
    mesh: Any
    model_flops: float

    def lower(self) -> Any:
        with jax.set_mesh(self.mesh):
            return self.function.lower(*self.arguments, **self.named)


def training(
    config: ConfigDict, mesh: jax.sharding.Mesh, bucket: Bucket, vae: Any = None
) -> Program:
    """The training step of a generator, for batches of one bucket.

    Args:
      config: of `configs/pretrain.py`.
      vae: VAE that encodes batches of videos; None for batches of latents.

    Raises:
      ValueError: a text mode that needs the weights of a language model.
    """
    settings = config.to_dict()
    text = text_encoder.DEFAULTS | settings["text"]
    if text["mode"] == "frozen":
        raise ValueError("text.mode='frozen': compile text.mode='precomputed', which trains alike")
    joint, latents = text["mode"] == "joint", sizes.latent_shape(*bucket.shape)
    generation = cost.make_program(settings, latents)
    tokens = generation.condition.text
    width = None if joint else tokens.shape[-1]
    model, init = generator_inputs.make_model(config, schema.LATENT_CHANNELS, width)
    read = generator_inputs.make_read(config, vae, generator_inputs.as_batched)
    loss_fn = flow_matching.objective(config, model, read)
    optimizer = make_optimizer(num_steps=config.num_steps, **config.optimizer)
    stage = loop.Stage(init, loss_fn, batches=None, optimizer=optimizer, makes="generator")
    state, layout = loop.abstract_state(stage, mesh)
    step = loop.make_step(
        stage, layout, seed=0, ema_decay=config.ema_decay, accumulate=config.accumulate
    )
    batch = sharding.place_shapes(
        batch_shapes(bucket, tokens, with_videos=vae is not None), sharding.batch_sharding(mesh)
    )
    frozen = sharding.place_shapes({"vae": vae_shapes(vae)}, sharding.replicated(mesh))
    model_flops = bucket.batch_size * 3 * cost.total(cost.count(generation)).flops
    return Program(step, (state, batch, frozen), {}, mesh, model_flops)


def batch_shapes(
    bucket: Bucket, text: jax.ShapeDtypeStruct, with_videos: bool
) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of a bucket as the loader makes it, as shapes; `text` is that of one clip."""
    t, h, w = sizes.latent_shape(*bucket.shape)
    tokens, latents = text.shape[1:2], (t, h, w, schema.LATENT_CHANNELS)
    shapes = {"text": text.shape[1:], "text_mask": tokens, "text_shot": tokens}
    shapes |= {"frame_shot": (t,), "fps": ()}
    shapes |= (
        {"video": (*bucket.shape, 3)} if with_videos else {"latents": latents, "stills": latents}
    )
    fields = schema.EXAMPLE | ({} if text.ndim == 2 else {"text": schema.TEXT_TOKENS})
    return {
        name: jax.ShapeDtypeStruct((bucket.batch_size, *shape), fields[name].dtype)
        for name, shape in shapes.items()
    }


def vae_shapes(vae: Any) -> dict[str, Any]:
    """Weights as `runs.load_autoencoder` gives them; of a missing one the statistics alone."""
    channels = jax.ShapeDtypeStruct((schema.LATENT_CHANNELS,), jnp.float32)
    weights = {"mean": channels, "std": channels}
    if vae is None:
        return weights
    video = jnp.zeros((1, 1, 16, 16, 3))
    return weights | {
        "params": nn.unbox(jax.eval_shape(vae.init, jax.random.key(0), video))["params"]
    }


def sampling(
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    clip: Sequence[int],
    batch: int = 1,
    names: Sequence[str] = GUIDED,
) -> Program:
    """One step of the Euler solver with guidance, for `batch` clips of (frames, height, width)."""
    generation = cost.make_program(config.to_dict(), sizes.latent_shape(*clip))
    model, boxed, (xt, _, condition) = generation.trained
    layout = sharding.layout(boxed, mesh)
    params = sharding.place_shapes(nn.unbox(boxed), layout)
    if model.text_model is not None:
        read = functools.partial(model.apply, method="encode_text")
        condition = jax.eval_shape(read, {"params": params}, condition)
    one = xt, condition
    widen = lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype)  # noqa: E731
    noise, condition = sharding.place_shapes(jax.tree.map(widen, one), sharding.replicated(mesh))
    shift = times.resolution_shift(np.prod(xt.shape[1:4]), config.reference_tokens)
    grid = times.sampling_grid(2, shift)
    now = jax.tree.map(lambda array: np.asarray(array[0]), solvers.SOLVERS["euler"].prepare(grid))
    named = {
        "state": (noise, noise),
        "now": now,
        "start": (noise, dict.fromkeys(names, condition), dict.fromkeys(names, 1.0)),
        "settings": sampler.StepSettings("euler"),
    }
    step = jax.jit(functools.partial(sampler.step, model), static_argnames="settings")
    rows = [row for row in cost.count(generation) if row.name != cost.TEXT_MODEL]
    return Program(step, (params,), named, mesh, batch * len(names) * cost.total(rows).flops)


def encoding(
    vae: Any, mesh: jax.sharding.Mesh, clip: Sequence[int], batch: int = 1, chunk: int = 4
) -> Program:
    """`codec.encode_chunk`: one chunk of so many latent frames, not the first, of videos."""
    frames, height, width = chunk * schema.FRAME_STRIDE, *clip[1:]
    shapes = [(batch, n, height, width, 3) for n in (1, frames)]
    return _chunk(codec.encode_chunk, vae, mesh, shapes)


def decoding(
    vae: Any, mesh: jax.sharding.Mesh, clip: Sequence[int], batch: int = 1, chunk: int = 1
) -> Program:
    """`codec.decode_chunk`: one chunk of so many latent frames, not the first, of latents."""
    _, h, w = sizes.latent_shape(*clip)
    shapes = [(batch, n, h, w, vae.latent_channels) for n in (1, chunk)]
    return _chunk(codec.decode_chunk, vae, mesh, shapes)


def _chunk(function, vae, mesh, shapes):
    """The program of a later chunk; its cache lies as the program of the first leaves it."""
    place = lambda tree: sharding.place_shapes(tree, sharding.replicated(mesh))  # noqa: E731
    weights = place(vae_shapes(vae))
    first, later = (place(jax.ShapeDtypeStruct(shape, jnp.float32)) for shape in shapes)
    with jax.set_mesh(mesh):
        opened = function.lower(vae, weights, {}, first)
    _, cache = opened.out_info
    _, layout = opened.compile().output_shardings
    cache = jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        cache,
        layout,
    )
    return Program(function, (vae, weights, cache, later), {}, mesh, None)
