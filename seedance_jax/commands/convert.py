"""Autoencoder weights from the open Wan 2.2 files, and to them.

    python -m seedance_jax convert --from=wan22 --path=Wan2.2_VAE.safetensors --workdir=runs/wan22
    python -m seedance_jax convert --to=wan22 --path=vae.safetensors --workdir=runs/vae

The first makes an ordinary run of the `vae` stage: encode, evaluate, fine-tune or train a generator
with it. Both public spellings of the names are read, from `.safetensors` or, without unpickling
anything but tensors, from `.pth`. The second writes the names of diffusers' `AutoencoderKLWan`.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from seedance_jax.commands import cli
from seedance_jax.pretrained import exchange
from seedance_jax.training.places import place

CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/vae.py:wan22", "Config of the run to make."
)
flags.DEFINE_enum("from", None, ["wan22"], "Layout of the file to read.")
flags.DEFINE_enum("to", None, ["wan22"], "Layout of the file to write.")
PATH = cli.define_path("path", None, "The public file.", required=True)
WORKDIR = cli.define_path("workdir", None, "Our run.", required=True)


def main(argv: list[str]) -> None:
    del argv
    if bool(flags.FLAGS["from"].value) == bool(flags.FLAGS["to"].value):
        raise ValueError("give either --from=wan22 or --to=wan22")
    cli.needs({"--from": ("config",)})
    path, workdir = Path(PATH.value), place(WORKDIR.value)
    if flags.FLAGS["from"].value:
        print(exchange.import_run(path, workdir, CONFIG.value))
    else:
        print(exchange.export_run(path, workdir))
