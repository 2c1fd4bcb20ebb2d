import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models.attention import attend

SHAPES = ((2, 5, 3, 8), (2, 7, 3, 8), (2, 7, 3, 8))


@pytest.fixture(scope="module")
def inputs():
    keys = jax.random.split(jax.random.key(0), 4)
    arrays = [3 * jax.random.normal(key, shape) for key, shape in zip(keys, SHAPES, strict=False)]
    return *arrays, jax.random.bernoulli(keys[3], 0.6, (2, 1, 5, 7)).at[..., 0].set(True)


def plain(query, key, value, mask):
    return jax.nn.dot_product_attention(query, key, value, mask=mask)


def test_it_is_softmax_attention_and_so_are_its_gradients(inputs):
    def loss(function, *arrays):
        return (function(*arrays, inputs[3]) ** 2).sum()

    np.testing.assert_allclose(attend(*inputs), plain(*inputs), atol=1e-5)
    ours, theirs = (jax.grad(loss, (1, 2, 3))(f, *inputs[:3]) for f in (attend, plain))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_hidden_keys_change_nothing(inputs):
    query, key, value, _ = inputs
    mask = (jnp.arange(7) < 4)[None, None, None]
    hidden = attend(query, key.at[:, 4:].set(1e4), value.at[:, 4:].set(-1e4), mask)
    np.testing.assert_allclose(hidden, attend(query, key[:, :4], value[:, :4]), atol=1e-5)


def test_a_query_without_keys_is_finite(inputs):
    query, key, value, mask = inputs
    assert jnp.isfinite(attend(query, key, value, jnp.zeros_like(mask))).all()


def test_large_logits_do_not_overflow(inputs):
    query, key, value, mask = inputs
    assert jnp.isfinite(attend(100 * query, 100 * key, value, mask)).all()


def test_half_precision_stays_close(inputs):
    half = [array.astype(jnp.bfloat16) for array in inputs[:3]]
    out = attend(*half, inputs[3])
    assert out.dtype == jnp.bfloat16
    exact = attend(*(array.astype(jnp.float32) for array in half), inputs[3])
    np.testing.assert_allclose(out.astype(jnp.float32), exact, atol=0.05)


def test_weights_are_not_kept_for_the_backward_pass(inputs):
    kept = jax.eval_shape(lambda *arrays: jax.vjp(attend, *arrays)[1], *inputs)
    assert not [leaf.shape for leaf in jax.tree.leaves(kept) if leaf.shape == (2, 3, 5, 7)]


def test_it_has_a_forward_derivative(inputs):
    query, key, value, mask = inputs
    function = lambda query: attend(query, key, value, mask)  # noqa: E731
    _, slope = jax.jvp(function, (query,), (key[:, :5],))
    step = 1e-3 * key[:, :5]
    numeric = (function(query + step) - function(query - step)) / 2e-3
    np.testing.assert_allclose(slope, numeric, atol=1e-2)
