"""Precomputed latents of a data set, one file set per bucket, tied to the autoencoder's hash."""

import hashlib

import jax
import numpy as np
import tqdm

from seedance_jax.data import loader, sources
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.latents import build_latents, open_latents
from seedance_jax.sampling import codec


def describe(data, bucket, fingerprint):
    """What latents are latents of: everything that decides their values."""
    return {
        **describe_clips(data),
        "bucket": [*bucket.shape, bucket.stride],
        "autoencoder": fingerprint,
    }


def describe_clips(data):
    """What decides the clips that a config trains on, and their captions."""
    directory = sources.locate(data)
    # The name of a directory says what was asked for, its spec also what a folder held then.
    content = hashlib.sha256((directory / "spec.json").read_bytes()).hexdigest()[:16]
    return {"clips": directory.name, "content": content, "split": "train"}


def open_all(data, buckets, fingerprint):
    """{bucket: latents} for every bucket; ValueError saying how to make those that are missing."""
    opened = {}
    for bucket in buckets:
        expected = describe(data, bucket, fingerprint)
        directory = storage.dataset_directory(data["data_dir"], "latents", expected)
        if not storage.is_complete(directory):
            raise ValueError(
                f"no latents of {bucket.shape} by autoencoder {fingerprint} in {directory}; make "
                "them with the same config:\n  python -m seedance_jax.encode --config=..."
            )
        opened[bucket] = open_latents(directory, expected)
    return opened


def encode_all(data, buckets, fingerprint, encode_fn):
    """Writes the latents of every bucket, unless they are there; returns their directories.

    encode_fn: video float32 [B, T, H, W, 3] in [-1, 1] -> latents [B, t, h, w, C], jitted.
    """
    source = sources.open_split(data, "train")
    directories = []
    for bucket in buckets:
        metadata = describe(data, bucket, fingerprint)
        directory = storage.dataset_directory(data["data_dir"], "latents", metadata)
        rows = encode_rows(source, bucket, encode_fn)
        directories.append(build_latents(directory, rows, metadata))
    return directories


def encode_rows(source, bucket, encode_fn):
    """Yields (id, latents float32 [t, h, w, C]) of every row that can serve the bucket."""
    batches = loader.eval_batches(source, bucket)
    name = "encode {}x{}x{}".format(*bucket.shape)
    with tqdm.tqdm(total=len(source), desc=name, unit="clip", mininterval=1.0) as bar:
        for batch in batches:
            video = codec.from_bytes(batch["video"])
            encoded = np.asarray(jax.device_get(encode_fn(video)))
            for row, values in zip(batch["index"][batch["valid"]], encoded, strict=False):
                yield source[int(row)]["id"], values
                bar.update()
