"""Training of the autoencoder: reconstruction, perceptual, KL and adversarial losses.

    loss = rec + adversarial * adaptive * generator hinge + kl * KL + discriminator hinge
    rec  = l1 * mean |error| + l2 * mean error^2 + perceptual * distance(frames)

The parameters are {"encoder", "decoder"} and, with an adversarial loss, "discriminator": one loss,
whose terms have gradients for their own parameters only. `freeze_encoder` trains the decoder alone,
so latents do not change.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.data.examples import Wanted
from seedance_jax.models.discriminator import Discriminator, hinge_discriminator, hinge_generator
from seedance_jax.models.vae import VAE, last_layer
from seedance_jax.pretrained import codec, runs
from seedance_jax.stages.perceptual import perceptual_distance
from seedance_jax.training import cluster, run_directory
from seedance_jax.training.loop import Stage
from seedance_jax.training.optimizer import make_optimizer

MAX_ADAPTIVE = 1e4
MIN_STD = 1e-5  # of a latent channel


def make_stage(config: ConfigDict) -> Stage:
    """The stage of `configs/vae.py` and of the configs of its decoder.

    Raises:
      ValueError: a bucket that cannot be encoded, a perceptual loss without its network, or a
        frozen encoder without a run to load it from.
    """
    model = VAE(**config.vae)
    discriminator = Discriminator(**config.discriminator) if config.loss.adversarial else None
    data = config.data.to_dict()
    for bucket in sources.make_buckets(data["buckets"]):
        model.latent_shape(*bucket.shape)
    if config.freeze_encoder:
        settings = config.vae.to_dict(), config.init_from
        statistics = cluster.of_main(lambda: read_statistics(*settings))
    distance, frozen = perceptual_distance(config.perceptual.to_dict())
    dataset = sources.open_training(
        data,
        text_length=None,
        wanted=Wanted(random_scale=config.random_scale),
        seed=config.seed,
        part=sharding.batch_part(sharding.make_mesh(**config.mesh)),
        share=cluster.of_main,
    )

    def loss_fn(params, batch, key, frozen):
        flip_key, key = jax.random.split(key)
        video = random_flip(flip_key, codec.from_bytes(batch["video"]))
        of_frozen = functools.partial(distance, frozen)
        objective = Objective(model, discriminator, of_frozen, config.loss, config.freeze_encoder)
        return vae_loss(objective, params, video, key, frozen["step"])

    def finish(params):
        if config.freeze_encoder:
            return statistics
        return latent_statistics(model, params, dataset)

    return Stage(
        init=functools.partial(init_params, model, discriminator),
        loss_fn=loss_fn,
        batches=functools.partial(sources.iterate, data, dataset),
        optimizer=make_optimizers(config),
        frozen=frozen,
        identity=cluster.of_main(lambda: sources.filter_identity(data)),
        inherit=config.inherit,
        finish=finish,
        makes="autoencoder",
    )


def init_params(model: VAE, discriminator: Discriminator | None, key: jax.Array) -> dict[str, Any]:
    """The params of the autoencoder, and of the discriminator if there is one; boxed."""
    time, size = model.compression
    video = jnp.zeros((1, 1 + time, size, size, 3))
    params = model.init(key, video)["params"]
    if discriminator:
        key, chosen = jax.random.fold_in(key, 1), jnp.zeros((1, 1), int)
        params["discriminator"] = discriminator.init(key, video, chosen)["params"]
    return params


# Settings that a new decoder may change: latents do not depend on them.
OF_THE_DECODER = ("decoder_widths", "decoder_blocks", "dtype")


def read_statistics(settings: Mapping[str, Any], workdir: str) -> dict[str, list[float]]:
    """{"mean", "std"} of the latents of a run; ValueError if its encoder has other settings."""
    if not workdir:
        raise ValueError("freeze_encoder=True needs the run of the encoder: --config.init_from=RUN")
    run = runs.open_run(workdir, "autoencoder", "init_from")
    found = run.config["vae"]
    for name, value in run_directory.as_json(settings).items():
        if name not in OF_THE_DECODER and found.get(name) != value:
            raise ValueError(f"vae.{name}={value}, but the encoder of {workdir} has {found[name]}")
    return {name: run.metadata[name] for name in ("mean", "std")}


def make_optimizers(config: ConfigDict) -> optax.GradientTransformation:
    """One optimizer for the autoencoder, or its decoder alone, and one for the discriminator."""
    steps = config.num_steps
    groups = {
        "autoencoder": make_optimizer(num_steps=steps, **config.optimizer),
        "frozen": optax.set_to_zero(),
    }
    labels = {
        "encoder": "frozen" if config.freeze_encoder else "autoencoder",
        "decoder": "autoencoder",
    }
    if config.loss.adversarial:
        groups["discriminator"] = make_optimizer(num_steps=steps, **config.discriminator_optimizer)
        labels["discriminator"] = "discriminator"
    return optax.multi_transform(groups, labels)


def latent_statistics(
    model: VAE, params: Any, dataset: grain.MapDataset, num_batches: int = 64
) -> dict[str, list[float]]:
    """{"mean", "std"} of every latent channel over the first batches, as JSON.

    Raises:
      ValueError: a constant channel.
    """

    @jax.jit
    def moments(params, video):
        latents, _ = model.apply({"params": params}, codec.from_bytes(video), method="encode")
        return latents.mean((0, 1, 2, 3)), latents.var((0, 1, 2, 3))

    videos = ({"video": dataset[step]["video"]} for step in range(num_batches))
    parts = [moments(params, sharding.put_batch(batch)["video"]) for batch in videos]
    means, variances = np.asarray(sharding.fetch(parts), np.float64).swapaxes(0, 1)
    std = np.sqrt(variances.mean(0) + means.var(0))
    if (dead := np.flatnonzero(~(std > MIN_STD))).size:
        raise ValueError(f"latent channels {dead.tolist()} are constant (std {std[dead].tolist()})")
    return {"mean": means.mean(0).tolist(), "std": std.tolist()}


def random_flip(key: jax.Array, video: jax.Array) -> jax.Array:
    """Mirrors each clip of [B, T, H, W, 3] left to right and in time, each with probability 1/2.

    Captions are not used here, so none becomes wrong.
    """
    for axis in (1, 3):
        key, own = jax.random.split(key)
        coin = jax.random.bernoulli(own, 0.5, (video.shape[0], 1, 1, 1, 1))
        video = jnp.where(coin, jnp.flip(video, axis), video)
    return video


class Objective(NamedTuple):
    """The networks and settings of `vae_loss`.

    Attributes:
      discriminator: None if `adversarial` is 0.
      distance: (x, y) [B, H, W, 3] -> [B].
      loss_weights: `config.loss`: l1, l2, kl, perceptual, adversarial, adversarial_start, and
        frames: how many random ones of each clip `distance` and the discriminator of frames get.
      freeze_encoder: whether only the decoder is trained.
    """

    model: VAE
    discriminator: Discriminator | None
    distance: Callable
    loss_weights: Mapping[str, float]
    freeze_encoder: bool = False


def vae_loss(
    objective: Objective, params: Any, video: jax.Array, key: jax.Array, step: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss of the module's docstring and metrics, for video [B, T, H, W, 3].

    The adversarial terms start at training step loss_weights["adversarial_start"].
    """
    model, loss_weights = objective.model, objective.loss_weights
    noise_key, frame_key = jax.random.split(key)
    coded = code(model, params, video, noise_key, objective.freeze_encoder)
    count = min(loss_weights["frames"], video.shape[1])
    chosen = jax.random.randint(frame_key, (video.shape[0], count), 0, video.shape[1])
    target = take_frames(video, chosen)

    def rec_fn(reconstruction):
        error = reconstruction - video
        loss = loss_weights["l1"] * jnp.abs(error).mean() + loss_weights["l2"] * (error**2).mean()
        if not loss_weights["perceptual"]:
            return loss, {}
        value = objective.distance(take_frames(reconstruction, chosen), target).mean()
        return loss + loss_weights["perceptual"] * value, {"perceptual": value}

    if objective.discriminator is None:
        loss, metrics = rec_fn(coded["video"])
    else:
        on = (step >= loss_weights["adversarial_start"]).astype(jnp.float32)
        score = functools.partial(objective.discriminator.apply, chosen=chosen)
        loss, metrics = adversarial_loss(objective, score, params, video, coded, rec_fn, on)
    squares = ((coded["video"] - video) ** 2).mean((0, 2, 3, 4))
    divergence = kl_divergence(coded["mean"], coded["log_variance"])
    metrics |= {
        "psnr": psnr(squares.mean()),
        "psnr_first_frame": psnr(squares[0]),
        "kl": divergence,
    }
    return loss + loss_weights["kl"] * divergence, metrics


def code(
    model: VAE, params: Any, video: jax.Array, key: jax.Array, freeze_encoder: bool
) -> dict[str, jax.Array]:
    """Encodes a video and decodes a sample: video, mean, log_variance, features of the decoder."""
    mean, log_variance = model.apply({"params": params}, video, method="encode")
    if freeze_encoder:
        mean, log_variance = jax.lax.stop_gradient((mean, log_variance))
    noise = jax.random.normal(key, mean.shape)
    latents = mean + jnp.exp(0.5 * log_variance) * noise
    decoded, state = model.apply(
        {"params": params}, latents, method="decode", mutable=["intermediates"]
    )
    (features,) = state["intermediates"]["decoder"]["features"]
    return {"video": decoded, "mean": mean, "log_variance": log_variance, "features": features}


def adversarial_loss(
    objective: Objective,
    score: Callable,
    params: Any,
    video: jax.Array,
    coded: Mapping[str, jax.Array],
    rec_fn: Callable,
    on: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """rec_fn plus the losses of generator and discriminator (where `on` is 1, not 0), and metrics.

    The generator's loss is weighted by loss_weights["adversarial"] times the ratio of the gradient
    norms of rec_fn and of itself at the decoder's last kernel (Eq. (7) of arXiv:2012.09841).
    """
    weight = on * objective.loss_weights["adversarial"]
    fixed = jax.lax.stop_gradient(params["discriminator"])
    fake = jax.lax.stop_gradient(coded["video"])
    (rec, metrics), rec_grad = jax.value_and_grad(rec_fn, has_aux=True)(fake)
    adversarial, adversarial_grad = jax.value_and_grad(
        lambda x: hinge_generator(score({"params": fixed}, x))
    )(fake)
    features = jax.lax.stop_gradient(coded["features"])
    last = jax.lax.stop_gradient(params["decoder"]["conv_out"])
    _, pull = jax.vjp(lambda last: last_layer(objective.model, last, features), last)
    norms = [jnp.linalg.norm(pull(grad)[0]["kernel"]) for grad in (rec_grad, adversarial_grad)]
    adaptive = jnp.clip(norms[0] / (norms[1] + 1e-4), 0.0, MAX_ADAPTIVE)
    scores = [score({"params": params["discriminator"]}, x) for x in (video, fake)]
    discriminator = hinge_discriminator(*scores)
    value = rec + weight * adaptive * adversarial
    gradient = rec_grad + weight * adaptive * adversarial_grad
    loss = with_gradient(value, coded["video"], gradient) + on * discriminator
    return loss, metrics | {
        "discriminator": discriminator,
        "adversarial": adversarial,
        "adaptive": adaptive,
    }


def with_gradient(value: jax.Array, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """`value` with `gradient` as its gradient with respect to `x`, and no other."""
    fixed = jax.lax.stop_gradient
    return fixed(value) + jnp.vdot(fixed(gradient), x - fixed(x))


def take_frames(video: jax.Array, chosen: jax.Array) -> jax.Array:
    """video [B, T, H, W, 3], frame indices int [B, frames] -> [B * frames, H, W, 3]."""
    frames = jnp.take_along_axis(video, chosen[:, :, None, None, None], axis=1)
    return frames.reshape(-1, *video.shape[2:])


def kl_divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Mean over the latents of KL(N(mean, exp(log_variance)) || N(0, 1)), in nats."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1.0 - log_variance).mean()


def psnr(mean_square: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB of pixels in [-1, 1]."""
    return 10.0 * jnp.log10(4.0 / jnp.maximum(mean_square, 1e-10))
