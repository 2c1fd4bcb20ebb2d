import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.models import attention

attend = jax.jit(attention.attend)
SHAPES = ((2, 5, 3, 8), (2, 7, 3, 8), (2, 7, 3, 8))


@pytest.fixture(scope="module")
def inputs():
    keys = jax.random.split(jax.random.key(0), 4)
    arrays = [3 * jax.random.normal(key, shape) for key, shape in zip(keys, SHAPES, strict=False)]
    return *arrays, jax.random.bernoulli(keys[3], 0.6, (2, 1, 5, 7)).at[..., 0].set(True)


@jax.jit
def plain(query, key, value, mask):
    return jax.nn.dot_product_attention(query, key, value, mask=mask)


def test_it_is_softmax_attention_and_so_are_its_gradients(inputs):
    def loss(function, *arrays):
        return (function(*arrays, inputs[3]) ** 2).sum()

    np.testing.assert_allclose(attend(*inputs), plain(*inputs), atol=1e-5)
    grad = jax.jit(jax.grad(loss, (1, 2, 3)), static_argnums=0)
    ours, theirs = (grad(f, *inputs[:3]) for f in (attend, plain))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_neighbouring_queries_share_a_key(inputs):
    query, key, value, mask = inputs
    few = [jnp.concatenate([x, -x], axis=2)[:, :, 2:4] for x in (key, value)]
    query = jnp.concatenate([query, 2 * query], axis=2)[:, :, :6]
    many = [x[:, :, [0, 0, 0, 1, 1, 1]] for x in few]
    np.testing.assert_allclose(attend(query, *few, mask), plain(query, *many, mask), atol=1e-5)


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
    kept = jax.eval_shape(lambda *arrays: jax.vjp(attention.attend, *arrays)[1], *inputs)
    assert not [leaf.shape for leaf in jax.tree.leaves(kept) if leaf.shape == (2, 3, 5, 7)]


def test_it_has_a_forward_derivative(inputs):
    query, key, value, mask = inputs
    function = lambda query: attend(query, key, value, mask)  # noqa: E731
    _, slope = jax.jvp(function, (query,), (key[:, :5],))
    step = 1e-3 * key[:, :5]
    numeric = (function(query + step) - function(query - step)) / 2e-3
    np.testing.assert_allclose(slope, numeric, atol=1e-2)


GROUPS = ((2, 3, 5, 2, 16), (2, 3, 7, 2, 16), (2, 3, 7, 2, 16))


@pytest.fixture(scope="module")
def groups():
    keys = jax.random.split(jax.random.key(1), 4)
    arrays = [2 * jax.random.normal(key, shape) for key, shape in zip(keys, GROUPS, strict=False)]
    return *arrays, jax.random.bernoulli(keys[3], 0.6, (2, 3, 7)).at[..., 0].set(True)


@jax.jit
def one_by_one(query, key, value, seen):
    """Each group by itself."""
    parts = [
        plain(query[:, g], key[:, g], value[:, g], seen[:, g, None, None])
        for g in range(query.shape[1])
    ]
    return jnp.stack(parts, axis=1)


def cudnn(*arrays):
    """cuDNN's kernel, as XLA computes what it is called with."""
    library = jax.nn.dot_product_attention
    stand_in = lambda *a, implementation, **k: library(*a, **k)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.nn, "dot_product_attention", stand_in)
        return attention.KERNELS["cudnn"](*arrays)


KERNELS = {
    "cudnn": jax.jit(cudnn),
    "xla": jax.jit(functools.partial(attention.attend_groups, kernel="xla")),
    "blocks": jax.jit(functools.partial(attention.attend_groups, kernel="blocks")),
    "splash": jax.jit(functools.partial(attention.splash, interpret=True)),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shared", [False, True])
def test_groups_attend_to_keys_of_their_own_or_shared_ones(groups, kernel, shared):
    query, key, value, seen = groups
    if shared:
        key, value = key[:, :1], value[:, :1]
    whole = [jnp.broadcast_to(x, (2, 3, *x.shape[2:])) for x in (key, value)]
    expected = one_by_one(query, *whole, seen)
    np.testing.assert_allclose(KERNELS[kernel](query, key, value, seen), expected, atol=1e-5)


# All at once; six and three heads; queries of a head in two blocks, the second of them padded; one.
@pytest.mark.parametrize("limit", [10**6, 6 * 35, 4 * 35, 3 * 7, 1])
@pytest.mark.parametrize("shared", [False, True])
def test_blocks_of_any_size_give_the_same_attention_and_gradients(
    groups, limit, shared, monkeypatch
):
    monkeypatch.setattr(attention, "MAX_LOGITS", limit)
    *arrays, seen = groups
    if shared:
        arrays[1:] = [x[:, :1] for x in arrays[1:]]

    def both(function):
        loss = lambda *arrays: (function(*arrays, seen) ** 2).sum()  # noqa: E731
        return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*arrays)

    expected = both(functools.partial(attention.attend_groups, kernel="xla"))
    for one, other in zip(*map(jax.tree.leaves, (both(attention.blocks), expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_blocks_keep_no_logits_for_the_backward_pass(groups, monkeypatch):
    monkeypatch.setattr(attention, "MAX_LOGITS", 3 * 35)
    kept = jax.eval_shape(lambda *arrays: jax.vjp(attention.blocks, *arrays)[1], *groups)
    assert max(leaf.size for leaf in jax.tree.leaves(kept)) <= max(x.size for x in groups)


def test_blocks_have_a_forward_derivative(groups):
    query, key, value, seen = groups
    function = jax.jit(lambda query: attention.blocks(query, key, value, seen))
    _, slope = jax.jvp(function, (query,), (key[:, :, :5],))
    step = 1e-3 * key[:, :, :5]
    numeric = (function(query + step) - function(query - step)) / 2e-3
    np.testing.assert_allclose(slope, numeric, atol=1e-2)


@pytest.mark.parametrize("shared", [False, True])
def test_groups_may_be_divided_over_devices_and_so_may_heads(groups, shared):
    query, key, value, seen = groups  # three groups: two devices do not divide them
    if shared:
        key, value = key[:, :1], value[:, :1]
    expected = KERNELS["xla"](query, key, value, seen)
    divided = functools.partial(attention.attend_groups, kernel="xla")
    with jax.set_mesh(sharding.make_mesh(data=2, sequence=2, tensor=2)):
        found = jax.jit(divided)(query, key, value, seen)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_gradients_of_splash_attention_are_those_of_attention(groups):
    def loss(function, *arrays):
        return (function(*arrays, groups[3]) ** 2).sum()

    grad = jax.jit(jax.grad(loss, (1, 2, 3)), static_argnums=0)
    ours, theirs = (grad(f, *groups[:3]) for f in (KERNELS["splash"], one_by_one))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("length", [1, 100, 128, 1024, 1025, 1620, 1876, 3100])
def test_blocks_are_as_few_as_fit_and_waste_little(length):
    block = attention.block_size(length)
    padded = -(-length // block) * block
    assert block % 128 == 0
    assert block <= 1024
    assert padded // block == -(-length // 1024)
    assert padded - length < 128 * (padded // block)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(
        ValueError, match=r"kernel='flash'; legal values: \['auto', 'fused', 'xla', 'blocks'"
    ):
        attention.choose_kernel("flash", jnp.float32)
    assert attention.choose_kernel("auto", jnp.bfloat16) == "blocks"
    with pytest.raises(ValueError, match="kernel=.cudnn. has no float32"):
        attention.choose_kernel("cudnn", jnp.float32)
    with pytest.raises(ValueError, match="kernel=.fused. is for TPUs, heads of a multiple of 128"):
        attention.choose_kernel("fused", jnp.bfloat16)


@pytest.mark.parametrize(
    ("platform", "kernels"),
    [("cpu", ["blocks", "blocks"]), ("gpu", ["xla", "cudnn"]), ("tpu", ["splash", "splash"])],
)
def test_the_fastest_kernel_of_a_platform_has_the_type(monkeypatch, platform, kernels):
    monkeypatch.setattr(sharding, "platform", lambda: platform)
    dtypes = (jnp.float32, jnp.bfloat16)
    assert [attention.choose_kernel("auto", dtype) for dtype in dtypes] == kernels
    fused = attention.choose_kernel("auto", jnp.bfloat16, fused=True)
    assert fused == ("fused" if platform == "tpu" else kernels[1])


def test_the_output_projection_merges_heads(random_params):
    model = attention.output_projection(6, jnp.float32, None)
    x = jax.random.normal(jax.random.key(5), (2, 5, 2, 8))
    params = random_params(model.init, x)
    expected = x.reshape(2, 5, 16) @ params["params"]["kernel"].reshape(16, 6)
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-4, atol=1e-5)
