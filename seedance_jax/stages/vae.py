"""Training of the autoencoder: reconstruction, perception, a weak pull to a unit normal, critics.

    loss = rec + adversarial * adaptive * hinge(critics of the reconstruction) + kl * KL
           + hinge of the critics themselves
    rec  = l1 * mean |error| + l2 * mean error^2 + perceptual * distance(frames)

The parameters are {"encoder", "decoder"} and, with a critic, "discriminator": one loss, whose parts
reach their own parameters only. `freeze_encoder` trains the decoder alone, so that latents stay
what they were.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.models.discriminator import Discriminator, hinge_critic, hinge_generator
from seedance_jax.models.perception import gradients
from seedance_jax.models.perception.lpips import LPIPS, from_torch
from seedance_jax.models.public import torch_file
from seedance_jax.models.vae import VAE, last_layer
from seedance_jax.pretrained import codec, runs
from seedance_jax.training import run_directory
from seedance_jax.training.loop import Stage
from seedance_jax.training.optimizer import make_optimizer

MAX_ADAPTIVE = 1e4
MIN_STD = 1e-5  # of a latent channel


def make_stage(config):
    """Builds the stage of `configs/vae.py` and of the configs of its decoder.

    Raises:
      ValueError: a bucket off the autoencoder's grid, a perceptual term without its network, a
        frozen encoder without a run to take it from.
    """
    model = VAE(**config.vae)
    critic = Discriminator(**config.discriminator) if config.loss.adversarial else None
    data = config.data.to_dict()
    for bucket in sources.make_buckets(data["buckets"]):
        model.latent_shape(*bucket.shape)
    if config.freeze_encoder:
        statistics = read_statistics(config.vae.to_dict(), config.init_from)
    distance, frozen = perceptual_distance(config.perceptual.to_dict())
    dataset = sources.open_training(
        data,
        text_length=None,
        seed=config.seed,
        part=sharding.batch_part(sharding.make_mesh(**config.mesh)),
    )

    def init(key):
        time, size = model.compression
        video = jnp.zeros((1, 1 + time, size, size, 3))
        params = model.init(key, video)["params"]
        if critic:
            key = jax.random.fold_in(key, 1)
            params["discriminator"] = critic.init(key, video, jnp.zeros((1, 1), int))["params"]
        return params

    def loss_fn(params, batch, key, frozen):
        flip_key, key = jax.random.split(key)
        video = random_flip(flip_key, codec.from_bytes(batch["video"]))
        of_frozen = functools.partial(distance, frozen)
        objective = Objective(model, critic, of_frozen, config.loss, config.freeze_encoder)
        return vae_loss(objective, params, video, key, frozen["step"])

    def finish(params):
        if config.freeze_encoder:
            return statistics
        return latent_statistics(model, params, dataset)

    return Stage(
        init=init,
        loss_fn=loss_fn,
        batches=functools.partial(sources.iterate, data, dataset),
        optimizer=make_optimizers(config),
        frozen=frozen,
        inherit=config.inherit,
        finish=finish,
        makes="autoencoder",
    )


# Settings that a decoder of other widths may change without changing what latents are.
OF_THE_DECODER = ("decoder_widths", "decoder_blocks", "dtype")


def read_statistics(settings, workdir):
    """The latent statistics of a finished run whose encoder has these settings, else ValueError."""
    if not workdir:
        raise ValueError("freeze_encoder=True needs the run of the encoder: --config.init_from=RUN")
    run = runs.open_run(workdir, "autoencoder", "init_from")
    found = run.config["vae"]
    for name, value in run_directory.as_json(settings).items():
        if name not in OF_THE_DECODER and found.get(name) != value:
            raise ValueError(f"vae.{name}={value}, but the encoder of {workdir} has {found[name]}")
    return {name: run.metadata[name] for name in ("mean", "std")}


def make_optimizers(config):
    """One optimizer for the autoencoder, or for its decoder alone, and one for the critics."""
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


def perceptual_distance(config):
    """(distance(frozen, x, y) of frames [N, H, W, 3] -> [N], the frozen weights it reads).

    Raises:
      ValueError: an unknown `name`, or LPIPS without the files of its weights.
    """
    name = config["name"]
    if name == "gradients":
        return lambda frozen, x, y: gradients.gradient_distance(x, y), {}
    if name != "lpips":
        raise ValueError(f"perceptual.name={name!r}; legal names: ['gradients', 'lpips']")
    if not (config["vgg"] and config["heads"]):
        raise ValueError(
            "perceptual.name='lpips' needs --config.perceptual.vgg=vgg16-397923af.pth (of "
            "torchvision) and --config.perceptual.heads=lpips/weights/v0.1/vgg.pth (of lpips); "
            "without them --config.perceptual.name=gradients is the stand-in"
        )
    files = [torch_file.open_tensors(config[part]) for part in ("vgg", "heads")]
    weights = from_torch(*files)
    return lambda frozen, x, y: LPIPS(precision="default").apply(
        {"params": frozen["lpips"]}, x, y
    ), {"lpips": weights}


def latent_statistics(model, params, dataset, num_batches=64):
    """Mean and standard deviation per latent channel over the first batches, as JSON lists.

    Raises:
      ValueError: a channel that carries nothing.
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


def random_flip(key, video):
    """Mirrors each clip [B, T, H, W, 3] left to right and, on its own coin, in time.

    The autoencoder reads no captions, so neither makes a wrong pair.
    """
    for axis in (1, 3):
        key, own = jax.random.split(key)
        coin = jax.random.bernoulli(own, 0.5, (video.shape[0], 1, 1, 1, 1))
        video = jnp.where(coin, jnp.flip(video, axis), video)
    return video


class Objective(NamedTuple):
    """What `vae_loss` is of.

    Attributes:
      model: the VAE.
      critic: a Discriminator, or None if `adversarial` is 0.
      distance: (x, y) [N, H, W, 3] -> [N].
      weights: `config.loss`: l1, l2, kl, perceptual, adversarial, adversarial_start, and frames:
        how many of each clip's, drawn at random, `distance` and the critic of frames see.
      freeze_encoder: whether the decoder alone is trained.
    """

    model: VAE
    critic: Discriminator | None
    distance: Callable
    weights: Mapping[str, float]
    freeze_encoder: bool = False


def vae_loss(objective: Objective, params, video, key, step):
    """The loss of the module's docstring and its parts as metrics, of video [B, T, H, W, 3].

    step: of training; the adversarial terms are on from weights["adversarial_start"].
    """
    model, weights = objective.model, objective.weights
    noise_key, frame_key = jax.random.split(key)
    coded = code(model, params, video, noise_key, objective.freeze_encoder)
    count = min(weights["frames"], video.shape[1])
    chosen = jax.random.randint(frame_key, (video.shape[0], count), 0, video.shape[1])
    target = take_frames(video, chosen)

    def rec_fn(reconstruction):
        error = reconstruction - video
        loss = weights["l1"] * jnp.abs(error).mean() + weights["l2"] * (error**2).mean()
        if not weights["perceptual"]:
            return loss, {}
        value = objective.distance(take_frames(reconstruction, chosen), target).mean()
        return loss + weights["perceptual"] * value, {"perceptual": value}

    if objective.critic is None:
        loss, metrics = rec_fn(coded["video"])
    else:
        on = (step >= weights["adversarial_start"]).astype(jnp.float32)
        judge = functools.partial(objective.critic.apply, chosen=chosen)
        loss, metrics = adversarial_loss(objective, judge, params, video, coded, rec_fn, on)
    squares = ((coded["video"] - video) ** 2).mean((0, 2, 3, 4))
    divergence = kl_divergence(coded["mean"], coded["log_variance"])
    metrics |= {
        "psnr": psnr(squares.mean()),
        "psnr_first_frame": psnr(squares[0]),
        "kl": divergence,
    }
    return loss + weights["kl"] * divergence, metrics


def code(model, params, video, key, freeze_encoder):
    """A sample of the posterior, decoded: video, mean, log_variance, and the decoder's features."""
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


def adversarial_loss(objective, judge, params, video, coded, rec_fn, on):
    """rec_fn, the critics' verdict on the reconstruction, and the critics' own loss.

    Where they are `on` (1, else 0), the verdict counts weights["adversarial"] times the ratio of
    gradient norms of rec_fn and the verdict at the decoder's last kernel (arXiv:2012.09841 Eq. 7),
    so that neither drowns the other.
    """
    weight = on * objective.weights["adversarial"]
    fixed = jax.lax.stop_gradient(params["discriminator"])
    fake = jax.lax.stop_gradient(coded["video"])
    (rec, metrics), rec_grad = jax.value_and_grad(rec_fn, has_aux=True)(fake)
    verdict, verdict_grad = jax.value_and_grad(
        lambda x: hinge_generator(judge({"params": fixed}, x))
    )(fake)
    features = jax.lax.stop_gradient(coded["features"])
    last = jax.lax.stop_gradient(params["decoder"]["conv_out"])
    _, pull = jax.vjp(lambda last: last_layer(objective.model, last, features), last)
    norms = [jnp.linalg.norm(pull(grad)[0]["kernel"]) for grad in (rec_grad, verdict_grad)]
    adaptive = jnp.clip(norms[0] / (norms[1] + 1e-4), 0.0, MAX_ADAPTIVE)
    scores = [judge({"params": params["discriminator"]}, x) for x in (video, fake)]
    critic = hinge_critic(*scores)
    value = rec + weight * adaptive * verdict
    gradient = rec_grad + weight * adaptive * verdict_grad
    loss = with_gradient(value, coded["video"], gradient) + on * critic
    return loss, metrics | {"critic": critic, "verdict": verdict, "adaptive": adaptive}


def with_gradient(value, x, gradient):
    """`value`, whose gradient with respect to `x` is `gradient` and nothing else."""
    fixed = jax.lax.stop_gradient
    return fixed(value) + jnp.vdot(fixed(gradient), x - fixed(x))


def take_frames(video, chosen):
    """[B, T, H, W, 3], frame numbers [B, n] -> [B * n, H, W, 3]."""
    frames = jnp.take_along_axis(video, chosen[:, :, None, None, None], axis=1)
    return frames.reshape(-1, *video.shape[2:])


def kl_divergence(mean, log_variance):
    """Mean over the latents of KL(N(mean, exp(log_variance)) || N(0, 1)), in nats."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1.0 - log_variance).mean()


def psnr(mean_square):
    """Peak signal-to-noise ratio in dB of pixels in [-1, 1]."""
    return 10.0 * jnp.log10(4.0 / jnp.maximum(mean_square, 1e-10))
