import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from seedance_jax.models import causal, vae
from seedance_jax.models.vae import VAE

NARROW = {
    "encoder_widths": (8, 8, 16, 16),
    "decoder_widths": (16, 16, 8, 8),
    "encoder_blocks": (1, 1, 1, 1),
    "decoder_blocks": (1, 1, 1, 1),
    "dtype": "float32",
}
CONFIGS = {"toy": base.vae("tiny"), "strided": base.vae("small") | NARROW}
HEIGHT, WIDTH = 16, 32
LENGTHS = (1, 5, 9, 17)


def videos(*shape, seed=0):
    return jax.random.uniform(jax.random.key(seed), (*shape, 3), minval=-1.0, maxval=1.0)


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def autoencoder(request, random_params):
    """(model, jitted encode to the mean, jitted decode), with every parameter random."""
    model = VAE(**CONFIGS[request.param] | {"latent_channels": 6})
    params = random_params(model.init, videos(1, 5, 16, 16))
    encode = jax.jit(lambda video: model.apply(params, video, method="encode")[0])
    decode = jax.jit(lambda latents: model.apply(params, latents, method="decode"))
    return model, encode, decode


@pytest.mark.parametrize("name", sorted(CONFIGS))
@pytest.mark.parametrize("frames", LENGTHS)
def test_shapes_are_those_promised(name, frames):
    model = VAE(**CONFIGS[name])
    video = jnp.zeros((2, frames, HEIGHT, WIDTH, 3))
    output, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), video)
    reconstruction, mean, log_variance = output
    assert model.compression == (4, 16)
    assert reconstruction.shape == video.shape
    assert mean.shape == log_variance.shape == (2, *model.latent_shape(frames, HEIGHT, WIDTH))
    assert mean.shape == (2, (frames - 1) // 4 + 1, 1, 2, 48)
    assert mean.dtype == reconstruction.dtype == jnp.float32
    assert set(variables["params"]) == {"encoder", "decoder"}


def test_a_latent_frame_sees_its_group_and_the_past_only(autoencoder):
    _, encode, _ = autoencoder
    frames = 9
    video = jnp.repeat(videos(1, frames, HEIGHT, WIDTH), frames + 1, axis=0)
    changed = video.at[jnp.arange(frames), jnp.arange(frames)].multiply(-1.0)
    *latents, reference = np.asarray(encode(changed))
    for frame, latent in enumerate(latents):
        group = (frame + 3) // 4
        np.testing.assert_allclose(latent[:group], reference[:group], atol=1e-5)
        assert np.abs(latent[group] - reference[group]).max() > 1e-3


def test_the_first_latent_frame_is_the_latent_of_the_image(autoencoder):
    _, encode, _ = autoencoder
    video = videos(2, 9, HEIGHT, WIDTH)
    np.testing.assert_allclose(encode(video[:, :1]), encode(video)[:, :1], atol=1e-5)


def test_a_prefix_of_the_latents_decodes_to_the_prefix_of_the_video(autoencoder):
    _, _, decode = autoencoder
    latents = jax.random.normal(jax.random.key(1), (2, 3, 1, 2, 6))
    video = decode(latents)
    assert video.shape == (2, 9, HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(decode(latents[:, :1]), video[:, :1], atol=1e-4)
    np.testing.assert_allclose(decode(latents[:, :2]), video[:, :5], atol=1e-4)


def test_the_last_layer_alone_makes_the_video_of_its_input_in_the_dtype_of_the_decoder(
    random_params,
):
    model = VAE(**CONFIGS["toy"] | {"dtype": "bfloat16"})
    latents = jax.random.normal(jax.random.key(1), (1, 2, 1, 1, 48))
    params = random_params(model.init, videos(1, 5, 16, 16))["params"]

    @jax.jit
    def decode(params):
        decoded = model.apply(
            {"params": params}, latents, method="decode", mutable=["intermediates"]
        )
        (features,) = decoded[1]["intermediates"]["decoder"]["features"]
        return decoded[0], vae.last_layer(model, params["decoder"]["conv_out"], features)

    np.testing.assert_array_equal(*decode(params))


def test_samples_of_a_batch_do_not_mix(autoencoder):
    _, encode, _ = autoencoder
    video = videos(10, 9, HEIGHT, WIDTH)
    other = encode(video.at[1:].multiply(-1.0))
    np.testing.assert_allclose(encode(video)[0], other[0], atol=1e-5)


@pytest.mark.parametrize("strides", [(1, 2), (2, 1), (2, 4)])
def test_channels_to_space_inverts_space_to_channels(strides):
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 12, 3))
    packed = causal.space_to_channels(x, *strides)
    assert packed.size == x.size
    np.testing.assert_array_equal(causal.channels_to_space(packed, *strides), x)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_patches_give_back_the_video(patch):
    video = videos(2, 5, 8, 12)
    np.testing.assert_array_equal(vae.from_patches(vae.to_patches(video, patch), patch), video)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((4, 16, 16), "4 frames: must be 4n\\+1, such as 1 or 5"),
        ((0, 16, 16), "0 frames: must be 4n\\+1"),
        ((5, 24, 16), "height 24: must be a multiple of 16, such as 16 or 32"),
        ((5, 16, 8), "width 8: must be a multiple of 16, such as 16 or 32"),
    ],
)
def test_a_wrong_size_is_named_with_legal_ones(size, message):
    model = VAE(**CONFIGS["toy"])
    with pytest.raises(ValueError, match=message):
        model.latent_shape(*size)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *size, 3)))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_stage_without_blocks_cannot_change_the_width(part):
    settings = {f"{part}_widths": (8, 8, 16, 16), f"{part}_blocks": (1, 1, 0, 1)}
    model = VAE(**CONFIGS["strided"] | settings)
    with pytest.raises(ValueError, match=f"{part}_widths=.*: stage 2 has no blocks, .* must be 8"):
        jax.eval_shape(model.init, jax.random.key(0), videos(1, 5, 16, 16))


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_channels_have_a_root_mean_square_of_1_however_small_they_are(size):
    x = size * jax.random.normal(jax.random.key(0), (1, 2, 2, 2, 8))
    y = causal.ChannelNorm().apply({"params": {"gamma": jnp.ones(8)}}, x)
    np.testing.assert_allclose((y**2).mean(-1), 1.0, rtol=1e-4)
    np.testing.assert_array_equal(
        causal.ChannelNorm().apply({"params": {"gamma": jnp.ones(8)}}, 0 * x), 0.0
    )


@pytest.mark.parametrize("features", [8, 12])
def test_a_residual_block_starts_as_its_shortcut(features):
    x = jax.random.normal(jax.random.key(0), (1, 5, 6, 6, 8))
    block = causal.ResidualBlock(features, ((3, 3, 3), (3, 3, 3)))
    params = block.init(jax.random.key(1), x)["params"]
    wanted = x
    if features != 8:
        shortcut = causal.CausalConv3d(features, (1, 1, 1))
        wanted = shortcut.apply({"params": params["shortcut"]}, x)
    np.testing.assert_allclose(block.apply({"params": params}, x), wanted, rtol=1e-6)
