import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.models import dit, layers, products

X = np.random.default_rng(0).normal(0.5, 2.0, (3, 7, 16)).astype(np.float32)


def root_mean_square(x):
    return np.sqrt((np.asarray(x, np.float64) ** 2).mean(-1))


@pytest.mark.parametrize("size", [1e-2, 1.0, 1e3])
def test_rms_norm_leaves_a_root_mean_square_of_its_scale(size):
    scale = np.linspace(0.5, 2.0, 16).astype(np.float32)
    y = layers.RMSNorm().apply({"params": {"scale": scale}}, size * X)
    np.testing.assert_allclose(root_mean_square(y / scale), 1.0, rtol=1e-2 if size < 1 else 1e-5)
    np.testing.assert_allclose(y, X * scale / root_mean_square(X)[..., None], rtol=1e-2, atol=1e-4)


def test_rms_norm_starts_as_a_plain_norm_and_works_in_float32():
    init = layers.RMSNorm().init(jax.random.key(0), X)
    np.testing.assert_array_equal(init["params"]["scale"], np.ones(16))
    half = layers.RMSNorm().apply(init, (100 * X).astype(jnp.float16))  # squares overflow float16
    assert half.dtype == jnp.float16
    np.testing.assert_allclose(root_mean_square(half), 1.0, rtol=1e-3)


def test_layer_norm_leaves_mean_0_and_deviation_1():
    y = layers.layer_norm(X)
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(layers.layer_norm(3.0 * X + 5.0), y, atol=1e-5)
    assert layers.layer_norm(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("norm", [layers.layer_norm, lambda x: layers.RMSNorm().apply(ONES, x)])
def test_norms_of_nothing_are_nothing(norm):
    zero = jnp.zeros((2, 16))
    np.testing.assert_array_equal(norm(zero), zero)
    assert np.isfinite(jax.jacobian(norm)(zero)).all()


ONES = {"params": {"scale": np.ones(16, np.float32)}}


def test_swiglu_is_gated_by_silu(random_params):
    model = layers.SwiGLU(24)
    params = random_params(model.init, X)
    gate, up, down = (params["params"][name]["kernel"] for name in ("gate", "up", "down"))
    assert gate.shape == up.shape == (16, 24)
    hidden = X @ gate
    expected = (hidden / (1 + np.exp(-hidden)) * (X @ up)) @ down
    np.testing.assert_allclose(model.apply(params, X), expected, rtol=1e-4, atol=1e-5)


def test_every_product_of_swiglu_is_of_the_dtype_that_is_asked_for():
    made = {}

    def note(call, arguments, options, context):
        made[context.module.name] = out = call(*arguments, **options)
        return out

    with nn.intercept_methods(note):
        jax.eval_shape(layers.SwiGLU(24, dtype=jnp.float16).init, jax.random.key(0), X)
    dtypes = {name: made[name].dtype for name in ("gate", "up", "down")}
    assert dtypes == dict.fromkeys(dtypes, jnp.float16)


@pytest.mark.parametrize("width", [8, 64, 128, 768, 1536])
def test_the_gated_mlp_has_as_many_weights_as_a_plain_one(width):
    hidden = layers.swiglu_hidden(width)
    assert hidden % 32 == 0
    assert 0 <= 3 * hidden - 8 * width < 3 * 32


def test_modulation_adds_a_bias_of_its_own_to_the_shared_vectors():
    shared = jax.random.normal(jax.random.key(0), (2, 5, 6, 16))
    model = layers.BlockModulation()
    init = model.init(jax.random.key(0), shared)
    np.testing.assert_array_equal(init["params"]["bias"], np.zeros((6, 16)))
    bias = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    attention, mlp = model.apply({"params": {"bias": bias}}, shared)
    parts = (attention.shift, attention.scale, attention.gate, mlp.shift, mlp.scale, mlp.gate)
    for i, part in enumerate(parts):
        np.testing.assert_allclose(part, shared[:, :, i] + bias[i], rtol=1e-6)


def test_shift_scale_and_gate_act_on_every_token_of_their_clip():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 8))
    shift, scale = jax.random.normal(jax.random.key(1), (2, 2, 3, 8))
    wide = lambda vector: vector[:, :, None, None]  # noqa: E731
    expected = x * (1 + wide(scale)) + wide(shift)
    np.testing.assert_allclose(layers.modulate(x, shift, scale), expected, rtol=1e-6)
    np.testing.assert_array_equal(layers.modulate(x, 0 * shift, 0 * scale), x)
    np.testing.assert_allclose(layers.gated(x, scale), x * wide(scale), rtol=1e-6)
    assert layers.gated(x.astype(jnp.bfloat16), scale).dtype == jnp.bfloat16
    assert layers.modulate(x.astype(jnp.bfloat16), shift, scale).dtype == jnp.bfloat16


def test_timestep_features_are_waves_from_a_thousandth_of_the_path_to_all_of_it():
    t, width = np.array([0.0, 0.25, 1.0], np.float32), 8
    features = layers.timestep_features(jnp.array(t), width)
    angles = 1000.0 * t[:, None] * 10_000.0 ** (-np.arange(4) / 4)
    expected = np.concatenate([np.cos(angles), np.sin(angles)], -1)
    np.testing.assert_allclose(features, expected, atol=1e-4)
    assert features.dtype == jnp.float32


def test_a_projection_has_the_named_axes_and_a_bias_only_if_wanted():
    x = jnp.ones((2, 3, 64))
    for use_bias in (False, True):
        model = layers.linear((2, 64), ("embed", "heads", None), use_bias=use_bias)
        params = model.init(jax.random.key(0), x)["params"]
        assert set(params) == {"kernel", *["bias"] * use_bias}
        assert params["kernel"].names == ("embed", "heads", None)
    kernel = nn.unbox(params)["kernel"]
    assert kernel.shape == (64, 2, 64)
    assert kernel.std() == pytest.approx(64**-0.5, rel=0.05)


@pytest.mark.parametrize("axes", [1, 2])
def test_products_with_weights_are_equal_as_products_of_two_matrices(axes):
    """For one CPU tokens are flattened; on a mesh they are not, so that it may divide them."""
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 6, 8))
    kernel = jax.random.normal(jax.random.key(1), (*x.shape[-axes:], 5, 7))
    last = tuple(range(x.ndim - axes, x.ndim))

    def product(x, kernel):
        return products.dot_general(x, kernel, ((last, tuple(range(axes))), ((), ())))

    def flattened(x, kernel):
        equations = jax.make_jaxpr(product)(x, kernel).eqns
        (dot,) = (one for one in equations if one.primitive.name == "dot_general")
        return dot.invars[0].aval.ndim == 2

    expected = np.tensordot(x, kernel, axes)
    np.testing.assert_allclose(jax.jit(product)(x, kernel), expected, rtol=1e-4, atol=1e-4)
    assert flattened(x, kernel)
    with jax.set_mesh(sharding.make_mesh(data=2, sequence=4)):
        assert not flattened(x, kernel)
        np.testing.assert_allclose(jax.jit(product)(x, kernel), expected, rtol=1e-4, atol=1e-4)
    with jax.set_mesh(sharding.make_mesh(jax.devices()[:1])):
        assert flattened(x, kernel)


def rounded(x):
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16), np.float64)


def test_bfloat16_on_one_cpu_is_that_of_the_operands_alone():
    """Results and the kernel's gradient are float32; on a mesh results are rounded, too."""
    rng = np.random.default_rng(1)
    x, pull = (rng.normal(size=(2, 5, 16)).astype(np.float32) for _ in range(2))
    layer = layers.linear(16, ("embed", "mlp"), dtype="bfloat16")
    params = nn.unbox(layer.init(jax.random.key(0), x))
    y, backward = jax.vjp(lambda params, x: layer.apply(params, x), params, x)
    of_params, of_x = backward(jnp.asarray(pull))
    kernel = params["params"]["kernel"]
    assert y.dtype == of_x.dtype == jnp.float32
    np.testing.assert_allclose(y, rounded(x) @ rounded(kernel), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_x, rounded(pull) @ rounded(kernel).T, rtol=1e-5, atol=1e-6)
    expected = np.einsum("bld,blf->df", x.astype(np.float64), pull)
    np.testing.assert_allclose(of_params["params"]["kernel"], expected, rtol=1e-5, atol=1e-5)
    with jax.set_mesh(sharding.make_mesh(fsdp=-1)):
        layer = layers.linear(16, ("embed", "mlp"), dtype="bfloat16")
        assert layer.apply(params, x).dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_are_kept_where_the_policy_says_so(dtype):
    layer = layers.SwiGLU(24, dtype=dtype)
    params = layer.init(jax.random.key(0), X)

    def products_of(policy):
        def loss(params):
            return (layer.apply(params, X) ** 2).sum()

        gradient = jax.grad(jax.checkpoint(loss, policy=dit.REMAT_POLICIES[policy]))
        return str(jax.make_jaxpr(gradient)(params)).count(" dot_general[")

    assert products_of("full") - products_of("save_products") == len(("gate", "up", "down"))


@pytest.mark.parametrize(
    ("flags", "found"), [("fma amx_bf16", True), ("avx512_bf16 fma", True), ("fma avx2", False)]
)
def test_bfloat16_is_chosen_where_the_cpu_has_it(tmp_path, monkeypatch, flags, found):
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    has = products._has_short_products.__wrapped__
    assert has(tmp_path / "cpuinfo") is found
    assert not has(tmp_path / "missing")
    monkeypatch.setattr(products, "_has_short_products", lambda: found)
    assert products.resolve_dtype("auto") == "float32"  # there are several devices
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert products.resolve_dtype("auto") == ("bfloat16" if found else "float32")
    assert products.resolve_dtype("float16") == "float16"
    monkeypatch.setattr(sharding, "platform", lambda: "tpu")
    assert products.resolve_dtype("auto") == "bfloat16"


@pytest.mark.parametrize(("dtype", "gradients"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_gradients_of_kernels_are_rounded_to_their_own_type(dtype, gradients):
    """And nothing else changes: neither the outputs, nor the gradients of inputs."""
    x = jax.random.normal(jax.random.key(0), (2, 5, 16))

    def both(gradients):
        kind = products.Precision(dtype, gradients)
        layer = layers.linear((3, 4), ("embed", "heads", None), dtype=kind)
        params = layer.init(jax.random.key(1), x)
        loss = lambda params, x: jnp.sin(layer.apply(params, x).astype(jnp.float32)).sum()  # noqa: E731
        value, (of_params, of_x) = jax.jit(jax.value_and_grad(loss, (0, 1)))(nn.unbox(params), x)
        return value, of_x, of_params["params"]["kernel"]

    with jax.set_mesh(sharding.make_mesh(fsdp=-1)):
        (*same, own), (*expected, other) = both(gradients), both(dtype)
    jax.tree.map(np.testing.assert_array_equal, same, expected)
    np.testing.assert_allclose(own, other, atol=1e-2 * np.abs(other).max())
    assert own.dtype == jnp.float32
    short = [np.array_equal(one, rounded(one)) for one in (own, other)]
    assert short == [gradients == "bfloat16", dtype == "bfloat16"]
