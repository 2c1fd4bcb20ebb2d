"""What a config reads precomputed (latents, text tokens), written once before training."""

import functools
from collections.abc import Iterator

import jax
from ml_collections import ConfigDict

from seedance_jax import sharding
from seedance_jax.data import schema, sources
from seedance_jax.data.remote import Place
from seedance_jax.pretrained import latents, runs, text_encoder


def precompute(config: ConfigDict) -> Iterator[Place]:
    """Writes the text tokens and the latents that a config reads; yields their directories.

    Raises:
      ValueError: it reads neither; or its text model, autoencoder or data do not fit.
    """
    if "text" not in config:
        raise ValueError(
            f"nothing to encode: stage={config.stage!r} reads neither latents nor text tokens; "
            "give the config of a generator, as in --config=configs/pretrain.py:tiny"
        )
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
            yield text_encoder.encode_all(own, encoder)
    if data["latents"]:
        yield from encode_clips(config)


def encode_clips(config: ConfigDict) -> Iterator[Place]:
    """Writes the latents of every source and bucket; yields their directories."""
    model, weights = runs.load_autoencoder(runs.open_run(config.vae_run, "autoencoder", "vae_run"))
    schema.check_compression(*model.compression)
    params = jax.device_put(weights["params"])  # once, not with every batch

    @jax.jit
    def encode(params, video):
        return model.apply({"params": params}, video, method="encode")[0]

    data, fingerprint = config.data.to_dict(), runs.latent_fingerprint(weights)
    buckets = sources.make_buckets(data["buckets"])
    for own, _ in sources.sources_of(data):
        yield from latents.encode_all(own, buckets, fingerprint, functools.partial(encode, params))
