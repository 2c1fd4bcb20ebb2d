"""Training of the autoencoder: reconstruction and a weak pull of the posterior to a unit normal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.data import sources
from seedance_jax.models.vae import VAE
from seedance_jax.training.loop import Stage
from seedance_jax.training.optimizer import make_optimizer


def make_stage(config):
    """Builds the stage of `configs/vae.py`."""
    model = VAE(**config.vae)
    data = config.data.to_dict()
    for bucket in sources.make_buckets(data["buckets"]):
        model.latent_shape(*bucket.shape)
    dataset = sources.open_training(
        data,
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )

    def init(key):
        size = model.compression[1]
        return model.init(key, jnp.zeros((1, 1 + model.compression[0], size, size, 3)))["params"]

    def loss_fn(params, batch, key, frozen):
        flip_key, noise_key = jax.random.split(key)
        video = random_flip(flip_key, to_pixels(batch["video"]))
        return vae_loss(model, params, video, noise_key, **config.loss)

    def finish(params):
        return latent_statistics(model, params, dataset)

    optimizer = make_optimizer(num_steps=config.num_steps, **config.optimizer)
    batches = functools.partial(sources.iterate, data, dataset)
    return Stage(init=init, loss_fn=loss_fn, batches=batches, optimizer=optimizer, finish=finish)


def latent_statistics(model, params, dataset, num_batches=64):
    """Mean and standard deviation per latent channel over the first batches, as JSON lists."""

    @jax.jit
    def moments(params, video):
        mean, _ = model.apply({"params": params}, to_pixels(video), method="encode")
        return mean.mean((0, 1, 2, 3)), (mean**2).mean((0, 1, 2, 3))

    sums = [moments(params, dataset[step]["video"]) for step in range(num_batches)]
    mean, square = (np.mean(values, axis=0) for values in zip(*jax.device_get(sums), strict=True))
    return {"mean": mean.tolist(), "std": np.sqrt(square - mean**2).tolist()}


def to_pixels(video):
    """uint8 [0, 255] -> float32 [-1, 1]."""
    return video.astype(jnp.float32) / 127.5 - 1.0


def random_flip(key, video):
    """Mirrors each clip [B, T, H, W, 3] left to right and, on its own coin, in time.

    The autoencoder reads no captions, so neither makes a wrong pair.
    """
    for axis in (1, 3):
        key, own = jax.random.split(key)
        coin = jax.random.bernoulli(own, 0.5, (video.shape[0], 1, 1, 1, 1))
        video = jnp.where(coin, jnp.flip(video, axis), video)
    return video


def vae_loss(model, params, video, key, *, l1, l2, kl):
    """Weighted sum of mean |error|, mean error^2 and mean KL per latent number.

    Metrics: psnr of the sampled reconstruction and of its first frame (dB, peak to peak 2), kl.
    """
    shape = model.latent_shape(*video.shape[1:4])
    noise = jax.random.normal(key, (video.shape[0], *shape))
    reconstruction, mean, log_variance = model.apply({"params": params}, video, noise)
    error = reconstruction - video
    divergence = kl_divergence(mean, log_variance)
    squares = (error**2).mean((0, 2, 3, 4))
    loss = l1 * jnp.abs(error).mean() + l2 * squares.mean() + kl * divergence
    metrics = {
        "psnr": psnr(squares.mean()),
        "psnr_first_frame": psnr(squares[0]),
        "kl": divergence,
    }
    return loss, metrics


def kl_divergence(mean, log_variance):
    """Mean over the latents of KL(N(mean, exp(log_variance)) || N(0, 1)), in nats."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1.0 - log_variance).mean()


def psnr(mean_square):
    """Peak signal-to-noise ratio in dB of pixels in [-1, 1]."""
    return 10.0 * jnp.log10(4.0 / jnp.maximum(mean_square, 1e-10))
