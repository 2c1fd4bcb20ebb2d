import functools

import jax
import jax.numpy as jnp
import language_models
import numpy as np
import pytest

from seedance_jax.data import tokenizer as records
from seedance_jax.models.text import TextModel
from seedance_jax.pretrained import language_model

LENGTHS, NEW_TOKENS, VOCAB = (3, 6), 7, 40


@pytest.fixture(scope="module")
def model():
    return TextModel(VOCAB, width=16, depth=2, heads=4, kv_heads=2)


@pytest.fixture(scope="module")
def params(model, random_params):
    ids, mask = jnp.zeros((1, 2), int), jnp.ones((1, 2), bool)
    return random_params(model.init, ids, mask)["params"]


def texts():
    mask = np.arange(8) < np.array(LENGTHS)[:, None]
    ids = np.random.default_rng(0).integers(0, VOCAB, mask.shape)
    return np.where(mask, ids, 5).astype(np.int32), mask


@pytest.fixture(scope="module")
def generate(model, params):
    """generate(key, temperature, top_p, end_ids) on the two texts."""
    ids, mask = texts()

    def run(key, temperature=1.0, top_p=0.0, end_ids=(VOCAB,)):
        out, kept = language_model.generate(
            model, params, ids, mask, language_model.Draws(jax.random.key(key), temperature, top_p),
            new_tokens=NEW_TOKENS, end_ids=end_ids,
        )  # fmt: skip
        return np.asarray(out), np.asarray(kept)

    return run


def test_greedy_generation_picks_the_likeliest_token_of_the_uncached_model(model, params, generate):
    out, kept = generate(0)
    assert kept.all()
    predict = jax.jit(functools.partial(model.apply, {"params": params}, method="predict"))
    for row, length in enumerate(LENGTHS):
        ids = np.zeros((1, 16), np.int32)
        ids[0, :length] = texts()[0][row, :length]
        for step in range(NEW_TOKENS):
            logits = predict(ids, np.arange(16)[None] < length + step)
            assert out[row, step] == logits[0, length + step - 1].argmax()
            ids[0, length + step] = out[row, step]


def test_a_text_ends_at_an_end_token_and_the_others_go_on(generate):
    out, _ = generate(0)
    end = int(out[0, 2])
    first = [row.tolist().index(end) if end in row else NEW_TOKENS for row in out]
    ended, kept = generate(0, end_ids=(VOCAB, end))
    assert kept.sum(1).tolist() == first
    for row, count in enumerate(first):
        np.testing.assert_array_equal(ended[row, :count], out[row, :count])


def test_draws_depend_on_the_key_alone(generate):
    drawn = [generate(key, temperature=3.0, top_p=1.0)[0] for key in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_top_p_draws_the_likeliest_tokens_as_often_as_their_share():
    shares = jnp.array([0.1, 0.4, 0.05, 0.3, 0.15])
    logits = jnp.log(shares)[None].repeat(4000, 0)
    draw = jax.jit(functools.partial(language_model.sample_top_p, jax.random.key(0), logits))
    counts = np.bincount(draw(1.0, 0.65), minlength=5) / 4000
    np.testing.assert_allclose(counts, np.array([0, 4, 0, 3, 0]) / 7, atol=0.03)
    counts = np.bincount(draw(1.0, 1.0), minlength=5) / 4000
    np.testing.assert_allclose(counts, shares, atol=0.03)
    assert set(draw(1.0, 0.0).tolist()) == {1}
    assert set(draw(1e-3, 1.0).tolist()) == {1}


def test_a_directory_becomes_a_model_that_generates(tmp_path, one_device):
    directory = language_models.write_directory(tmp_path)
    opened = language_model.open_language(directory, one_device, dtype="float32")
    assert (opened.context, opened.end_ids) == (language_models.CONTEXT, (language_models.END,))
    assert opened.tokenizer.special["<|im_end|>"] == language_models.END
    assert opened.model.vocab_size == language_models.VOCAB_SIZE


def test_a_tokenizer_of_another_model_is_refused(model):
    with pytest.raises(ValueError, match=r"tokenizer has 259 ids, the model's vocab_size=40"):
        language_model.check_vocabulary(model, records.BYTES)
