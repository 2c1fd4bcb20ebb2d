"""A pipeline with random weights: what it promises does not depend on training."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from seedance_jax.models.generator import example_inputs
from seedance_jax.models.vae import VAE
from seedance_jax.sampling import runs
from seedance_jax.sampling.pipeline import Pipeline

TEXT = {"width": 16, "depth": 1, "heads": 2, "max_words": 6}
MODEL = {"width": 16, "depth": 1, "heads": 2, "window": (2, 2)}
METADATA = {"buckets": [[9, 32, 32], [1, 32, 32]], "text_length": 32, "fps": 12}


def without_past(leaf):
    """A kernel over three frames that uses the last alone.

    So every latent frame is decoded by itself, as a trained autoencoder nearly does; a random one
    lets what comes before drown it.
    """
    return leaf.at[:-1].set(0.0) if leaf.ndim == 5 and leaf.shape[0] == 3 else leaf


@pytest.fixture(scope="session")
def parts():
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
    generator = runs.build_generator(TEXT, MODEL, 4)
    keys = jax.random.split(jax.random.key(0), 3)
    weights = {
        "params": jax.tree.map(
            without_past, nn.unbox(vae.init(keys[0], jnp.zeros((1, 5, 16, 16, 3)))["params"])
        ),
        "mean": jnp.zeros(4),
        "std": jnp.ones(4),
    }
    params = nn.unbox(generator.init(keys[1], *example_inputs(4, 32))["params"])
    leaves, tree = jax.tree.flatten(params)
    noisy = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, jax.random.split(keys[2], len(leaves)), strict=True)
    ]
    params = jax.tree.unflatten(tree, noisy)
    return generator, params, vae, weights, {"text": TEXT}, METADATA


@pytest.fixture(scope="session")
def pipeline(parts):
    """On one device."""
    return Pipeline(*parts)
