"""Projected heads, and the two ways of the attention of frames and of windows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.models import fused, heads
from seedance_jax.models.attention import attend
from seedance_jax.models.rope import joined_table


def places(positions):
    return joined_table(jnp.stack([jnp.asarray(positions)] * 3, -1), 8)


@pytest.fixture(scope="module")
def projected(random_params):
    """Function (x, positions) -> query, key, value of a QKV, and its parameters."""
    model, x = heads.QKV(2), jnp.zeros((3, 5, 16))
    params = random_params(model.init, x, places(range(5)))

    def project(x, positions):
        return model.apply(params, x, places(positions)).turned()

    return project, params["params"]


def test_queries_and_keys_have_the_length_of_their_norms_scales(projected):
    """However large tokens are, and wherever they stand: rotation keeps lengths."""
    project, params = projected
    x = jax.random.normal(jax.random.key(3), (3, 5, 16))
    for size in (0.1, 1.0, 50.0):
        for name, part in zip(("query", "key"), project(size * x, range(5)), strict=False):
            plain = jnp.einsum("bld,dnk->blnk", size * x, params[name]["kernel"])
            plain = plain / jnp.sqrt((plain**2).mean(-1, keepdims=True))
            plain = plain * params[f"{name}_norm"]["scale"]
            lengths = (jnp.linalg.norm(y, axis=-1) for y in (part, plain))
            np.testing.assert_allclose(*lengths, rtol=1e-3)
            np.testing.assert_allclose(project(size * x, [0] * 5)[name == "key"], plain, rtol=1e-2)


def test_scores_depend_on_distances_and_values_not_on_places(projected):
    project, _ = projected
    x = jax.random.normal(jax.random.key(4), (3, 5, 16))
    here, moved, apart = (project(x, np.arange(5) * step + start) for step, start in
                          ((1, 0), (1, 7), (2, 0)))  # fmt: skip
    score = lambda parts: jnp.einsum("bqnk,bpnk->bnqp", *parts[:2])  # noqa: E731
    np.testing.assert_allclose(score(here), score(moved), atol=1e-4)
    assert np.abs(score(here) - score(apart)).max() > 0.1
    for other in (moved, apart):
        assert np.abs(here[0] - other[0]).max() > 0.1
        np.testing.assert_array_equal(here[2], other[2])


def test_queries_and_keys_of_every_head_start_with_a_mean_square_of_1():
    """Whatever the tokens' size: so logits start as large as those of unit vectors."""
    x, angle = 30 * jax.random.normal(jax.random.key(3), (2, 5, 16)), jnp.linspace(0.0, 3.0, 20)
    rope = jnp.concatenate([f(angle.reshape(5, 4)) for f in (jnp.cos, jnp.sin)], -1)
    projected, variables = heads.QKV(2).init_with_output(jax.random.key(4), x, rope)
    query, key, value = projected.turned()
    for array in (query, key):
        np.testing.assert_allclose((array**2).mean(-1), 1.0, rtol=1e-4)
    assert np.abs((value**2).mean(-1) - 1.0).min() > 1.0
    for name in ("query_norm", "key_norm"):
        scale = variables["params"][name]["scale"]
        np.testing.assert_array_equal(scale, np.ones(8))


def test_text_attends_to_frames_as_if_they_were_joined():
    keys = jax.random.split(jax.random.key(2), 7)
    query, *text_kv = (jax.random.normal(key, (2, 4, 2, 8)) for key in keys[:3])
    video_kv = [jax.random.normal(key, (2, 3, 5, 2, 8)) for key in keys[3:5]]
    visible = jax.random.bernoulli(keys[5], 0.5, (2, 3, 4))
    mask = jax.random.bernoulli(keys[6], 0.5, (2, 4)).at[:, 0].set(True)
    key, value = (
        jnp.concatenate([x.reshape(2, 15, 2, 8), y], 1)
        for x, y in zip(video_kv, text_kv, strict=True)
    )
    seen = jnp.repeat(visible.swapaxes(1, 2), 5, axis=2)
    seen = jnp.concatenate([seen, jnp.broadcast_to(mask[:, None], (2, 4, 4))], 2)[:, None]
    out = heads.attend_frames(query, video_kv, text_kv, visible, mask)
    np.testing.assert_allclose(out, attend(query, key, value, seen), atol=1e-5)


B, T, L, S, N, K = 2, 4, 6, 5, 2, 8


@pytest.fixture
def one_kernel(monkeypatch):
    """The kernel of TPUs is taken, and interpreted."""
    monkeypatch.setattr(fused, "fits", lambda *sizes: True)
    monkeypatch.setattr(fused, "attend", functools.partial(fused.attend, interpret=True))


def make_heads(*size, seed=0):
    """Heads of tokens [*size] with an angle per token and axis."""
    keys = jax.random.split(jax.random.key(seed), 6)
    arrays = [jax.random.normal(key, (*size, N, K)) for key in keys[:3]]
    scales = [1 + 0.1 * jax.random.normal(key, (K,)) for key in keys[3:5]]
    angles = jax.random.normal(keys[5], (*size, K // 2))
    rope = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return heads.Heads(*arrays, tuple(scales), rope)


def frames(kernel):
    visible = jax.random.bernoulli(jax.random.key(8), 0.5, (B, T, S))
    mask = jnp.arange(S) < jnp.array([[3], [S]])

    def run(video, words):
        return heads.frames_attend(video, words, visible & mask[:, None], mask, kernel)

    return run, (make_heads(B, T, L), make_heads(B, S, seed=1))


def windows(kernel):
    inside = jnp.arange(L) < jnp.array([[L], [4], [L]])  # three windows: two devices do not divide
    run = lambda tokens: heads.windows_attend(tokens, inside, kernel)  # noqa: E731
    return run, (make_heads(B, T, 3, L),)


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("part", [frames, windows])
def test_one_kernel_attends_as_the_others_on_any_mesh(one_kernel, part, devices):
    axes = {} if devices == 1 else {"data": 2, "sequence": 2, "tensor": 2}

    def both(kernel):
        function, inputs = part(kernel)

        def loss(inputs):
            out = jax.tree.leaves(function(*inputs))
            return sum((jnp.sin(x + i) * (x != 0)).sum() for i, x in enumerate(out)), out

        with jax.set_mesh(sharding.make_mesh(jax.devices()[:devices], **axes)):
            grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
            (_, out), slopes = grad(inputs)
        return jax.device_get((out, [one[:4] for one in slopes]))  # angles are not trained

    for one, other in zip(*map(jax.tree.leaves, map(both, ("fused", "xla"))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 + 1e-4 * np.abs(other).max())
