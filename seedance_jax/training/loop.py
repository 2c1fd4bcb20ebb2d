"""One training loop for every stage.

The host never waits for the step that runs: it dispatches step n, puts the batch of step n+1 on the
devices, and then waits for step n-1, so that there is always one step in the queue and never more.
A rollout that needs the host waits for what it fetches.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from seedance_jax import sharding
from seedance_jax.training import checkpoint, compiling, run_directory, saver, startup
from seedance_jax.training.accumulation import accumulated
from seedance_jax.training.feed import Feed, step_key, with_state
from seedance_jax.training.places import Place
from seedance_jax.training.progress import Progress
from seedance_jax.training.stopping import StopRequests


@dataclasses.dataclass(frozen=True)
class Stage:
    """All that distinguishes one training stage from another.

    Attributes:
      init: key -> params, boxed with logical axis names.
      loss_fn: (params, batch, key, frozen) -> (loss, metrics of scalars). The metric "weight"
        says what a part of a batch counts (see `accumulated`) and is not logged.
      batches: start_step -> iterator over this host's batches from that step on.
      optimizer: of `params`.
      makes: what a run of it makes, of `run_directory.MAKES`.
      frozen: weight trees that are used and never updated; the loop adds "ema" and "step".
      identity: what the run depends on beyond its config (JSON); resumed, it must be the same.
      inherit: the top-level parts of `params` that another run's weights may start; () for all.
      may_lack: paths in `params` of what a run to start from may be without: it starts as new.
      finish: params (the EMA at the end of training) -> metadata that later stages need (JSON).
      generator_params: (params, frozen) -> the weights of the generator that `params` make, so that
        a suite can judge it during training; None for a stage that trains no generator.
      rollout: (state, batch, key, frozen) -> batch: what reinforcement learning does between steps.
        The next `rollout_every` steps all train on its result, whose arrays are [B, ...] for any B;
        each rollout consumes one batch of the data. It is called as it is, under the mesh: one
        that stays on the devices should be a jitted function, one that needs the host (rewards
        computed in Python) jits its parts. Numpy arrays in its result are this process's part of
        the batch. No array of `state` may be in it: the next step overwrites those.
      slow_copies: name -> decay, of copies of `params` that follow them, such as an old policy:
        copy = decay * copy + (1 - decay) * params after each step. A decay is a number or a
        function of the step, counted from 1; 0 copies, 1 keeps. A step that is skipped (not finite)
        moves no copy.

    `loss_fn` and `rollout` find in `frozen` the slow copies by their names, too.

    Raises:
      ValueError: what it makes is not known, steps between rollouts without a rollout, or one name
        for two weight trees.
    """

    init: Callable
    loss_fn: Callable
    batches: Callable[[int], Iterator]
    optimizer: optax.GradientTransformation
    makes: str
    frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inherit: tuple[str, ...] = ()
    may_lack: tuple[tuple[str, ...], ...] = ()
    finish: Callable[[Any], dict] = lambda params: {}
    generator_params: Callable[[Any, Mapping], Any] | None = None
    rollout: Callable | None = None
    rollout_every: int = 1
    slow_copies: Mapping[str, float | Callable] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        run_directory.check_makes(self.makes)
        if self.rollout_every < 1 or (self.rollout is None and self.rollout_every > 1):
            raise ValueError(
                f"rollout_every={self.rollout_every} must be at least 1, and 1 without a rollout"
            )
        if taken := set(self.slow_copies) & {*self.frozen, "ema", "step"}:
            raise ValueError(f"slow_copies {sorted(taken)}: frozen has others of these names")


@flax.struct.dataclass
class TrainState:
    """Everything a step changes. `skipped` counts updates lost to non-finite values, `streak` in a
    row; `slow` has the slow copies of a stage by name."""

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any
    skipped: jax.Array
    streak: jax.Array
    slow: Any = flax.struct.field(default_factory=dict)


class Settings(NamedTuple):
    """How a stage is trained.

    Attributes:
      num_steps: until which step.
      seed: of the initial parameters and of all that is random in the steps and rollouts.
      mesh: of the devices.
      ema_decay: of the EMA, after its warm-up.
      init_from: run whose EMA a new run starts from; "" for none.
      accumulate: see `make_step`.
    """

    num_steps: int
    seed: int
    mesh: jax.sharding.Mesh
    ema_decay: float
    init_from: str | Place = ""
    accumulate: int = 1


class Trained(NamedTuple):
    """The last TrainState, and the reason of the hook that ended the training, or "".

    The step is below num_steps if a hook did, or if a signal stopped the process.
    """

    state: TrainState
    stopped: str = ""


def train(
    stage: Stage,
    workdir: str | Place,
    settings: Settings,
    save: saver.Saver,
    hooks: Sequence[Callable] = (),
    progress: Progress | None = None,
) -> Trained:
    """Trains from where `workdir` left off, or else from the EMA of `init_from`, or from scratch.

    Args:
      workdir: run directory; its checkpoints decide where to start. That it may start from
        `init_from` is checked before, see `checkpoint.check_start`.
      save: saves when due, at the end, and when the training is stopped.
      hooks: called as hook(step, state, metrics) when a step is dispatched. The metrics are still
        being computed: a hook that fetches them waits, unless it does so at its next call. One that
        returns a `Stop` ends the training after this step (of several processes: in all the same).
      progress: where the loop writes down how far it is, for other threads.
    """
    run_directory.check_identity(workdir, dict(stage.identity))
    with jax.set_mesh(settings.mesh):
        state, layout = init_state(stage, jax.random.key(settings.seed), settings.mesh)
        startup.mark("init", state)
        parts = stage.inherit, stage.may_lack
        state, rolled = checkpoint.restore(state, workdir, settings.init_from, *parts)
        startup.mark("restore", state)
        if int(state.step) >= settings.num_steps:
            return Trained(state)
        frozen = sharding.put_whole(dict(stage.frozen), settings.mesh)
        feed = Feed(stage, settings, frozen, int(state.step), progress)
        save.resume(feed.batches, int(state.step))
        feed.start(state, rolled)
        startup.mark("batch", feed.batch)
        options = {"ema_decay": settings.ema_decay, "accumulate": settings.accumulate}
        step_fn = make_step(stage, layout, seed=settings.seed, **options)
        return run_steps(step_fn, state, frozen, feed, settings.num_steps, save, hooks)


def run_steps(
    step_fn: Callable,
    state: TrainState,
    frozen: Mapping[str, Any],
    feed: Feed,
    num_steps: int,
    save: saver.Saver,
    hooks: Sequence[Callable],
) -> Trained:
    """The steps from that of `state` on, with all that happens between them."""
    before, idle, stopped, seen = None, False, "", set()
    with StopRequests() as requests:
        for step in range(int(state.step) + 1, num_steps + 1):
            compiling.announce(feed.batch, seen)
            feed.progress.begin(step, late=before is not None and before["loss"].is_ready())
            with jax.transfer_guard("disallow"):
                state, metrics = step_fn(state, feed.batch, frozen)
                for hook in hooks:  # evaluate, log: each knows its own period
                    requests.take(hook(step, state, {**metrics, "idle": float(idle)}))
            stop = requests.stops_alone() or save.preempted(step)
            last = stop or step == num_steps
            save(step, state, feed.batches, rolled=feed.rolled(step), force=last)
            if last:
                stopped = requests.reason() if step < num_steps else ""
                break
            idle = feed.advance(step, state, metrics["loss"])
            jax.block_until_ready(before)
            before = metrics
    feed.batches.close()
    return Trained(state, stopped)


def make_init(stage: Stage) -> Callable[[jax.Array], TrainState]:
    """key -> the first TrainState, boxed with logical axis names."""

    def init(key):
        params = stage.init(key)
        copy = lambda: jax.tree.map(jnp.copy, params)  # noqa: E731
        slow, zero = {name: copy() for name in stage.slow_copies}, jnp.int32(0)
        return TrainState(zero, params, copy(), stage.optimizer.init(params), zero, zero, slow)

    return init


def init_state(stage: Stage, key: jax.Array, mesh: jax.sharding.Mesh) -> tuple[TrainState, Any]:
    """Creates the state already sharded, so no device ever holds all of it.

    Returns the state and its layout (a tree of shardings).
    """
    init = make_init(stage)
    layout = sharding.layout(jax.eval_shape(init, key), mesh)
    create = jax.jit(lambda key: nn.unbox(init(key)), out_shardings=layout)
    return create(key), layout


def abstract_state(stage: Stage, mesh: jax.sharding.Mesh) -> tuple[TrainState, Any]:
    """The state and its layout as of `init_state`, in shapes: nothing is allocated."""
    boxed = jax.eval_shape(make_init(stage), jax.random.key(0))
    layout = sharding.layout(boxed, mesh)
    return sharding.place_shapes(nn.unbox(boxed), layout), layout


def make_step(
    stage: Stage, layout: Any, *, seed: int, ema_decay: float, accumulate: int = 1
) -> Callable[[TrainState, Any, Mapping], tuple[TrainState, dict[str, jax.Array]]]:
    """Builds the jitted (state, batch, frozen) -> (state, metrics).

    accumulate: into how many parts a batch is cut, to fit the memory; see `accumulated`.
    """

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=(layout, None))
    def step_fn(state, batch, frozen):
        key = step_key(jax.random.key(seed), state.step)
        grad_fn = jax.value_and_grad(stage.loss_fn, has_aux=True)
        grad_fn = accumulated(grad_fn, accumulate, layout.params)
        (loss, metrics), grads = grad_fn(state.params, batch, key, with_state(frozen, state))
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updated = apply_update(stage, state, grads, ema_decay)
        kept = state.replace(skipped=state.skipped + 1, streak=state.streak + 1)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, kept)
        state = state.replace(step=kept.step + 1)
        metrics = {"loss": loss, "grad_norm": grad_norm, **metrics}
        metrics.pop("weight", None)
        return state, {**metrics, "skipped": state.skipped, "streak": state.streak}

    return step_fn


def apply_update(stage: Stage, state: TrainState, grads: Any, ema_decay: float) -> TrainState:
    """One optimizer step, and what follows it; clears the streak of skipped steps."""
    updates, opt_state = stage.optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # Early on the EMA must forget the random init it started from.
    done = state.step - state.skipped
    ema = follow(state.ema, params, jnp.minimum(ema_decay, (1 + done) / (10 + done)))
    slow = {}
    for name, decay in stage.slow_copies.items():
        decay = decay(state.step + 1) if callable(decay) else decay
        slow[name] = follow(state.slow[name], params, decay)
    fields = {"params": params, "ema": ema, "opt_state": opt_state, "slow": slow}
    return state.replace(**fields, streak=jnp.int32(0))


def follow(copy: Any, params: Any, decay: float | jax.Array) -> Any:
    """decay * copy + (1 - decay) * params, of trees; for decay 0 and 1 one of them, to the bit."""

    def move(old, new):
        # In this form the average of a weight that never changes is that weight, to the last bit.
        return jnp.where(decay == 0, new, old + (1 - decay) * (new - old))

    return jax.tree.map(move, copy, params)
