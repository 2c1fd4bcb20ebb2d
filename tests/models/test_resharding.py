"""What a mesh costs the transformer: read from compiled programs of eight devices.

Of virtual ones, and of a TPU's where its compiler is at hand.
"""

import functools
import importlib.util

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from seedance_jax import sharding
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.dit import DiT
from seedance_jax.performance import chips
from seedance_jax.performance.compiled import hlo

BATCH, FRAMES, SIDE = 8, 6, 8  # four devices do not divide the frames
TEXT, CHANNELS, WIDTH = 4, 4, 64


TPU = pytest.param(
    "v5e:2x4",
    marks=pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="extra: tpu"),
)


@functools.cache
def compile_step(attention, topology=None, fields=(), **mesh):
    """Program of the gradients, and the parameters (as shapes).

    fields: ((name, value), ...) of the DiT, other than here.
    """
    settings = {"width": WIDTH, "heads": 8, "attention": attention, "remat": "full"}
    model = DiT(CHANNELS, depth=2, window=(4, 4), **settings | dict(fields))
    shape = lambda *sizes, dtype=jnp.float32: jax.ShapeDtypeStruct(sizes, dtype)  # noqa: E731
    xt, clip, words = shape(BATCH, FRAMES, SIDE, SIDE, CHANNELS), (BATCH, FRAMES), (BATCH, TEXT)
    condition = Condition(
        shape(*words, 8),
        shape(*words, dtype=bool),
        shape(*words, dtype=jnp.int32),
        shape(*clip, dtype=jnp.int32),
        xt,
        shape(*clip),
    )
    inputs = xt, shape(BATCH), condition
    mesh = sharding.make_mesh(topology and chips.open_topology(topology), **mesh)
    boxed = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    place = lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout)  # noqa: E731
    params = jax.tree.map(place, nn.unbox(boxed), sharding.layout(boxed, mesh))
    inputs = jax.tree.map(lambda leaf: place(leaf, sharding.batch_sharding(mesh)), inputs)

    def loss(params, *inputs):
        return (model.apply({"params": params}, *inputs) ** 2).mean()

    with jax.set_mesh(mesh):
        text = jax.jit(jax.grad(loss)).lower(params, *inputs).compile().as_text()
    return text, params


@pytest.mark.parametrize("topology", [None, TPU])
@pytest.mark.parametrize(
    ("attention", "exchanges", "width", "heads"),
    [("decoupled", 2, WIDTH, 8), ("decoupled", 2, 128, 1), ("full", 8, WIDTH, 8)],
)
def test_a_pair_of_blocks_exchanges_activations_and_gathers_none(
    attention, exchanges, width, heads, topology
):
    """Heads of 128 channels have a kernel of their own on TPUs."""
    fields = (("width", width), ("heads", heads))
    text, _ = compile_step(attention, topology, fields, fsdp=2, sequence=4)
    assert ("fused_attention" in text) == (topology is not None and width // heads == 128)
    found = [one for one in hlo.collectives(text, 8) if one.loop]
    number = 2 if topology else 4  # bytes: TPUs multiply bfloat16
    hidden = BATCH * FRAMES * SIDE * SIDE * width * number // 8  # on a device; text has fewer
    large = [one for one in found if one.size >= hidden and one.kind != "all-reduce"]
    assert {one.kind for one in large} == {"all-to-all"}  # what is reduced is gradients of weights
    if attention == "decoupled":  # nothing small is exchanged either
        assert large == [one for one in found if one.kind == "all-to-all"]
    # Forward, forward again before the backward pass, and backward, of two pairs.
    assert sum(one.times for one in large) == 2 * 3 * exchanges


@pytest.mark.parametrize("topology", [None, TPU])
@pytest.mark.parametrize("mesh", [{"fsdp": 8}, {"fsdp": 2, "sequence": 4}], ids=str)
def test_weights_are_gathered_one_layer_at_a_time(mesh, topology):
    text, params = compile_step("decoupled", topology, **mesh)
    found = hlo.collectives(text, 8)
    one_layer = max(leaf.size // 2 * 4 for leaf in jax.tree.leaves(params["pairs"]))
    gathers = [one for one in found if one.kind == "all-gather" and one.loop]
    assert gathers
    assert all(one.size <= one_layer for one in gathers)


@pytest.mark.parametrize("topology", [TPU])
@pytest.mark.parametrize("gradients", ["bfloat16", "float32"])
def test_devices_add_up_gradients_of_kernels_in_the_type_that_is_asked_for(gradients, topology):
    fields = (("dtype", "bfloat16"), ("gradients", gradients))
    text, _ = compile_step("decoupled", topology, fields, fsdp=8)
    computations = hlo.read_computations(text)
    times, types = hlo.count_runs(computations), set()
    for name, lines in computations.items():
        found = [hlo.INSTRUCTION.match(line) for line in lines if times[name] > 1]
        sums = [one for one in found if one and one[3].startswith(("all-reduce", "reduce-scatter"))]
        shapes = [shape for one in sums for shape in hlo.SHAPE.findall(one[2])]
        least = WIDTH * WIDTH // 8  # numbers in a device's part of a kernel
        types |= {kind for kind, sizes in shapes if hlo.size_of("s8", sizes) >= least}
    assert types == {{"bfloat16": "bf16", "float32": "f32"}[gradients]}
