"""Reinforcement learning in the loop: rollouts between steps, and slow copies of the parameters."""

import dataclasses
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.training import checkpoint, feed, loop, run_directory, saver
from tests.training.test_loop import (  # noqa: F401
    KilledError,
    Recorder,
    assert_same,
    kill,
    quadratic,
    run,
)

COPIES = {
    "old": lambda step: jnp.where(step % 3 == 0, 0.0, 1.0),
    "fast": 0.25,
    "ramp": lambda step: jnp.minimum(0.1 * step, 0.5),
}


@jax.jit
def sample(state, batch, key, frozen):
    """Two samples of the old policy around each row, in several types."""
    noise = jax.random.normal(key, (2, *batch["x"].shape))
    x = (batch["x"] + frozen["old"]["w"] + noise).reshape(-1, 4)
    return {"x": x, "short": x.astype(jnp.bfloat16), "good": x[:, 0] > 0}


def jitted(calls):
    """A rollout that stays on the devices."""

    @jax.jit
    def rollout(state, batch, key, frozen):
        made = sample(state, batch, key, frozen)
        return {**made, "reward": -((made["x"] - frozen["offset"]) ** 2).sum(1)}

    return rollout


def on_host(calls):
    """A rollout whose rewards Python computes; notes (step, key, rows of data) in `calls`."""

    def rollout(state, batch, key, frozen):
        made = sample(state, batch, key, frozen)
        clips = np.asarray(made["x"])
        calls.append((int(frozen["step"]), jax.random.key_data(key), np.asarray(batch["x"])))
        reward = [-float(((clip - 0.5) ** 2).sum()) for clip in clips]
        return {**made, "reward": np.array(reward, np.float32)}

    return rollout


def policy(make, every, calls=None):
    """Stage that moves a vector towards its own samples, weighted by their rewards."""

    def loss_fn(params, batch, key, frozen):
        weight = jax.nn.softmax(batch["reward"]) * batch["good"]
        error = (batch["x"] + batch["short"].astype(jnp.float32) - params["w"]) ** 2
        drift = ((params["w"] - frozen["fast"]["w"]) ** 2).sum()
        noise = 0.1 * jax.random.normal(key)
        return (weight[:, None] * error).sum() + drift + noise * params["w"].sum(), {}

    return dataclasses.replace(
        quadratic(),
        loss_fn=loss_fn,
        rollout=make(calls),
        rollout_every=every,
        slow_copies=COPIES,
    )


@pytest.mark.parametrize(("make", "every"), [(jitted, 1), (on_host, 1), (jitted, 3), (on_host, 3)])
def test_a_killed_run_resumes_to_the_same_state_also_between_rollouts(
    run,  # noqa: F811
    tmp_path,
    make,
    every,
):
    whole, killed, resumed = Recorder(), Recorder(5, kill), Recorder()
    expected = run(tmp_path / "whole", whole, stage=policy(make, every, []))
    with pytest.raises(KilledError):
        run(tmp_path / "killed", killed, stage=policy(make, every, []))
    assert run_directory.latest_step(tmp_path / "killed") == 4
    assert (tmp_path / "killed/checkpoints/4/rollout").exists() == (every == 3)
    state = run(tmp_path / "killed", resumed, stage=policy(make, every, []))
    assert list(resumed.losses) == [5, 6, 7]
    assert killed.losses | resumed.losses == whole.losses
    assert_same(state, expected)


def test_a_rollout_takes_one_batch_of_the_data_and_a_key_of_its_own(run, tmp_path):  # noqa: F811
    calls, first = [], []
    run(tmp_path / "whole", stage=policy(on_host, 3, calls))
    rows = quadratic().batches(0)
    assert [step for step, _, _ in calls] == [0, 3, 6]
    for _, _, x in calls:
        np.testing.assert_array_equal(x, next(rows)["x"])
    keys = [key for _, key, _ in calls]
    keys += [jax.random.key_data(feed.step_key(jax.random.key(0), step)) for step in range(8)]
    assert len({tuple(np.asarray(key).tolist()) for key in keys}) == len(keys)
    run(tmp_path / "stopped", stage=policy(on_host, 3, first), num_steps=4)
    run(tmp_path / "stopped", stage=policy(on_host, 3, first))
    jax.tree.map(np.testing.assert_array_equal, first, calls)


def test_a_rolled_out_batch_comes_back_on_another_mesh_and_its_damage_is_noticed(
    one_device, tmp_path, capfd
):
    state = jax.device_put({"w": jnp.ones(2)}, sharding.replicated(one_device))
    batch = {"x": np.arange(32.0, dtype=np.float32).reshape(8, 4), "good": np.arange(8) > 3}
    save = saver.Saver(tmp_path, every=1)
    for step in (1, 2):
        placed = sharding.put_batch(batch, one_device)
        save(step, state, quadratic().batches(step), rolled=placed)
    save.close()
    mesh = sharding.make_mesh(fsdp=-1)
    other = jax.device_put({"w": jnp.zeros(2)}, sharding.replicated(mesh))
    with jax.set_mesh(mesh):
        _, rolled = checkpoint.restore(other, tmp_path)
        assert_same(rolled, batch)
        assert all(x.sharding.mesh == mesh and len(x.devices()) == 8 for x in rolled.values())
        for path in (tmp_path / "checkpoints/2/rollout/d").glob("*"):
            path.unlink()
        assert_same(checkpoint.restore(other, tmp_path)[1], batch)
    assert run_directory.all_steps(tmp_path) == [1]
    assert "WARNING: the checkpoint of step 2 cannot be read" in capfd.readouterr().err


def test_a_mesh_that_does_not_divide_a_rolled_out_batch_is_no_damage(one_device, tmp_path):
    state = jax.device_put({"w": jnp.ones(2)}, sharding.replicated(one_device))
    save = saver.Saver(tmp_path, every=1)
    save(1, state, quadratic().batches(1), rolled=sharding.put_batch({"x": np.ones(6)}, one_device))
    save.close()
    mesh = sharding.make_mesh(fsdp=-1)
    other = jax.device_put({"w": jnp.zeros(2)}, sharding.replicated(mesh))
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="a batch of 6 .* fsdp = 8 shards"):
        checkpoint.restore(other, tmp_path)
    assert run_directory.all_steps(tmp_path) == [1]
    assert not (tmp_path / "damaged").exists()


def test_a_checkpoint_between_rollouts_without_their_batch_is_an_error(
    run,  # noqa: F811
    tmp_path,
):
    run(tmp_path, stage=policy(jitted, 1), num_steps=4)
    with pytest.raises(ValueError, match="step 4 has no rolled-out batch, but .*rollout_every=3"):
        run(tmp_path, stage=policy(jitted, 3))


def test_slow_copies_follow_by_their_decay(run, one_device, tmp_path):  # noqa: F811
    seen, weights, states = [], [], []

    def loss_fn(params, batch, key, frozen):
        loss, _ = quadratic().loss_fn(params, batch, key, frozen)
        return loss, {name: frozen[name]["w"][0] for name in COPIES}

    def hook(step, state, metrics):
        seen.append({name: float(metrics[name]) for name in COPIES})
        weights.append(np.asarray(state.params["w"]))
        states.append({name: np.asarray(state.slow[name]["w"]) for name in COPIES})

    stage = dataclasses.replace(quadratic(), loss_fn=loss_fn, slow_copies=COPIES)
    initial, _ = loop.init_state(stage, jax.random.key(0), one_device)
    before = {name: np.asarray(initial.params["w"]) for name in COPIES}
    run(tmp_path, hook, stage=stage)
    for step, (told, params, found) in enumerate(zip(seen, weights, states, strict=True), 1):
        assert told == {name: before[name][0] for name in COPIES}
        decays = {"old": float(step % 3 > 0), "fast": 0.25, "ramp": min(0.1 * step, 0.5)}
        for name, decay in decays.items():
            expected = decay * before[name] + (1 - decay) * params
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found["old"], before["old"] if step % 3 else params)
        before = found


def test_slow_copies_are_donated_laid_out_as_parameters_and_still_in_a_skipped_step():
    stage = dataclasses.replace(quadratic(), slow_copies=COPIES)
    normal = jax.nn.initializers.normal()
    init = lambda key: {"w": sharding.param(normal, "embed")(key, (8,))}  # noqa: E731
    loss_fn = lambda params, batch, key, frozen: ((params["w"] * batch["x"]) ** 2).mean()  # noqa: E731
    stage = dataclasses.replace(stage, init=init, loss_fn=lambda *given: (loss_fn(*given), {}))
    mesh = sharding.make_mesh(fsdp=-1)
    with jax.set_mesh(mesh):
        state, layout = loop.init_state(stage, jax.random.key(0), mesh)
        step = loop.make_step(stage, layout, seed=0, ema_decay=0.5)
        good, bad = (sharding.put_batch({"x": np.full((8, 8), x, np.float32)}) for x in (1, np.nan))
        first, _ = step(state, good, stage.frozen)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.slow))
        assert first.slow["fast"]["w"].sharding == first.params["w"].sharding
        assert len(first.slow["fast"]["w"].sharding.device_set) == 8
        assert not first.slow["fast"]["w"].sharding.is_fully_replicated
        copies = jax.device_get(first.slow)
        second, _ = step(first, bad, stage.frozen)
        assert_same(second.slow, copies)
        third, _ = step(second, good, stage.frozen)
        assert np.abs(np.asarray(third.slow["fast"]["w"]) - copies["fast"]["w"]).max() > 0


def test_slow_copies_of_a_run_start_where_its_parameters_do(run, one_device, tmp_path):  # noqa: F811
    old = run(tmp_path / "old")
    stage = dataclasses.replace(quadratic(), slow_copies=COPIES)
    fresh, _ = loop.init_state(stage, jax.random.key(1), one_device)
    started, _ = checkpoint.restore(fresh, tmp_path / "new", init_from=tmp_path / "old")
    for name in COPIES:
        assert_same(started.slow[name], old.ema)


@flax.struct.dataclass
class OldState:
    """`TrainState` as it was before it had slow copies."""

    step: jax.Array
    params: Any
    ema: Any
    opt_state: Any
    skipped: jax.Array
    streak: jax.Array


def test_a_checkpoint_from_before_slow_copies_resumes(run, tmp_path):  # noqa: F811
    whole, resumed = Recorder(), Recorder()
    expected = run(tmp_path / "whole", whole)
    assert expected.slow == {}
    state = run(tmp_path / "new", num_steps=4)
    fields = {name: getattr(state, name) for name in OldState.__dataclass_fields__}
    save = saver.Saver(tmp_path / "old", every=1)
    save(4, OldState(**fields), quadratic().batches(4))
    save.close()
    run_directory.write_json(tmp_path / "old", "identity.json", {})
    assert_same(run(tmp_path / "old", resumed), expected)
    assert resumed.losses == {step: whole.losses[step] for step in (5, 6, 7)}


def test_a_run_that_starts_at_a_step_has_used_the_batches_of_the_rollouts_before_it(one_device):
    stage = dataclasses.replace(quadratic(), rollout=sample, rollout_every=3)
    settings = loop.Settings(num_steps=7, seed=0, mesh=one_device, ema_decay=0.5)
    used = [feed.Feed(stage, settings, {}, step).batches.get_state() for step in (0, 1, 3, 4, 6)]
    assert [state["step"] for state in used] == [0, 1, 1, 2, 2]


def key_of(seed, step):
    return jax.random.key_data(feed.rollout_key(seed, step))


def test_no_key_of_a_rollout_is_made_of_the_key_of_a_step():
    """Which a loss may split as it likes."""
    steps = jax.vmap(lambda step: feed.step_key(jax.random.key(3), step))(jnp.arange(1000))
    made = jax.vmap(lambda key: feed.step_key(key, 7))(steps)
    keys = jnp.concatenate([steps, made])
    assert not jnp.any(jnp.all(jax.random.key_data(keys) == key_of(3, 7), axis=-1))
    assert not jnp.array_equal(key_of(3, 7), key_of(3, 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"makes": ""}, "makes=''; legal are .*'autoencoder', .*'refiner'"),
        ({"makes": "vectors"}, "makes='vectors'; legal are"),
        ({"rollout_every": 2}, "rollout_every=2 must be at least 1, and 1 without a rollout"),
        ({"rollout_every": 0, "rollout": sample}, "rollout_every=0"),
        ({"slow_copies": {"offset": 0.5}}, r"slow_copies \['offset'\]: frozen has others"),
        ({"slow_copies": {"ema": 0.5}}, r"slow_copies \['ema'\]"),
    ],
)
def test_stages_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(quadratic(), **changes)
