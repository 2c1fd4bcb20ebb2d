import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import discriminator
from seedance_jax.models.discriminator import Discriminator
from seedance_jax.models.perception import gradients


@pytest.mark.parametrize("shape", [(48, 64), (300, 16), (16, 1)])
def test_the_power_method_finds_the_largest_singular_value(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    exact = np.linalg.svd(matrix, compute_uv=False)[0]
    assert discriminator.spectral_norm(matrix) == pytest.approx(exact, rel=0.05)
    assert discriminator.spectral_norm(matrix) <= exact * (1 + 1e-5)


def test_the_gradient_of_the_spectral_norm_is_the_outer_product():
    matrix = jnp.diag(jnp.array([3.0, 1.0, 0.5]))
    grad = jax.grad(discriminator.spectral_norm)(matrix)
    np.testing.assert_allclose(grad, np.diag([1.0, 0.0, 0.0]), atol=1e-3)


@pytest.fixture(scope="module")
def trained(random_params):
    model = Discriminator(widths=(8, 16))
    video = jnp.zeros((1, 5, 16, 16, 3))
    return model, random_params(model.init, video, jnp.zeros((1, 2), int))["params"]


def test_every_parameter_has_a_name_that_was_given_to_it(trained):
    """Checkpoints know them by it."""
    layers = {"conv0", "conv1", "out"}
    names = {part: set(own) for part, own in trained[1].items()}
    assert names == {"frames": layers, "clips": layers}


def clips(batch, frames, seed=0):
    return jax.random.uniform(jax.random.key(seed), (batch, frames, 16, 16, 3), minval=-1.0)


def test_images_have_the_scores_of_frames_and_clips_their_own_too(trained):
    model, params = trained
    chosen = jnp.zeros((2, 1), int)
    (scores,) = model.apply({"params": params}, clips(2, 1), chosen)
    assert scores.shape[0] == 2
    frames, whole = model.apply({"params": params}, clips(2, 5), jnp.array([[0, 4], [1, 1]]))
    # Every layer halves space, and of clips all but the first time; the last one takes a pixel.
    assert frames.shape == (2, 2, 3, 3)
    assert whole.shape == (2, 3, 3, 3)


def test_frames_are_judged_alone_and_clips_by_their_order(trained):
    model, params = trained
    video = clips(1, 5)
    turned = video[:, ::-1]
    frames, whole = model.apply({"params": params}, video, jnp.array([[1]]))
    same, other = model.apply({"params": params}, turned, jnp.array([[3]]))
    np.testing.assert_allclose(frames, same, atol=1e-6)
    assert np.abs(whole - other).max() > 1e-3


def test_a_discriminator_is_no_steeper_than_its_layers_allow(trained):
    """Lipschitz: every convolution has norm about 1 per patch, whatever its weights."""
    model, params = trained
    loud = jax.tree.map(lambda leaf: 100.0 * leaf if leaf.ndim > 1 else leaf, params)
    video, chosen = clips(1, 5), jnp.array([[0, 1]])
    quiet = model.apply({"params": params}, video, chosen)
    louder = model.apply({"params": loud}, video, chosen)
    for a, b in zip(quiet, louder, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_negative_values_pass_at_a_fifth():
    model, x = discriminator.PatchDiscriminator((4,), 1), clips(2, 1) + 1.0
    params = jax.tree.map(jnp.abs, nn.unbox(model.init(jax.random.key(0), x)))  # no bias
    scores = model.apply(params, x)
    assert (scores > 0).all()
    np.testing.assert_allclose(model.apply(params, -x), -0.2 * scores, rtol=1e-5)


def test_hinge_losses():
    real, fake = (jnp.array([2.0, 0.0]),), (jnp.array([-3.0, 1.0]),)
    assert discriminator.hinge_discriminator(real, fake) == pytest.approx(0.5 * (0.5 + 1.0))
    assert discriminator.hinge_generator(fake) == pytest.approx(1.0)
    # Scores of frames and of clips count the same, however many there are of either.
    real, fake = (*real, jnp.zeros((3, 2))), (*fake, jnp.full((3, 2), 2.0))
    assert discriminator.hinge_discriminator(real, fake) == pytest.approx(
        (0.75 + 0.5 * (1.0 + 3.0)) / 2
    )
    assert discriminator.hinge_generator(fake) == pytest.approx((1.0 - 2.0) / 2)


def test_the_stand_in_sees_edges_and_not_brightness():
    frame = clips(1, 1)[:, 0]
    assert gradients.gradient_distance(frame, frame + 0.3)[0] < 1e-6
    blurred = (frame + jnp.roll(frame, 1, 1) + jnp.roll(frame, 1, 2)) / 3
    assert gradients.gradient_distance(frame, blurred)[0] > 0.1
    mirrored = frame[:, ::-1]
    a, b = gradients.gradient_distance(
        jnp.concatenate([frame, frame]), jnp.concatenate([mirrored, frame])
    )
    assert a > 0.1
    assert b == 0.0
