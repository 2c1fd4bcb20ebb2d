import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seedance_jax import sharding
from seedance_jax.training import optimizer

SETTINGS = {
    "name": "adamw",
    "peak_lr": 0.1,
    "warmup_steps": 10,
    "num_steps": 100,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "sgdd", "optimizer.name='sgdd'; legal names: .*'adamw'"),
        ("peak_lr", 0.0, "peak_lr=0.0: must be positive and finite"),
        ("peak_lr", float("nan"), "peak_lr=nan"),
        ("clip_norm", -1.0, "clip_norm=-1.0"),
        ("clip_norm", float("inf"), "clip_norm=inf"),
        ("num_steps", 0, "num_steps=0"),
        ("decay_to", -0.1, "decay_to=-0.1: must be from 0 to 1"),
        ("decay_to", 1.5, "decay_to=1.5"),
        ("decay_to", float("nan"), "decay_to=nan"),
    ],
)
def test_a_wrong_setting_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        optimizer.make_optimizer(**SETTINGS | {field: value})


def test_the_rate_rises_to_its_peak_and_falls_to_zero():
    rates = [float(optimizer.learning_rate(0.1, 10, 100)(step)) for step in range(101)]
    assert rates[0] == 0.0
    assert max(rates) == rates[10] == pytest.approx(0.1)
    assert np.all(np.diff(rates[:11]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[100] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("decay_to", [0.3, 1.0])
def test_a_share_of_the_rate_may_be_left_at_the_end(decay_to):
    rates = [float(optimizer.learning_rate(0.1, 10, 100, decay_to)(step)) for step in range(101)]
    assert rates[10] == pytest.approx(0.1)
    assert rates[100] == pytest.approx(0.1 * decay_to)
    assert np.all(np.diff(rates[10:]) <= 1e-8)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_a_run_shorter_than_its_warm_up_still_has_a_schedule(num_steps):
    rates = [float(optimizer.learning_rate(0.1, 50, num_steps)(i)) for i in range(num_steps)]
    assert np.isfinite(rates).all()
    assert rates[0] == 0.0
    last = max(num_steps, 2)  # a schedule has two steps at least
    assert optimizer.learning_rate(0.1, 50, num_steps)(last) == pytest.approx(0.0, abs=1e-8)


def updates(gradient, **settings):
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    transform = optimizer.make_optimizer(**SETTINGS | {"warmup_steps": 0} | settings)
    grads = {name: jnp.full(leaf.shape, gradient) for name, leaf in params.items()}
    return transform.update(grads, transform.init(params), params)


@pytest.mark.parametrize("name", ["adamw", "adamw_bf16", "adafactor"])
def test_weights_decay_but_biases_do_not(name):
    decay, _ = updates(0.0, name=name, weight_decay=0.5)
    np.testing.assert_allclose(decay["kernel"], -0.1 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(decay["bias"], 0.0)


def test_the_moments_of_adamw_forget_in_10_and_in_50_steps():
    gradient = 0.01  # is not clipped
    _, state = updates(gradient)
    for name, expected in (("mu", 0.1 * gradient), ("nu", 0.02 * gradient**2)):
        (moment,) = [leaf for _, leaf in optax.tree.get_all_with_path(state, name)]
        np.testing.assert_allclose(moment["kernel"], expected, rtol=1e-5)


def test_a_sudden_gradient_moves_adafactor_no_further_than_the_rate():
    transform = optimizer.make_optimizer(
        **SETTINGS | {"name": "adafactor", "warmup_steps": 0, "clip_norm": 1e9}
    )
    params = {"kernel": jnp.ones((4, 4))}
    state = transform.init(params)
    for size in (1e-3, 1e-3, 1e3):
        grads = {"kernel": jnp.full((4, 4), size)}
        change, state = transform.update(grads, state, params)
        assert np.sqrt((change["kernel"] ** 2).mean()) <= 0.1 * (1 + 1e-5)


def test_a_large_gradient_is_clipped_by_the_norm_of_the_whole_tree():
    _, state = updates(1e6)
    (moments,) = [mu for _, mu in optax.tree.get_all_with_path(state, "mu")]
    np.testing.assert_allclose(optax.tree.norm(moments), 1.0 - 0.9, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 3, 4, 6), (3, 3, 4, 6)])  # of clips, of frames
def test_muon_gives_kernels_orthogonal_updates_and_is_for_kernels_only(shape):
    muon = optimizer.make_optimizer(**SETTINGS | {"name": "muon", "warmup_steps": 1})
    # Nearly of rank one, and so are its signs, which are the updates of AdamW.
    kernel = np.random.default_rng(0).normal(1.0, 0.4, shape).astype(np.float32)
    params = {"encoder": {"kernel": jnp.zeros_like(kernel), "bias": jnp.zeros(6)}}
    grads = {"encoder": {"kernel": kernel, "bias": jnp.ones(6)}}
    state = muon.init(params)
    for _ in range(2):  # the first step's learning rate is 0
        updates, state = muon.update(grads, state, params)
    np.testing.assert_allclose(updates["encoder"]["bias"], -0.2 * 0.1, rtol=0.2)  # AdamW's
    assert np.linalg.cond(kernel.reshape(36, 6)) > 8
    assert np.linalg.cond(updates["encoder"]["kernel"].reshape(36, 6)) < 3
    with pytest.raises(ValueError, match="'muon' is for the autoencoder"):
        muon.init({"dit": {"kernel": kernel}})


def test_muon_takes_all_inputs_of_a_kernel_together():
    """So one whose gradient is small beside the others' moves little, though updates are even."""
    muon = optimizer.make_optimizer(**SETTINGS | {"name": "muon", "warmup_steps": 0})
    grad = np.random.default_rng(0).standard_normal((1, 3, 3, 4, 6)).astype(np.float32)
    grad[..., 0, :] *= 0.01
    params = {"encoder": {"kernel": jnp.zeros_like(grad)}}
    update, _ = muon.update({"encoder": {"kernel": grad}}, muon.init(params), params)
    moved = np.sqrt((update["encoder"]["kernel"] ** 2).sum((0, 1, 2, 4)))
    assert moved[0] < 0.1 * moved[1:].min()


def blocks(seed=0):
    """Kernels as a generator's blocks have them, and one outside of its blocks."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    block = {
        "query": {"kernel": normal(2, 8, 2, 4)},
        "video_out": {"kernel": normal(2, 2, 4, 8)},
        "modulation": {"bias": normal(2, 6, 8)},
    }
    return {"video": {"pairs": block, "patch": {"kernel": normal(8, 8)}}}


def test_muon_of_a_generator_takes_each_layer_and_all_of_its_heads_together():
    block, _ = first_update()
    for kernels in (block["query"]["kernel"], block["video_out"]["kernel"]):
        for kernel in kernels.reshape(2, 8, 8):
            values = np.linalg.svd(kernel, compute_uv=False) / SETTINGS["peak_lr"]
            # The gradient's differ by a factor of more than 15; its smallest may be lost.
            assert 0.6 < values[-2] < values[0] < 1.3


def test_muon_of_a_generator_leaves_the_rest_to_adamw():
    """Whose first updates have one size."""
    block, patch = first_update()
    sizes = np.abs(np.concatenate([patch.ravel(), block["modulation"]["bias"].ravel()]))
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-3)


def test_muon_of_a_generator_finds_the_kernels_of_new_weights_that_have_axes():
    boxed = jax.tree.map(lambda leaf: nn.LogicallyPartitioned(leaf, (None,) * leaf.ndim), blocks())
    found = nn.unbox(optimizer.kernel_dimensions(boxed))
    assert found == optimizer.kernel_dimensions(blocks())
    assert found["video"]["pairs"]["query"]["kernel"] is not None


def first_update():
    """(of the block, of the kernel outside) by Muon, of random gradients."""
    muon = optimizer.make_optimizer(**SETTINGS | {"name": "muon", "warmup_steps": 0})
    grads = blocks()
    update, _ = muon.update(grads, muon.init(grads), grads)
    return jax.device_get((update["video"]["pairs"], update["video"]["patch"]["kernel"]))


def test_muon_decays_kernels_alone():
    settings = {"name": "muon", "warmup_steps": 0, "weight_decay": 0.5}
    muon = optimizer.make_optimizer(**SETTINGS | settings)
    params = {"encoder": {"kernel": jnp.ones((1, 3, 3, 4, 6)), "bias": jnp.ones(6)}}
    updates, _ = muon.update(jax.tree.map(jnp.zeros_like, params), muon.init(params), params)
    np.testing.assert_allclose(updates["encoder"]["kernel"], -0.1 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(updates["encoder"]["bias"], 0.0)


def steps(name, count=60):
    """Weights [128, 256] after so many steps of least squares, and the optimizer's state."""
    target = np.random.default_rng(0).standard_normal((128, 256)).astype(np.float32)
    transform = optimizer.make_optimizer(**SETTINGS | {"name": name, "clip_norm": 1e6})
    params = {"kernel": jnp.zeros_like(target)}

    @jax.jit
    def update(params, state):
        grads = {"kernel": params["kernel"] - target}
        change, state = transform.update(grads, state, params)
        return optax.apply_updates(params, change), state

    state = transform.init(params)
    for _ in range(count):
        params, state = update(params, state)
    return float(jnp.abs(params["kernel"] - target).mean()), state


def size(state):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state))


def test_each_way_to_save_memory_saves_it_and_still_learns():
    error, state = steps("adamw")
    half_error, half = steps("adamw_bf16")
    factored_error, factored = steps("adafactor")
    assert {leaf.dtype for leaf in optax.tree.get_all_with_path(half, "mu")[0][1].values()} == {
        jnp.dtype(jnp.bfloat16)
    }
    weights = 128 * 256 * 4
    assert size(state) > 2 * weights
    assert size(half) < 1.51 * weights
    assert size(factored) < 0.1 * weights
    for value in (error, half_error, factored_error):
        assert value < 0.1
    assert half_error == pytest.approx(error, abs=0.02)


@pytest.mark.parametrize("name", ["adamw_bf16", "adafactor"])
def test_its_state_is_laid_out_over_the_mesh(name):
    mesh = sharding.make_mesh(fsdp=-1)
    normal = sharding.param(jax.nn.initializers.normal(), "embed", "mlp")
    transform = optimizer.make_optimizer(**SETTINGS | {"name": name})

    def init(key):
        params = {"kernel": normal(key, (128, 256)), "bias": jnp.zeros(3)}
        return transform.init(params)

    boxed = jax.eval_shape(init, jax.random.key(0))
    layout = sharding.layout(boxed, mesh)
    state = jax.jit(lambda key: nn.unbox(init(key)), out_shardings=layout)(jax.random.key(0))
    largest = max(jax.tree.leaves(state), key=lambda leaf: leaf.size)
    if name == "adamw_bf16":
        assert largest.addressable_shards[0].data.size * mesh.shape["fsdp"] == largest.size
    assert jax.tree.structure(state) == jax.tree.structure(nn.unbox(boxed))
