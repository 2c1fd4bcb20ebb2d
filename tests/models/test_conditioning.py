"""Conditions: what leaving out means, and adapters that change nothing until they are trained."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from seedance_jax.models import conditioning, rasters
from seedance_jax.models.conditioning import ADAPTERS, CONDITIONS, Condition
from seedance_jax.models.dit import DiT
from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import generators

BATCH, FRAMES, CHANNELS = 3, 2, 4
XT = jax.random.normal(jax.random.key(0), (BATCH, FRAMES, 2, 2, CHANNELS))
STATES = (FRAMES, rasters.SLOTS, 5)
UNKNOWN = {"camera": jnp.full((FRAMES, 3, 4), jnp.nan), "states": jnp.full(STATES, jnp.nan)}
CONDITION = Condition(
    text=jax.random.normal(jax.random.key(1), (BATCH, 4, 8)),
    text_mask=jnp.arange(4) < jnp.array([[4], [3], [2]]),
    text_shot=jnp.array([[0] * 4, [-1, -1, 0, 0], [0] * 4]),
    frame_shot=jnp.zeros((BATCH, FRAMES), int),
    given=XT,
    given_mask=jnp.ones((BATCH, FRAMES)),
    fps=jnp.array([12.0, 24.0, jnp.nan]),
    camera=jnp.stack([*jax.random.normal(jax.random.key(5), (2, FRAMES, 3, 4)), UNKNOWN["camera"]]),
    gravity=jnp.array([9.81, 1.6, jnp.nan]),
    states=jnp.stack([*jax.random.uniform(jax.random.key(6), (2, *STATES)), UNKNOWN["states"]]),
)
DROPPED = jnp.array([True, False, False])
PLAIN = DiT(CHANNELS, 24, depth=1, heads=2, window=(2, 2))


def whole(model, *changes):
    return jax.jit(model.apply)(*changes)


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(PLAIN.init, XT, jnp.ones(BATCH), CONDITION)


@pytest.fixture(scope="module", params=sorted(ADAPTERS))
def adapted(request, params):
    """(name, DiT with the adapter of a condition, params that start from those without)."""
    model = PLAIN.clone(conditions=(request.param,))
    fresh = nn.unbox(jax.jit(model.init)(jax.random.key(2), XT, jnp.ones(BATCH), CONDITION))
    fresh, old = (traverse_util.flatten_dict(tree["params"]) for tree in (fresh, params))
    [(_, new)] = conditioning.adapter_paths([request.param])
    assert {path[0] for path in fresh.keys() - old.keys()} == {new}
    return request.param, model, {"params": traverse_util.unflatten_dict(fresh | old)}


def test_a_fresh_adapter_changes_nothing(adapted, params):
    _, model, with_adapter = adapted
    inputs = XT, jnp.full(BATCH, 0.5), CONDITION
    np.testing.assert_array_equal(
        whole(model, with_adapter, *inputs), whole(PLAIN, params, *inputs)
    )


def test_an_adapter_learns_from_what_is_known_alone(adapted):
    """Its kernel has a gradient; trained, it tells values apart, and NaN is the same as None."""
    name, model, params = adapted
    t, names = jnp.full(BATCH, 0.5), (name,)
    run = jax.jit(model.apply)

    def loss(kernel):
        own = {**params["params"], conditioning.adapter_name(name): {"kernel": kernel}}
        return (model.apply({"params": own}, XT, t, CONDITION) ** 2).mean()

    kernel = params["params"][conditioning.adapter_name(name)]["kernel"]
    assert np.all(np.isfinite(grad := jax.jit(jax.grad(loss))(kernel)))
    assert np.any(grad)
    learned = {"kernel": jax.random.normal(jax.random.key(4), kernel.shape)}
    trained = {**params["params"], conditioning.adapter_name(name): learned}
    velocity = lambda condition: run({"params": trained}, XT, t, condition)  # noqa: E731
    dropped = velocity(conditioning.leave_out(CONDITION, names, DROPPED))
    absent = velocity(CONDITION._replace(**{name: None}))
    present = velocity(CONDITION)
    assert np.isfinite(dropped).all()
    assert np.abs(present - dropped)[0].max() > 1e-3
    np.testing.assert_array_equal(present[1:], dropped[1:])
    np.testing.assert_allclose(dropped[0], absent[0], atol=1e-5)
    assert np.abs(present - absent)[:2].max((1, 2, 3, 4)).min() > 1e-3


def test_adapters_lie_in_a_generator_where_a_run_may_lack_them():
    text = {"width": 16, "depth": 1, "heads": 2, "max_words": 4}
    fields = {"width": 24, "depth": 1, "heads": 2, "window": (2, 2)}

    def paths(conditions):
        model = generators.build_generator(text, fields | {"conditions": conditions}, CHANNELS)
        params = jax.eval_shape(model.init, jax.random.key(0), *example_inputs(CHANNELS, 8))
        return traverse_util.flatten_dict(nn.unbox(params)["params"]).keys()

    new = paths(tuple(ADAPTERS)) - paths(())
    assert {path[:2] for path in new} == {*conditioning.adapter_paths(ADAPTERS)}


def test_fps_is_octaves_from_24_beside_whether_it_is_known():
    channels = conditioning.fps_channels(CONDITION, XT)
    assert channels.shape == (*XT.shape[:-1], 2)
    np.testing.assert_allclose(channels[:, 1, 1, 0], [[-1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    nothing = conditioning.fps_channels(CONDITION._replace(fps=None), XT)
    np.testing.assert_array_equal(nothing, np.zeros(channels.shape))


def test_gravity_is_told_beside_that_of_the_earth():
    channels = conditioning.gravity_channels(CONDITION, XT)
    expected = [[0.0, 1.0], [np.log(1.6 / 9.81), 1.0], [0.0, 0.0]]
    np.testing.assert_allclose(channels[:, 0, 1, 1], expected, atol=1e-6)


def test_what_the_ground_truth_tells_is_left_out_of_half_of_every_training():
    shares = {name: ADAPTERS[name].dropout for name in ("camera", "gravity", "states")}
    assert set(shares.values()) == {0.5}


def test_of_objects_some_may_be_unknown_and_the_others_stay():
    """A slot that is masked is as one that is not there; all of them are not known."""
    one = CONDITION._replace(states=CONDITION.states.at[:, :, 1:].set(jnp.nan))
    gone = CONDITION._replace(states=CONDITION.states.at[:, :, 1:].multiply(0.0))
    channels = conditioning.state_channels(one, XT)
    np.testing.assert_array_equal(channels, conditioning.state_channels(gone, XT))
    np.testing.assert_array_equal(channels[..., -1][:, 0, 0, 0], [1.0, 1.0, 0.0])


def test_what_has_an_adapter_is_left_out_of_a_small_share_of_every_training():
    """So that a trained model may be asked with it and without it."""
    assert all(0.0 < entry.dropout <= 0.5 for entry in ADAPTERS.values())


def test_given_frames_are_channels_of_the_patch_embedding_itself(params):
    assert params["params"]["patch"]["kernel"].shape == (2 * CHANNELS + 1, 24)
    nothing = CONDITION._replace(given=None, given_mask=None)
    left_out = conditioning.leave_out(CONDITION, ["given"])
    inputs = XT, jnp.full(BATCH, 0.5)
    np.testing.assert_array_equal(
        whole(PLAIN, params, *inputs, nothing), whole(PLAIN, params, *inputs, left_out)
    )


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_a_condition_is_left_out_of_the_samples_that_are_named_and_no_other_is(name):
    changed = conditioning.leave_out(CONDITION, [name], DROPPED)
    others = {field for field in Condition._fields if field.split("_")[0] != name}
    for field in others:
        np.testing.assert_array_equal(getattr(changed, field), getattr(CONDITION, field))
    for before, after in zip(jax.tree.leaves(CONDITION), jax.tree.leaves(changed), strict=True):
        np.testing.assert_array_equal(before[1:], after[1:])
    assert jax.tree.structure(changed) == jax.tree.structure(CONDITION)
    assert any(
        not np.array_equal(getattr(changed, field)[0], getattr(CONDITION, field)[0])
        for field in set(Condition._fields) - others
    )


def test_of_a_text_that_is_left_out_the_start_tokens_stay():
    mask = conditioning.leave_out(CONDITION, ["text"]).text_mask
    np.testing.assert_array_equal(mask, [[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]])


def test_every_condition_is_dropped_by_a_draw_of_its_own():
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], 4000, 0), CONDITION)
    dropped = conditioning.drop(jax.random.key(3), many, {"text": 0.5, "given": 0.1, "fps": 0.3})
    out = np.array(
        [~dropped.text_mask[:, 1], dropped.given_mask[:, 0] == 0, jnp.isnan(dropped.fps)], float
    )
    np.testing.assert_allclose(out.mean(1), [0.5, 0.1, 0.3], atol=0.03)
    np.testing.assert_allclose(np.corrcoef(out), np.eye(3), atol=0.06)


def test_unknown_conditions_are_named():
    legal = r"\['fps', 'camera', 'gravity', 'states'\]"
    with pytest.raises(ValueError, match=f"conditions='depth'; legal values: {legal}"):
        PLAIN.clone(conditions=("depth",))
