"""What the autoencoder's loss is given: mirrored clips, draws of the posterior; what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import vae as vae_config
from seedance_jax.models.perception import gradients
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import codec
from seedance_jax.stages import vae

NARROW = {"latent_channels": 4, "encoder_widths": (8,) * 3, "decoder_widths": (8,) * 3}


def clips(seed):
    """A batch of noise, uint8."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (8, 5, 16, 16, 3), dtype=np.uint8)


def test_the_divergence_is_that_of_normal_distributions():
    """By sampling: the mean of log N(mean, deviation) - log N(0, 1) over draws of the first."""
    mean, log_variance = jnp.array([0.0, 0.7, -1.5]), jnp.array([-1.0, 0.4, 0.0])
    noise = jax.random.normal(jax.random.key(0), (40_000, 3))
    draws = mean + jnp.exp(0.5 * log_variance) * noise
    log_ratio = 0.5 * (draws**2 - noise**2 - log_variance)
    np.testing.assert_allclose(vae.kl_divergence(mean, log_variance), log_ratio.mean(), rtol=0.02)


def test_latents_are_drawn_with_the_deviation_of_the_posterior():
    class Wide:
        """An autoencoder of mean 1 and deviation 2 that decodes to its latents."""

        def apply(self, variables, x, method, mutable=()):
            if method == "encode":
                return jnp.ones_like(x), jnp.full_like(x, jnp.log(4.0))
            return x, {"intermediates": {"decoder": {"features": (x,)}}}

    coded = vae.code(Wide(), {}, jnp.zeros((4, 9, 16, 16, 3)), jax.random.key(0), False)
    np.testing.assert_allclose(coded["video"].mean(), 1.0, atol=0.05)
    np.testing.assert_allclose(coded["video"].std(), 2.0, rtol=0.02)
    other = vae.code(Wide(), {}, jnp.zeros((4, 9, 16, 16, 3)), jax.random.key(1), False)
    assert np.abs(coded["video"] - other["video"]).max() > 1


def mirrored(video):
    """The four forms of clips [B, T, H, W, 3], by (turned in time, turned left to right)."""
    forms = {(a, b): video[:, :: -1 if a else 1] for a in (0, 1) for b in (0, 1)}
    return {(a, b): x[:, :, :, :: -1 if b else 1] for (a, b), x in forms.items()}


def test_clips_are_mirrored_in_time_and_left_to_right_on_coins_of_their_own():
    video = jnp.broadcast_to(jnp.arange(12.0).reshape(1, 3, 1, 4, 1), (400, 3, 2, 4, 3))
    flipped = vae.random_flip(jax.random.key(0), video)
    same = [np.all(flipped == form, (1, 2, 3, 4)) for form in mirrored(video).values()]
    assert np.sum(same, 0).tolist() == [1] * 400
    np.testing.assert_allclose(np.mean(same, 1), 0.25, atol=0.07)


@pytest.fixture(scope="module")
def stage():
    """(config, dataset, Stage) of small clips, without a discriminator."""
    config = vae_config.get_config("smoke").unlock()
    config.vae.update(NARROW)
    config.data.buckets = ((5, 16, 16, 8, 1.0),)
    dataset = [{"video": clips(seed)} for seed in range(64)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae.sources, "open_training", lambda *a, **k: dataset)
        return config, dataset, vae.make_stage(config)


def test_training_sees_clips_mirrored_at_random_with_noise_of_its_own(stage, random_params):
    config, dataset, made = stage
    params = random_params(made.init)
    batch = {"video": dataset[0]["video"][:1]}
    loss = jax.jit(lambda key: made.loss_fn(params, batch, key, {"step": jnp.int32(0)})[0])
    objective = vae.Objective(VAE(**config.vae), None, gradients.gradient_distance, config.loss)

    @jax.jit
    def expected(video, key):
        return vae.vae_loss(objective, params, video, key, jnp.int32(0))[0]

    forms, seen = mirrored(codec.from_bytes(batch["video"])), set()
    for seed in range(12):
        key = jax.random.key(seed)
        value, own = loss(key), jax.random.split(key)[1]
        losses = {name: expected(form, own) for name, form in forms.items()}
        (name,) = [name for name, other in losses.items() if np.isclose(value, other, rtol=1e-5)]
        seen.add(name)
    assert seen == set(forms)


def test_what_later_stages_need_are_the_statistics_of_the_data(stage, random_params):
    config, dataset, made = stage
    params = random_params(made.init)
    assert set(params) == {"encoder", "decoder"}
    statistics = vae.latent_statistics(VAE(**config.vae), params, dataset)
    assert made.finish(params) == statistics
    assert len(statistics["mean"]) == len(statistics["std"]) == 4
