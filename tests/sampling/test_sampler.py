"""What is compiled for sampling, with a stand-in for the generator that keeps what it sees."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion import guidance, solvers, times
from seedance_jax.models.conditioning import Condition
from seedance_jax.sampling import sampler

SHAPE = (2, 3, 2, 2, 4)
GIVEN = jax.random.normal(jax.random.key(0), SHAPE)
MASK = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
SEEDS = jnp.array([5, 6], jnp.uint32)
BOTH = {"guidance_scale": 3.0, "image_guidance_scale": 2.0}


class Network:
    """Encodes text to twice itself; its velocity is the mean of its text times 1 + x / 10."""

    def __init__(self):
        self.calls = []

    def apply(self, variables, *arguments, method="__call__"):
        assert variables == {"params": "weights"}
        if method == "encode_text":
            return arguments[0]._replace(text=2.0 * arguments[0].text)
        assert method == "velocity"  # text is encoded once
        x, _, condition = arguments
        self.calls.append(arguments)
        return condition.text.mean((1, 2))[:, None, None, None, None] * (1 + 0.1 * x)


def condition(text):
    """The condition whose text tokens are all `text`."""
    ones = jnp.ones((2, 4), bool)
    tokens = jnp.full((2, 4, 3), text)
    return Condition(tokens, ones, 0 * ones, jnp.zeros((2, 3), int), GIVEN, MASK)


def begin(network, names=("positive",)):
    parts = condition(1.5), condition(-0.5)
    return sampler.begin(network, "weights", *parts, SEEDS, names=names)


def run(steps=4, solver="euler", network=None, **settings):
    """(noise, latents after every step, the network) under two guidances."""
    network, weights = network or Network(), guidance.guidance_weights(**BOTH)
    noise, conditions = begin(network, list(weights))
    coefficients = solvers.SOLVERS[solver].prepare(times.sampling_grid(steps, 2.0))
    state, seen = solvers.start(noise), []
    for number in range(steps):
        state = sampler.step(
            network,
            "weights",
            state=state,
            now=jax.tree.map(operator.itemgetter(number), coefficients),
            start=(noise, conditions, weights),
            settings=sampler.StepSettings(solver, **settings),
        )
        seen.append(state[0])
    return noise, seen, network


def test_the_noise_of_a_clip_depends_on_its_seed_alone():
    noise, _ = begin(Network())
    again = sampler.begin(
        Network(), "weights", condition(9.0), condition(9.0), SEEDS[::-1], names=("positive",)
    )[0]
    assert noise.shape == SHAPE
    np.testing.assert_array_equal(noise, again[::-1])
    assert np.abs(noise[0] - noise[1]).max() > 1
    np.testing.assert_allclose((noise.mean(), noise.std()), (0.0, 1.0), atol=0.25)


def test_each_prediction_is_without_what_guidance_moves_away_from():
    _, made = begin(Network(), ("positive", "negative", "unconditional"))
    for name, text, mask in (
        ("positive", 3.0, MASK),
        ("negative", -1.0, MASK),
        ("unconditional", -1.0, 0 * MASK),
    ):
        np.testing.assert_array_equal(made[name].text, np.full((2, 4, 3), text))
        np.testing.assert_array_equal(made[name].given_mask, mask)
        np.testing.assert_array_equal(made[name].given, GIVEN)


@pytest.mark.parametrize("solver", sorted(solvers.SOLVERS))
def test_given_frames_go_straight_from_their_noise_to_themselves(solver):
    noise, seen, _ = run(solver=solver)
    grid = times.sampling_grid(4, 2.0)
    for t, x in zip(grid[1:], seen, strict=True):
        expected = (1 - t) * GIVEN[0, 0] + t * noise[0, 0]
        np.testing.assert_allclose(x[0, 0], expected, atol=1e-5)
    assert np.abs(seen[-1][1, 0] - GIVEN[1, 0]).max() > 0.1  # is not given


def test_the_network_sees_given_frames_clean_but_where_the_condition_has_none():
    noise, _, network = run(steps=1)
    ((x, t, seen),) = network.calls
    weights = guidance.guidance_weights(**BOTH)
    for name, rows in zip(weights, np.split(np.arange(6), 3), strict=True):
        given = np.asarray(seen.given_mask)[rows] > 0
        assert given.any() == (name != "unconditional")
        np.testing.assert_array_equal(x[rows][given], GIVEN[given])
        np.testing.assert_array_equal(x[rows][~given], noise[~given])
        np.testing.assert_array_equal(t[rows], np.where(given, 0.0, 1.0))


def test_a_step_goes_along_the_guided_velocity():
    noise, (x,), _ = run(steps=1)
    text = -1.0 + 3.0 * (3.0 + 1.0)  # of a free frame the captions alone tell predictions apart
    expected = noise[1] - text * (1 + 0.1 * noise[1])
    np.testing.assert_allclose(x[1], expected, rtol=1e-4, atol=1e-4)


def test_rescale_and_interval_reach_guidance():
    noise, (plain,), _ = run(steps=1)
    _, (rescaled,), _ = run(steps=1, rescale=1.0)
    deviation = lambda x: np.asarray(noise - x)[1].std()  # noqa: E731
    np.testing.assert_allclose(deviation(rescaled), 0.3 * np.asarray(noise)[1].std(), rtol=1e-3)
    assert np.abs(plain - rescaled).max() > 0.1
    _, (outside,), _ = run(steps=1, interval=(0.0, 0.5))
    expected = noise[1] - 3.0 * (1 + 0.1 * noise[1])
    np.testing.assert_allclose(outside[1], expected, rtol=1e-4, atol=1e-4)


def test_the_denoising_loss_is_that_of_the_velocity_at_its_time():
    class Perfect(Network):
        """Knows the data, which is not given."""

        def apply(self, variables, x, t, condition):
            self.calls.append((x, t, condition))
            return (x - GIVEN) / t[:, None, None, None, None] + self.error

        error = 0.0

    perfect, wrong = Perfect(), Perfect()
    wrong.error = jnp.array([1.0, 3.0])[:, None, None, None, None]
    loss = lambda network: sampler.denoising_loss(  # noqa: E731
        network, "weights", GIVEN, condition(1.0), jnp.float32(0.4), SEEDS
    )
    np.testing.assert_allclose(loss(perfect), [0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(loss(wrong), [1.0, 9.0], rtol=1e-4)
    ((x, t, _),) = perfect.calls
    np.testing.assert_array_equal(t, np.full(2, np.float32(0.4)))
    np.testing.assert_allclose(x, 0.6 * GIVEN + 0.4 * begin(Network())[0], atol=1e-6)
