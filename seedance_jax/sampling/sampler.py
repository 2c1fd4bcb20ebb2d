"""What the pipeline compiles: the beginning of sampling, one step of it, and denoising losses."""

import jax
import jax.numpy as jnp

from seedance_jax.diffusion import flow, guidance, solvers, tasks
from seedance_jax.models.dit import Condition


def begin(generator, params, text, negative, frame_shot, latents, mask, seeds, *, names):
    """Noise [B, T, h, w, C] and {name: Condition} of the predictions that guidance combines.

    The noise of a clip depends on its seed and the shape of its latents only.

    Args:
      text, negative: (ids, mask, shot) of the captions, each [B, S].
      frame_shot, mask: [B, T]; the shot of latent frames, and which of `latents` are given.
      names: of `guidance.guidance_weights`.
    """

    def condition(text, mask):
        tokens = generator.apply({"params": params}, *text, method="encode_text")
        return Condition(*tokens, frame_shot, latents, mask)

    make = {
        "positive": lambda: condition(text, mask),
        "negative": lambda: condition(negative, mask),
        "unconditional": lambda: condition(negative, jnp.zeros_like(mask)),
    }
    shape = latents.shape[1:]
    noise = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), shape))(seeds)
    return noise, {name: make[name]() for name in names}


def step(generator, params, *, state, now, start, solver, rescale, interval):
    """One step of a solver: the next state.

    Given frames move on the straight path from their noise to themselves. The network sees them as
    in training: clean where the condition gives them, and on that path where it does not.

    Args:
      state, now: of the solver, and its coefficients of this step.
      start: (noise, conditions, weights), see `begin` and `guidance.guided`.
      solver, rescale, interval: see `solvers.SOLVERS` and `guidance.guided`.
    """
    noise, conditions, weights = start
    positive = conditions["positive"]
    given = positive.mask[:, :, None, None, None] > 0

    def predict(x, t, condition):
        x, t = tasks.show_given(x, t, condition.latents, condition.mask)
        return generator.apply({"params": params}, x, t, condition, method="velocity")

    guide = guidance.guided(predict, conditions, weights, rescale, interval)

    def velocity(x, t):
        return jnp.where(given, noise - positive.latents, guide(x, t))

    return solvers.SOLVERS[solver].step(velocity, state, now)


def denoising_loss(generator, params, x0, text, frame_shot, t, seeds):
    """Mean squared velocity error [B] at time t of latents x0 [B, T, h, w, C], all of them noised.

    The noise of a clip depends on its seed and the shape of its latents only, as in `begin`.
    """
    noise = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), x0.shape[1:]))(seeds)
    frames = (frame_shot, jnp.zeros_like(x0), jnp.zeros(frame_shot.shape))
    times = jnp.broadcast_to(t, x0.shape[:1])
    xt = flow.interpolate(x0, noise, times)
    velocity = generator.apply({"params": params}, xt, times, text, frames)
    return ((velocity - flow.velocity_target(x0, noise)) ** 2).mean((1, 2, 3, 4))
