import jax
import jax.numpy as jnp
import pytest

from seedance_jax.performance.compiled.flops import traced_flops


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_products_count_two_for_every_multiplication():
    product = jax.jit(lambda a, b: jnp.einsum("bij,bjk->bik", a, b))
    assert traced_flops(product, shape(2, 3, 4), shape(2, 4, 5)) == 2 * 2 * 3 * 4 * 5
    convolve = jax.jit(lambda x, k: jax.lax.conv(x, k, (2, 2), "VALID"))
    out = 6 * 3 * 3  # channels, and positions of the result
    assert traced_flops(convolve, shape(1, 4, 8, 8), shape(6, 4, 3, 3)) == 2 * out * 4 * 9


def test_loops_count_as_often_as_they_run():
    def body(x, _):
        return x @ x, None

    once = 2 * 4**3
    looped = jax.jit(lambda x: jax.lax.scan(body, x, length=5)[0])
    assert traced_flops(looped, shape(4, 4)) == 5 * once
    chosen = jax.jit(lambda x: jax.lax.cond(x[0, 0] > 0, lambda: x @ x @ x, lambda: x))
    assert traced_flops(chosen, shape(4, 4)) == 2 * once


def test_recomputation_counts():
    def loss(x):
        step = lambda x: jnp.tanh(x @ x) @ x  # noqa: E731
        return jax.checkpoint(step)(x).sum()

    once = 2 * 4**3
    assert traced_flops(jax.jit(jax.grad(loss)), shape(4, 4)) in (6 * once, 7 * once)


def test_a_loop_of_unknown_length_is_refused():
    grow = jax.jit(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, x))
    with pytest.raises(ValueError, match="of a while cannot be counted"):
        traced_flops(grow, shape(4, 4))
