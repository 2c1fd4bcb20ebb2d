"""What flow matching shows to the model: its times, its noise, and what is left out of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pretrain
from seedance_jax.diffusion import times
from seedance_jax.models.conditioning import Condition
from seedance_jax.stages import flow_matching

BATCH, FRAMES, SIZE = 400, 3, (64, 16)


class Network:
    """Predicts nothing and keeps what it sees."""

    def apply(self, variables, xt, t, condition):
        self.params, self.xt, self.t, self.condition = variables["params"], xt, t, condition
        return jnp.zeros_like(xt)


def read(key, batch, frozen):
    """Latents that are 0 in even samples and 2 in odd ones; nothing is given."""
    x0 = jnp.broadcast_to(batch["x"], (BATCH, FRAMES, *SIZE, 1))
    ones = jnp.ones((BATCH, 4), bool)
    shots = jnp.zeros((BATCH, FRAMES), int)
    mask = jnp.zeros((BATCH, FRAMES))
    fps = jnp.full(BATCH, 24.0)
    return x0, Condition(jnp.ones((BATCH, 4), int), ones, 0 * ones, shots, x0, mask, fps)


def run(seed=0, read=read, **changes):
    """(loss, metrics, network) of a loss_fn of the smoke config with `changes`."""
    config = pretrain.get_config("smoke").unlock()
    config.update({"caption_dropout": 0.0, "frame_times": 0.0} | changes)
    network = Network()
    loss_fn = flow_matching.objective(config, network, read)
    batch = {"x": 2.0 * (jnp.arange(BATCH) % 2)[:, None, None, None, None]}
    loss, metrics = loss_fn("params", batch, jax.random.key(seed), {})
    return loss, metrics, network


@pytest.mark.parametrize("reference", [64, 256])
def test_times_are_shifted_by_all_tokens_of_the_clip_over_those_of_the_reference(reference):
    _, _, network = run(reference_tokens=reference)
    shift = times.resolution_shift(FRAMES * SIZE[0] * SIZE[1], reference)
    assert shift > 1.5 * times.resolution_shift(SIZE[0] * SIZE[1], reference)
    np.testing.assert_allclose(jnp.median(network.t), times.shift_times(0.5, shift), atol=0.03)


def test_noise_is_normal_of_each_sample_and_step_and_mixed_in_by_its_time():
    _, _, network = run()
    x0 = 2.0 * (np.arange(BATCH) % 2)[:, None, None, None, None]
    t = np.asarray(network.t)[:, :, None, None, None]
    noise = (np.asarray(network.xt) - (1 - t) * x0) / t
    np.testing.assert_allclose(noise.mean((1, 2, 3, 4)), 0.0, atol=0.1)
    np.testing.assert_allclose(noise.std((1, 2, 3, 4)), 1.0, atol=0.1)
    rows = noise[:20].reshape(20, -1)
    assert np.abs(np.corrcoef(rows) - np.eye(20)).max() < 0.1
    assert np.abs(network.xt - run(seed=1)[2].xt).max() > 0.1
    np.testing.assert_array_equal(network.xt, run()[2].xt)


def test_predicting_nothing_costs_noise_and_data():
    loss, metrics, network = run()
    np.testing.assert_allclose(loss, 1.0 + 2.0, rtol=0.01)
    assert network.params == "params"
    assert metrics["weight"] == 1.0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_captions_are_left_out_and_frames_have_times_of_their_own_in_their_shares(share):
    _, _, network = run(caption_dropout=share, frame_times=share)
    left_out = np.asarray(network.condition.text_mask.sum(1) == 1)
    own = np.asarray(network.t[:, 0] != network.t[:, 1])
    for found in (left_out, own):
        np.testing.assert_allclose(found.mean(), share, atol=0.08)
    if share == 0.3:
        np.testing.assert_allclose((left_out & own).mean(), share**2, atol=0.05)


def test_what_is_given_is_drawn_from_a_key_of_its_own():
    keys = []

    def keeping(key, batch, frozen):
        keys.append(tuple(jax.random.key_data(key).tolist()))
        return read(key, batch, frozen)

    for seed in (0, 0, 1):
        run(seed, keeping)
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] != tuple(jax.random.key_data(jax.random.key(0)).tolist())
