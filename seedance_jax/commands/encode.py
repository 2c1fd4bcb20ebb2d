"""Writes what a config reads precomputed, once, so that training need not compute it.

    python -m seedance_jax encode --config=configs/pretrain.py:tiny --config.vae_run=runs/vae

Latents of the clips by the autoencoder (data.latents), and text tokens of the captions by the
language model in text.path (text.mode="precomputed").
"""

from ml_collections import config_flags

from seedance_jax.pretrained import precomputing

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config that needs latents.")


def main(argv: list[str]) -> None:
    del argv
    for directory in precomputing.precompute(CONFIG.value):
        print(directory)
