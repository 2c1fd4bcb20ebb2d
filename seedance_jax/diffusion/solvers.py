"""Solvers of dx/dt = velocity(x, t) from noise (t = 1) to data (t = 0); for jit, scan and grad.

`solve(name, velocity_fn, x, times) -> x`. The grid `times` falls from [0] to [-1]: [steps + 1], the
same for all latent frames, or [steps + 1, T], a schedule of its own for each latent frame of
x [B, T, H, W, C]; `velocity_fn(x, t)` gets t [] or [T] accordingly. A frame whose time does not
change in a step does not change either.

A solver is two functions, so that a caller may as well take the steps one by one:

    prepare(times) -> coefficients, a tree of arrays [steps, ...]
    step(velocity_fn, (x, memory), coefficients of the step) -> (x, memory)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seedance_jax.diffusion.flow import expand_frames


class Solver(NamedTuple):
    """See the top of the file. `evaluations` counts the calls of velocity_fn in a step."""

    prepare: Callable
    step: Callable
    evaluations: int


def solve(name, velocity_fn, x, times):
    """Solves from times[0] to times[-1] under `jax.lax.scan`."""
    solver = SOLVERS[name]

    def step(state, coefficients):
        return solver.step(velocity_fn, state, coefficients), None

    return jax.lax.scan(step, start(x), solver.prepare(times))[0][0]


def start(x):
    """The state before the first step: x and what a solver remembers of the step before."""
    return x, jnp.zeros_like(x)


def intervals(times):
    """(t, following t) of every step."""
    return times[:-1], times[1:]


def euler(velocity_fn, state, interval):
    """First order, one evaluation a step."""
    (x, memory), (t, following) = state, interval
    return x + expand_frames(following - t, x) * velocity_fn(x, t), memory


def heun(velocity_fn, state, interval):
    """Second order (explicit trapezoid), two evaluations a step."""
    (x, memory), (t, following) = state, interval
    dt = expand_frames(following - t, x)
    first = velocity_fn(x, t)
    second = velocity_fn(x + dt * first, following)
    return x + dt * (first + second) / 2, memory


def multistep_coefficients(times):
    """(t, following t, weight of the last change of the velocity) of every step.

    Extrapolates the velocity through the step before: weight = dt / (2 dt before). The first step,
    and the last one that a frame makes, have weight 0: the last velocity, nearly that of the data,
    points at x0 better than its change does. Two steps of error dt^2 leave the order at two.
    """
    t, following = intervals(times)
    steps = following - t
    before = jnp.concatenate([jnp.zeros_like(steps[:1]), steps[:-1]])
    weight = jnp.where(before < 0, steps / jnp.where(before < 0, 2 * before, 1.0), 0.0)
    return t, following, jnp.where(following > times[-1], weight, 0.0)


def multistep(velocity_fn, state, coefficients):
    """Second order, one evaluation a step; remembers the last velocity.

    The two-step Adams-Bashforth method. The multistep solvers in log((1 - t) / t) (DPM-Solver++(2M)
    of arXiv:2211.01095) lose order on this path, where that variable is infinite at both ends.
    """
    (x, before), (t, following, weight) = state, coefficients
    velocity = velocity_fn(x, t)
    mean = velocity + expand_frames(weight, x) * (velocity - before)
    return (x + expand_frames(following - t, x) * mean, velocity)


SOLVERS = {
    "euler": Solver(intervals, euler, 1),
    "heun": Solver(intervals, heun, 2),
    "multistep": Solver(multistep_coefficients, multistep, 1),
}
