"""The blocks against what they are said to compute, one token at a time."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import rope
from seedance_jax.models.blocks import Ropes, SpatialBlock, TemporalBlock, Text
from seedance_jax.models.layers import MODULATION_PARTS
from seedance_jax.models.windows import to_windows

B, T, H, W, S, D, HEADS = 1, 2, 2, 3, 4, 12, 2
MASK = np.array([[True, True, True, False]])
TEXT_SHOT, FRAME_SHOT = np.array([[-1, 0, 1, 1]]), np.array([[0, 1]])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


def turned(params, name, x, table):
    """Queries or keys [N, K] of one token x [D] at its place, table (cos, sin) [K/2] each."""
    y = np.einsum("d,dnk->nk", x, params[name]["kernel"])
    y = y / np.sqrt((y**2).mean(-1, keepdims=True)) * params[f"{name}_norm"]["scale"]
    (cos, sin), (first, second) = table, np.split(y, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attended(params, token, others, out):
    """Attention of a token to others, each (x, table, params of its projections) -> [D]."""
    assert out["kernel"].shape == (HEADS, D // HEADS, D)
    query = turned(params, "query", *token)
    keys = np.stack([turned(own, "key", x, table) for x, table, own in others])
    values = np.stack([np.einsum("d,dnk->nk", x, own["value"]["kernel"]) for x, _, own in others])
    scores = np.exp(np.einsum("nk,pnk->np", query, keys) / np.sqrt(query.shape[-1]))
    scores /= scores.sum(1, keepdims=True)
    return np.einsum("np,pnk,nkd->d", scores, values, out["kernel"])


def mlp(params, x, shift, scale, gate):
    y = norm(x) * (1 + scale) + shift
    hidden = y @ params["gate"]["kernel"]
    hidden = hidden / (1 + np.exp(-hidden)) * (y @ params["up"]["kernel"])
    return x + gate * (hidden @ params["down"]["kernel"])


@pytest.fixture(scope="module")
def ropes():
    """(cos, sin) of the video, each [1, T, H, W, K/2], and of the text, each [1, S, K/2]."""
    groups = (jnp.array(TEXT_SHOT), jnp.array(MASK), jnp.array(FRAME_SHOT))
    tables = (rope.joined_table(x, D // HEADS) for x in rope.clip_positions(*groups, (H, W)))
    return tuple(jnp.split(table, 2, axis=-1) for table in tables)


def joined(table):
    return jnp.concatenate(table, axis=-1)


def modulation(params, shared):
    """(shift, scale, gate of the attention, the same of the MLP), each [D]."""
    return shared + params["bias"]


@pytest.mark.parametrize(("shift", "full"), [((0, 0), False), ((1, 0), False), ((0, 0), True)])
def test_a_temporal_block_is_attention_in_each_window_then_an_mlp(
    ropes, random_params, shift, full
):
    window = (H, W) if full else (2, 2)
    block = TemporalBlock(HEADS, window, shift, full)
    video, shared = normal(B, T, H, W, D), normal(B, T, MODULATION_PARTS, D, seed=1)
    table = to_windows(joined(ropes[0]), window, shift)
    variables = random_params(block.init, video, shared, table)
    out = block.apply(variables, video, shared, table)
    params, places = variables["params"], list(np.ndindex(T, H, W))

    def window_of(h, w):
        return (h + shift[0]) // window[0], (w + shift[1]) // window[1]

    def seen(t, h, w):
        attention = modulation(params["modulation"], shared[0, t])[:3]
        table = tuple(np.asarray(x)[0, t, h, w] for x in ropes[0])
        return norm(video[0, t, h, w]) * (1 + attention[1]) + attention[0], table, params["qkv"]

    for t, h, w in places:
        inside = [seen(*p) for p in places if window_of(*p[1:]) == window_of(h, w)]
        parts = modulation(params["modulation"], shared[0, t])
        change = attended(params["qkv"], seen(t, h, w)[:2], inside, params["out"])
        x = video[0, t, h, w] + parts[2] * change
        expected = mlp(params["mlp"]["mlp"], x, *parts[3:])
        np.testing.assert_allclose(out[0, t, h, w], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("full", [False, True])
def test_blocks_attend_by_the_kernel_that_they_are_given(ropes, full):
    """cuDNN has none of 32 bits and says so; what is chosen by itself would run."""
    text = Text(normal(B, S, D), MASK, np.ones((B, T, S), bool))
    video = joined(ropes[0]).reshape(B, T, 1, H * W, -1)
    tables = Ropes(video[:, :, 0], joined(ropes[1]), ())
    shared = normal(B, T, MODULATION_PARTS, D), normal(B, MODULATION_PARTS, D)
    spatial = SpatialBlock(HEADS, full, "cudnn"), normal(B, T, H * W, D), text, shared
    temporal = TemporalBlock(HEADS, (H, W), full=full, kernel="cudnn"), normal(B, T, H, W, D)
    for block, *arguments in ((*spatial, tables), (*temporal, shared[0], video)):
        with pytest.raises(ValueError, match="kernel='cudnn' has no float32"):
            jax.eval_shape(block.init, jax.random.key(0), *arguments)


@pytest.mark.parametrize("full", [False, True])
def test_a_spatial_block_is_joint_attention_with_the_text_then_two_mlps(ropes, random_params, full):
    block, length = SpatialBlock(HEADS, full), H * W
    video, tokens = normal(B, T, length, D), normal(B, S, D, seed=1)
    visible = ((TEXT_SHOT[:, None] < 0) | (TEXT_SHOT[:, None] == FRAME_SHOT[:, :, None])) & MASK
    shared = normal(B, T, MODULATION_PARTS, D, seed=2), normal(B, MODULATION_PARTS, D, seed=3)
    tables = tuple(x.reshape(B, T, length, -1) for x in ropes[0]), ropes[1]
    joined_tables = Ropes(*map(joined, tables), ())
    arguments = video, Text(tokens, MASK, visible), shared, joined_tables
    variables = random_params(block.init, *arguments)
    new_video, text = block.apply(variables, *arguments)
    params = variables["params"]

    def frame_token(t, i):
        parts = modulation(params["video_modulation"], shared[0][0, t])
        table = tuple(np.asarray(x)[0, t, i] for x in tables[0])
        return norm(video[0, t, i]) * (1 + parts[1]) + parts[0], table, params["video_qkv"]

    def word(s):
        parts = modulation(params["text_modulation"], shared[1][0])
        table = tuple(np.asarray(x)[0, s] for x in tables[1])
        return norm(tokens[0, s]) * (1 + parts[1]) + parts[0], table, params["text_qkv"]

    for t, i in itertools.product(range(T), range(length)):
        frames = range(T) if full else [t]
        others = [frame_token(*place) for place in itertools.product(frames, range(length))]
        others += [word(s) for s in range(S) if visible[0, t, s]]
        change = attended(params["video_qkv"], frame_token(t, i)[:2], others, params["video_out"])
        parts = modulation(params["video_modulation"], shared[0][0, t])
        expected = mlp(params["video_mlp"]["mlp"], video[0, t, i] + parts[2] * change, *parts[3:])
        np.testing.assert_allclose(new_video[0, t, i], expected, rtol=1e-3, atol=1e-4)
    for s in np.flatnonzero(MASK[0]):
        frames = [t for t in range(T) if visible[0, t, s]]
        others = [frame_token(*place) for place in itertools.product(frames, range(length))]
        others += [word(other) for other in np.flatnonzero(MASK[0])]
        change = attended(params["text_qkv"], word(s)[:2], others, params["text_out"])
        parts = modulation(params["text_modulation"], shared[1][0])
        expected = mlp(params["text_mlp"]["mlp"], tokens[0, s] + parts[2] * change, *parts[3:])
        np.testing.assert_allclose(text.tokens[0, s], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(text.visible, visible)
