"""Attention in one kernel, interpreted, against its parts one after another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.models import fused, fused_kernels
from seedance_jax.models.layers import rms_norm
from seedance_jax.models.rope import rotate

B, N, K, S = 2, 2, 8, 5
# (frames, groups, places): one frame, whose places fill no tile; several; two that fill all rows.
SHAPES = [(1, 3, 150), (3, 2, 20), (2, 2, 64)]


def normal(*shape, seed):
    return jax.random.normal(jax.random.key(seed), shape)


def make(frames, groups, places):
    """Tokens of the kernel: of some groups the last places hide, of others none."""
    size = (B, frames, groups, places)
    arrays = [3 * normal(*size, N * K, seed=seed) for seed in range(3)]
    angles = normal(*size, K // 2, seed=3)
    table = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
    scales = 1 + 0.1 * normal(2, K, seed=4)
    last = jnp.arange(places) < places - 3 * (jnp.arange(groups) > 0)[:, None]
    seen = jnp.broadcast_to(last[:, None], (groups, frames, places))
    return fused.Tokens(*arrays, table, scales, seen)


def make_words(groups):
    arrays = [normal(B, S, N * K, seed=seed) for seed in (5, 6, 7)]
    return fused.Words(*arrays, jax.random.bernoulli(jax.random.key(8), 0.6, (B, groups, S)))


def turned(tokens):
    """Query, key and value, [B, M, T * P, N, K]."""
    cut = lambda x: x.reshape(*x.shape[:-1], -1, K)  # noqa: E731
    rope = jnp.split(tokens.table, 2, axis=-1)
    query, key = (
        rotate(rms_norm(cut(x), scale), rope)
        for x, scale in zip(tokens[:2], tokens.scales, strict=True)
    )
    by_group = lambda x: x.swapaxes(1, 2).reshape(B, x.shape[2], -1, N, K)  # noqa: E731
    return [by_group(x) for x in (query, key, cut(tokens.value))]


def in_parts(tokens, words=None):
    """What `fused.attend` computes."""
    query, key, value = turned(tokens)
    (_, m, length), (_, t, _, p, d) = query.shape[:3], tokens.query.shape
    seen = jnp.broadcast_to(tokens.seen.reshape(-1, 1, length), (m, 1, length))[None]
    seen = jnp.broadcast_to(seen, (B, m, 1, length))
    text = words and [
        jnp.broadcast_to(x.reshape(B, 1, S, N, K), (B, m, S, N, K)) for x in words[:3]
    ]
    own = key, value, seen
    if words:
        key, value = (
            jnp.concatenate([x, y], 2) for x, y in zip((key, value), text[1:], strict=True)
        )
        seen = jnp.concatenate([seen, words.seen[:, :, None]], -1)

    def attend(query, key, value, seen):
        logits = jnp.einsum("bmqnk,bmlnk->bmnql", query, key)
        logits = jnp.where(seen[:, :, None], logits, -1e30)
        weights = jax.nn.softmax(logits)
        out = jnp.einsum("bmnql,bmlnk->bmqnk", weights, value)
        return out, jax.nn.logsumexp(logits, -1).swapaxes(2, 3)

    out, _ = attend(query, key, value, seen)
    out = out.reshape(B, m, t, p, d).swapaxes(1, 2)
    if not words:
        return out
    of_text, log_sum = attend(text[0], *own)
    return out, of_text.reshape(B, m, S, d), log_sum


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def tokens(request):
    return make(*request.param)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("limit", [2**19, 1])  # of logits: one block of queries, or several
def test_one_kernel_computes_attention_and_its_gradients(tokens, joint, limit, monkeypatch):
    monkeypatch.setattr(fused, "MAX_LOGITS", limit)
    words = make_words(tokens.query.shape[2]) if joint else None
    trained = (tokens.query, tokens.key, tokens.value, tokens.scales, *(words or ())[:3])

    def both(function):
        def loss(query, key, value, scales, *text):
            own = tokens._replace(query=query, key=key, value=value, scales=scales)
            out = function(own, words and fused.Words(*text, words.seen))
            parts = jax.tree.leaves(out)
            slopes = [normal(*x.shape, seed=10 + i) for i, x in enumerate(parts)]
            return sum((x * y).sum() for x, y in zip(parts, slopes, strict=True)), out

        return jax.jit(jax.value_and_grad(loss, range(len(trained)), has_aux=True))(*trained)

    ours = both(lambda *arrays: fused.attend(*arrays, interpret=True))
    for one, other in zip(*map(jax.tree.leaves, (ours, both(in_parts))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


@pytest.mark.parametrize("places", [1, 64, 100, 1620, 8160])
@pytest.mark.parametrize("frames", [1, 31])
def test_blocks_fill_tiles_and_waste_little(frames, places):
    shape = fused.shape_of(frames, places, 128)
    assert shape.rows - places < fused_kernels.ROWS
    assert shape.keys - frames * shape.rows < 128
    assert shape.queries - shape.keys < shape.block
    assert not shape.block % 128
    assert shape.block * shape.keys <= max(fused.MAX_LOGITS, 128 * shape.keys)


def test_it_runs_where_a_group_fits(monkeypatch):
    base, whole = (1, 1620, 15, 128), (1, 31 * 1620, 15, 128)
    assert not fused.fits(*base)  # of a CPU
    for kind, expected in {"TPU v4": False, "TPU v5": True, "TPU v6 lite": True}.items():
        monkeypatch.setattr(sharding, "device_kind", lambda kind=kind: kind)
        assert fused.fits(*base) == expected
        assert not fused.fits(*whole)
        assert not fused.fits(1, 1620, 15, 64)  # half of the lanes
    with jax.set_mesh(sharding.make_mesh(data=4, tensor=2)):
        assert not fused.fits(*base)  # half a head
        assert fused.fits(1, 1620, 16, 128)
