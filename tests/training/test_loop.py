import dataclasses
import json
import signal
import time
import types

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seedance_jax.data import loader
from seedance_jax.training import checkpoint, hooks, loop, run_directory, saver
from seedance_jax.training.hooks import LogHook, NonFiniteError
from seedance_jax.training.optimizer import make_optimizer

NUM_STEPS, EVERY, EMA_DECAY = 7, 2, 0.5
OPTIMIZER = {"name": "adamw", "peak_lr": 0.1, "warmup_steps": 2, "weight_decay": 0.01}


def quadratic(nan_rows=()):
    """Stage whose loss pulls a vector towards shuffled rows, with noise; some rows may be nan."""
    rows = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    rows[list(nan_rows)] = np.nan
    dataset = grain.MapDataset.source(rows).seed(3).shuffle().repeat().batch(4)

    def loss_fn(params, batch, key, frozen):
        target = batch["x"].mean(0) + 0.1 * jax.random.normal(key, (4,)) + frozen["offset"]
        return ((params["w"] - target) ** 2).mean(), {"length": optax.tree.norm(params)}

    return loop.Stage(
        init=lambda key: {"w": jax.random.normal(key, (4,))},
        loss_fn=loss_fn,
        batches=lambda step: loader.make_iterator(dataset.map(lambda x: {"x": x}), step),
        optimizer=make_optimizer(num_steps=NUM_STEPS, clip_norm=1.0, **OPTIMIZER),
        makes="motion",
        frozen={"offset": np.float32(0.5)},
    )


class Recorder:
    """Hook that keeps the losses and acts, after they are kept, at one step."""

    def __init__(self, at=None, act=lambda: None):
        self.losses, self.at, self.act = {}, at, act

    def __call__(self, step, state, metrics):
        self.losses[step] = float(metrics["loss"])
        if step == self.at:
            self.act()


@pytest.fixture
def run(one_device):
    def run(workdir, *hooks, stage=None, **options):
        save = saver.Saver(workdir, every=EVERY)
        fixed = {"num_steps": NUM_STEPS, "seed": 0, "mesh": one_device, "ema_decay": EMA_DECAY}
        settings = loop.Settings(**fixed | options)
        try:
            return loop.train(stage or quadratic(), workdir, settings, save, hooks).state
        finally:
            save.close()

    return run


@pytest.fixture
def whole(run, tmp_path):
    """(losses, last state) of a run that nobody interrupts."""
    recorder = Recorder()
    return recorder.losses, run(tmp_path / "whole", recorder)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


class KilledError(Exception):
    pass


def kill():
    raise KilledError


def test_a_killed_run_resumes_to_the_same_losses_and_state(run, whole, tmp_path):
    losses, expected = whole
    killed, resumed = Recorder(5, kill), Recorder()
    with pytest.raises(KilledError):
        run(tmp_path / "killed", killed)
    assert run_directory.latest_step(tmp_path / "killed") == 4
    state = run(tmp_path / "killed", resumed)
    assert list(resumed.losses) == [5, 6, 7]
    assert killed.losses | resumed.losses == losses
    assert len(set(losses.values())) == NUM_STEPS
    assert_same(state, expected)


def test_a_run_without_its_iterator_resumes_to_the_same_losses(run, whole, tmp_path):
    """As on another number of hosts: the batches are a function of the step alone."""
    losses, _ = whole
    with pytest.raises(KilledError):
        run(tmp_path / "killed", Recorder(5, kill))
    (saved,) = (tmp_path / "killed" / "checkpoints" / "4" / "data").glob("process_*.json")
    saved.unlink()
    resumed = Recorder()
    run(tmp_path / "killed", resumed)
    assert resumed.losses == {step: losses[step] for step in (5, 6, 7)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_returns_early(run, whole, tmp_path, number):
    losses, expected = whole
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    stopped, resumed = Recorder(3, lambda: signal.raise_signal(number)), Recorder()
    assert int(run(tmp_path / "stopped", stopped).step) == 3
    assert run_directory.latest_step(tmp_path / "stopped") == 3
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert_same(run(tmp_path / "stopped", resumed), expected)
    assert stopped.losses | resumed.losses == losses


def test_a_step_of_a_new_shape_is_said_to_be_compiled_once(run, tmp_path, capsys):
    rows = np.ones((1, 4), np.float32)
    parts = [grain.MapDataset.source(rows).repeat().batch(size) for size in (4, 2)]
    dataset = grain.MapDataset.mix(parts).map(lambda x: {"x": x, "y": x[:, :1]})
    batches = lambda step: loader.make_iterator(dataset, step)  # noqa: E731
    run(tmp_path, stage=dataclasses.replace(quadratic(), batches=batches))
    said = "compiling the step for x 4, batch {}, unless the cache has it"
    assert sorted(capsys.readouterr().out.splitlines()) == [said.format(2), said.format(4)]


def test_a_finished_run_is_left_as_it_is(run, whole, tmp_path):
    again = Recorder()
    assert_same(run(tmp_path / "whole", again), whole[1])
    assert not again.losses


def test_the_average_forgets_the_init_and_then_moves_slowly(run, one_device, tmp_path):
    weights = []
    hook = lambda step, state, metrics: weights.append(np.asarray(state.params["w"]))  # noqa: E731
    initial, _ = loop.init_state(quadratic(), jax.random.key(0), one_device)
    ema = np.asarray(initial.ema["w"])
    state = run(tmp_path, hook, ema_decay=0.3)
    decays = []
    for done, params in enumerate(weights):
        decays.append(min(0.3, (1 + done) / (10 + done)))
        ema = decays[-1] * ema + (1 - decays[-1]) * params
    np.testing.assert_allclose(state.ema["w"], ema, rtol=1e-5)
    assert decays[0] == 0.1
    assert decays[-1] == 0.3


def test_a_run_starts_from_the_average_of_another(run, one_device, whole, tmp_path):
    seen = []
    hook = lambda step, state, metrics: seen.append(int(state.step))  # noqa: E731
    fresh, _ = loop.init_state(quadratic(), jax.random.key(1), one_device)
    started, _ = checkpoint.restore(fresh, tmp_path / "new", init_from=tmp_path / "whole")
    assert int(started.step) == 0
    assert_same(started.params, whole[1].ema)
    assert_same(started.ema, whole[1].ema)
    assert_same(started.opt_state, fresh.opt_state)
    run(tmp_path / "new", hook, num_steps=2, init_from=tmp_path / "whole")
    assert seen == [1, 2]


def test_a_step_that_is_not_finite_changes_only_the_counters(one_device):
    stage = quadratic()
    with jax.set_mesh(one_device):
        state, layout = loop.init_state(stage, jax.random.key(0), one_device)
        step = loop.make_step(stage, layout, seed=0, ema_decay=EMA_DECAY)
        good, bad = {"x": jnp.ones((4, 4))}, {"x": jnp.full((4, 4), jnp.inf)}
        state, _ = step(state, good, stage.frozen)
        before = jax.device_get(state)
        counts = []
        for batch in (bad, bad, good):
            state, metrics = step(state, batch, stage.frozen)
            counts.append((int(metrics["skipped"]), int(metrics["streak"])))
            if batch is bad:
                after = jax.device_get(state)
    for name in ("params", "ema", "opt_state"):
        assert_same(getattr(before, name), getattr(after, name))
    assert counts == [(1, 1), (2, 2), (2, 0)]
    assert int(state.step) == 4
    assert np.abs(np.asarray(state.params["w"]) - before.params["w"]).max() > 0


def log_hook(workdir, max_skipped=3):
    return LogHook(
        workdir,
        num_steps=NUM_STEPS,
        every=1,
        max_skipped=max_skipped,
        name="test",
    )


def test_training_that_diverged_stops_with_advice_and_its_last_checkpoint(run, tmp_path):
    hook = log_hook(tmp_path)
    message = "step 3: 3 updates in a row were skipped .*max_skipped=3.*lower optimizer.peak_lr"
    with pytest.raises(NonFiniteError, match=message):
        run(tmp_path, hook, stage=quadratic(nan_rows=range(16)))
    hook.close()
    assert run_directory.latest_step(tmp_path) == 2


def test_the_log_has_every_step_once_even_after_a_kill(run, tmp_path):
    hook = log_hook(tmp_path)
    with pytest.raises(KilledError):
        run(tmp_path, hook, Recorder(5, kill))
    hook.close()
    hook = log_hook(tmp_path)
    recorder = Recorder()
    run(tmp_path, hook, recorder)
    hook.close()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6, 7]
    assert {"loss", "grad_norm", "length", "skipped", "streak"} < records[0].keys()
    assert records[-1]["loss"] == pytest.approx(recorder.losses[7])


def test_the_log_averages_between_records_and_counts_skips(tmp_path):
    hook = LogHook(tmp_path, num_steps=4, every=4, max_skipped=9, name="test")
    for step, loss in enumerate([1.0, 2.0, float("nan"), 3.0], 1):
        hook(step, None, {"loss": loss, "skipped": int(step > 2), "streak": int(step == 3)})
    hook.close()
    (record,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert (record["loss"], record["skipped"], record["streak"]) == (2.0, 1, 1)


def test_tensorboard_soon_has_what_was_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "FLUSH", 0.05)
    hook = log_hook(tmp_path)
    for step in (1, 2, 3):
        hook(step, None, {"loss": 0.5, "streak": 0})
    (events,) = (tmp_path / "tensorboard").iterdir()
    end = time.monotonic() + 60
    while events.read_bytes().count(b"loss") < 2:  # the last is not yet fetched
        assert time.monotonic() < end
        time.sleep(0.01)
    hook.close()


def test_what_was_not_written_yet_is_when_the_log_is_closed(tmp_path):
    settings = {"num_steps": 9, "every": 4, "max_skipped": 9, "name": "test"}
    LogHook(tmp_path, **settings).close()  # of a run without a step
    hook = LogHook(tmp_path, **settings)
    for step in range(1, 7):
        hook(step, None, {"loss": step, "streak": 0})
    hook.close()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [(record["step"], record["loss"]) for record in records] == [(4, 2.5), (6, 5.5)]


def test_the_bar_says_how_far_a_stage_is_and_its_loss_and_only_the_main_process_has_one(
    tmp_path, capfd, monkeypatch
):
    for main in (True, False):
        monkeypatch.setattr(hooks.cluster, "is_main", lambda main=main: main)
        (workdir := tmp_path / str(main)).mkdir()
        hook = log_hook(workdir)
        for step in range(1, NUM_STEPS + 1):
            hook(step, None, {"loss": 0.25, "streak": 0})
        hook.close()
        *_, last = capfd.readouterr().err.split("\r")
        shown = ("test:", f"{NUM_STEPS}/{NUM_STEPS}", "loss=0.25")
        assert [part in last for part in shown] == [main] * 3
        assert any(workdir.iterdir()) == main


class Watch:
    """A metric that notes when it is fetched."""

    def __init__(self, name, events):
        self.name, self.events = name, events

    def __array__(self, dtype=None, copy=None):
        self.events.append(f"fetch {self.name}")
        return np.zeros(())


def test_records_are_fetched_when_the_next_step_is_under_way_and_none_is_lost(
    tmp_path, monkeypatch
):
    events = []
    fetch = lambda tree: jax.tree.map(lambda leaf: float(np.asarray(leaf)), tree)  # noqa: E731
    monkeypatch.setattr(jax, "device_get", fetch)
    hook = log_hook(tmp_path)
    for step in range(1, NUM_STEPS + 1):
        events.append(f"dispatch {step}")
        hook(step, None, {"loss": Watch(step, events), "streak": 0})
    hook.close()
    for step in range(1, NUM_STEPS):
        assert events.index(f"fetch {step}") > events.index(f"dispatch {step + 1}")
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [record["step"] for record in records] == list(range(1, NUM_STEPS + 1))


def test_a_step_and_its_hooks_run_without_implicit_transfers(run, tmp_path):
    def transfers(step, state, metrics):
        jnp.ones(3) + np.ones(3)

    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        run(tmp_path, transfers)


def test_the_log_says_how_much_of_the_time_and_of_the_peak_was_used(tmp_path, monkeypatch):
    now = iter(np.cumsum([0.0, 0.05, 0.01, 0.01, 0.01, 0.02]))
    clock = types.SimpleNamespace(monotonic=lambda: float(next(now)))
    monkeypatch.setattr(hooks, "time", clock)
    settings = {"num_steps": 4, "every": 4, "max_skipped": 9, "name": "test"}
    hook = LogHook(tmp_path, **settings, flops=50.0, peak=10_000.0)
    for step in range(1, 5):
        hook(step, None, {"loss": 0.0, "streak": 0})
    hook.close()
    (record,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert record["steps_per_second"] == pytest.approx(4 / 0.1)
    assert record["goodput"] == pytest.approx(4 * 0.01 / 0.1)
    assert record["mfu"] == pytest.approx(50 * 4 / 0.1 / 10_000)


def test_a_profile_is_written_of_the_steps_asked_for(run, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda path: calls.append(("start", path)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    profile = hooks.ProfileHook(tmp_path, 3, 2)
    for step in range(1, NUM_STEPS + 1):
        profile(step, None, {})
        calls.append(step)
    profile.close()
    assert calls == [1, ("start", str(tmp_path / "profile")), 2, 3, "stop", 4, 5, 6, 7]
    hooks.ProfileHook(tmp_path, 2, 1)  # of a single step
    with pytest.raises(ValueError, match="profile=1,2: the first step compiles"):
        hooks.ProfileHook(tmp_path, 1, 2)
