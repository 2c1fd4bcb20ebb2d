from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_wan as recipe

from configs import vae as vae_config
from seedance_jax.models.public import wan
from seedance_jax.models.public.torch_file import Tensors
from seedance_jax.models.vae import VAE

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = {
    "latent_channels": 6,
    "patch": 2,
    "encoder_widths": (8, 16, 32, 32),
    "decoder_widths": (48, 48, 24, 12),
    "strides": ((1, 2), (2, 2), (2, 2)),
    "encoder_blocks": (2, 2, 2, 2),
    "decoder_blocks": (3, 3, 3, 3),
}


def in_memory(arrays):
    """Arrays as `torch_file.open_tensors` gives those of a file."""
    shapes = {name: array.shape for name, array in arrays.items()}
    return Tensors(shapes, arrays.__getitem__)


def shapes(model):
    """The parameter tree of a model as shapes."""
    video = jax.ShapeDtypeStruct((1, 5, 16, 16, 3), jnp.float32)
    return nn.unbox(jax.eval_shape(model.init, jax.random.key(0), video))["params"]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "wan.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def tensors(golden):
    """The recipe's weights under the names and shapes that the reference printed."""
    pairs = (line.split(" ", 1) for line in golden["names"].tolist())
    sizes = {name: tuple(int(n) for n in text.strip("()").split(",") if n) for name, text in pairs}
    return in_memory({name: recipe.weight(name, shape) for name, shape in sizes.items()})


@pytest.fixture(scope="module")
def autoencoder(tensors):
    model = VAE(**TINY)
    params = wan.import_params(tensors, shapes(model))
    return model, params


@pytest.mark.parametrize("frames", recipe.LENGTHS)
def test_latents_and_video_are_those_of_the_reference(autoencoder, golden, frames):
    model, params = autoencoder
    video = jnp.asarray(recipe.video(frames))
    decoded, mean, _ = jax.jit(lambda video: model.apply({"params": params}, video))(video)
    np.testing.assert_allclose(mean, golden[f"latents{frames}"], atol=1e-4)
    kept = np.clip(decoded, -1, 1)[:, :, :: recipe.PIXELS, :: recipe.PIXELS]
    np.testing.assert_allclose(kept, golden[f"decoded{frames}"], atol=1e-4)


def test_the_public_model_has_our_parameters_one_to_one(golden):
    model = VAE(**vae_config.get_config("wan22").vae)
    tree = shapes(model)
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    ours = {
        wan.wan_name(path): wan.public_shape(wan.wan_name(path), leaf.shape)
        for path, leaf in leaves
    }
    text = (GOLDEN / "wan22_parameters.txt").read_text()
    public = dict(line.split(" ", 1) for line in text.splitlines())
    assert {name: str(shape) for name, shape in ours.items()} == public
    assert len(ours) == 196
    assert sum(int(np.prod(leaf.shape)) for _, leaf in leaves) == 704_688_668


def test_export_undoes_import(autoencoder, tensors):
    exported = wan.export_params(autoencoder[1])
    assert exported.keys() == tensors.keys()
    for name, value in exported.items():
        np.testing.assert_array_equal(value, tensors[name], err_msg=name)


SPELLINGS = """
conv1.weight quant_conv.weight
conv2.bias post_quant_conv.bias
encoder.conv1.weight encoder.conv_in.weight
encoder.downsamples.1.downsamples.0.residual.2.weight encoder.down_blocks.1.resnets.0.conv1.weight
encoder.downsamples.1.downsamples.0.shortcut.bias encoder.down_blocks.1.resnets.0.conv_shortcut.bias
encoder.downsamples.0.downsamples.2.resample.1.a encoder.down_blocks.0.downsampler.resample.1.a
encoder.downsamples.2.downsamples.2.time_conv.bias encoder.down_blocks.2.downsampler.time_conv.bias
encoder.middle.0.residual.0.gamma encoder.mid_block.resnets.0.norm1.gamma
encoder.middle.1.to_qkv.weight encoder.mid_block.attentions.0.to_qkv.weight
decoder.middle.2.residual.6.bias decoder.mid_block.resnets.1.conv2.bias
decoder.upsamples.0.upsamples.3.time_conv.weight decoder.up_blocks.0.upsampler.time_conv.weight
decoder.upsamples.2.upsamples.0.residual.3.gamma decoder.up_blocks.2.resnets.0.norm2.gamma
decoder.head.0.gamma decoder.norm_out.gamma
decoder.head.2.weight decoder.conv_out.weight
"""


@pytest.mark.parametrize("line", SPELLINGS.strip().splitlines())
def test_the_spelling_of_the_original_files_is_known(line):
    original, name = line.split()
    assert wan.diffusers_name(original) == name
    assert wan.diffusers_name(name) == name


def test_a_file_that_matches_by_half_is_refused_with_every_name(tensors):
    broken = dict(tensors)
    broken["extra.weight"] = np.zeros((2, 3), np.float32)
    del broken["quant_conv.bias"]
    broken["decoder.conv_in.bias"] = np.zeros(7, np.float32)
    with pytest.raises(ValueError, match="194 of 196 tensors match") as error:
        wan.import_params(in_memory(broken), shapes(VAE(**TINY)))
    message = str(error.value)
    assert "1 missing: quant_conv.bias" in message
    assert "1 unexpected: extra.weight" in message
    assert "1 wrong shape: decoder.conv_in.bias (7,) instead of (48,)" in message


def test_agreement_with_the_installed_reference(tensors):
    """Where diffusers is installed: a size that the golden file has not."""
    pytest.importorskip("diffusers")
    pytest.importorskip("torch")
    settings = recipe.SETTINGS | {"z_dim": 4, "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    reference = recipe.reference(settings)
    state = in_memory({name: value.numpy() for name, value in reference.state_dict().items()})
    model = VAE(**TINY | {"latent_channels": 4})
    params = wan.import_params(state, shapes(model))
    video = np.random.default_rng(0).uniform(-1, 1, (2, 13, 48, 32, 3)).astype(np.float32)
    latents, decoded = recipe.run_reference(reference, video)
    own, mean, _ = model.apply({"params": params}, jnp.asarray(video))
    np.testing.assert_allclose(mean, latents, atol=1e-4)
    np.testing.assert_allclose(np.clip(own, -1, 1), decoded, atol=1e-4)
