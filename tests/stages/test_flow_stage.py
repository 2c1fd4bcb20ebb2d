import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import pretrain
from seedance_jax.data import tokenizer
from seedance_jax.models import conditioning
from seedance_jax.models.conditioning import Condition
from seedance_jax.pretrained import generators
from seedance_jax.stages import generator_inputs
from seedance_jax.stages.flow_matching import flow_loss, make_stage, objective

CHANNELS, LENGTH, FRAMES = 4, 16, 3
TEXT = {"width": 16, "depth": 1, "heads": 2, "max_words": 4}
DIT = {"width": 24, "depth": 2, "heads": 2, "window": (2, 2)}
MODEL = generators.build_generator(TEXT, DIT, CHANNELS)
LATENTS = jax.random.normal(jax.random.key(1), (4, FRAMES, 2, 3, CHANNELS))
MIXED = jnp.zeros((4, FRAMES)).at[:2, 0].set(1.0).at[1, 2].set(1.0)
NOTHING = jnp.zeros((4, FRAMES))


def encode(*texts):
    ids, mask = zip(*(tokenizer.encode(text, LENGTH) for text in texts), strict=True)
    return jnp.array(ids), jnp.array(mask), jnp.zeros((len(texts), LENGTH), int)


FRAME_SHOT = jnp.zeros(LATENTS.shape[:2], int)
CAPTIONS = encode("a cube", "two red balls", "", "sky")
OTHER = encode("my cup", "no", "one two", "sea")


def condition(x0=LATENTS, text=CAPTIONS, given=MIXED):
    """Of clips of one shot."""
    return Condition(*text, FRAME_SHOT[: len(x0)], given=x0, given_mask=given)


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(MODEL.init, LATENTS, jnp.ones(4), condition())["params"]


@pytest.fixture(scope="module")
def loss_of(params):
    """loss_of(x0, text, caption_dropout); the frames of MIXED are given."""

    def loss(x0, text, dropout):
        key, seen = jax.random.key(3), condition(x0, text)
        seen = conditioning.drop(key, seen, {"text": dropout})
        return flow_loss(MODEL, params, x0, seen, key, frame_times=0.5)[0]

    return jax.jit(loss)


def test_a_stage_makes_what_its_config_says(monkeypatch):
    told = {"frozen": {"vae": 1}, "identity": {"autoencoder": "a"}, "metadata": {"fps": 12.0}}
    inputs = generator_inputs.GeneratorInputs(MODEL, "init", None, "batches", **told)
    monkeypatch.setattr(generator_inputs, "open_inputs", lambda config: inputs)
    config = pretrain.get_config("smoke").unlock()
    stage = make_stage(config)
    assert (stage.makes, stage.may_lack) == ("generator", ())
    assert stage.generator_params("params", {}) == "params"
    assert (stage.init, stage.batches, stage.finish("params")) == ("init", "batches", {"fps": 12.0})
    assert (stage.frozen, stage.identity) == (told["frozen"], told["identity"])
    config.model.conditions = ("fps",)
    assert make_stage(config).may_lack == conditioning.adapter_paths(["fps"])
    config.makes = "refiner"
    assert make_stage(config).makes == "refiner"
    assert make_stage(config).generator_params is None
    config.makes = "picture"
    with pytest.raises(ValueError, match="makes='picture'; stage='flow_matching' makes .*refiner"):
        make_stage(config)


def test_gradients_reach_every_parameter_that_the_video_depends_on(params):
    def loss(params):
        key = jax.random.key(0)
        return flow_loss(MODEL, params, LATENTS, condition(), key, frame_times=0.5)[0]

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    assert np.isfinite(value)
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        name = jax.tree_util.keystr(path)
        assert np.isfinite(leaf).all(), name
        layers = leaf if "['pairs']" in name else leaf[None]
        unread = ("text_out", "text_mlp", "['text_qkv']['query", "['text_qkv']['query_norm")
        *earlier, last = layers
        for layer in earlier:
            assert np.any(layer), name
        # Nothing reads the text that comes out of the last block.
        assert np.any(last) != any(part in name for part in unread), name


def test_text_changes_the_loss_unless_it_is_dropped(loss_of):
    assert abs(loss_of(LATENTS, CAPTIONS, 0.0) - loss_of(LATENTS, OTHER, 0.0)) > 1e-4
    assert loss_of(LATENTS, CAPTIONS, 1.0) == loss_of(LATENTS, OTHER, 1.0)


def test_a_dropped_caption_is_the_empty_caption(loss_of):
    empty = encode("", "", "", "")
    np.testing.assert_allclose(
        loss_of(LATENTS, CAPTIONS, 1.0), loss_of(LATENTS, empty, 0.0), rtol=1e-6
    )


class Recorder:
    """A model that predicts `velocity` and keeps its arguments."""

    def __init__(self, velocity):
        self.velocity = velocity

    def apply(self, variables, *arguments):
        self.xt, self.t, self.seen = arguments
        self.condition, self.given = self.seen.given, self.seen.given_mask
        return self.velocity(self)


def loss_with(velocity, x0=LATENTS, given=MIXED, frame_times=0.0):
    captions = jax.tree.map(lambda x: x[: len(x0)], CAPTIONS)
    model, seen = Recorder(velocity), condition(x0, captions, given)
    key = jax.random.key(5)
    loss, metrics = flow_loss(model, {}, x0, seen, key, frame_times=frame_times)
    return loss, metrics, model


def true_velocity(model):
    """(xt - x0) / t, which is noise - x0."""
    return (model.xt - model.condition) / model.t[:, :, None, None, None]


@pytest.mark.parametrize("frame_times", [0.0, 0.99])
def test_the_true_velocity_has_no_loss(frame_times):
    loss, metrics, model = loss_with(true_velocity, given=NOTHING, frame_times=frame_times)
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)
    assert metrics == {f"loss_{FRAMES}": loss, "weight": 1.0}
    assert not model.given.any()
    assert bool((model.t[:, 0] != model.t[:, 1]).any()) == (frame_times > 0)


def test_given_frames_are_clean_at_time_0_and_do_not_count():
    def wrong_where_given(model):
        given = model.given[:, :, None, None, None] > 0
        return jnp.where(given, 1e3, true_velocity(model))

    loss, _, model = loss_with(wrong_where_given)
    given = np.asarray(MIXED, bool)
    np.testing.assert_array_equal(model.given, MIXED)
    np.testing.assert_array_equal(np.asarray(model.xt)[given], np.asarray(LATENTS)[given])
    np.testing.assert_array_equal(np.asarray(model.condition)[given], np.asarray(LATENTS)[given])
    np.testing.assert_array_equal(model.t == 0.0, given)
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)


def test_parts_with_other_numbers_of_given_frames_make_up_the_loss_of_the_whole():
    def off_by_the_data(model):
        return true_velocity(model) + model.condition

    whole, metrics, _ = loss_with(off_by_the_data)
    halves = [loss_with(off_by_the_data, LATENTS[i], MIXED[i]) for i in np.split(np.arange(4), 2)]
    losses, told, _ = zip(*halves, strict=True)
    weights = np.array([one["weight"] for one in told])
    assert weights[0] < weights[1] == 1.0
    np.testing.assert_allclose(weights.mean(), metrics["weight"], rtol=1e-6)
    np.testing.assert_allclose(np.average(losses, weights=weights), whole, rtol=1e-5)


def test_a_step_drops_each_condition_of_the_config_by_its_own_share():
    """Text by `caption_dropout`, those with an adapter as the registry says, others never."""
    many = 2000
    fields = {"text_mask": jnp.ones((many, 2), bool), "text_shot": jnp.zeros((many, 2), int)}
    fields |= {"given_mask": jnp.ones((many, 1)), "fps": jnp.full(many, 12.0)}
    x0 = jnp.zeros((many, 1, 1, 1, CHANNELS))
    whole = Condition(text=None, frame_shot=jnp.zeros((many, 1), int), given=x0, **fields)

    def dropped(conditions):
        config = {"caption_dropout": 0.5, "frame_times": 0.0, "model": {"conditions": conditions}}
        config |= {"reference_tokens": 4}
        network = Recorder(lambda own: jnp.zeros_like(own.xt))
        loss_fn = objective(ConfigDict(config), network, lambda *_: (x0, whole))
        loss_fn({}, {}, jax.random.key(0), {})
        seen = network.seen
        assert seen.given_mask.all()
        return 1 - seen.text_mask[:, 1].mean(), jnp.isnan(seen.fps).mean()

    np.testing.assert_allclose(dropped(()), (0.5, 0.0), atol=0.04)
    shares = (0.5, conditioning.ADAPTERS["fps"].dropout)
    np.testing.assert_allclose(dropped(("fps",)), shares, atol=0.04)


def test_predicting_nothing_costs_the_variance_of_noise_and_data():
    big = jnp.tile(LATENTS, (1, 1, 8, 8, 8))
    loss, _, _ = loss_with(lambda model: jnp.zeros_like(model.xt), big, NOTHING)
    np.testing.assert_allclose(loss, 1.0 + (LATENTS**2).mean(), rtol=0.05)
