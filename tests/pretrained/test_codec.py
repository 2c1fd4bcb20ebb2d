import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from seedance_jax import sharding
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import codec

CONFIG = base.vae("small") | {
    "latent_channels": 6,
    "encoder_widths": (8, 8, 16, 16),
    "decoder_widths": (16, 16, 8, 8),
    "encoder_blocks": (1, 1, 1, 1),
    "decoder_blocks": (1, 1, 1, 1),
    "dtype": "float32",
}
FRAMES, HEIGHT, WIDTH = 21, 16, 32  # six frames of latents


@pytest.fixture(scope="module")
def autoencoder(random_params):
    model = VAE(**CONFIG)
    params = random_params(model.init, jnp.zeros((1, 5, 16, 16, 3)))["params"]
    statistics = {"mean": jnp.linspace(-1, 1, 6), "std": jnp.linspace(0.5, 2, 6)}
    return model, {"params": params, **statistics}


@pytest.fixture(scope="module")
def video():
    return np.random.default_rng(0).uniform(-1, 1, (2, FRAMES, HEIGHT, WIDTH, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(autoencoder, video):
    """Latents and reconstruction of the clip in one go."""
    model, weights = autoencoder
    latents = jax.jit(lambda video: codec.encode(model, weights, video))(video)
    return np.asarray(latents), np.asarray(codec.decode(model, weights, latents))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 6, 9])
def test_chunks_of_every_size_encode_to_the_whole(autoencoder, video, whole, chunk):
    parts = list(codec.encode_stream(*autoencoder, video, chunk))
    assert [part.shape[1] for part in parts[:-1]] == [chunk] * (len(parts) - 1)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole[0], atol=2e-5)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 6, 9])
def test_chunks_of_every_size_decode_to_the_whole(autoencoder, whole, chunk):
    parts = list(codec.decode_stream(*autoencoder, whole[0], chunk))
    assert parts[0].shape[1] == 1 + 4 * (min(chunk, 6) - 1)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole[1], atol=2e-5)


def test_the_cache_does_not_grow(autoencoder, whole):
    model, weights = autoencoder
    sizes, cache = [], {}
    for frame in range(5):
        _, cache = codec.decode_chunk(model, weights, cache, whole[0][:, frame : frame + 1])
        sizes.append(jax.tree.map(jnp.shape, cache))
    assert all(size == sizes[0] for size in sizes)


def test_an_image_can_open_a_stream(autoencoder, video, whole):
    model, weights = autoencoder
    first, cache = codec.encode_chunk(model, weights, {}, video[:, :1])
    second, _ = codec.encode_chunk(model, weights, cache, video[:, 1:9])
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole[0][:, :3], atol=2e-5)


def test_a_later_chunk_of_a_wrong_length_is_refused(autoencoder, video):
    model, weights = autoencoder
    _, cache = codec.encode_chunk(model, weights, {}, video[:, :5])
    with pytest.raises(
        ValueError, match="5 frames: must be 4n after the first chunk, such as 4 or 8"
    ):
        codec.encode_chunk(model, weights, cache, video[:, 5:10])


def test_bytes_and_floats_are_the_same_video(autoencoder, video):
    data = np.round((video[:1, :5] + 1) * 127.5).astype(np.uint8)
    as_bytes = list(codec.encode_stream(*autoencoder, data))
    as_floats = list(codec.encode_stream(*autoencoder, data.astype(np.float32) / 127.5 - 1))
    np.testing.assert_allclose(as_bytes[0], as_floats[0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda video: video[:, :20], "20 frames: must be 4n\\+1, such as 17 or 21"),
        (
            lambda video: video[:, :5, :, :24],
            "width 24: must be a multiple of 16, such as 16 or 32",
        ),
        (lambda video: video[:, :5] * 2, "values reach from -.* to .*: must be within \\[-1, 1\\]"),
        (lambda video: video[:, :5] * np.nan, "values reach from nan to nan"),
        (
            lambda video: video[:, :5].astype(np.int32),
            "type int32: must be uint8 or floating point",
        ),
        (lambda video: video[:, :5, :, :, :2], "the last axis must be 3"),
        (lambda video: video[0], "video of shape \\(21, 16, 32, 3\\): must be \\[batch, time"),
    ],
)
def test_bad_video_is_refused(autoencoder, video, change, message):
    with pytest.raises(ValueError, match=message):
        list(codec.encode_stream(*autoencoder, change(video)))


def test_latents_of_another_autoencoder_are_refused(autoencoder, whole):
    with pytest.raises(ValueError, match="the last axis must be 6"):
        list(codec.decode_stream(*autoencoder, np.zeros((1, 1, 1, 2, 48), np.float32)))
    with pytest.raises(ValueError, match="chunk=0"):
        list(codec.decode_stream(*autoencoder, whole[0], chunk=0))


def test_one_tile_is_the_whole_and_tiles_cover_everything(autoencoder, whole):
    tiled = codec.decode_tiled(*autoencoder, whole[0], tile=2, overlap=1)
    np.testing.assert_allclose(tiled, whole[1], atol=2e-5)
    latents = np.random.default_rng(1).normal(size=(1, 2, 5, 3, 6)).astype(np.float32)
    video = codec.decode_tiled(*autoencoder, latents, tile=3, overlap=1)
    assert video.shape == (1, 5, 80, 48, 3)
    assert np.isfinite(video).all()
    with pytest.raises(ValueError, match="overlap=2: must be in \\[0, 1\\], half a tile of 3"):
        codec.decode_tiled(*autoencoder, latents, tile=3, overlap=2)


@pytest.mark.parametrize(("size", "tile", "overlap"), [(5, 3, 1), (6, 3, 0), (2, 3, 1), (17, 8, 4)])
def test_tiles_meet(size, tile, overlap):
    parts = codec.tile_slices(size, tile, overlap)
    covered = np.concatenate([np.arange(size)[part] for part in parts])
    assert set(covered.tolist()) == set(range(size))
    for before, after in itertools.pairwise(parts):
        assert before.stop - after.start >= overlap


@pytest.mark.parametrize("mesh", [{"sequence": 8}, {"data": 2, "sequence": 4}], ids=str)
def test_rows_split_over_devices_give_what_one_device_gives(autoencoder, mesh):
    """Convolutions exchange their borders; only attention gathers, at the lowest resolution."""
    model, weights = autoencoder
    video = np.random.default_rng(2).uniform(-1, 1, (2, 5, 128, 16, 3)).astype(np.float32)

    def reconstruct(weights, video):
        return codec.decode(model, weights, codec.encode(model, weights, video))

    expected = jax.jit(reconstruct)(weights, video)
    mesh = sharding.make_mesh(**mesh)
    spread = jax.device_put(video, sharding.batch_sharding(mesh))
    with jax.set_mesh(mesh):
        compiled = jax.jit(reconstruct).lower(weights, spread).compile()
        split = compiled(weights, spread)
    np.testing.assert_allclose(split, expected, atol=2e-5)
    text = compiled.as_text()
    assert "collective-permute" in text
    gathered = re.findall(r"= f32\[([\d,]+)\]\S* all-gather\(", text)
    largest = max(np.prod([int(n) for n in shape.split(",")]) for shape in gathered)
    assert largest <= 2 * 2 * 8 * 1 * 3 * 16  # queries, keys and values of the latent frames


@pytest.mark.parametrize("height", [16, 32, 48])
def test_few_rows_give_what_one_device_gives(autoencoder, height):
    model, weights = autoencoder
    video = np.random.default_rng(2).uniform(-1, 1, (2, 5, height, 16, 3)).astype(np.float32)
    encode = functools.partial(codec.encode, model)
    expected = jax.jit(encode)(weights, video)
    with jax.set_mesh(sharding.make_mesh(data=2, sequence=4)):
        np.testing.assert_allclose(jax.jit(encode)(weights, video), expected, atol=2e-5)
