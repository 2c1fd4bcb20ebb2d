import shutil
from pathlib import Path

import numpy as np
import pytest
from golden import make_wan as recipe
from safetensors.numpy import load_file, save_file

from configs import vae as vae_config
from seedance_jax.pretrained import codec, exchange, runs
from seedance_jax.training import run_directory

GOLDEN = Path(__file__).parents[1] / "golden"
NARROW = {"encoder_widths": (2, 4, 8, 8), "decoder_widths": (8, 8, 4, 2), "dtype": "float32"}


@pytest.fixture(scope="module")
def config():
    config = vae_config.get_config("wan22").unlock()
    config.vae.update(NARROW)
    return config


def narrow(shape, name):
    """The shape that a public tensor has at the widths of `NARROW`."""
    encoder, decoder = (
        {160: 2, 320: 4, 640: 8, 1920: 24},
        {1024: 8, 512: 4, 256: 2, 2048: 16, 3072: 24},
    )
    widths = encoder if name.startswith("encoder") else decoder
    return tuple(widths.get(size, size) for size in shape)


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A file of the public names with 48 latent channels and few others."""
    lines = (GOLDEN / "wan22_parameters.txt").read_text().splitlines()
    pairs = (line.split(" ", 1) for line in lines)
    sizes = {name: tuple(int(n) for n in text.strip("()").split(",") if n) for name, text in pairs}
    tensors = {name: recipe.weight(name, narrow(shape, name)) for name, shape in sizes.items()}
    path = tmp_path_factory.mktemp("public") / "vae.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def run(public, config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "wan22"
    message = exchange.import_run(public, workdir, config)
    assert "196 tensors" in message
    return workdir


def test_a_converted_file_is_an_ordinary_run(run):
    model, weights = runs.load_autoencoder(runs.open_run(run, "autoencoder"))
    video = recipe.video(5)
    latents = codec.encode(model, weights, video)
    assert latents.shape == (1, 2, 2, 3, 48)
    assert np.isfinite(codec.decode(model, weights, latents)).all()
    streamed = np.concatenate(list(codec.encode_stream(model, weights, video)), axis=1)
    np.testing.assert_allclose(streamed, latents, atol=1e-4)
    np.testing.assert_allclose(weights["mean"][:2], [-0.2289, -0.0052], rtol=1e-6)
    np.testing.assert_allclose(weights["std"][-1], 0.7744, rtol=1e-6)


def test_what_is_exported_is_what_was_imported(run, public, tmp_path):
    exchange.export_run(tmp_path / "out.safetensors", run)
    before, after = load_file(public), load_file(tmp_path / "out.safetensors")
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_nothing_is_overwritten(run, public, config):
    with pytest.raises(ValueError, match="not empty"):
        exchange.import_run(public, run, config)
    with pytest.raises(ValueError, match="must be a new .safetensors file"):
        exchange.export_run(public, run)


def test_a_file_for_another_model_leaves_no_run(public, tmp_path):
    config = vae_config.get_config("wan22")
    with pytest.raises(
        ValueError, match="190 wrong shape: .*conv_in.weight \\(8, 48, 3, 3, 3\\) instead"
    ):
        exchange.import_run(public, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_an_exported_run_comes_back_with_its_own_statistics(run, config, tmp_path):
    """And so with its latents: those of a run trained here are not the published ones."""
    own = tmp_path / "own"
    shutil.copytree(run, own)
    metadata = run_directory.read_json(own, "metadata.json")
    run_directory.write_json(
        own, "metadata.json", metadata | {"mean": [0.25] * 48, "std": [2.0] * 48}
    )
    exchange.export_run(tmp_path / "own.safetensors", own)
    exchange.import_run(tmp_path / "own.safetensors", tmp_path / "back", config)
    fingerprints = [
        runs.latent_fingerprint(runs.load_autoencoder(runs.open_run(w))[1])
        for w in (own, tmp_path / "back", run)
    ]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


@pytest.mark.parametrize("change", [lambda x: x * np.nan, lambda x: x.astype(np.int32)])
def test_weights_that_are_no_numbers_are_refused(public, config, tmp_path, change):
    tensors = load_file(public)
    name = sorted(tensors)[-1]
    save_file(tensors | {name: change(tensors[name])}, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="must be finite floating-point numbers"):
        exchange.import_run(tmp_path / "bad.safetensors", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
