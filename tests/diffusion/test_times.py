import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion import times

SHIFTS = (1.0, 1.7, 24.0)


def test_shift_1_is_the_identity():
    t = jnp.linspace(0.0, 1.0, 50)
    np.testing.assert_array_equal(times.shift_times(t, 1.0), t)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shift_keeps_the_ends_and_the_order_and_adds_noise(shift):
    t = jnp.linspace(0.0, 1.0, 50)
    shifted = times.shift_times(t, shift)
    assert shifted[0] == 0.0
    assert shifted[-1] == 1.0
    assert (jnp.diff(shifted) > 0).all()
    assert (shifted >= t - 1e-7).all()


def test_the_shift_grows_with_the_tokens_within_its_limits():
    shifts = [times.resolution_shift(tokens) for tokens in (1, 80, 256, 1024, 10**4, 10**9)]
    assert shifts == sorted(shifts)
    assert shifts[:4] == [times.MIN_SHIFT, 1.0, 1.0, 2.0]
    assert shifts[-1] == times.MAX_SHIFT


@pytest.mark.parametrize("reference", [4, 16, 1024])
def test_the_reference_has_no_shift_and_four_times_its_tokens_one_of_2(reference):
    assert times.resolution_shift(reference, reference) == 1.0
    assert times.resolution_shift(4 * reference, reference) == 2.0


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_the_grid_falls_from_exactly_1_to_exactly_0(shift, steps):
    grid = times.sampling_grid(steps, shift)
    assert grid.shape == (steps + 1,)
    assert grid[0] == 1.0
    assert grid[-1] == 0.0
    assert (jnp.diff(grid) < 0).all()


@pytest.mark.parametrize("shift", SHIFTS)
def test_training_times_are_inside_the_path_around_the_shifted_middle(shift):
    t = times.sample_times(jax.random.key(0), (20_000,), shift)
    assert ((t > 0) & (t < 1)).all()
    np.testing.assert_allclose(jnp.median(t), times.shift_times(0.5, shift), atol=0.01)


def test_a_share_of_the_samples_has_a_time_for_every_frame():
    t = np.asarray(times.sample_frame_times(jax.random.key(0), 8000, 3, 2.0, 0.3))
    assert t.shape == (8000, 3)
    own = t[:, 0] != t[:, 1]
    np.testing.assert_allclose(own.mean(), 0.3, atol=0.02)
    np.testing.assert_array_equal(t[~own], t[~own][:, :1].repeat(3, axis=1))
    # Independent of each other, and all of the one distribution.
    assert abs(np.corrcoef(t[own, 0], t[own, 2])[0, 1]) < 0.1
    np.testing.assert_allclose(np.median(t[own]), times.shift_times(0.5, 2.0), atol=0.01)
    np.testing.assert_allclose(np.median(t[~own]), times.shift_times(0.5, 2.0), atol=0.02)


def test_the_draws_of_training_times_do_not_depend_on_each_other():
    """No time is drawn twice, and who has times of its own says nothing of what they are."""
    t = np.asarray(times.sample_frame_times(jax.random.key(1), 100, 3, 1.0, 0.5))
    own = t[:, 0] != t[:, 1]
    drawn = np.concatenate([t[own].ravel(), t[~own, 0]])
    assert len(np.unique(drawn)) == len(drawn)
    images = times.sample_frame_times(jax.random.key(2), 20_000, 1, 1.0, 0.3)
    np.testing.assert_allclose(jnp.median(images), 0.5, atol=0.01)
    np.testing.assert_allclose(jnp.percentile(images, 97.725), jax.nn.sigmoid(2.0), atol=0.01)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-1.0, 0.5)])
def test_training_times_are_logit_normal(mean, std):
    t = times.sample_times(jax.random.key(0), (20_000,), 1.0, mean, std)
    logits = jnp.log(t) - jnp.log1p(-t)
    np.testing.assert_allclose(logits.mean(), mean, atol=0.03)
    np.testing.assert_allclose(logits.std(), std, rtol=0.03)
    np.testing.assert_allclose(((logits - mean) ** 4).mean() / std**4, 3.0, atol=0.2)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_grid_is_uniform_before_its_shift(shift):
    grid = times.sampling_grid(8, shift)
    back = grid / (shift - (shift - 1) * grid)
    np.testing.assert_allclose(back, np.linspace(1.0, 0.0, 9), atol=1e-5)
