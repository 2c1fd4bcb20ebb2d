import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from seedance_jax.models.vae import VAE
from seedance_jax.stages import vae

NARROW = {"latent_channels": 6, "encoder_widths": (16,) * 3, "decoder_widths": (16,) * 3}
MODEL = VAE(**base.vae("tiny") | NARROW)
WEIGHTS = {"l1": 1.0, "l2": 2.0, "kl": 1e-3}
FRAMES = 9


def clips(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, FRAMES, 16, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(MODEL.init, vae.to_pixels(clips(1)))["params"]


def test_pixels_span_minus_one_to_one():
    np.testing.assert_array_equal(vae.to_pixels(np.array([0, 255], np.uint8)), [-1.0, 1.0])


def test_gradients_reach_every_parameter(params):
    def loss(params):
        return vae.vae_loss(MODEL, params, vae.to_pixels(clips(2)), jax.random.key(0), **WEIGHTS)

    (value, metrics), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert np.isfinite(value)
    assert metrics.keys() == {"psnr", "psnr_first_frame", "kl"}
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf), path


def test_the_loss_is_the_weighted_sum_of_its_terms(params):
    video = vae.to_pixels(clips(2))
    weights = [{"l1": 1.0, "l2": 0.0, "kl": 0.0}, {"l1": 0.0, "l2": 1.0, "kl": 0.0}]
    run = jax.jit(lambda **terms: vae.vae_loss(MODEL, params, video, jax.random.key(0), **terms))
    absolute, square = (run(**terms)[0] for terms in weights)
    total, metrics = run(**WEIGHTS)
    np.testing.assert_allclose(total, absolute + 2.0 * square + 1e-3 * metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(metrics["psnr"], 10 * np.log10(4 / square), rtol=1e-4)


def test_the_divergence_is_zero_for_a_unit_normal_and_positive_otherwise():
    zero = jnp.zeros((2, 3))
    assert vae.kl_divergence(zero, zero) == 0.0
    assert vae.kl_divergence(zero + 0.1, zero) > 0
    assert vae.kl_divergence(zero, zero - 0.1) > 0


def test_statistics_normalise_the_latents(params):
    dataset = [{"video": clips(4, seed)} for seed in range(3)]
    statistics = vae.latent_statistics(MODEL, params, dataset, num_batches=3)
    video = vae.to_pixels(np.concatenate([batch["video"] for batch in dataset]))
    latents = MODEL.apply({"params": params}, video, method="encode")[0]
    normalised = (latents - np.array(statistics["mean"])) / np.array(statistics["std"])
    np.testing.assert_allclose(normalised.mean((0, 1, 2, 3)), 0.0, atol=1e-3)
    np.testing.assert_allclose(normalised.std((0, 1, 2, 3)), 1.0, atol=1e-3)
