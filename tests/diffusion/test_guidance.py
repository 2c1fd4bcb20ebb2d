import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion.guidance import classifier_free

X, T = jnp.arange(6.0).reshape(2, 3), 0.5
POSITIVE = {"a": jnp.array([[1.0], [2.0]]), "b": jnp.ones((2, 3))}
NEGATIVE = {"a": jnp.array([[-1.0], [5.0]]), "b": jnp.zeros((2, 3))}


def velocity(x, t, condition):
    return t * x * condition["a"] + condition["b"]


def guided(scale):
    return classifier_free(velocity, POSITIVE, NEGATIVE, scale)(X, T)


def test_scale_1_is_the_positive_prediction_at_half_the_cost():
    sizes = []

    def counting(x, t, condition):
        sizes.append(len(x))
        return velocity(x, t, condition)

    result = classifier_free(counting, POSITIVE, NEGATIVE, 1.0)(X, T)
    np.testing.assert_array_equal(result, velocity(X, T, POSITIVE))
    assert sizes == [len(X)]


def test_scale_0_is_the_negative_prediction():
    np.testing.assert_array_equal(guided(0.0), velocity(X, T, NEGATIVE))


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_other_scales_lie_on_the_line_through_both(scale):
    positive, negative = velocity(X, T, POSITIVE), velocity(X, T, NEGATIVE)
    expected = negative + scale * (positive - negative)
    np.testing.assert_allclose(guided(scale), expected, rtol=1e-6)


def test_equal_conditions_leave_nothing_to_guide():
    same = classifier_free(velocity, POSITIVE, POSITIVE, 7.0)(X, T)
    np.testing.assert_allclose(same, velocity(X, T, POSITIVE), rtol=1e-6)
