import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from seedance_jax.models import lora
from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import generators

TEXT = {"width": 16, "depth": 1, "heads": 2, "max_words": 4}
DIT = {"width": 24, "depth": 2, "heads": 2, "window": (2, 2)}
MODEL = generators.build_generator(TEXT, DIT, 4)
BOXED = jax.eval_shape(MODEL.init, jax.random.key(0), *example_inputs(4, 8))["params"]
TARGETS = ("query", "video_out", "gate", "out")
RANK = 2


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(MODEL.init, *example_inputs(4, 8))["params"]


@pytest.fixture(scope="module")
def fresh():
    return lora.init_adapters(jax.random.key(1), BOXED, RANK, TARGETS)


@pytest.fixture(scope="module")
def trained(fresh):
    return jax.tree.map(lambda leaf: leaf + 0.3, fresh)


def kernel(tree, *path):
    return traverse_util.flatten_dict(tree)[*path, "kernel"]


def test_fresh_adapters_change_nothing(params, fresh):
    jax.tree.map(np.testing.assert_array_equal, lora.merge(params, fresh, 2.0), params)


def test_only_targets_change_and_by_at_most_the_rank(params, trained):
    before, after = (
        traverse_util.flatten_dict(t) for t in (params, lora.merge(params, trained, 1))
    )
    for path, value in before.items():
        in_block = "pairs" in path or "blocks" in path  # the head is an "out", too
        changed = path[-1] == "kernel" and path[-2] in TARGETS and in_block
        assert np.any(after[path] != value) == changed, path
    place = ("video", "pairs", "pair0", "spatial")
    for name, inputs in ((("video_qkv", "query"), 1), (("video_out",), 2)):
        difference = kernel(lora.merge(params, trained, 1), *place, *name)
        difference = np.asarray(difference - kernel(params, *place, *name))
        for layer in difference:  # of the scan
            matrix = layer.reshape(int(np.prod(layer.shape[:inputs])), -1)
            assert np.linalg.matrix_rank(matrix, tol=1e-4) <= RANK


def test_a_kernel_of_one_layer_gets_the_product_of_its_adapter():
    weights, a, b = (
        np.random.default_rng(i).standard_normal(shape).astype(np.float32)
        for i, shape in enumerate([(5, 3, 4), (5, RANK), (RANK, 3, 4)])
    )
    merged = lora.merge({"kernel": weights}, {"kernel": {"a": a, "b": b}}, 0.5)
    expected = weights + 0.5 * np.einsum("ir,rno->ino", a, b)
    np.testing.assert_allclose(merged["kernel"], expected, rtol=1e-5, atol=1e-6)


def test_the_change_grows_with_the_scale(params, trained):
    once, twice = (lora.merge(params, trained, scale) for scale in (1.0, 2.0))
    jax.tree.map(
        lambda base, a, b: np.testing.assert_allclose(2 * (a - base), b - base, atol=1e-4),
        params,
        once,
        twice,
    )


def test_gradients_reach_the_adapters_of_the_output(params, fresh):
    """b has one at once; a as soon as b is not zero."""
    xt, t, condition = example_inputs(4, 8)
    xt = jax.random.normal(jax.random.key(2), xt.shape)

    def loss(adapters):
        merged = lora.merge(params, adapters, 1.0)
        return (MODEL.apply({"params": merged}, xt, t, condition) ** 2).mean()

    grads = traverse_util.flatten_dict(jax.jit(jax.grad(loss))(fresh))
    grown = [np.any(value) for path, value in grads.items() if path[-1] == "b"]
    assert sum(grown) > len(grown) / 2
    assert not any(np.any(value) for path, value in grads.items() if path[-1] == "a")


def test_adapters_of_another_model_are_refused(params, trained):
    wide = traverse_util.flatten_dict(trained)
    place = ("video", "pairs", "pair0", "spatial", "video_qkv", "query", "kernel", "a")
    wide[place] = jnp.zeros((2, 48, RANK))
    message = r"pair0/spatial/video_qkv/query/kernel is \(2, 24, 2, 12\), its adapter \(2, 48, 2\)"
    with pytest.raises(ValueError, match=message):
        lora.merge(params, traverse_util.unflatten_dict(wide), 1.0)
    place, thin = (*place[:-1], "b"), traverse_util.flatten_dict(trained)
    thin[place] = thin[place][:, 1:]
    with pytest.raises(ValueError, match=r"its adapter \(2, 24, 2\) x \(2, 1, 2, 12\)$"):
        lora.merge(params, traverse_util.unflatten_dict(thin), 1.0)
    without = {name: value for name, value in params.items() if name != "video"}
    with pytest.raises(ValueError, match="is not in the model.* more"):
        lora.merge(without, trained, 1.0)
    flat = traverse_util.flatten_dict(trained)
    chosen = sorted({path[:-1] for path in flat if path[0] == "video"})[:3]
    few = {path: value for path, value in flat.items() if path[:-1] in chosen}
    with pytest.raises(ValueError, match="([^;]* is not in the model; ){2}[^;]* in the model$"):
        lora.merge(without, traverse_util.unflatten_dict(few), 1.0)


def test_unknown_targets_are_named():
    with pytest.raises(ValueError, match=r"\['quary'\] are not in the blocks .*'query'"):
        lora.init_adapters(jax.random.key(0), BOXED, RANK, ("quary",))
    with pytest.raises(ValueError, match=r"\['patch'\] are not in the blocks"):
        lora.init_adapters(jax.random.key(0), BOXED, RANK, ("patch",))
