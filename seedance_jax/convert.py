"""Autoencoder weights from the open Wan 2.2 files, and to them.

    python -m seedance_jax.convert --from=wan22 --path=Wan2.2_VAE.safetensors --workdir=runs/wan22
    python -m seedance_jax.convert --to=wan22 --path=vae.safetensors --workdir=runs/vae

The first makes an ordinary run of the `vae` stage: encode, evaluate, fine-tune or train a generator
with it. Both public spellings of the names are read, from `.safetensors` or, without unpickling
anything but tensors, from `.pth`. The second writes the names of diffusers' `AutoencoderKLWan`.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags
from flax import linen as nn
from ml_collections import config_flags
from safetensors.numpy import save_file

from seedance_jax import cli
from seedance_jax.models import torch_file, wan
from seedance_jax.models.vae import VAE
from seedance_jax.sampling import runs
from seedance_jax.training import checkpoint

CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/vae.py:wan22", "Config of the run to make."
)
flags.DEFINE_enum("from", None, ["wan22"], "Layout of the file to read.")
flags.DEFINE_enum("to", None, ["wan22"], "Layout of the file to write.")
PATH = flags.DEFINE_string("path", None, "The public file.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Our run.", required=True)


def main(argv):
    del argv
    if bool(flags.FLAGS["from"].value) == bool(flags.FLAGS["to"].value):
        raise ValueError("give either --from=wan22 or --to=wan22")
    work = import_run if flags.FLAGS["from"].value else export_run
    print(work(Path(PATH.value), Path(WORKDIR.value), CONFIG.value))


def import_run(path, workdir, config):
    """Makes the run `workdir` of `config` out of the tensors in `path`; returns what it did."""
    if workdir.exists() and any(workdir.iterdir()):
        raise ValueError(f"{workdir} is not empty; use another --workdir")
    tensors = torch_file.open_tensors(path)
    model = VAE(**config.vae)
    size = model.compression[1]
    video = jax.ShapeDtypeStruct((1, 1 + model.compression[0], size, size, 3), jnp.float32)
    like = nn.unbox(jax.eval_shape(model.init, jax.random.key(0), video))["params"]
    mean, std = statistics(model.latent_channels)
    params = wan.import_params(tensors, like)
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoint.save_weights(workdir, params)
    checkpoint.write_json(workdir, "config.json", checkpoint.as_json(config.to_dict()))
    checkpoint.write_json(workdir, "metadata.json", {"mean": mean, "std": std, "step": 0})
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    return f"{workdir}: {len(tensors)} tensors, {count:,} parameters"


def statistics(channels):
    """Latent mean and standard deviation, published for the 48 channels of Wan 2.2 only."""
    if channels != len(wan.MEAN):
        raise ValueError(f"vae.latent_channels={channels}: Wan 2.2 has {len(wan.MEAN)}")
    return list(wan.MEAN), list(wan.STD)


def export_run(path, workdir, config):
    """Writes the weights of the run `workdir` to `path`; returns what it did."""
    del config
    if path.suffix != ".safetensors" or path.exists():
        raise ValueError(f"--path={path}: must be a new .safetensors file")
    model, weights = runs.load_autoencoder(workdir)
    if model.linear_ends:
        raise ValueError(f"{workdir} has vae.linear_ends=True, which the public layout has not")
    metadata = {name: str(weights[name].tolist()) for name in ("mean", "std")}
    tensors = wan.export_params(weights["params"])
    save_file(tensors, path, metadata={"format": "pt", **metadata})
    return f"{path}: {len(tensors)} tensors"


if __name__ == "__main__":
    cli.run(main)
