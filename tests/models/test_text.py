import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from seedance_jax.data import tokenizer
from seedance_jax.models.rope import rope_1d
from seedance_jax.models.text import (
    TextModel,
    as_stored,
    caption_positions,
    caption_starts,
    pool_words,
    word_count,
)

LENGTH, MAX_WORDS = 20, 6
SPACE = tokenizer.BYTE_OFFSET + ord(" ")
TEXTS = ("a red cube", "", "  two  gaps ", "a", "caf\u00e9 noir; fini", "one two three four five")
SETTINGS = {"vocab_size": tokenizer.VOCAB_SIZE, "width": 16, "depth": 2, "heads": 4}
LAYOUTS = {
    "bytes": {},
    "qwen2": {"kv_heads": 2, "head_size": 6, "qkv_bias": True, "qk_norm": False},
    "qwen3": {"kv_heads": 1, "head_size": 8, "hidden": 24, "tied": False, "rope_theta": 1e6},
}


@pytest.fixture(scope="module", params=LAYOUTS)
def language_model(request, random_params):
    """(TextModel, its variables) of every layout."""
    model = TextModel(**SETTINGS, **LAYOUTS[request.param])
    ids, mask = jnp.zeros((1, 2), int), jnp.ones((1, 2), bool)
    return model, random_params(model.init, ids, mask, method="predict")


@pytest.fixture(scope="module")
def hidden_states(language_model):
    model, variables = language_model
    return jax.jit(lambda *text: model.apply(variables, *text))


def encode(texts, length=2 * LENGTH):
    ids, mask = zip(*(tokenizer.encode(text, length) for text in texts), strict=True)
    return jnp.array(ids), jnp.array(mask)


def one_caption(mask):
    return jnp.zeros(mask.shape, int)


def in_sequence(captions, length):
    """Captions one after the other, each a shot: ids, mask and shot, [1, length]."""
    ids, shots = [], []
    for number, text in enumerate(captions, -1):
        count = tokenizer.token_count(text)
        ids += tokenizer.encode(text, count)[0].tolist()
        shots += [number] * count
    fill = length - len(ids)
    mask = jnp.arange(length)[None] < len(ids)
    return jnp.array([ids + [0] * fill]), mask, jnp.array([shots + [7] * fill])


def test_released_weights_are_the_parameters_of_a_model_of_their_config(released):
    config, shapes = released("text")
    fields = {name: config["text"][name] for name in ("width", "depth", "heads")}
    ids, model = jnp.zeros((1, 2), int), TextModel(tokenizer.VOCAB_SIZE, **fields)
    made = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), ids, ids == 0))["params"]
    made = traverse_util.flatten_dict(made, sep=".")
    assert {name: leaf.shape for name, leaf in made.items()} == shapes


def test_every_layer_starts_with_weights_of_its_own():
    ids, model = jnp.zeros((1, 2), int), TextModel(**SETTINGS)
    params = nn.unbox(jax.jit(model.init)(jax.random.key(0), ids, ids == 0))["params"]
    for path, leaf in traverse_util.flatten_dict(params["blocks"]).items():
        if path[-1] == "kernel":
            assert np.all(leaf[0] != leaf[1]), path


def test_later_tokens_do_not_change_earlier_hidden_states(hidden_states):
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
    np.testing.assert_allclose(short, long[:, :30], atol=3e-6)


def test_captions_of_one_sequence_do_not_see_each_other(hidden_states):
    captions = ("a red cube", "", "two", "a red cube")
    together = hidden_states(*in_sequence(captions, 40))[0]
    start = 0
    for text in captions:
        count = tokenizer.token_count(text)
        alone = hidden_states(*in_sequence([text], 40))[0]
        np.testing.assert_allclose(together[start : start + count], alone[:count], atol=3e-6)
        start += count


def test_the_start_token_knows_nothing_of_its_caption(hidden_states):
    """What caption dropout relies on: the start token's state is that of the empty caption."""
    ids, mask = encode(TEXTS)
    starts = hidden_states(ids, mask)[:, 0]
    np.testing.assert_allclose(starts, starts[1:2].repeat(len(TEXTS), 0), atol=3e-6)
    dropped = hidden_states(ids, caption_starts(mask, one_caption(mask)))[:, 0]
    np.testing.assert_allclose(starts, dropped, atol=3e-6)


def test_cached_steps_give_the_logits_of_the_whole(language_model):
    model, variables = language_model
    prefix, length = 5, 12
    ids = jax.random.randint(jax.random.key(1), (2, length), 3, tokenizer.VOCAB_SIZE)
    mask = jnp.ones(ids.shape, bool)
    whole = model.apply(variables, ids, mask, method="predict")
    visible = jnp.tril(jnp.ones((length, length), bool))[None, None]
    positions = caption_positions(mask, one_caption(mask))

    @jax.jit
    def extend(cache, ids, positions, visible, slot):
        arguments = (ids, positions, visible, slot)
        hidden, cache = model.apply(
            variables | cache, *arguments, method="extend", mutable=["cache"]
        )
        return model.apply(variables, hidden, method="logits"), cache

    cache, parts = {}, []
    for start, stop in [(0, prefix), *((i, i + 1) for i in range(prefix, length))]:
        part = slice(start, stop)
        logits, cache = extend(cache, ids[:, part], positions[:, part], visible[:, :, part], start)
        parts.append(logits)
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole, atol=1e-5)


def test_embeddings_are_read_as_their_ids_are(language_model):
    model, variables = language_model
    ids, mask = encode(TEXTS[:2], 12)
    visible = (jnp.tril(jnp.ones((12, 12), bool)) & mask[:, None, :])[:, None]
    positions = caption_positions(mask, one_caption(mask))
    x = model.apply(variables, ids, method="embed_tokens")
    run = lambda x: model.apply(variables, x, positions, visible, method="extend_embedded")  # noqa: E731
    np.testing.assert_array_equal(run(x), model.apply(variables, ids, mask))
    assert np.abs(run(2 * x) - run(x)).max() > 1e-3


def test_chosen_layers_are_concatenated(language_model):
    model, variables = language_model
    ids, mask = encode(TEXTS[:2], 12)
    states = [model.clone(layers=(i,)).apply(variables, ids, mask) for i in (0, 1, 2)]
    np.testing.assert_array_equal(states[0], variables["params"]["embed"]["embedding"][ids])
    np.testing.assert_array_equal(states[2], model.apply(variables, ids, mask))
    both = model.clone(layers=(-1, 1, -3)).apply(variables, ids, mask)
    expected = jnp.concatenate([states[2], states[1], states[0]], -1)
    np.testing.assert_allclose(both, expected, atol=1e-6)
    for layers in [(3,), (-4,), ()]:
        with pytest.raises(ValueError, match="from -3 to 2 of a model of 2 blocks"):
            model.clone(layers=layers).apply(variables, ids, mask)


def test_positions_begin_anew_with_every_caption():
    mask = jnp.array([[1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]], bool)
    shot = jnp.array([[-1, -1, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]])
    positions = caption_positions(mask, shot)
    assert positions[0, :5].tolist() == [0, 1, 0, 0, 1]
    assert positions[1, 2:].tolist() == [0, 1, 0, 1]
    starts = caption_starts(mask, shot).astype(int)
    assert starts.tolist() == [[1, 0, 1, 1, 0, 0], [0, 0, 1, 0, 1, 0]]


def pool(hidden, ids, mask, shot=None):
    shot = one_caption(mask) if shot is None else shot
    return pool_words(hidden, ids, mask, shot, SPACE, MAX_WORDS)


def places(ids):
    return jnp.broadcast_to(jnp.arange(ids.shape[1])[None, :, None], (*ids.shape, 1))


def word_ends(text):
    ends, place = [0], 0
    for word in text.encode().split(b" "):
        place += len(word) + 1
        ends += [place - 1] * bool(word)
    return ends


def test_pooling_keeps_the_start_and_the_last_byte_of_every_word():
    ids, mask = encode(TEXTS)
    tokens, kept, _ = pool(places(ids), ids, mask)
    assert tokens.shape == (len(TEXTS), MAX_WORDS, 1)
    for text, found, valid in zip(TEXTS, tokens[..., 0], kept, strict=True):
        assert found[valid].tolist() == word_ends(text)
        assert not found[~valid].any()


def test_pooling_goes_caption_by_caption():
    captions = ("a b", "", "ccc d")
    ids, mask, shot = in_sequence(captions, LENGTH)
    tokens, kept, pooled = pool(places(ids), ids, mask, shot)
    expected, start = [], 0
    for text in captions:
        expected += [start + end for end in word_ends(text)]
        start += tokenizer.token_count(text)
    assert len(expected) == MAX_WORDS + 1
    assert tokens[0, :, 0].tolist() == expected[:MAX_WORDS]
    assert kept.all()
    assert pooled[0].tolist() == [-1, -1, -1, 0, 1, 1]


def test_pooling_ignores_what_is_masked():
    ids, mask = encode(TEXTS)
    hidden = jax.random.normal(jax.random.key(0), (*ids.shape, 4))
    garbage = jnp.where(mask, ids, SPACE + 5)
    for clean, dirty in zip(pool(hidden, ids, mask), pool(hidden, garbage, mask), strict=True):
        np.testing.assert_array_equal(clean, dirty)


def test_an_empty_caption_is_a_masked_caption():
    """Hiding all but the start tokens gives the empty caption, of every caption of a clip."""
    ids, mask, shot = in_sequence(("a b", "", "ccc d"), LENGTH)
    hidden = jnp.broadcast_to(ids[..., None] % 2, (*ids.shape, 4))
    dropped = caption_starts(mask, shot)
    tokens, kept, pooled = pool(hidden, ids, dropped, shot)
    empty = in_sequence(("", "", ""), LENGTH)
    wanted, wanted_kept, wanted_pooled = pool(jnp.ones((1, LENGTH, 4)), *empty)
    np.testing.assert_array_equal(tokens, wanted)
    np.testing.assert_array_equal(kept, wanted_kept)
    np.testing.assert_array_equal(pooled[kept], wanted_pooled[kept])


def test_without_pooling_every_token_is_handed_on():
    ids, mask, shot = in_sequence(("a b", "c"), LENGTH)
    hidden = jnp.ones((*ids.shape, 4))
    tokens, kept, same = pool_words(hidden, ids, mask, shot, SPACE, 0)
    np.testing.assert_array_equal(tokens, hidden * mask[..., None])
    np.testing.assert_array_equal(kept, mask)
    np.testing.assert_array_equal(same, shot)


def test_finished_text_has_the_precision_of_that_on_disk():
    tokens = jax.random.normal(jax.random.key(0), (200, 8)) * 10.0 ** jnp.arange(-4, 4)
    stored = tokens.astype(jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_array_equal(as_stored(tokens), stored)


@pytest.mark.parametrize("theta", [1e4, 1e6])
def test_positions_turn_the_pairs_of_a_head_at_falling_speeds(theta):
    cos, sin = rope_1d(jnp.array([[0, 3]]), 8, theta)
    angles = 3 * theta ** (-np.arange(4) / 4)
    np.testing.assert_allclose(cos[0], [np.ones(4), np.cos(angles)], atol=1e-5)
    np.testing.assert_allclose(sin[0], [np.zeros(4), np.sin(angles)], atol=1e-5)


def test_the_last_hidden_states_have_passed_a_norm(language_model):
    model, variables = language_model
    hidden = model.apply(variables, *encode(TEXTS[:1]))
    scale = variables["params"]["norm_out"]["scale"]
    np.testing.assert_allclose(((hidden / scale) ** 2).mean(-1), 1.0, rtol=1e-3)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_as_many_pooled_tokens_as_is_said(text):
    ids, mask = encode([text])
    assert pool(places(ids), ids, mask)[1].sum() == min(word_count(text), MAX_WORDS)
