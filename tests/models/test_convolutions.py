import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import convolutions


def normal(*shapes):
    return (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes))


@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_sum_over_taps_is_one_3d_convolution(kernel, stride):
    x, weights = normal((2, 7, 6, 5, 3), (*kernel, 3, 4))
    native, taps = (
        f(x, weights, stride) for f in (convolutions.native_conv3d, convolutions.taps_conv3d)
    )
    np.testing.assert_allclose(native, taps, atol=1e-5)


@pytest.mark.parametrize("taps", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_kernel_without_extent_in_space_is_one_product(taps, stride):
    x, weights = normal((2, 6, 3, 4, 5), (taps, 1, 1, 5, 2))
    native = convolutions.native_conv3d(x, weights, stride)
    np.testing.assert_allclose(convolutions.product_conv3d(x, weights, stride), native, atol=1e-5)


@pytest.mark.parametrize("frames", range(1, 10))
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_minimal_filtering_is_the_convolution_for_any_number_of_frames(frames, zeros):
    x, weights = normal((2, frames + 2, 3, 4, 5), (3, 3, 1, 5, 2))
    x = x.at[:, :zeros].set(0.0)
    native = convolutions.native_conv3d(x, weights, 1)
    np.testing.assert_allclose(convolutions.winograd_conv3d(x, weights, zeros), native, atol=2e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_minimal_filters_are_exact_and_have_the_fewest_products(size):
    of_inputs, of_taps, of_products = convolutions.minimal_filter(size)
    rng = np.random.default_rng(0)
    x, taps = rng.normal(size=size + 2), rng.normal(size=3)
    y = of_products @ ((of_inputs @ x) * (of_taps @ taps))
    assert of_products.shape == (size, size + 2)
    np.testing.assert_allclose(y, np.correlate(x, taps, "valid"), rtol=1e-12)


def test_rounding_errors_of_minimal_filtering_are_those_of_a_few_sums():
    x, weights = normal((1, 6, 8, 8, 64), (3, 3, 3, 64, 64))
    with jax.enable_x64(True):
        exact = convolutions.native_conv3d(*(np.asarray(a, np.float64) for a in (x, weights)), 1)
        exact = np.asarray(exact)
    errors = [
        np.std(np.asarray(y) - exact)
        for y in (convolutions.taps_conv3d(x, weights, 1), convolutions.winograd_conv3d(x, weights))
    ]
    assert exact.dtype == np.float64
    assert errors[1] < 4 * errors[0]
    assert errors[1] < 2e-6 * np.std(exact)


def test_upsampling_is_the_convolution_of_repeated_pixels():
    x, weights = normal((2, 2, 3, 4, 5), (3, 3, 5, 6))
    wanted = convolutions.repeated_conv2d(x, weights)
    assert wanted.shape == (2, 2, 6, 8, 6)
    np.testing.assert_allclose(convolutions.phases_conv2d(x, weights), wanted, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1, 3])
def test_what_this_platform_runs_has_the_gradients_of_what_others_run(dtype, size):
    x, weights = normal((1, 5, 4, 4, 3), (3, size, size, 3, 2))

    def gradients(run):
        def loss(*arrays):
            return jnp.sin(run(*arrays).astype(jnp.float32)).sum()

        return jax.grad(loss, (0, 1))(x.astype(dtype), weights.astype(dtype))

    def compare(run, other):
        for pair in zip(gradients(run), gradients(other), strict=True):
            atol = 1e-4 if dtype == "float32" else 0.5
            np.testing.assert_allclose(*(np.asarray(a, np.float32) for a in pair), atol=atol)

    before = lambda x: jnp.pad(x, ((0, 0), (2, 0), (0, 0), (0, 0), (0, 0)))  # noqa: E731
    compare(
        lambda x, k: convolutions.conv3d(before(x), k, zeros=2),
        lambda x, k: convolutions.native_conv3d(before(x), k, 1),
    )
    if size == 3:
        compare(
            lambda x, k: convolutions.upsampled_conv2d(x, k[0]),
            lambda x, k: convolutions.repeated_conv2d(x, k[0]),
        )
