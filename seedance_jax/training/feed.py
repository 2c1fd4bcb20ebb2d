"""What each training step works with: its batch, its random key, and what is frozen."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from seedance_jax import sharding
from seedance_jax.training.progress import Progress

NO_STEP = 2**32 - 1  # no run comes to it


class Feed:
    """What the steps train on: batches of the data, or what rollouts make of them.

    `batches` is the iterator over the data. Where it is depends on the step alone: after step n,
    ceil(n / rollout_every) batches are consumed.
    """

    def __init__(self, stage, settings, frozen: Mapping, start: int, progress=None):
        """stage, settings, progress: of `loop.train`; start: how many steps are done."""
        self.progress = progress or Progress()
        self._mesh, self._frozen = settings.mesh, frozen
        self._rollout, self._every = stage.rollout, stage.rollout_every
        self.batches = stage.batches(-(-start // self._every))
        self.batch, self._start = None, start
        self._key = jax.jit(functools.partial(rollout_key, settings.seed))

    def start(self, state: Any, rolled: Mapping | None) -> None:
        """Makes the first batch; between two rollouts it is `rolled`, from the checkpoint.

        Raises ValueError if there is none.
        """
        if self._start % self._every == 0:
            self._make(state)
        elif rolled is None:
            raise ValueError(
                f"the checkpoint of step {self._start} has no rolled-out batch, but with "
                f"rollout_every={self._every} the steps after it train on one"
            )
        else:
            self.batch = rolled

    def rolled(self, step: int) -> Mapping | None:
        """What a checkpoint of `step` must hold for the steps after it: a rolled-out batch."""
        return self.batch if step % self._every else None

    def advance(self, step: int, state: Any, loss: jax.Array) -> bool:
        """Makes the batch after `step`; whether the devices had to wait for the data."""
        return step % self._every == 0 and self._make(state, loss)

    def _make(self, state, loss=None):
        with self.progress.waiting():
            batch = next(self.batches)
        batch = sharding.put_batch(batch, self._mesh)
        idle = loss is not None and loss.is_ready()
        if self._rollout is not None:
            key, given = self._key(state.step), with_state(self._frozen, state)
            batch = sharding.put_batch(self._rollout(state, batch, key, given), self._mesh)
        self.batch = batch
        return idle


def step_key(key: jax.Array, step: jax.Array | int) -> jax.Array:
    """The random key of a step."""
    return jax.random.fold_in(key, step)


def rollout_key(seed: int, step: jax.Array | int) -> jax.Array:
    """The random key of the rollout after a step: that of no step."""
    return step_key(step_key(jax.random.key(seed), NO_STEP), step)


def with_state(frozen: Mapping, state: Any) -> dict:
    """`frozen` as a loss or rollout takes it: with the EMA, the slow copies and the step."""
    return {**frozen, **state.slow, "ema": state.ema, "step": state.step}
