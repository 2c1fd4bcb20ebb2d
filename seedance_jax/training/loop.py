"""One training loop for every stage.

The host never waits for the step that runs: it dispatches step n, puts the batch of step n+1 on the
devices, and then waits for step n-1, so that there is always one step in the queue and never more.
"""

import dataclasses
import functools
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from seedance_jax import sharding
from seedance_jax.training import checkpoint, cluster, run_directory
from seedance_jax.training.accumulation import accumulated


@dataclasses.dataclass(frozen=True)
class Stage:
    """All that distinguishes one training stage from another.

    Attributes:
      init: key -> params, boxed with logical axis names.
      loss_fn: (params, batch, key, frozen) -> (loss, metrics of scalars). The metric "weight"
        says what a part of a batch counts (see `accumulated`) and is not logged.
      batches: start_step -> iterator over this host's batches from that step on.
      optimizer: of `params`.
      frozen: weight trees that are used and never updated; the loop adds "ema" and "step".
      identity: what the run depends on beyond its config (JSON); resumed, it must be the same.
      inherit: the top-level parts of `params` that another run's weights may start; () for all.
      finish: params (the EMA at the end of training) -> metadata that later stages need (JSON).
      generator_params: (params, frozen) -> the weights of the generator that `params` make, so that
        a suite can judge it during training; None for a stage that trains no generator.
    """

    init: Callable
    loss_fn: Callable
    batches: Callable[[int], Iterator]
    optimizer: optax.GradientTransformation
    frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inherit: tuple[str, ...] = ()
    finish: Callable[[Any], dict] = lambda params: {}
    generator_params: Callable[[Any, Mapping], Any] | None = None


@flax.struct.dataclass
class TrainState:
    """Everything a step changes. `skipped` counts updates lost to non-finite values, `streak` in a
    row."""

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any
    skipped: jax.Array
    streak: jax.Array


def train(
    stage,
    workdir,
    hooks=(),
    *,
    num_steps,
    seed,
    mesh,
    ema_decay,
    save,
    init_from="",
    accumulate=1,
):
    """Trains from where `workdir` left off, or else from the EMA of `init_from`, or from scratch.

    Args:
      stage: a Stage.
      workdir: run directory; its checkpoints decide where to start.
      hooks: called as hook(step, state, metrics) when a step is dispatched. The metrics are still
        being computed: a hook that fetches them waits, unless it does so at its next call.
      save: a `checkpoint.Saver`; saves when due, at the end and when the process is told to stop.
      accumulate: see `make_step`.

    Returns:
      The last TrainState; its step is below num_steps if the process was told to stop.
    """
    run_directory.check_identity(workdir, dict(stage.identity))
    if init_from and run_directory.latest_step(workdir) is None:
        run_directory.check_parts(init_from, stage.identity)
    with jax.set_mesh(mesh):
        state, layout = init_state(stage, jax.random.key(seed), mesh)
        state = checkpoint.restore(state, workdir, init_from=init_from, inherit=stage.inherit)
        start = int(state.step)
        if start >= num_steps:
            return state
        batches = stage.batches(start)
        save.resume(batches, start)
        step_fn = make_step(stage, layout, seed=seed, ema_decay=ema_decay, accumulate=accumulate)
        frozen = sharding.put_whole(dict(stage.frozen), mesh)
        batch, before, idle = sharding.put_batch(next(batches), mesh), None, False
        with StopSignal() as stopping:
            for step in range(start + 1, num_steps + 1):
                with jax.transfer_guard("disallow"):
                    state, metrics = step_fn(state, batch, frozen)
                    for hook in hooks:  # evaluate, log: each knows its own period
                        hook(step, state, {**metrics, "idle": float(idle)})
                stop = stopping() or save.preempted(step)
                save(step, state, batches, force=stop or step == num_steps)
                if stop or step == num_steps:
                    break
                batch = sharding.put_batch(next(batches), mesh)
                idle = metrics["loss"].is_ready()  # the devices had to wait for this batch
                jax.block_until_ready(before)
                before = metrics
        batches.close()
    return state


class StopSignal:
    """Context in which SIGTERM and the first Ctrl-C ask for a stop instead of killing.

    In one of several processes the runtime takes SIGTERM, tells the others, and lets them agree on
    a step (`checkpoint.Saver.preempted`); Ctrl-C is passed on to it.
    """

    def __init__(self):
        self.received = False

    def __enter__(self):
        def receive(number, frame):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if cluster.joined():
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                self.received = True

        numbers = (signal.SIGINT,) if cluster.joined() else (signal.SIGTERM, signal.SIGINT)
        try:
            self.old = {number: signal.signal(number, receive) for number in numbers}
        except ValueError:  # not the main thread, where no handler can be set
            self.old = {}
        return lambda: self.received

    def __exit__(self, *unused):
        for number, handler in self.old.items():
            signal.signal(number, handler)


def make_init(stage):
    """key -> the first TrainState, boxed with logical axis names."""

    def init(key):
        params = stage.init(key)
        ema = jax.tree.map(jnp.copy, params)
        zero = jnp.int32(0)
        return TrainState(zero, params, ema, stage.optimizer.init(params), zero, zero)

    return init


def init_state(stage, key, mesh):
    """Creates the state already sharded, so no device ever holds all of it.

    Returns the state and its layout (a tree of shardings).
    """
    init = make_init(stage)
    layout = sharding.layout(jax.eval_shape(init, key), mesh)
    create = jax.jit(lambda key: nn.unbox(init(key)), out_shardings=layout)
    return create(key), layout


def abstract_state(stage, mesh):
    """The state and its layout as of `init_state`, in shapes: nothing is allocated."""
    boxed = jax.eval_shape(make_init(stage), jax.random.key(0))
    layout = sharding.layout(boxed, mesh)
    return sharding.place_shapes(nn.unbox(boxed), layout), layout


def make_step(stage, layout, *, seed, ema_decay, accumulate=1):
    """Builds the jitted (state, batch, frozen) -> (state, metrics).

    accumulate: into how many parts a batch is cut, to fit the memory; see `accumulated`.
    """

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=(layout, None))
    def step_fn(state, batch, frozen):
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        grad_fn = jax.value_and_grad(stage.loss_fn, has_aux=True)
        grad_fn = accumulated(grad_fn, accumulate, layout.params)
        extras = {**frozen, "ema": state.ema, "step": state.step}
        (loss, metrics), grads = grad_fn(state.params, batch, key, extras)
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updated = apply_update(stage.optimizer, state, grads, ema_decay)
        kept = state.replace(skipped=state.skipped + 1, streak=state.streak + 1)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, kept)
        state = state.replace(step=kept.step + 1)
        metrics = {"loss": loss, "grad_norm": grad_norm, **metrics}
        metrics.pop("weight", None)
        return state, {**metrics, "skipped": state.skipped, "streak": state.streak}

    return step_fn


def apply_update(optimizer, state, grads, ema_decay):
    """One optimizer step and its average; clears the streak of skipped steps."""
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # Early on the average must forget the random init it started from.
    done = state.step - state.skipped
    decay = jnp.minimum(ema_decay, (1 + done) / (10 + done))
    # In this form the average of a weight that never changes is that weight, to the last bit.
    ema = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.ema, params)
    return state.replace(params=params, ema=ema, opt_state=opt_state, streak=jnp.int32(0))
