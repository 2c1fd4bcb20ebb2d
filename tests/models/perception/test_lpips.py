import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_lpips

from seedance_jax.models.perception.lpips import LPIPS, from_torch, to_unit
from seedance_jax.models.public.torch_file import open_tensors


@pytest.fixture(scope="module")
def vgg():
    return make_lpips.vgg_weights()


@pytest.fixture(scope="module")
def params(vgg):
    """A random trunk, and the published heads."""
    return from_torch(vgg, open_tensors(make_lpips.HEADS))


@pytest.fixture(scope="module")
def distance(params):
    run = jax.jit(lambda params, x, y: LPIPS().apply({"params": params}, x, y))
    return lambda x, y: np.asarray(run(params, x, y))


@pytest.mark.parametrize("size", make_lpips.SIZES)
def test_distances_are_those_of_the_lpips_package(distance, size):
    expected = json.loads(make_lpips.DISTANCES.read_text())[f"{size[0]}x{size[1]}"]
    actual = distance(*make_lpips.image_pairs(*size))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_distances_and_gradients_are_those_of_the_installed_package(params):
    pytest.importorskip("lpips")
    pytest.importorskip("torchvision")
    x, y = make_lpips.image_pairs(33, 64)
    distances, gradients = make_lpips.torch_distances(make_lpips.torch_model(), x, y)
    run = jax.jit(lambda params, x: jax.vjp(lambda x: LPIPS().apply({"params": params}, x, y), x))
    actual, pullback = run(params, x)
    np.testing.assert_allclose(actual, distances, rtol=1e-4)
    (actual,) = pullback(jnp.ones(len(x)))
    for own, expected in zip(actual, gradients, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-3 * np.abs(expected).max())


def test_the_tree_is_the_one_that_init_makes(params):
    image = jnp.zeros((1, 16, 16, 3))
    initial = jax.eval_shape(LPIPS().init, jax.random.key(0), image, image)["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, initial)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_equal_images_are_at_zero_and_the_order_does_not_matter(distance):
    x, y = make_lpips.image_pairs(16, 16)
    np.testing.assert_array_equal(distance(x, x), np.zeros(3))
    np.testing.assert_allclose(distance(x, y), distance(y, x), rtol=1e-5)
    assert (np.diff(distance(x, y)) > 0).all()


def test_pairs_of_a_batch_do_not_mix(distance):
    x, y = make_lpips.image_pairs(16, 16)
    np.testing.assert_allclose(distance(x, y)[::-1], distance(x[::-1], y[::-1]), rtol=1e-5)


def test_a_zero_vector_has_a_gradient():
    """After a ReLU whole vectors can be zero, which have no direction."""
    features = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(to_unit(features), [[0.0, 0.0], [0.6, 0.8]], rtol=1e-6)
    gradient = jax.grad(lambda f: to_unit(f)[:, 0].sum())(features)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[1], [0.128, -0.096], rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 15, 64, 3), (1, 64, 8, 3), (1, 16, 16, 4)])
def test_images_of_a_wrong_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be two equal \[B, H, W, 3\], sides from 16 pixels"):
        jax.eval_shape(LPIPS().init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(shape))


def test_the_classifier_of_torchvision_is_left_alone(vgg, params):
    heads = open_tensors(make_lpips.HEADS)
    again = from_torch(vgg | {"classifier.0.weight": np.zeros((2, 2))}, heads)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_weights_that_do_not_fit_are_reported_all_at_once(vgg):
    heads = dict(open_tensors(make_lpips.HEADS))
    wrong = vgg | {"features.0.weight": np.zeros((64, 4, 3, 3)), "extra": np.zeros(1)}
    del wrong["features.28.bias"]
    report = (
        r"VGG16: 24 of 26 tensors match; 1 missing: features.28.bias; 1 unexpected: extra; "
        r"1 wrong shape: features.0.weight \(64, 4, 3, 3\) instead of \(64, 3, 3, 3\)"
    )
    with pytest.raises(ValueError, match=report):
        from_torch(wrong, heads)
    del heads["lin3.model.1.weight"]
    with pytest.raises(ValueError, match="LPIPS heads: 4 of 5 tensors match; 1 missing: lin3"):
        from_torch(vgg, heads)
