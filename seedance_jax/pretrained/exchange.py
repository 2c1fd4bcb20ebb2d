"""Runs made out of public files, public files made out of runs, and runs made fit to hand on."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import safetensors
from flax import linen as nn
from ml_collections import ConfigDict

from seedance_jax.models.public import torch_file, wan
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import runs
from seedance_jax.training import checkpoint, release, run_directory
from seedance_jax.training.places import Place


def import_run(path: Path, workdir: Place, config: ConfigDict) -> str:
    """Makes the run `workdir` of `config` out of the tensors in `path`; returns what it did.

    Raises:
      ValueError: the directory is in use, or the tensors are not those of the model one to one.
    """
    run_directory.check_new("--workdir", workdir)
    tensors = torch_file.open_tensors(path)
    model = VAE(**config.vae)
    size = model.compression[1]
    video = jax.ShapeDtypeStruct((1, 1 + model.compression[0], size, size, 3), jnp.float32)
    like = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), video))["params"]
    mean, std = own_statistics(path) or statistics(model.latent_channels)
    params = wan.import_params(tensors, like)
    metadata = {"mean": mean, "std": std, "makes": "autoencoder", "step": 0}
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoint.save_weights(workdir, params)
    run_directory.write_json(workdir, "config.json", run_directory.as_json(config.to_dict()))
    run_directory.write_json(workdir, "metadata.json", metadata)
    leaves = jax.tree.leaves(params)
    count = sum(leaf.size for leaf in leaves)
    return f"{workdir}: {len(leaves)} tensors, {count:,} parameters"


def own_statistics(path: Path) -> tuple[list[float], list[float]] | None:
    """(mean, std) that `export_run` wrote into a file, or None."""
    if path.suffix != ".safetensors":
        return None
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata() or {}
    if not {"mean", "std"} <= metadata.keys():
        return None
    return tuple(json.loads(metadata[name]) for name in ("mean", "std"))


def statistics(channels: int) -> tuple[list[float], list[float]]:
    """Latent mean and standard deviation, published for the 48 channels of Wan 2.2 only."""
    if channels != len(wan.MEAN):
        raise ValueError(f"vae.latent_channels={channels}: Wan 2.2 has {len(wan.MEAN)}")
    return list(wan.MEAN), list(wan.STD)


def export_run(path: Path, workdir: str | Place) -> str:
    """Writes the weights of the run `workdir` to `path`; returns what it did.

    Raises:
      ValueError: the file exists or is no .safetensors, or the model has another layout.
    """
    if path.suffix != ".safetensors" or path.exists() or not path.parent.is_dir():
        raise ValueError(f"--path={path}: must be a new .safetensors file in an existing directory")
    model, weights = runs.load_autoencoder(runs.open_run(workdir, "autoencoder"))
    if model.linear_ends:
        raise ValueError(f"{workdir} has vae.linear_ends=True, which the public layout has not")
    metadata = {name: str(weights[name].tolist()) for name in ("mean", "std")}
    tensors = wan.export_params(weights["params"])
    release.save_tensors(tensors, path, {"format": "pt", **metadata})
    return f"{path}: {len(tensors)} tensors"


def check_release(run: runs.Run, output: Place) -> runs.Run:
    """The run of the autoencoder of the generator `run`, if `output` can be made of both.

    Raises:
      ValueError: `output` is in use, or the run is not whole by itself: it reads captions by a
        language model of other people's.
    """
    run_directory.check_new("--output", output)
    if run.config["text"]["mode"] != "joint":
        raise ValueError(f"{run.path}: only a generator with a text model of its own is released")
    vae_run, _, _ = runs.autoencoder_of(run)
    return vae_run


def release_run(run: runs.Run, vae_run: runs.Run, output: Place) -> None:
    """Makes the release `output` of the generator `run`, with its autoencoder in a directory.

    Args:
      vae_run, output: see `check_release`.
    """
    autoencoder = output / "autoencoder"
    _write_release(autoencoder, vae_run, ("encoder", "decoder"))
    # Rounded, it is another autoencoder than the one of the training.
    _, weights = runs.load_autoencoder(runs.open_run(autoencoder))
    own = {"autoencoder": runs.latent_fingerprint(weights), "vae_run": autoencoder.name}
    _write_release(output, run._replace(metadata=run.metadata | own))


def _write_release(output, run, parts=()):
    output.mkdir(parents=True, exist_ok=True)
    release.write(output, checkpoint.load(run.path, parts=parts), run.step)
    run_directory.write_json(output, "config.json", run.config)
    run_directory.write_json(output, "metadata.json", run.metadata | {"makes": run.makes})
