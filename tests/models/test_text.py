import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.data import tokenizer
from seedance_jax.models.text import TextModel, pool_words

LENGTH, MAX_WORDS = 20, 6
SPACE = tokenizer.BYTE_OFFSET + ord(" ")
TEXTS = ("a red cube", "", "  two  gaps ", "a", "caf\u00e9 noir; fini", "one two three four five")


@pytest.fixture(scope="module")
def hidden_states(random_params):
    model = TextModel(tokenizer.VOCAB_SIZE, width=16, depth=2, heads=2)
    ids, mask = jnp.zeros((1, LENGTH), int), jnp.ones((1, LENGTH), bool)
    params = random_params(model.init, ids, mask)
    return jax.jit(lambda ids, mask: model.apply(params, ids, mask))


def encode(texts, length=2 * LENGTH):
    ids, mask = zip(*(tokenizer.encode(text, length) for text in texts), strict=True)
    return jnp.array(ids), jnp.array(mask)


def test_later_bytes_do_not_change_earlier_hidden_states(hidden_states):
    ids = jax.random.randint(jax.random.key(0), (2, LENGTH), 3, tokenizer.VOCAB_SIZE)
    mask = jnp.ones(ids.shape, bool)
    before, after = hidden_states(ids, mask), hidden_states(ids.at[:, 7].add(-1), mask)
    np.testing.assert_allclose(before[:, :7], after[:, :7], atol=1e-5)
    assert (np.abs(before - after)[:, 7:].max(-1) > 1e-4).all()


def test_padding_changes_nothing(hidden_states):
    ids, mask = encode(TEXTS, 30)
    longer_ids, longer_mask = encode(TEXTS, 40)
    garbage = jnp.where(longer_mask, longer_ids, 77)
    short = jnp.where(mask[..., None], hidden_states(ids, mask), 0)
    long = jnp.where(longer_mask[..., None], hidden_states(garbage, longer_mask), 0)
    np.testing.assert_allclose(short, long[:, :30], atol=1e-5)


def test_pooling_keeps_the_start_and_the_last_byte_of_every_word():
    ids, mask = encode(TEXTS)
    places = jnp.broadcast_to(jnp.arange(ids.shape[1])[None, :, None], (*ids.shape, 1))
    tokens, kept = pool_words(places, ids, mask, SPACE, MAX_WORDS)
    assert tokens.shape == (len(TEXTS), MAX_WORDS, 1)
    for text, places, valid in zip(TEXTS, tokens[..., 0], kept, strict=True):
        ends, place = [0], 0
        for word in text.encode().split(b" "):
            place += len(word) + 1
            ends += [place - 1] * bool(word)
        assert places[valid].tolist() == ends
        assert not places[~valid].any()


def test_pooling_ignores_what_is_masked():
    ids, mask = encode(TEXTS)
    hidden = jax.random.normal(jax.random.key(0), (*ids.shape, 4))
    garbage = jnp.where(mask, ids, SPACE + 5)
    for clean, dirty in zip(
        pool_words(hidden, ids, mask, SPACE, MAX_WORDS),
        pool_words(hidden, garbage, mask, SPACE, MAX_WORDS),
        strict=True,
    ):
        np.testing.assert_array_equal(clean, dirty)


def test_an_empty_caption_is_a_masked_caption():
    """What caption dropout relies on: hiding all but the start token gives the empty caption."""
    ids, mask = encode(TEXTS)
    hidden = jnp.broadcast_to(
        jax.random.normal(jax.random.key(0), (1, ids.shape[1], 4)), (*ids.shape, 4)
    )
    dropped = mask & (jnp.arange(ids.shape[1]) == 0)
    tokens, kept = pool_words(hidden, ids, dropped, SPACE, MAX_WORDS)
    np.testing.assert_array_equal(tokens, tokens[:1].repeat(len(TEXTS), 0))
    np.testing.assert_array_equal(kept.sum(1), 1)
