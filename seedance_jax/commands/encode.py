"""Writes what a config reads precomputed, once, so that training need not compute it.

    python -m seedance_jax encode --config=configs/pretrain.py:tiny --config.vae_run=runs/vae

Latents of the clips by the autoencoder (data.latents), and text tokens of the captions by the
language model in text.path (text.mode="precomputed").
"""

import functools

import jax
from ml_collections import config_flags

from seedance_jax import sharding
from seedance_jax.data import schema, sources
from seedance_jax.pretrained import latents, runs, text_encoder

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config that needs latents.")


def main(argv: list[str]) -> None:
    del argv
    config = CONFIG.value
    data, text = config.data.to_dict(), text_encoder.DEFAULTS | config.text.to_dict()
    text_encoder.check_mode(text)
    if not data["latents"] and text["mode"] != "precomputed":
        raise ValueError(
            f"nothing to encode: data.latents={data['latents']} and text.mode={text['mode']!r}; "
            "the config must have data.latents=True or text.mode='precomputed'"
        )
    if text["mode"] == "precomputed":
        encoder = text_encoder.open_encoder(text, sharding.make_mesh(**config.mesh))
        for own, _ in sources.sources_of(data):
            print(text_encoder.encode_all(own, encoder))
    if data["latents"]:
        for directory in encode_clips(config, data):
            print(directory)


def encode_clips(config, data):
    """Writes the latents of every bucket; returns their directories."""
    model, weights = runs.load_autoencoder(runs.open_run(config.vae_run, "autoencoder", "vae_run"))
    schema.check_compression(*model.compression)
    params = jax.device_put(weights["params"])  # once, not with every batch

    @jax.jit
    def encode(params, video):
        return model.apply({"params": params}, video, method="encode")[0]

    fingerprint, buckets = runs.latent_fingerprint(weights), sources.make_buckets(data["buckets"])
    encode_fn = functools.partial(encode, params)
    return [
        directory
        for own, _ in sources.sources_of(data)
        for directory in latents.encode_all(own, buckets, fingerprint, encode_fn)
    ]
