from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion.guidance import guidance_weights, guided


class Condition(NamedTuple):
    """A stand-in: what is predicted, and the given frames."""

    a: Any
    given_mask: Any


SHAPE = (2, 3, 1, 1, 4)
X, T = jax.random.normal(jax.random.key(0), SHAPE), jnp.array(0.5)
MASK = jnp.zeros((2, 3)).at[0, 0].set(1.0)
CONDITIONS = {
    name: Condition(jax.random.normal(jax.random.key(i), SHAPE), MASK)
    for i, name in enumerate(("positive", "negative", "unconditional"), 1)
}


def velocity(x, t, condition):
    t = t[None, :, None, None, None] if t.ndim else t
    return t * x * condition.a + condition.a


def run(scale=1.0, image_scale=1.0, conditions=CONDITIONS, t=T, **settings):
    weights = guidance_weights(scale, image_scale)
    return guided(velocity, conditions, weights, **settings)(X, t)


def part(name, t=T):
    return velocity(X, t, CONDITIONS[name])


def test_scales_of_1_are_the_positive_prediction_at_its_cost():
    sizes = []

    def counting(x, t, condition):
        sizes.append(len(x))
        return velocity(x, t, condition)

    result = guided(counting, CONDITIONS, guidance_weights(), rescale=0.7, interval=(0.1, 0.6))
    np.testing.assert_array_equal(result(X, T), part("positive"))
    assert sizes == [len(X)]


@pytest.mark.parametrize(
    ("scales", "names"),
    [
        ((3.0, 1.0), ["positive", "negative"]),
        ((0.0, 1.0), ["negative"]),
        ((3.0, 3.0), ["positive", "unconditional"]),
        ((3.0, 2.0), ["positive", "negative", "unconditional"]),
    ],
)
def test_only_predictions_of_some_weight_are_made(scales, names):
    weights = guidance_weights(*scales)
    assert list(weights) == names
    np.testing.assert_allclose(sum(weights.values()), 1.0)


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
def test_text_guidance_lies_on_the_line_through_both_captions(scale):
    expected = part("negative") + scale * (part("positive") - part("negative"))
    np.testing.assert_allclose(run(scale), expected, rtol=1e-5, atol=1e-5)


def test_both_guidances_add_up():
    none, frames, full = part("unconditional"), part("negative"), part("positive")
    expected = none + 1.5 * (frames - none) + 3.0 * (full - frames)
    np.testing.assert_allclose(run(3.0, 1.5), expected, rtol=1e-5, atol=1e-5)


def test_equal_conditions_leave_nothing_to_guide():
    same = dict.fromkeys(CONDITIONS, CONDITIONS["positive"])
    np.testing.assert_allclose(run(7.0, 3.0, same), part("positive"), rtol=1e-4, atol=1e-5)


def test_a_full_rescale_restores_the_deviation_of_what_is_generated():
    generated = np.asarray(1.0 - MASK, bool)
    whole, half, none = (run(9.0, rescale=amount) for amount in (1.0, 0.5, 0.0))
    for i in range(2):
        wanted = np.std(np.asarray(part("positive"))[i, generated[i]])
        np.testing.assert_allclose(np.std(np.asarray(whole)[i, generated[i]]), wanted, rtol=1e-4)
    np.testing.assert_allclose(half, (whole + none) / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(none, run(9.0), rtol=1e-6)


def test_without_the_positive_prediction_there_is_no_deviation_to_restore():
    np.testing.assert_array_equal(run(0.0, rescale=0.7), run(0.0))


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_without_an_interval_the_whole_path_is_guided_from_end_to_end(t):
    """And where that interval is written down, at no other cost."""
    sizes = []

    def counting(x, t, condition):
        sizes.append(len(x))
        return velocity(x, t, condition)

    t = jnp.array(t)
    for settings in ({}, {"interval": (0.0, 1.0)}):
        result = guided(counting, CONDITIONS, guidance_weights(0.0), **settings)(X, t)
        np.testing.assert_array_equal(result, part("negative", t))
    assert sizes == [len(X)] * 2


def test_guidance_stays_within_its_interval():
    for t in (0.0, 0.1, 0.25, 0.4, 0.75, 0.9, 1.0):  # its ends are inside
        t = jnp.array(t)
        result = jax.jit(lambda t: run(3.0, t=t, rescale=0.5, interval=(0.25, 0.75)))(t)
        expected = run(3.0, t=t, rescale=0.5) if 0.25 <= t <= 0.75 else part("positive", t)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_frames_with_times_of_their_own_are_guided_by_their_own():
    t = jnp.array([0.1, 0.5, 0.9])
    result = run(3.0, t=t, interval=(0.2, 0.8))
    expected = jnp.where(
        (jnp.arange(3) == 1)[:, None, None, None], run(3.0, t=t), part("positive", t)
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_frames_outside_of_their_interval_are_not_rescaled():
    t = jnp.array([0.1, 0.5, 0.9])
    result = run(9.0, t=t, rescale=1.0, interval=(0.2, 0.8))
    outside = np.array([0, 2])
    np.testing.assert_allclose(result[:, outside], part("positive", t)[:, outside], rtol=1e-5)
    assert np.abs(result - part("positive", t))[:, 1].max() > 0.1


def test_gradients_pass_through_an_interval():
    loss = lambda x: guided(  # noqa: E731
        velocity, CONDITIONS, guidance_weights(3.0), rescale=0.5, interval=(0.2, 0.8)
    )(x, T).sum()
    assert np.isfinite(jax.grad(loss)(X)).all()
