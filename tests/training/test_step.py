"""One step: what the loss is given, what is logged, what an update that cannot be leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seedance_jax.training import loop

RATE, EMA_DECAY = 0.5, 0.9


def loss_fn(params, batch, key, frozen):
    """A mean over the batch whose gradient, but not its value, is infinite at w = 0."""
    loss = (batch["x"] * jnp.sqrt(params["w"])).mean()
    seen = {"draw": jax.random.uniform(key), "ema": frozen["ema"]["w"], "at": frozen["step"]}
    return loss, seen | {"weight": batch["x"].mean(), "offset": frozen["offset"]}


def start(one_device, weights, **settings):
    """(state, step) of a stage with one weight."""
    stage = loop.Stage(
        init=lambda key: {"w": jnp.float32(weights)},
        loss_fn=loss_fn,
        batches=None,
        optimizer=optax.sgd(RATE),
        makes="generator",
    )
    settings = {"seed": 3, "ema_decay": EMA_DECAY} | settings
    state, layout = loop.init_state(stage, jax.random.key(0), one_device)
    return state, loop.make_step(stage, layout, **settings)


def walk(one_device, weights, batches, **settings):
    """[(state, metrics)] of steps over `batches`, from w = `weights`; lists of arrays [B]."""
    with jax.set_mesh(one_device):
        (state, step), made = start(one_device, weights, **settings), []
        for x in batches:
            state, metrics = step(state, {"x": jnp.array(x)}, {"offset": jnp.float32(7.0)})
            made.append(jax.device_get((state, metrics)))
    return made


def test_a_step_goes_down_the_gradient_and_logs_where_it_stood(one_device):
    (first, metrics), (second, _) = walk(one_device, 4.0, [[2.0, 4.0]] * 2)
    assert metrics["loss"] == pytest.approx(3.0 * 2.0)
    assert metrics["grad_norm"] == pytest.approx(3.0 / (2 * 2.0))
    np.testing.assert_allclose(first.params["w"], 4.0 - RATE * 0.75, rtol=1e-6)
    assert second.params["w"] < first.params["w"]


def test_the_loss_sees_the_ema_and_the_number_of_the_step_before_it(one_device):
    made = walk(one_device, 4.0, [[1.0, 1.0]] * 3)
    states, metrics = zip(*made, strict=True)
    assert [int(one["at"]) for one in metrics] == [0, 1, 2]
    assert [int(state.step) for state in states] == [1, 2, 3]
    expected = [4.0, *(state.ema["w"] for state in states[:2])]
    np.testing.assert_array_equal([one["ema"] for one in metrics], expected)
    assert states[1].ema["w"] != states[1].params["w"]
    assert all(one["offset"] == 7.0 for one in metrics)


def test_a_step_takes_the_memory_of_the_state_and_leaves_what_is_frozen(one_device):
    frozen = {"offset": jnp.float32(7.0)}
    with jax.set_mesh(one_device):
        before, step = start(one_device, 4.0)
        step(before, {"x": jnp.ones(2)}, frozen)
    assert before.params["w"].is_deleted()
    assert not frozen["offset"].is_deleted()


def test_every_step_and_every_seed_draws_anew(one_device):
    draws = [
        [float(metrics["draw"]) for _, metrics in walk(one_device, 4.0, [[1.0, 1.0]] * 3, seed=s)]
        for s in (3, 4, 3)
    ]
    assert len({*draws[0], *draws[1]}) == 6
    assert draws[0] == draws[2]


def test_a_batch_may_be_cut_into_parts(one_device):
    """Whose weights count: the mean over the second part is nearly all."""
    ((whole, one),) = walk(one_device, 4.0, [[1.0, 3.0]])
    ((parts, other),) = walk(one_device, 4.0, [[1.0, 3.0]], accumulate=2)
    assert one["loss"] == pytest.approx(2.0 * 2.0)
    assert other["loss"] == pytest.approx((1.0 * 2.0 + 3.0 * 6.0) / 4.0)
    assert parts.params["w"] < whole.params["w"]
    assert one["draw"] != other["draw"]


def test_the_weight_of_a_batch_is_not_logged(one_device):
    ((_, metrics),) = walk(one_device, 4.0, [[1.0, 3.0]])
    assert "weight" not in metrics


@pytest.mark.parametrize("bad", [[np.inf, 1.0], [np.nan, 1.0]])
def test_a_loss_that_is_not_finite_is_skipped(one_device, bad):
    good = [1.0, 1.0]
    (first, _), (second, metrics), (third, last) = walk(one_device, 4.0, [good, bad, good])
    assert second.params["w"] == first.params["w"] > third.params["w"]
    assert second.ema["w"] == first.ema["w"]
    assert (metrics["skipped"], metrics["streak"]) == (1, 1)
    assert (last["skipped"], last["streak"]) == (1, 0)
    assert int(third.step) == 3


def test_a_gradient_that_is_not_finite_is_skipped_even_where_the_loss_is(one_device):
    ((state, metrics),) = walk(one_device, 0.0, [[1.0, 1.0]])
    assert metrics["loss"] == 0.0
    assert not np.isfinite(metrics["grad_norm"])
    assert state.params["w"] == state.ema["w"] == 0.0
    assert metrics["skipped"] == metrics["streak"] == 1


def test_the_ema_warms_up_over_the_updates_that_were_made(one_device):
    bad, good = [np.nan, 1.0], [1.0, 1.0]
    states = [state for state, _ in walk(one_device, 4.0, [bad, bad, good, good])]
    ema = 4.0
    for done, state in enumerate(states[2:]):
        decay = (1 + done) / (10 + done)
        ema = decay * ema + (1 - decay) * state.params["w"]
        np.testing.assert_allclose(state.ema["w"], ema, rtol=1e-6)


def test_the_ema_is_no_slower_than_its_decay(one_device):
    before, after = (state for state, _ in walk(one_device, 4.0, [[1.0, 1.0]] * 2, ema_decay=0.05))
    expected = 0.05 * before.ema["w"] + 0.95 * after.params["w"]
    np.testing.assert_allclose(after.ema["w"], expected, rtol=1e-6)
