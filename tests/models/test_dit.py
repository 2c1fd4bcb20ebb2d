import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import dit, rope
from seedance_jax.models.dit import DiT, SpatialBlock, TemporalBlock

BATCH, FRAMES, HEIGHT, WIDTH, CHANNELS = 2, 3, 3, 5, 4  # a grid that the windows do not divide
LENGTH, TEXT_WIDTH = 6, 8
FEATURES, HEADS, WINDOW = 24, 2, (2, 2)


def normal(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def model(remat="none"):
    return DiT(CHANNELS, FEATURES, depth=2, heads=HEADS, window=WINDOW, remat=remat)


@pytest.fixture(scope="module")
def inputs():
    """Arguments of DiT: half of the text is padding and the first frame is given."""
    latents = (BATCH, FRAMES, HEIGHT, WIDTH, CHANNELS)
    return {
        "xt": normal(*latents),
        "t": jnp.array([0.3, 0.8]),
        "text": normal(BATCH, LENGTH, TEXT_WIDTH, seed=1),
        "text_mask": jnp.arange(LENGTH) < jnp.array([[3], [5]]),
        "condition_latents": normal(*latents, seed=2),
        "condition_mask": jnp.zeros((BATCH, FRAMES)).at[:, 0].set(1.0),
    }


@pytest.fixture(scope="module")
def params(inputs, random_params):
    return random_params(model().init, **inputs)


@pytest.fixture(scope="module")
def velocity(params):
    """velocity(params=..., **inputs) of a model without a zero parameter."""
    apply = jax.jit(lambda params, inputs: model().apply(params, **inputs))
    return lambda params=params, **inputs: apply(params, inputs)


@pytest.fixture(scope="module")
def spatial(random_params):
    """(params, run, arguments) of one spatial block."""
    block = SpatialBlock(HEADS)
    positions = rope.video_positions(FRAMES, HEIGHT, WIDTH, start=LENGTH)
    tables = (positions.reshape(FRAMES, HEIGHT * WIDTH, 3), rope.text_positions(LENGTH))
    arguments = (
        normal(BATCH, FRAMES, HEIGHT * WIDTH, FEATURES),
        normal(BATCH, LENGTH, FEATURES, seed=1),
        jnp.arange(LENGTH) < jnp.array([[3], [5]]),
        normal(BATCH, dit.MODULATION_PARTS, FEATURES, seed=2),
        tuple(rope.rope_table(table, FEATURES // HEADS) for table in tables),
    )
    return random_params(block.init, *arguments), jax.jit(block.apply), arguments


@pytest.fixture(scope="module")
def temporal(random_params):
    """(params, run(window, ...), arguments) of one temporal block."""
    positions = rope.video_positions(FRAMES, HEIGHT, WIDTH, start=LENGTH)
    arguments = (
        normal(BATCH, FRAMES, HEIGHT, WIDTH, FEATURES),
        normal(BATCH, dit.MODULATION_PARTS, FEATURES, seed=2),
        rope.rope_table(positions, FEATURES // HEADS),
    )
    params = random_params(TemporalBlock(HEADS, WINDOW).init, *arguments)

    def run(*arguments, window=WINDOW):
        return TemporalBlock(HEADS, window).apply(params, *arguments)

    return params, run, arguments


def reset(params):
    """The same with what starts at zero at zero: the modulation."""

    def zero(path, leaf):
        return leaf * 0 if "modulation" in jax.tree_util.keystr(path) else leaf

    return jax.tree_util.tree_map_with_path(zero, params)


@pytest.mark.parametrize("window", [(2, 2), (3, 2), (1, 5), (8, 8)])
def test_windows_give_back_the_frames(window):
    x = normal(2, 3, 3, 5, 4)
    windows = dit.to_windows(x, window)
    count = -(-3 // window[0]) * -(-5 // window[1])
    assert windows.shape == (2, 3, count, window[0] * window[1], 4)
    np.testing.assert_array_equal(dit.from_windows(windows, window, (3, 5)), x)


def test_the_velocity_is_zero_at_init(inputs):
    fresh = jax.jit(lambda key: model().init_with_output(key, **inputs))(jax.random.key(0))
    output, variables = nn.unbox(fresh)
    assert output.shape == inputs["xt"].shape
    assert output.dtype == jnp.float32
    np.testing.assert_array_equal(output, 0.0)
    modulated = variables["params"]["pairs"]["spatial"]["video_modulation"]["bias"]
    assert not np.any(modulated)


def test_the_spatial_block_is_the_identity_at_init(spatial):
    params, run, (video, text, mask, shared, ropes) = spatial
    new_video, new_text = run(reset(params), video, text, mask, 0 * shared, ropes)
    np.testing.assert_array_equal(new_video, video)
    np.testing.assert_array_equal(new_text, text)


def test_the_temporal_block_is_the_identity_at_init(temporal):
    params, _, (video, shared, ropes) = temporal
    block = TemporalBlock(HEADS, WINDOW)
    np.testing.assert_array_equal(block.apply(reset(params), video, 0 * shared, ropes), video)


def test_padding_of_the_text_changes_nothing(inputs, velocity):
    garbage = jnp.where(inputs["text_mask"][..., None], inputs["text"], 100.0)
    np.testing.assert_allclose(
        velocity(**inputs), velocity(**inputs | {"text": garbage}), atol=1e-5
    )


def test_text_reaches_the_video_through_the_spatial_blocks_alone(inputs, params, velocity):
    other = inputs | {"text": inputs["text"][::-1]}
    assert np.abs(velocity(**inputs) - velocity(**other)).max() > 1e-3

    def close(path, leaf):
        return leaf * 0 if "['spatial']['video_out']" in jax.tree_util.keystr(path) else leaf

    closed = jax.tree_util.tree_map_with_path(close, params)
    np.testing.assert_array_equal(velocity(closed, **inputs), velocity(closed, **other))


def test_a_frame_does_not_see_other_frames_in_a_spatial_block(spatial):
    params, run, (video, text, *rest) = spatial
    (before, text_before) = run(params, video, text, *rest)
    (after, text_after) = run(params, video.at[:, 1].multiply(-1.0), text, *rest)
    np.testing.assert_allclose(before[:, [0, 2]], after[:, [0, 2]], atol=1e-5)
    assert np.abs(before - after)[:, 1].max() > 1e-2
    assert np.abs(text_before - text_after).max() > 1e-3  # the text reads all frames


def test_a_temporal_block_mixes_frames_but_not_windows(temporal):
    _, run, (video, *rest) = temporal
    change = jnp.abs(run(video, *rest) - run(video.at[:, 1, 0, 1].multiply(-1.0), *rest)).max(-1)
    assert (np.asarray(change)[:, :, :2, :2] > 1e-5).all()
    np.testing.assert_allclose(change[:, :, 2:], 0.0, atol=1e-5)
    np.testing.assert_allclose(change[:, :, :, 2:], 0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 2), (0, 2)), ((2, 3), (2, 4)), ((0, 2), (4, 5)), ((2, 3), (4, 5))]
)
def test_a_window_at_the_edge_is_a_smaller_window(temporal, rows, columns):
    """Its padding is not seen: the cut-out alone, in a window of its size, gives the same."""
    _, run, (video, shared, tables) = temporal
    cut = (..., slice(*rows), slice(*columns), slice(None))
    window = (rows[1] - rows[0], columns[1] - columns[0])
    alone = run(video[cut], shared, tuple(table[cut] for table in tables), window=window)
    np.testing.assert_allclose(run(video, shared, tables)[cut], alone, atol=1e-5)


def test_only_the_given_condition_latents_count(inputs, velocity):
    given = inputs["condition_mask"][:, :, None, None, None] > 0
    ignored = jnp.where(given, inputs["condition_latents"], 7.0)
    used = jnp.where(given, 7.0, inputs["condition_latents"])
    before = velocity(**inputs)
    np.testing.assert_array_equal(before, velocity(**inputs | {"condition_latents": ignored}))
    assert np.abs(before - velocity(**inputs | {"condition_latents": used})).max() > 1e-3


def test_a_given_frame_is_told_from_a_generated_one_by_the_mask(inputs, velocity):
    zero = inputs | {"condition_latents": jnp.zeros_like(inputs["condition_latents"])}
    other = zero | {"condition_mask": jnp.zeros((BATCH, FRAMES))}
    assert np.abs(velocity(**zero) - velocity(**other)).max() > 1e-3


def test_samples_of_a_batch_do_not_mix(inputs, velocity):
    alone = {name: jnp.repeat(value[:1], BATCH, 0) for name, value in inputs.items()}
    np.testing.assert_allclose(velocity(**inputs)[0], velocity(**alone)[0], atol=1e-5)


def test_recomputing_changes_neither_output_nor_gradient(inputs, params):
    def loss_and_grad(remat):
        loss = lambda params: (model(remat).apply(params, **inputs) ** 2).mean()  # noqa: E731
        return jax.jit(jax.value_and_grad(loss))(params)

    expected = loss_and_grad("none")
    for remat in sorted(set(dit.REMAT_POLICIES) - {"none"}):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            expected,
            loss_and_grad(remat),
        )
