"""Encodes the clips of a config with its autoencoder, once, so that training need not.

python -m seedance_jax.encode --config=configs/pretrain.py:tiny --config.vae_run=runs/vae
"""

import jax
from ml_collections import config_flags

from seedance_jax import cli
from seedance_jax.data import sources
from seedance_jax.sampling import latents, runs

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config that needs latents.")


def main(argv):
    del argv
    data = CONFIG.value.data.to_dict()
    buckets = sources.make_buckets(data["buckets"])
    model, weights = runs.load_autoencoder(CONFIG.value.vae_run)
    params = weights["params"]

    @jax.jit
    def encode(params, video):
        return model.apply({"params": params}, video, method="encode")[0]

    fingerprint = runs.latent_fingerprint(weights)
    for directory in latents.encode_all(
        data, buckets, fingerprint, lambda video: encode(params, video)
    ):
        print(directory)


if __name__ == "__main__":
    cli.run(main)
