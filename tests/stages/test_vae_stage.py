import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base, vae_thin
from seedance_jax.models.discriminator import Discriminator, hinge_discriminator, hinge_generator
from seedance_jax.models.perception import gradients
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import codec
from seedance_jax.stages import perceptual, vae
from seedance_jax.training import run_directory

NARROW = {"latent_channels": 4, "encoder_widths": (8,) * 3, "decoder_widths": (8,) * 3}
MODEL = VAE(**base.vae("tiny") | NARROW)
DISCRIMINATOR = Discriminator(widths=(8,))
WEIGHTS = {"l1": 1.0, "l2": 2.0, "kl": 1e-3, "adversarial": 0.1, "adversarial_start": 5}
FIXED = {"perceptual": 0.5, "frames": 2}  # what the program depends on
FRAMES = 5


def clips(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, FRAMES, 16, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def params(random_params):
    video = codec.from_bytes(clips(1))
    discriminator = random_params(DISCRIMINATOR.init, video, jnp.zeros((1, 2), int))["params"]
    return random_params(MODEL.init, video)["params"] | {"discriminator": discriminator}


@pytest.fixture(scope="module")
def video():
    return codec.from_bytes(clips(2))


def test_pixels_span_minus_one_to_one():
    np.testing.assert_array_equal(codec.from_bytes(np.array([0, 255], np.uint8)), [-1.0, 1.0])


@functools.partial(jax.jit, static_argnames=("discriminator", "freeze_encoder", "perceptual"))
def loss_of(params, video, step, weights, discriminator, freeze_encoder, perceptual):
    distance, key = gradients.gradient_distance, jax.random.key(0)
    weights = weights | FIXED | {"perceptual": perceptual}
    objective = vae.Objective(MODEL, discriminator, distance, weights, freeze_encoder)
    return vae.vae_loss(objective, params, video, key, step)


value_and_grad = jax.jit(
    jax.value_and_grad(loss_of, has_aux=True),
    static_argnames=("discriminator", "freeze_encoder", "perceptual"),
)


def arguments(
    discriminator=DISCRIMINATOR, step=10, freeze_encoder=False, perceptual=0.5, **changes
):
    return jnp.int32(step), WEIGHTS | changes, discriminator, freeze_encoder, perceptual


def gradients_of(params, video, **changes):
    (value, metrics), grads = value_and_grad(params, video, *arguments(**changes))
    return value, metrics, grads


def test_gradients_reach_every_parameter(params, video):
    value, metrics, grads = gradients_of(params, video)
    assert np.isfinite(value)
    assert metrics.keys() == {
        *("psnr", "psnr_first_frame", "kl", "perceptual"),
        *("discriminator", "adversarial", "adaptive"),
    }
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf), path


def test_the_loss_is_the_weighted_sum_of_its_terms(params, video):
    none = {"l1": 0.0, "l2": 0.0, "kl": 0.0, "discriminator": None}
    run = lambda **terms: loss_of(params, video, *arguments(**none | terms))  # noqa: E731
    absolute, square = (run(perceptual=0.0, **{name: 1.0})[0] for name in ("l1", "l2"))
    distance = run()[0] / 0.5
    total, metrics = run(l1=1.0, l2=2.0, kl=1e-3)
    expected = absolute + 2.0 * square + 1e-3 * metrics["kl"] + 0.5 * distance
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["psnr"], 10 * np.log10(4 / square), rtol=1e-4)


def test_one_loss_gives_the_gradients_of_the_two_players(params, video):
    """The discriminator's gradient is that of its hinge alone; the autoencoder's has none of it."""
    _, metrics, both = gradients_of(params, video)
    chosen = jax.random.randint(jax.random.split(jax.random.key(0))[1], (2, 2), 0, FRAMES)
    noise = jax.random.split(jax.random.key(0))[0]

    def players(own, discriminator, adaptive):
        """The sum of both losses, of which each sees its own parameters alone."""
        fixed = jax.lax.stop_gradient(discriminator)
        coded = vae.code(MODEL, own, video, noise, False)
        fake = jax.lax.stop_gradient(coded["video"])
        scores = [DISCRIMINATOR.apply({"params": discriminator}, x, chosen) for x in (video, fake)]
        error = coded["video"] - video
        pairs = [vae.take_frames(x, chosen) for x in (coded["video"], video)]
        judged = DISCRIMINATOR.apply({"params": fixed}, coded["video"], chosen)
        return (
            hinge_discriminator(*scores)
            + jnp.abs(error).mean()
            + WEIGHTS["l2"] * (error**2).mean()
            + FIXED["perceptual"] * gradients.gradient_distance(*pairs).mean()
            + WEIGHTS["kl"] * vae.kl_divergence(coded["mean"], coded["log_variance"])
            + WEIGHTS["adversarial"] * adaptive * hinge_generator(judged)
        )

    own = {name: params[name] for name in ("encoder", "decoder")}
    grad = jax.jit(jax.grad(players, argnums=(0, 1)))
    expected, discriminator = grad(own, params["discriminator"], metrics["adaptive"])
    expected["discriminator"] = discriminator
    for path, leaf in jax.tree_util.tree_flatten_with_path(expected)[0]:
        found = both
        for key in path:
            found = found[key.key]
        scale = np.abs(leaf).max()
        np.testing.assert_allclose(found, leaf, atol=1e-4 * scale, err_msg=str(path))


def test_the_adaptive_weight_balances_the_gradients_at_the_last_kernel(params, video):
    _, _, rec = gradients_of(params, video, discriminator=None)
    _, metrics, both = gradients_of(params, video, adversarial=1.0)
    kernel = lambda grads: grads["decoder"]["conv_out"]["kernel"]  # noqa: E731
    adversarial = jnp.linalg.norm(kernel(both) - kernel(rec))
    assert adversarial == pytest.approx(float(jnp.linalg.norm(kernel(rec))), rel=1e-2)
    assert metrics["adaptive"] > 0


def test_the_discriminator_waits_for_its_start(params, video):
    before, _, early = gradients_of(params, video, step=4)
    alone, _, none = gradients_of(params, video, discriminator=None)
    np.testing.assert_allclose(before, alone, rtol=1e-5)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(early["discriminator"]))
    for part in ("encoder", "decoder"):
        pairs = zip(jax.tree.leaves(early[part]), jax.tree.leaves(none[part]), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


def test_a_frozen_encoder_gets_no_gradient(params, video):
    _, _, grads = gradients_of(params, video, discriminator=None, freeze_encoder=True)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads["encoder"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(grads["decoder"]))


def test_images_are_trained_on_too(params, video):
    value, metrics, _ = gradients_of(params, video[:, :1])
    assert np.isfinite(value)
    assert metrics["psnr"] == metrics["psnr_first_frame"]


def test_only_the_trained_parts_change():
    config = vae_thin.get_config("tiny")
    config.loss.adversarial = 0.1
    optimizer = vae.make_optimizers(config)
    params = {name: jnp.ones(3) for name in ("encoder", "decoder", "discriminator")}
    state = optimizer.init(params)
    for _ in range(3):  # the first step's learning rate is 0
        updates, state = optimizer.update(params, state, params)
    assert not np.any(updates["encoder"])
    assert np.all(updates["decoder"])
    assert np.all(updates["discriminator"])


def test_lpips_without_its_weights_is_refused():
    settings = {"name": "lpips", "vgg": "", "heads": ""}
    with pytest.raises(ValueError, match="name='lpips' needs --config.perceptual.vgg"):
        perceptual.perceptual_distance(settings)
    with pytest.raises(ValueError, match="'vgg'; legal names: \\['gradients', 'lpips'\\]"):
        perceptual.perceptual_distance(settings | {"name": "vgg"})


def test_a_frozen_encoder_must_be_that_of_the_run(tmp_path):
    settings = vae_thin.get_config("tiny").vae.to_dict()
    with pytest.raises(ValueError, match="--config.init_from=RUN"):
        vae.read_statistics(settings, "")
    run = {"stage": "vae", "vae": base.vae("tiny")}
    run_directory.write_json(tmp_path, "config.json", run)
    with pytest.raises(FileNotFoundError, match="not a finished run"):
        vae.read_statistics(settings, tmp_path)
    statistics = {"mean": [0.5], "std": [2.0]}
    run_directory.write_json(tmp_path, "metadata.json", statistics)
    assert vae.read_statistics(settings, tmp_path) == statistics
    run_directory.write_json(tmp_path, "config.json", run | {"vae": base.vae("small")})
    message = r"vae.encoder_blocks=\[0, 0, 0\], but the encoder of .* has \[2, 2, 2, 2\]"
    with pytest.raises(ValueError, match=message):
        vae.read_statistics(settings, tmp_path)


def test_the_divergence_is_zero_for_a_unit_normal_and_positive_otherwise():
    zero = jnp.zeros((2, 3))
    assert vae.kl_divergence(zero, zero) == 0.0
    assert vae.kl_divergence(zero + 0.1, zero) > 0
    assert vae.kl_divergence(zero, zero - 0.1) > 0


def test_statistics_normalise_the_latents(params):
    dataset = [{"video": clips(4, seed)} for seed in range(3)]
    statistics = vae.latent_statistics(MODEL, params, dataset, num_batches=3)
    video = codec.from_bytes(np.concatenate([batch["video"] for batch in dataset]))
    encode = jax.jit(functools.partial(MODEL.apply, method="encode"))
    latents = encode({"params": params}, video)[0]
    normalised = (latents - np.array(statistics["mean"])) / np.array(statistics["std"])
    np.testing.assert_allclose(normalised.mean((0, 1, 2, 3)), 0.0, atol=1e-3)
    np.testing.assert_allclose(normalised.std((0, 1, 2, 3)), 1.0, atol=1e-3)


def test_a_dead_channel_is_named():
    class Dead:
        def apply(self, variables, video, method):
            latents = video.mean((2, 3), keepdims=True)
            return latents.at[..., 1].set(3.0), None

    with pytest.raises(ValueError, match="latent channels \\[1\\] are constant"):
        vae.latent_statistics(Dead(), {}, [{"video": clips(2)}], num_batches=1)
