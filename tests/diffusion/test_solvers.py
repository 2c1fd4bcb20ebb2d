import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion import solvers, times
from seedance_jax.diffusion.solvers import SOLVERS

ORDERS = {"euler": 1, "heun": 2, "multistep": 2}
NAMES = sorted(SOLVERS)


def velocity(x, t):
    """Its solution is x(t) = c exp(sin t)."""
    return jnp.cos(t) * x


def solve(name, velocity_fn, x, grid):
    """x at the end of the grid from x at its start, under scan."""
    solver = SOLVERS[name]
    step = lambda state, now: (solver.step(velocity_fn, state, now), None)  # noqa: E731
    return jax.lax.scan(step, solvers.start(x), solver.prepare(grid))[0][0]


def test_every_solver_has_a_known_order():
    assert ORDERS.keys() == SOLVERS.keys()


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("name", NAMES)
def test_halving_the_steps_divides_the_error_by_the_power_of_the_order(name, shift):
    start = jnp.array([1.0, -2.0])
    exact = np.asarray(start) * np.exp(-np.sin(1.0))

    def error(steps):
        grid = times.sampling_grid(steps, shift)
        return np.abs(solve(name, velocity, start, grid) - exact)

    order = np.log2(error(32) / error(64))
    np.testing.assert_allclose(order, ORDERS[name], atol=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_one_step_solves_a_straight_path(name):
    noise, data = jnp.array([1.0, 2.0]), jnp.array([-0.5, 3.0])
    solved = solve(name, lambda x, t: noise - data, noise, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(solved, data, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_pass_through_a_compiled_solver(name):
    run = lambda x: solve(name, velocity, x, jnp.linspace(1.0, 0.0, 9)).sum()  # noqa: E731
    start = jnp.array([1.0, -2.0])
    gradient = jax.jit(jax.grad(run))(start)
    np.testing.assert_allclose(gradient, run(start) / start.sum(), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_steps_taken_one_by_one_are_the_scan(name):
    grid, x = jnp.linspace(1.0, 0.0, 5), jnp.array([1.0, -2.0])
    solver, state = SOLVERS[name], solvers.start(x)
    coefficients = solver.prepare(grid)
    for i in range(4):
        step = jax.tree.map(operator.itemgetter(i), coefficients)
        state = solver.step(velocity, state, step)
    np.testing.assert_allclose(state[0], solve(name, velocity, x, grid), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_may_have_its_own_schedule(name):
    """One as usual, one that starts later, one that is done from the start."""
    usual = times.sampling_grid(8, 2.0)
    late = jnp.concatenate([jnp.ones(4), jnp.linspace(1.0, 0.0, 5)])
    x = jax.random.normal(jax.random.key(0), (2, 3, 2, 2, 4))
    framewise = lambda x, t: velocity(x, t[None, :, None, None, None] if t.ndim else t)  # noqa: E731
    grid = jnp.stack([usual, late, jnp.zeros(9)], axis=1)
    solved = jax.jit(lambda x: solve(name, framewise, x, grid))(x)
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(solved[:, 0], solve(name, velocity, x[:, 0], usual), **close)
    np.testing.assert_allclose(solved[:, 1], solve(name, velocity, x[:, 1], late[4:]), **close)
    np.testing.assert_array_equal(solved[:, 2], x[:, 2])
    gradient = jax.grad(lambda x: solve(name, framewise, x, grid).sum())(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_calls_the_network_as_often_as_it_says(name):
    calls = []

    def counting(x, t):
        calls.append(t)
        return velocity(x, t)

    solver, x = SOLVERS[name], jnp.ones(2)
    first = jax.tree.map(lambda array: array[0], solver.prepare(jnp.array([1.0, 0.0])))
    solver.step(counting, solvers.start(x), first)
    assert len(calls) == solver.evaluations


def test_the_first_and_the_last_step_of_the_multistep_solver_have_no_memory():
    """Between them the velocity is extrapolated to the middle of the step."""
    grid = jnp.array([1.0, 0.9, 0.6, 0.2, 0.0])
    both = jnp.stack([grid, jnp.array([1.0, 0.9, 0.6, 0.0, 0.0])], axis=1)  # one is done earlier
    weights = SOLVERS["multistep"].prepare(both)[2]
    np.testing.assert_allclose(weights[:, 0], [0.0, 3 / 2, 4 / 6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(weights[:, 1], [0.0, 3 / 2, 0.0, 0.0], rtol=1e-5)
