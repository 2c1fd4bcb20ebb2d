"""A pipeline with random weights: what it promises does not depend on training."""

import jax
import jax.numpy as jnp
import pytest

from seedance_jax.models.generator import example_inputs
from seedance_jax.models.vae import VAE
from seedance_jax.pretrained import generators
from seedance_jax.sampling.pipeline import Pipeline

TEXT = {"width": 16, "depth": 1, "heads": 2, "max_words": 6}
MODEL = {"width": 16, "depth": 1, "heads": 2, "window": (2, 2)}
METADATA = {"buckets": [[9, 32, 32], [1, 32, 32]], "text_length": 32, "fps": 12}


def without_past(leaf):
    """A kernel over three frames that uses the last alone.

    So every latent frame is decoded by itself, as a trained autoencoder nearly does; a random one
    lets what comes before drown it.
    """
    if leaf.ndim == 5 and leaf.shape[0] == 3:
        leaf[:-1] = 0.0
    return leaf


@pytest.fixture(scope="session")
def parts(random_params):
    """(generator, params, autoencoder, weights, config, metadata) of a Pipeline."""
    vae = VAE(
        latent_channels=4,
        patch=16,
        encoder_widths=(8, 8, 8),
        decoder_widths=(8, 8, 8),
        strides=((2, 1), (2, 1)),
        encoder_blocks=(0, 0, 0),
        decoder_blocks=(0, 0, 0),
        kernels=((1, 3, 3), (1, 1, 1)),
        linear_ends=True,
    )
    autoencoder = random_params(vae.init, jnp.zeros((1, 5, 16, 16, 3)))["params"]
    statistics = {"mean": jnp.zeros(4), "std": jnp.ones(4)}
    weights = {"params": jax.tree.map(without_past, autoencoder), **statistics}
    generator = generators.build_generator(TEXT, MODEL, 4)
    params = random_params(generator.init, *example_inputs(4, 32))["params"]
    return generator, params, vae, weights, {"text": TEXT}, METADATA


@pytest.fixture(scope="session")
def pipeline(parts):
    """On one device."""
    return Pipeline(*parts)
