"""Solvers of dx/dt = velocity(x, t) along a decreasing time grid; usable under jit, scan and grad.

A solver is `solve(velocity_fn, x, times) -> x` with `velocity_fn(x, t)` taking a scalar t.
"""

import jax


def euler(velocity_fn, x, times):
    """First order, one evaluation a step."""

    def step(x, interval):
        t, following = interval
        return x + (following - t) * velocity_fn(x, t), None

    return jax.lax.scan(step, x, (times[:-1], times[1:]))[0]


def heun(velocity_fn, x, times):
    """Second order (explicit trapezoid), two evaluations a step."""

    def step(x, interval):
        t, following = interval
        first = velocity_fn(x, t)
        second = velocity_fn(x + (following - t) * first, following)
        return x + (following - t) * (first + second) / 2, None

    return jax.lax.scan(step, x, (times[:-1], times[1:]))[0]


SOLVERS = {"euler": euler, "heun": heun}
