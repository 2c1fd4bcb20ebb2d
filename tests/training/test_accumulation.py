import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from seedance_jax import sharding
from seedance_jax.diffusion import flow
from seedance_jax.training.accumulation import accumulated, split

RNG = np.random.default_rng(0)
# Small weights: 1 - tanh^2, of the gradient, loses its digits where tanh is nearly 1.
PARAMS = {"w": RNG.normal(0, 0.1, (8, 4)).astype(np.float32), "b": np.zeros(4, np.float32)}
BATCH = {"x": RNG.standard_normal((16, 8)).astype(np.float32), "n": np.arange(16)}


def loss_fn(params, batch, key, frozen):
    """A mean over the examples; the draw is logged only."""
    error = jnp.tanh(batch["x"] @ params["w"] + params["b"]) - frozen["target"]
    loss = (error**2).mean() + 0.01 * batch["n"].mean()
    return loss, {"draw": jax.random.normal(key), "first": batch["n"][0]}


def masked_loss_fn(params, batch, key, frozen):
    """A mean over the examples that are not given."""
    error = jnp.tanh(batch["x"] @ params["w"] + params["b"]) - frozen["target"]
    loss = flow.masked_mean_square(error[:, None, None, None], batch["given"][:, None])
    return loss, {"same": loss, "weight": (1.0 - batch["given"]).mean()}


def grads(count, batch=BATCH, params=PARAMS, layout=None, loss_fn=loss_fn):
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    run = jax.jit(accumulated(grad_fn, count, layout))
    return run(params, batch, jax.random.key(1), {"target": np.float32(0.5)})


def test_a_batch_in_one_part_is_computed_as_it_is():
    assert accumulated(loss_fn, 1, None) is loss_fn


@pytest.mark.parametrize("count", [2, 8])
def test_parts_give_the_gradient_of_the_whole(count):
    (loss, _), whole = grads(1)
    (other_loss, _), parts = grads(count)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), parts, whole)


@pytest.mark.parametrize("given", [12, 15, 16])
def test_parts_of_other_weights_give_the_gradient_of_the_whole(given):
    batch = BATCH | {"given": (np.arange(16) < given).astype(np.float32)}
    batch["given"] = batch["given"].reshape(4, 4).T.reshape(16)  # of the first parts most
    (loss, metrics), whole = grads(1, batch, loss_fn=masked_loss_fn)
    (other_loss, others), parts = grads(4, batch, loss_fn=masked_loss_fn)
    assert (loss > 0) == (given < 16)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-6)
    np.testing.assert_allclose(others["same"], metrics["same"], rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), parts, whole)


def test_each_part_has_a_key_and_examples_of_its_own_and_metrics_are_means():
    (_, metrics), _ = grads(4)
    draws = [jax.random.normal(jax.random.fold_in(jax.random.key(1), i)) for i in range(4)]
    np.testing.assert_allclose(metrics["draw"], np.mean(draws), rtol=1e-6)
    np.testing.assert_allclose(metrics["first"], np.mean([0, 1, 2, 3]))


def test_split_takes_every_so_many_th_example():
    parts = split(np.arange(12), 3)
    np.testing.assert_array_equal(parts, [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]])


def test_a_batch_that_cannot_be_split_is_named():
    with pytest.raises(ValueError, match="accumulate=3 does not divide the batch of 16 examples"):
        grads(3)


def test_under_fsdp_every_device_works_on_its_own_examples_in_every_part():
    mesh = sharding.make_mesh(data=2, fsdp=4)
    layout = {"w": NamedSharding(mesh, P("fsdp")), "b": sharding.replicated(mesh)}
    _, whole = grads(1)
    with jax.set_mesh(mesh):
        batch = sharding.put_batch(BATCH, mesh)
        params = jax.device_put(PARAMS, layout)
        _, parts = grads(2, batch, params, layout)
        cut = jax.jit(lambda x: split(x, 2)).lower(batch["x"]).compile()
    assert parts["w"].sharding.spec == P("fsdp")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), parts, whole)
    text = cut.as_text()
    assert not any(name in text for name in ("all-gather", "all-to-all", "collective-permute"))
