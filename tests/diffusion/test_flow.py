import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.diffusion import flow

SHAPE = (3, 2, 4, 4, 5)


def draw(seed):
    return jax.random.normal(jax.random.key(seed), SHAPE)


def test_the_path_runs_from_data_to_noise():
    x0, noise = draw(0), draw(1)
    np.testing.assert_array_equal(flow.interpolate(x0, noise, jnp.zeros(3)), x0)
    np.testing.assert_array_equal(flow.interpolate(x0, noise, jnp.ones(3)), noise)


def test_the_true_velocity_is_the_derivative_of_the_path():
    x0, noise, t = draw(0), draw(1), jnp.array([0.1, 0.5, 0.9])
    velocity = flow.velocity_target(x0, noise)
    path = lambda t: flow.interpolate(x0, noise, t)  # noqa: E731
    np.testing.assert_allclose(jax.jvp(path, (t,), (jnp.ones(3),))[1], velocity, atol=1e-6)


def test_given_frames_do_not_count():
    error, given = draw(0), jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    kept = np.asarray(error)[np.asarray(given) == 0]
    np.testing.assert_allclose(flow.masked_mean_square(error, given), (kept**2).mean(), rtol=1e-5)
    garbage = jnp.where(flow.expand(given, error) > 0, 1e3, error)
    assert flow.masked_mean_square(garbage, given) == flow.masked_mean_square(error, given)
    assert flow.masked_mean_square(error, jnp.ones((3, 2))) == 0.0
    single = jnp.full((1, 2, 1, 1, 1), 3.0)
    assert flow.masked_mean_square(single, jnp.array([[1.0, 0.0]])) == 9.0


def test_every_frame_may_have_its_own_time():
    x0, noise, t = draw(0), draw(1), jnp.array([[0.0, 1.0], [0.2, 0.2], [0.5, 0.9]])
    xt = flow.interpolate(x0, noise, t)
    np.testing.assert_array_equal(xt[0, 0], x0[0, 0])
    np.testing.assert_array_equal(xt[0, 1], noise[0, 1])
    np.testing.assert_array_equal(xt[1], flow.interpolate(x0, noise, t[:, 0])[1])
