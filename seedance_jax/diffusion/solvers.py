"""Solvers of dx/dt = velocity(x, t) from noise (t = 1) to data (t = 0); for jit, scan and grad.

The grid `times` decreases along its first axis: [steps + 1], the same for all latent frames, or
[steps + 1, T], a schedule for each latent frame of x [B, T, H, W, C]; `velocity_fn(x, t)` gets t []
or [T] accordingly. A frame whose time does not change in a step does not change either.

A solver is a pair of functions; callers run its steps one by one or under `jax.lax.scan`:

    prepare(times) -> coefficients, a tree of arrays [steps, ...], numpy of numpy
    step(velocity_fn, (x, memory), coefficients of the step) -> (x, memory)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.diffusion.flow import expand_frames


class Solver(NamedTuple):
    """See the module's docstring; evaluations: calls of velocity_fn per step."""

    prepare: Callable
    step: Callable
    evaluations: int


def start(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The state before the first step: x, and the memory of a multistep solver."""
    return x, jnp.zeros_like(x)


def intervals(times: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(t, next t) of every step."""
    return times[:-1], times[1:]


def euler(velocity_fn: Callable, state: tuple, interval: tuple) -> tuple[jax.Array, jax.Array]:
    """A step of first order with one evaluation."""
    (x, memory), (t, following) = state, interval
    return x + expand_frames(following - t, x) * velocity_fn(x, t), memory


def heun(velocity_fn: Callable, state: tuple, interval: tuple) -> tuple[jax.Array, jax.Array]:
    """A step of second order (explicit trapezoid) with two evaluations."""
    (x, memory), (t, following) = state, interval
    dt = expand_frames(following - t, x)
    first = velocity_fn(x, t)
    second = velocity_fn(x + dt * first, following)
    return x + dt * (first + second) / 2, memory


def multistep_coefficients(times: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(t, next t, weight of the last change of the velocity) of every step.

    The velocity is extrapolated from the step before: weight = dt / (2 previous dt). The first step
    and the last step of a frame have weight 0: near the data the velocity itself points to x0
    better than its extrapolation. Two steps of error dt^2 keep the order at two.
    """
    own = np if isinstance(times, np.ndarray) else jnp
    t, following = intervals(times)
    steps = following - t
    before = own.concatenate([own.zeros_like(steps[:1]), steps[:-1]])
    weight = steps / own.where(before < 0, 2 * before, np.float32("inf"))
    return t, following, own.where(following > times[-1], weight, np.float32(0))


def multistep(
    velocity_fn: Callable, state: tuple, coefficients: tuple
) -> tuple[jax.Array, jax.Array]:
    """A step of second order with one evaluation; its memory is the last velocity.

    The two-step Adams-Bashforth method. Multistep solvers in log((1 - t) / t) (DPM-Solver++(2M) of
    arXiv:2211.01095) lose order on this path, where that variable is infinite at both ends.
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
