import dataclasses
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from configs import vae
from seedance_jax.data import sources
from seedance_jax.data.builders.folder import FolderSpec
from seedance_jax.data.video import encode_mp4
from seedance_jax.pretrained import codec, latents, precomputing
from seedance_jax.sampling import given


def film(path, frames):
    """A film of noise, so that another length is another size."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, 32, 32, 3), np.uint8)
    path.write_bytes(encode_mp4(noise, 12))


def encode(video):
    return jnp.repeat(video.mean((2, 3))[:, ::4, None, None, :1], 48, -1).repeat(2, 2).repeat(2, 3)


def test_latents_of_footage_that_was_cut_again_are_made_again(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    film(films / "a.mp4", 20)
    (films / "a.txt").write_text("noise")
    spec = FolderSpec(str(films), num_frames=5, fps=12.0, storage_size=32, validation_fraction=0.0)
    data = {
        "source": "folder",
        "data_dir": str(tmp_path / "data"),
        "folder": dataclasses.asdict(spec),
        "buckets": [(5, 32, 32, 2, 1.0)],
        "num_processes": 1,
        "text_length": 16,
        "clips_per_row": 1,
    }
    buckets = sources.make_buckets(data["buckets"])
    [clips] = sources.build(data)
    [old] = latents.encode_all(data, buckets, "vae", encode)
    assert len(latents.open_all(data, buckets, "vae")[buckets[0]]) == 4
    assert latents.encode_all(data, buckets, "vae", encode) == [old]

    film(films / "a.mp4", 10)
    shutil.rmtree(clips)
    assert sources.build(data) == [clips]
    with pytest.raises(ValueError, match="no latents of"):
        latents.open_all(data, buckets, "vae")
    [new] = latents.encode_all(data, buckets, "vae", encode)
    assert new != old
    assert json.loads((new / "report.json").read_text())["rows"] == {"latents": 2}


def test_stills_are_what_images_become_when_sampling(parts):
    _, _, model, weights, *_ = parts
    video = np.random.default_rng(0).integers(0, 256, (2, 9, 32, 32, 3), np.uint8)
    encode_fn = lambda video: codec.encode(model, weights, video)  # noqa: E731
    encoded = encode_fn(codec.from_bytes(video))
    stills = latents.encode_stills(encode_fn, codec.from_bytes(video), encoded)
    assert np.array_equal(stills[:, 0], encoded[:, 0])
    for first in (1, 5):  # of the pixel frames of a latent frame
        frame = 1 + first // 4
        sampled, _ = given.encode_given(model, weights, {first: video[0, first]}, encoded.shape[1:])
        np.testing.assert_allclose(stills[0, frame], sampled[frame], atol=1e-5)
        assert np.abs(stills[0, frame] - encoded[0, frame]).max() > 1e-2
    images = codec.from_bytes(video[:, :1])
    assert np.array_equal(latents.encode_stills(encode_fn, images, encoded[:, :1]), encoded[:, :1])


def test_a_config_that_reads_nothing_precomputed_has_nothing_to_encode():
    with pytest.raises(ValueError, match="nothing to encode: stage='vae' reads .*pretrain.py:tiny"):
        list(precomputing.precompute(vae.get_config("tiny")))
