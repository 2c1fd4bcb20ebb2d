import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.data import tokenizer
from seedance_jax.models.generator import Generator, example_inputs
from seedance_jax.models.text import TextModel, as_stored

CHANNELS, LENGTH, WORDS = 4, 12, 5
TEXT = {"vocab_size": tokenizer.VOCAB_SIZE, "width": 8, "depth": 1, "heads": 2}
DIT = {"latent_channels": CHANNELS, "width": 12, "depth": 1, "heads": 2, "window": (2, 2)}
SPACE = tokenizer.BYTE_OFFSET + ord(" ")


def generator(text_model=TEXT, **settings):
    return Generator(text_model, DIT, SPACE, WORDS, **settings)


def run(model, params, *arguments, method="__call__"):
    apply = jax.jit(functools.partial(model.apply, method=method))
    return apply({"params": params}, *arguments)


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(generator().init, *example_inputs(CHANNELS, LENGTH))["params"]


@pytest.fixture(scope="module")
def inputs():
    """xt, t and a condition with the ids of two captions."""
    xt, _, condition = example_inputs(CHANNELS, LENGTH)
    ids, mask = zip(*(tokenizer.encode(text, LENGTH) for text in ("a cube", "sky")), strict=True)
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), condition)
    xt = jax.random.normal(jax.random.key(0), (2, *xt.shape[1:]))
    text = {"text": jnp.array(ids), "text_mask": jnp.array(mask)}
    return xt, jnp.array([0.3, 0.8]), twice._replace(given=xt, **text)


def test_text_is_encoded_and_then_seen(params, inputs):
    xt, t, condition = inputs
    encoded = run(generator(), params, condition, method="encode_text")
    assert encoded.text.shape == (2, WORDS, 8)
    assert encoded.text_mask.tolist() == [[True] * 3 + [False] * 2, [True] * 2 + [False] * 3]
    whole = run(generator(), params, xt, t, condition)
    parts = run(generator(), params, xt, t, encoded, method="velocity")
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    assert whole.shape == xt.shape
    alone = run(generator(text_model=None), {"video": params["video"]}, xt, t, encoded)
    np.testing.assert_allclose(whole, alone, atol=1e-6)


def test_in_bfloat16_on_one_cpu_it_is_the_same_to_rounding(params, inputs):
    """With products of rounded operands; what the blocks hand on is float32, also of the text."""
    short = Generator(TEXT | {"dtype": "bfloat16"}, DIT | {"dtype": "bfloat16"}, SPACE, WORDS)

    def loss(params, model):
        return (run(model, params, *inputs) ** 2).mean()

    def flat(tree):
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    exact, rounded = (run(model, params, *inputs) for model in (generator(), short))
    assert rounded.dtype == jnp.float32
    assert 1e-5 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 0.03
    exact, rounded = (flat(jax.grad(loss)(params, model)) for model in (generator(), short))
    assert 1e-5 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 0.03


@pytest.mark.parametrize("finished", [False, True])
def test_text_of_a_finished_model_has_the_precision_of_the_disk(params, inputs, finished):
    condition = inputs[2]
    model = generator(finished=finished)
    encoded = run(model, params, condition, method="encode_text")
    words = (condition.text, condition.text_mask, condition.text_shot)
    hidden = run(TextModel(**TEXT), params["text"], *words)
    hidden = as_stored(hidden) if finished else hidden
    # "a cube" after its start token: of each word the last byte.
    np.testing.assert_allclose(encoded.text[0, :3], hidden[0, jnp.array([0, 1, 6])], atol=1e-6)


def test_examples_are_of_ids_or_of_tokens():
    for width, expected in ((None, {"text", "video"}), (8, {"video"})):
        model = generator(TEXT if width is None else None)
        xt, t, condition = example = example_inputs(CHANNELS, LENGTH, width)
        assert condition.text.shape == ((1, LENGTH) if width is None else (1, LENGTH, 8))
        assert condition.text_mask.all()
        assert xt.shape == condition.given.shape == (1, 2, 2, 2, CHANNELS)
        assert not condition.text_shot.any() | condition.frame_shot.any()
        assert condition.text_shot.dtype == condition.frame_shot.dtype == jnp.int32
        assert not condition.given_mask.any()
        assert condition.given_mask.shape == condition.frame_shot.shape == (1, 2)
        assert t.tolist() == [1.0]
        shapes = jax.eval_shape(model.init, jax.random.key(0), *example)
        assert set(shapes["params"]) == expected


def test_a_text_model_is_trained_unless_it_is_finished(params, inputs):
    trained = run(generator(), params, inputs[2], method="encode_text").text
    kept = run(generator(finished=False), params, inputs[2], method="encode_text").text
    stored = run(generator(finished=True), params, inputs[2], method="encode_text").text
    np.testing.assert_array_equal(trained, kept)
    assert np.any(trained != stored)
