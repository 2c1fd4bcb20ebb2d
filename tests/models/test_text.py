import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.data import tokenizer
from seedance_jax.models.text import TextModel, caption_starts, pool_words

LENGTH, MAX_WORDS = 20, 6
SPACE = tokenizer.BYTE_OFFSET + ord(" ")
TEXTS = ("a red cube", "", "  two  gaps ", "a", "caf\u00e9 noir; fini", "one two three four five")


@pytest.fixture(scope="module")
def hidden_states(random_params):
    model = TextModel(tokenizer.VOCAB_SIZE, width=16, depth=2, heads=2)
    ids, mask = jnp.zeros((1, LENGTH), int), jnp.ones((1, LENGTH), bool)
    params = random_params(model.init, ids, mask, 0 * ids)
    apply = jax.jit(model.apply)
    return lambda ids, mask, shot=None: apply(params, ids, mask, 0 * ids if shot is None else shot)


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
    tokens, kept, _ = pool_words(places, ids, mask, 0 * ids, SPACE, MAX_WORDS)
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
        pool_words(hidden, ids, mask, 0 * ids, SPACE, MAX_WORDS)[:2],
        pool_words(hidden, garbage, mask, 0 * ids, SPACE, MAX_WORDS)[:2],
        strict=True,
    ):
        np.testing.assert_array_equal(clean, dirty)


def test_an_empty_caption_is_a_masked_caption():
    """What caption dropout relies on: hiding all but the start token gives the empty caption."""
    ids, mask = encode(TEXTS)
    hidden = jnp.broadcast_to(
        jax.random.normal(jax.random.key(0), (1, ids.shape[1], 4)), (*ids.shape, 4)
    )
    dropped = caption_starts(mask, 0 * ids)
    tokens, kept, _ = pool_words(hidden, ids, dropped, 0 * ids, SPACE, MAX_WORDS)
    np.testing.assert_array_equal(tokens, tokens[:1].repeat(len(TEXTS), 0))
    np.testing.assert_array_equal(kept.sum(1), 1)


def in_one_row(*texts):
    """The captions one after the other: ids, mask and shot [1, S]."""
    parts = [tokenizer.encode(text, tokenizer.token_count(text))[0] for text in texts]
    shot = np.concatenate([np.full(len(part), i) for i, part in enumerate(parts)])
    ids = np.concatenate(parts)
    return jnp.array(ids)[None], jnp.ones((1, len(ids)), bool), jnp.array(shot)[None]


def test_captions_of_a_clip_are_read_as_if_each_were_alone(hidden_states):
    together = hidden_states(*in_one_row("a red cube", "the sky"))
    apart = [hidden_states(*in_one_row(text)) for text in ("a red cube", "the sky")]
    np.testing.assert_allclose(together, jnp.concatenate(apart, axis=1), atol=1e-5)


def test_words_of_every_caption_are_pooled():
    ids, mask, shot = in_one_row("a red cube", "", "the sky")
    places = jnp.arange(ids.shape[1])[None, :, None]
    tokens, kept, shots = pool_words(places, ids, mask, shot, SPACE, 12)
    assert tokens[kept][:, 0].tolist() == [0, 1, 5, 10, 11, 12, 15, 19]
    assert shots[kept].tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
