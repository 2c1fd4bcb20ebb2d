"""What a mesh costs the transformer: read from compiled programs of eight devices."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from seedance_jax import sharding
from seedance_jax.evaluation import hlo
from seedance_jax.models.dit import Condition, DiT

FRAMES, SIDE, TEXT, CHANNELS = 6, 8, 16, 4  # frames that four devices do not divide


def compile_step(attention, **mesh):
    """Collectives inside of the loop over depth, forward and backward."""
    model = DiT(CHANNELS, 16, 2, 4, window=(4, 4), attention=attention, remat="full")
    shape = lambda *sizes, dtype=jnp.float32: jax.ShapeDtypeStruct(sizes, dtype)  # noqa: E731
    xt, clip, words = shape(2, FRAMES, SIDE, SIDE, CHANNELS), (2, FRAMES), (2, TEXT)
    condition = Condition(
        shape(*words, 8),
        shape(*words, dtype=bool),
        shape(*words, dtype=jnp.int32),
        shape(*clip, dtype=jnp.int32),
        xt,
        shape(*clip),
    )
    inputs = xt, shape(2), condition
    mesh = sharding.make_mesh(**mesh)
    boxed = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    place = lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout)  # noqa: E731
    params = jax.tree.map(place, nn.unbox(boxed), sharding.layout(boxed, mesh))
    inputs = jax.tree.map(lambda leaf: place(leaf, sharding.batch_sharding(mesh)), inputs)

    def loss(params, *inputs):
        return (model.apply({"params": params}, *inputs) ** 2).mean()

    with jax.set_mesh(mesh):
        text = jax.jit(jax.grad(loss)).lower(params, *inputs).compile().as_text()
    return [one for one in hlo.collectives(text, jax.device_count()) if one.loop]


def activations(found):
    """Those as large as the hidden states of one device: not of text, gradients or statistics."""
    return [one for one in found if one.size >= 2 * FRAMES * SIDE * SIDE * 16 * 4 // 8]


@pytest.mark.parametrize(("attention", "exchanges"), [("decoupled", 2), ("full", 8)])
def test_a_pair_of_blocks_exchanges_activations_and_gathers_none(attention, exchanges):
    found = activations(compile_step(attention, sequence=4, data=2))
    # Twice forward (once more before the backward pass), once backward, over two pairs.
    assert {one.kind for one in found} == {"all-to-all"}
    assert sum(one.times for one in found) == 2 * 3 * exchanges


def test_fsdp_gathers_the_weights_layer_by_layer():
    found = compile_step("decoupled", fsdp=8)
