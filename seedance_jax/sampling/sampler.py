"""What the pipeline compiles: the beginning of sampling, one step of it, and denoising losses."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seedance_jax.diffusion import flow, guidance, solvers, tasks
from seedance_jax.models import conditioning
from seedance_jax.models.conditioning import Condition


class StepSettings(NamedTuple):
    """What a step is compiled for: a name of `solvers.SOLVERS`; the others as `guidance.guided`."""

    solver: str
    rescale: float = 0.0
    interval: tuple[float, float] = guidance.ALWAYS


def begin(
    generator: Any,
    params: Any,
    condition: Condition,
    negative: Condition,
    seeds: jax.Array,
    *,
    names: Sequence[str],
) -> tuple[jax.Array, dict[str, Condition]]:
    """Noise [B, T, h, w, C] and {name: Condition} of the predictions that guidance combines.

    The noise of a clip depends on its seed and the shape of its latents only.

    Args:
      condition: of the request, with ids of the captions.
      negative: the same with the negative captions in their places.
      seeds: uint32 [B].
      names: of `guidance.LEFT_OUT`.
    """

    def predicted_from(left_out):
        others = [name for name in left_out if name != "text"]
        chosen = negative if "text" in left_out else condition
        chosen = generator.apply({"params": params}, chosen, method="encode_text")
        return conditioning.leave_out(chosen, others)

    shape = condition.given.shape[1:]
    noise = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), shape))(seeds)
    return noise, {name: predicted_from(guidance.LEFT_OUT[name]) for name in names}


def step(
    generator: Any,
    params: Any,
    *,
    state: tuple,
    now: Any,
    start: tuple,
    settings: StepSettings,
) -> tuple:
    """One step of a solver: the next state.

    Given frames move on the straight path from their noise to themselves. The network sees them as
    in training: clean where the condition gives them, and on that path where it does not.

    Args:
      state, now: of the solver, and its coefficients of this step.
      start: (noise, conditions, weights), see `begin` and `guidance.guided`.
    """
    noise, conditions, weights = start
    positive = conditions["positive"]
    given = positive.given_mask[:, :, None, None, None] > 0

    def predict(x, t, condition):
        x, t = tasks.show_given(x, t, condition.given, condition.given_mask)
        return generator.apply({"params": params}, x, t, condition, method="velocity")

    guide = guidance.guided(predict, conditions, weights, settings.rescale, settings.interval)

    def velocity(x, t):
        return jnp.where(given, noise - positive.given, guide(x, t))

    return solvers.SOLVERS[settings.solver].step(velocity, state, now)


def denoising_loss(
    generator: Any,
    params: Any,
    x0: jax.Array,
    condition: Condition,
    t: jax.Array,
    seeds: jax.Array,
) -> jax.Array:
    """Mean squared velocity error [B] at time t of latents x0 [B, T, h, w, C], all of them noised.

    The noise of a clip depends on its seed and the shape of its latents only, as in `begin`.
    """
    noise = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), x0.shape[1:]))(seeds)
    times = jnp.broadcast_to(t, x0.shape[:1])
    xt = flow.interpolate(x0, noise, times)
    velocity = generator.apply({"params": params}, xt, times, condition)
    return ((velocity - flow.velocity_target(x0, noise)) ** 2).mean((1, 2, 3, 4))
