import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from seedance_jax.models import dit, windows
from seedance_jax.models.blocks import SpatialBlock, TemporalBlock, Text, block_ropes, visible_text
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.dit import DiT
from seedance_jax.models.generator import example_inputs
from seedance_jax.models.layers import MODULATION_PARTS

BATCH, FRAMES, HEIGHT, WIDTH, CHANNELS = 2, 3, 3, 5, 4  # a grid that the windows do not divide
LENGTH, TEXT_WIDTH = 6, 8
FEATURES, HEADS, WINDOW = 24, 2, (2, 2)


def normal(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def model(**settings):
    return DiT(CHANNELS, FEATURES, depth=2, heads=HEADS, window=WINDOW, **settings)


@pytest.fixture(scope="module")
def inputs():
    """Arguments of DiT: a clip of one shot and one of two with a global caption (a word each).

    Some of the text is padding, and the first frame is given.
    """
    latents = (BATCH, FRAMES, HEIGHT, WIDTH, CHANNELS)
    condition = Condition(
        text=normal(BATCH, LENGTH, TEXT_WIDTH, seed=1),
        text_mask=jnp.arange(LENGTH) < jnp.array([[3], [5]]),
        text_shot=jnp.array([[0] * LENGTH, [-1, 0, 0, 1, 1, 1]]),
        frame_shot=jnp.array([[0, 0, 0], [0, 1, 1]]),
        given=normal(*latents, seed=2),
        given_mask=jnp.zeros((BATCH, FRAMES)).at[:, 0].set(1.0),
    )
    return normal(*latents), jnp.array([0.3, 0.8]), condition


@pytest.fixture(scope="module")
def params(inputs, random_params):
    return random_params(model().init, *inputs)


@pytest.fixture(scope="module")
def velocity(params, inputs):
    """velocity(params=..., xt=..., t=..., **changed condition) by weights without a zero."""
    apply = jax.jit(model().apply)

    def run(params=params, xt=inputs[0], t=inputs[1], **changes):
        return apply(params, xt, t, inputs[2]._replace(**changes))

    return run


@pytest.fixture(scope="module")
def ropes(inputs):
    """(window, shift) -> the rotations of the blocks."""

    def make(window=WINDOW, shift=(0, 0)):
        sizes = (HEIGHT, WIDTH), FEATURES // HEADS
        return block_ropes(inputs[2], *sizes, [(window, shift)], full=False)

    return make


@pytest.fixture(scope="module")
def spatial(random_params, inputs, ropes):
    """(params, run, arguments) of one spatial block."""
    block, condition = SpatialBlock(HEADS), inputs[2]
    tokens = normal(BATCH, LENGTH, FEATURES, seed=1)
    shared = normal(BATCH, 1, MODULATION_PARTS, FEATURES, seed=2)
    arguments = (
        normal(BATCH, FRAMES, HEIGHT * WIDTH, FEATURES),
        Text(tokens, condition.text_mask, visible_text(condition)),
        (shared, shared[:, 0]),
        ropes(),
    )
    return random_params(block.init, *arguments), jax.jit(block.apply), arguments


@pytest.fixture(scope="module")
def temporal(random_params, ropes):
    """(params, run(window, shift, ...), arguments) of one temporal block."""
    arguments = (
        normal(BATCH, FRAMES, HEIGHT, WIDTH, FEATURES),
        normal(BATCH, 1, MODULATION_PARTS, FEATURES, seed=2),
        ropes((HEIGHT, WIDTH)).windows[0].reshape(BATCH, FRAMES, HEIGHT, WIDTH, -1),
    )
    block = TemporalBlock(HEADS, WINDOW)
    params = random_params(block.init, *arguments[:2], ropes().windows[0])

    def run(video, shared, rope, window=WINDOW, shift=(0, 0)):
        rope = windows.to_windows(rope, window, shift)
        return TemporalBlock(HEADS, window, shift).apply(params, video, shared, rope)

    return params, run, arguments


def reset(params):
    """The same with what starts at zero at zero: the modulation."""

    def zero(path, leaf):
        return leaf * 0 if "modulation" in jax.tree_util.keystr(path) else leaf

    return jax.tree_util.tree_map_with_path(zero, params)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize("window", [(2, 2), (3, 2), (2, 5), (8, 8)])
def test_windows_give_back_the_frames(window, shift):
    x = normal(2, 3, 3, 5, 4)
    cut = windows.to_windows(x, window, shift)
    count = -(-(3 + shift[0]) // window[0]) * -(-(5 + shift[1]) // window[1])
    assert cut.shape == (2, 3, count, window[0] * window[1], 4)
    np.testing.assert_array_equal(windows.from_windows(cut, window, shift, (3, 5)), x)


@pytest.fixture(scope="module")
def fresh(inputs):
    """The velocity and the variables at initialisation."""
    return nn.unbox(jax.jit(lambda key: model().init_with_output(key, *inputs))(jax.random.key(0)))


def test_the_velocity_is_zero_at_init(inputs, fresh):
    output, variables = fresh
    assert output.shape == inputs[0].shape
    assert output.dtype == jnp.float32
    np.testing.assert_array_equal(output, 0.0)
    modulated = variables["params"]["pairs"]["pair0"]["spatial"]["video_modulation"]["bias"]
    assert not np.any(modulated)


def test_every_pair_of_blocks_starts_with_weights_of_its_own(fresh):
    for path, leaf in traverse_util.flatten_dict(fresh[1]["params"]["pairs"]).items():
        if path[-1] == "kernel":
            assert np.all(leaf[0] != leaf[1]), path


def test_the_spatial_block_is_the_identity_at_init(spatial):
    params, run, (video, text, shared, ropes) = spatial
    closed = jax.tree.map(jnp.zeros_like, shared)
    new_video, new_text = run(reset(params), video, text, closed, ropes)
    np.testing.assert_array_equal(new_video, video)
    np.testing.assert_array_equal(new_text.tokens, text.tokens)


def test_the_temporal_block_is_the_identity_at_init(temporal):
    params, _, (video, shared, rope) = temporal
    block = TemporalBlock(HEADS, WINDOW)
    rope = windows.to_windows(rope, WINDOW, (0, 0))
    np.testing.assert_array_equal(block.apply(reset(params), video, 0 * shared, rope), video)


def test_padding_of_the_text_changes_nothing(inputs, velocity):
    condition = inputs[2]
    garbage = jnp.where(condition.text_mask[..., None], condition.text, 100.0)
    shot = jnp.where(condition.text_mask, condition.text_shot, 0)
    np.testing.assert_allclose(velocity(), velocity(text=garbage, text_shot=shot), atol=1e-5)
    longer = {
        name: jnp.concatenate([getattr(condition, name), more], axis=1)
        for name, more in {
            "text": normal(BATCH, 2, TEXT_WIDTH, seed=9),
            "text_mask": jnp.zeros((BATCH, 2), bool),
            "text_shot": jnp.ones((BATCH, 2), int),
        }.items()
    }
    np.testing.assert_allclose(velocity(), velocity(**longer), atol=1e-5)


def test_text_reaches_the_video_through_the_spatial_blocks_alone(inputs, params, velocity):
    other = inputs[2].text[::-1]
    assert np.abs(velocity() - velocity(text=other)).max() > 1e-3
    closed = without_spatial(params)
    np.testing.assert_array_equal(velocity(closed), velocity(closed, text=other))


def test_a_frame_does_not_see_other_frames_in_a_spatial_block(spatial):
    params, run, (video, *rest) = spatial
    (before, text_before) = run(params, video, *rest)
    (after, text_after) = run(params, video.at[:, 1].multiply(-1.0), *rest)
    np.testing.assert_allclose(before[:, [0, 2]], after[:, [0, 2]], atol=1e-5)
    assert np.abs(before - after)[:, 1].max() > 1e-2
    assert np.abs(text_before.tokens - text_after.tokens).max() > 1e-3  # the text reads all frames


def test_frames_see_the_caption_of_their_shot_and_the_global_one(spatial):
    params, run, (video, text, *rest) = spatial
    before, _ = run(params, video, text, *rest)
    for token, frames in ((0, [0, 1, 2]), (1, [0]), (2, [0]), (3, [1, 2]), (5, [])):
        changed = text._replace(tokens=text.tokens.at[1, token].multiply(-1.0))
        after, _ = run(params, video, changed, *rest)
        change = np.abs(before - after)[1].max((1, 2))
        assert np.flatnonzero(change > 1e-4).tolist() == frames, token


def test_captions_see_the_frames_of_their_shot(spatial):
    params, run, (video, *rest) = spatial
    _, before = run(params, video, *rest)
    for frame, tokens in ((0, [0, 1, 2]), (1, [0, 3, 4])):
        _, after = run(params, video.at[1, frame].multiply(-1.0), *rest)
        change = np.abs(before.tokens - after.tokens)[1, :5].max(1)
        assert np.flatnonzero(change > 1e-4).tolist() == tokens, frame


def test_a_temporal_block_mixes_frames_but_not_windows(temporal):
    _, run, (video, *rest) = temporal
    flipped = video.at[:, 1, 0, 1].multiply(-1.0)
    for shift, rows, columns in (((0, 0), (0, 2), (0, 2)), ((1, 1), (0, 1), (1, 3))):
        change = run(video, *rest, shift=shift) - run(flipped, *rest, shift=shift)
        change = np.abs(change).max((0, -1))
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[slice(*rows), slice(*columns)] = True
        assert (change[:, inside] > 1e-5).all()
        np.testing.assert_allclose(change[:, ~inside], 0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 2), (0, 2)), ((2, 3), (2, 4)), ((0, 2), (4, 5)), ((2, 3), (4, 5))]
)
def test_a_window_at_the_edge_is_a_smaller_window(temporal, rows, columns):
    """Its padding is not seen: the cut-out alone, in a window of its size, gives the same."""
    _, run, (video, shared, rope) = temporal
    cut = (..., slice(*rows), slice(*columns), slice(None))
    window = (rows[1] - rows[0], columns[1] - columns[0])
    alone = run(video[cut], shared, rope[cut], window=window)
    np.testing.assert_allclose(run(video, shared, rope)[cut], alone, atol=1e-5)


def test_only_the_given_condition_latents_count(inputs, velocity):
    condition = inputs[2]
    given = condition.given_mask[:, :, None, None, None] > 0
    ignored = jnp.where(given, condition.given, 7.0)
    used = jnp.where(given, 7.0, condition.given)
    np.testing.assert_array_equal(velocity(), velocity(given=ignored))
    assert np.abs(velocity() - velocity(given=used)).max() > 1e-3


def test_a_given_frame_is_told_from_a_generated_one_by_the_mask(inputs, velocity):
    zero = jnp.zeros_like(inputs[2].given)
    none = jnp.zeros((BATCH, FRAMES))
    assert np.abs(velocity(given=zero) - velocity(given=zero, given_mask=none)).max() > 1e-3


def test_samples_of_a_batch_do_not_mix(inputs, velocity):
    xt, t, condition = jax.tree.map(lambda value: jnp.repeat(value[:1], BATCH, 0), inputs)
    alone = velocity(xt=xt, t=t, **condition._asdict())
    np.testing.assert_allclose(velocity()[0], alone[0], atol=1e-5)


def test_text_goes_by_the_time_of_the_noisiest_frame(params, inputs):
    """Its modulation is the last one that is made of the times, after those of the frames."""
    t = jnp.array([[0.1, 0.5, 0.9]] * BATCH)
    made = jax.jit(lambda *arguments: outputs_of(inputs)(*arguments)["time_out"])(params, t)
    assert made.shape[:2] == (BATCH, FRAMES + 1)
    np.testing.assert_array_equal(made[:, -1], made[:, 2])
    assert np.abs(made[:, 0] - made[:, 2]).max() > 1e-2


def test_frames_read_a_text_of_the_time_of_the_noisiest_frame(params, velocity):
    """The first pair reads the text, and no other way from frame to frame is left."""

    def close(path, leaf):
        name, closed = jax.tree_util.keystr(path), jnp.asarray(leaf)
        closed = closed * 0 if "['temporal']['out']" in name else closed
        return closed.at[1].set(0.0) if "['spatial']['video_out']" in name else closed

    closed, t = jax.tree_util.tree_map_with_path(close, params), jnp.array([[0.1, 0.5, 0.9]] * 2)
    before = velocity(closed, t=t)
    for frame, reached in ((1, [1]), (2, [0, 1, 2])):
        change = np.abs(before - velocity(closed, t=t.at[:, frame].add(-0.1))).max((0, 2, 3, 4))
        assert np.flatnonzero(change > 1e-5).tolist() == reached


def test_one_time_for_all_frames_is_that_time_for_each(inputs, velocity):
    each = jnp.broadcast_to(inputs[1][:, None], (BATCH, FRAMES))
    np.testing.assert_allclose(velocity(), velocity(t=each), atol=1e-5)


def test_the_time_of_a_frame_modulates_that_frame(params, inputs):
    """One pair with closed attention outputs: no other way from frame to frame is left."""

    def close(path, leaf):
        name = jax.tree_util.keystr(path)
        return leaf * 0 if "video_out" in name or "['temporal']['out']" in name else leaf

    closed = jax.tree_util.tree_map_with_path(close, params)
    t = jnp.broadcast_to(inputs[1][:, None], (BATCH, FRAMES))
    apply = jax.jit(model().apply)
    before, after = (apply(closed, inputs[0], t, inputs[2]) for t in (t, t.at[:, 1].add(-0.2)))
    change = np.abs(before - after).max((2, 3, 4))
    assert (change[:, 1] > 1e-3).all()
    np.testing.assert_array_equal(change[:, [0, 2]], 0.0)


def outputs_of(inputs, **settings):
    """Function (params, t) -> {path of a projection outside of the blocks: its output}."""
    made = {}

    def note(call, arguments, options, context):
        out = call(*arguments, **options)
        if isinstance(context.module, nn.DenseGeneral) and "pairs" not in context.module.path:
            made["/".join(context.module.path)] = out
        return out

    def run(params, t):
        with nn.intercept_methods(note):
            model(**settings).apply(params, inputs[0], t, inputs[2])
        return made

    return run


def without_spatial(params):
    """The weights with which temporal blocks alone mix the tokens of frames."""

    def close(path, leaf):
        return leaf * 0 if "['spatial']['video_out']" in jax.tree_util.keystr(path) else leaf

    return jax.tree_util.tree_map_with_path(close, params)


@pytest.mark.parametrize(("full", "changed"), [(False, [1]), (True, [0, 1, 2])])
def test_a_frame_attends_to_itself_or_with_full_attention_to_all(spatial, full, changed):
    params, _, (video, *others) = spatial
    run = jax.jit(SpatialBlock(HEADS, full=full).apply)
    before, after = (run(params, x, *others)[0] for x in (video, video.at[:, 1].add(1.0)))
    change = np.abs(before - after).max((2, 3)) > 1e-6
    np.testing.assert_array_equal(change, [[i in changed for i in range(FRAMES)]] * BATCH)


def test_full_attention_has_one_window_and_frames_of_all_frames(params, inputs):
    """So without spatial blocks it is a model of one window, and with them another one."""
    full, one = (
        jax.jit(net.apply)
        for net in (model(attention="full"), model().clone(window=(HEIGHT, WIDTH)))
    )
    closed = without_spatial(params)
    np.testing.assert_allclose(full(closed, *inputs), one(closed, *inputs), atol=1e-6)
    assert np.abs(full(params, *inputs) - one(params, *inputs)).max() > 1e-3


def test_shifted_windows_tie_what_the_others_keep_apart(inputs, random_params):
    """With a shift, a change reaches beyond its window in two pairs, without the spatial blocks."""

    def spread(shift):
        net = model(shift=shift)
        params = without_spatial(random_params(net.init, *inputs))
        moved = inputs[0].at[:, 0, 0, 0].add(1.0)
        apply = jax.jit(net.apply)
        change = apply(params, *inputs) - apply(params, moved, *inputs[1:])
        return np.abs(change).max((0, 1, -1)) > 1e-5

    assert spread((0, 0)).sum() == 4
    assert spread((1, 1)).sum() > 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attention": "sparse"}, "attention='sparse'; legal values:.*decoupled.*full"),
        ({"remat": "foo"}, "remat='foo'; legal values:.*none"),
        ({"shift": (2, 0)}, r"shift=\(2, 0\)"),
        ({"shift": (1, 0), "depth": 3}, "depth=3 must be even"),
        ({"heads": 5}, "width=24 is not a multiple of heads=5"),
        ({"window": (0, 2)}, r"window=\(0, 2\): rows and columns must be at least 1"),
        ({"window": (3,)}, r"window=\(3,\) must be \(rows, columns\)"),
        ({"depth": 0}, "depth=0: must be at least 1"),
        ({"heads": 0}, "heads=0: must be at least 1"),
    ],
)
def test_bad_settings_are_named(changes, said):
    settings = {"width": FEATURES, "depth": 2, "heads": HEADS, "window": WINDOW}
    with pytest.raises(ValueError, match=said):
        DiT(CHANNELS, **settings | changes)


def test_recomputing_changes_neither_output_nor_gradient(inputs, params):
    def loss_and_grad(remat):
        loss = lambda params: (model(remat=remat).apply(params, *inputs) ** 2).mean()  # noqa: E731
        return jax.jit(jax.value_and_grad(loss))(params)

    expected = loss_and_grad("none")
    for remat in sorted(set(dit.REMAT_POLICIES) - {"none"}):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            expected,
            loss_and_grad(remat),
        )


def test_every_parameter_has_a_name_that_was_given_to_it(params):
    """Paths of parameters are the format of checkpoints: "DenseGeneral_0" may become another's."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    assert not [path for path in paths if re.search(r"'[A-Z]\w*_\d+'", path)]
    assert {"time_in", "time_mid", "time_out", "patch", "out"} < set(params["params"])


def test_released_weights_are_the_parameters_of_a_model_of_their_config(released):
    config, shapes = released("video")
    xt, t, condition = example_inputs(48, LENGTH, text_width=config["text"]["width"])
    made = jax.eval_shape(DiT(48, **config["model"]).init, jax.random.key(0), xt, t, condition)
    made = traverse_util.flatten_dict(nn.unbox(made)["params"], sep=".")
    assert {name: leaf.shape for name, leaf in made.items()} == shapes


def test_projections_but_of_time_and_output_are_of_the_dtype_that_is_asked_for(params, inputs):
    made = jax.eval_shape(outputs_of(inputs, dtype=jnp.float16), params, inputs[1])
    precise = {name for name, out in made.items() if out.dtype == jnp.float32}
    assert precise == {"time_in", "time_mid", "time_out", "out"}
    assert made["patch"].dtype == made["text_in"].dtype == jnp.float16


def test_the_more_is_recomputed_the_less_is_kept_for_the_backward_pass(params, inputs):
    def kept(remat):
        apply = lambda params: model(remat=remat).apply(params, *inputs)  # noqa: E731
        backward = jax.eval_shape(lambda params: jax.vjp(apply, params)[1], params)
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    order = ("full", "save_attention", "save_products", "none")
    sizes = [kept(remat) for remat in order]
    assert sizes == sorted(set(sizes))
