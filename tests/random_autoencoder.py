"""The smallest run of an autoencoder, with random weights, to train generators on."""

import jax.numpy as jnp

from seedance_jax.models.vae import VAE
from seedance_jax.training import checkpoint, run_directory

FIELDS = {
    "latent_channels": 4,
    "patch": 16,
    "encoder_widths": (8, 8, 8),
    "decoder_widths": (8, 8, 8),
    "strides": ((2, 1), (2, 1)),
    "encoder_blocks": (0, 0, 0),
    "decoder_blocks": (0, 0, 0),
    "linear_ends": True,
}


def save(workdir, random_params):
    """Makes `workdir`, which is there, a finished run; random_params is the fixture."""
    params = random_params(VAE(**FIELDS).init, jnp.zeros((1, 5, 16, 16, 3)))["params"]
    checkpoint.save_weights(workdir, params)
    run_directory.write_json(workdir, "config.json", {"stage": "vae", "vae": FIELDS})
    statistics = {"mean": [0.0] * 4, "std": [1.0] * 4, "step": 0}
    run_directory.write_json(workdir, "metadata.json", statistics)
