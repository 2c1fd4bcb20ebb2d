import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion.solvers import SOLVERS

ORDERS = {"euler": 1, "heun": 2}


def velocity(x, t):
    """Its solution is x(t) = c exp(sin t)."""
    return jnp.cos(t) * x


def test_every_solver_has_a_known_order():
    assert ORDERS.keys() == SOLVERS.keys()


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_halving_the_steps_divides_the_error_by_the_power_of_the_order(name):
    start = jnp.array([1.0, -2.0])
    exact = np.asarray(start) * np.exp(-np.sin(1.0))

    def error(steps):
        return np.abs(SOLVERS[name](velocity, start, jnp.linspace(1.0, 0.0, steps + 1)) - exact)

    order = np.log2(error(8) / error(16))
    np.testing.assert_allclose(order, ORDERS[name], atol=0.25)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_one_step_solves_a_straight_path(name):
    noise, data = jnp.array([1.0, 2.0]), jnp.array([-0.5, 3.0])
    solved = SOLVERS[name](lambda x, t: noise - data, noise, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(solved, data, atol=1e-6)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_gradients_pass_through_a_compiled_solver(name):
    solve = lambda x: SOLVERS[name](velocity, x, jnp.linspace(1.0, 0.0, 9)).sum()  # noqa: E731
    start = jnp.array([1.0, -2.0])
    gradient = jax.jit(jax.grad(solve))(start)
    np.testing.assert_allclose(gradient, solve(start) / start.sum(), rtol=1e-4)
