"""Precomputed latents of a data set, one file set per bucket, tied to the autoencoder's hash."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tqdm

from seedance_jax.data import loader, schema, sources
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.side_tables import build_latents, open_table
from seedance_jax.data.loader import Bucket
from seedance_jax.pretrained import codec


def describe(data: Mapping[str, Any], bucket: Bucket, fingerprint: str) -> dict[str, Any]:
    """What latents are latents of: everything that decides their values."""
    return {
        **describe_clips(data),
        "bucket": [*bucket.shape, bucket.stride],
        "autoencoder": fingerprint,
        "fields": [*schema.LATENTS],
    }


def describe_clips(data: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the clips that a config trains on, and their captions."""
    directory = sources.locate(data)
    # The name of a directory has the settings, its spec also what a folder held then.
    content = hashlib.sha256((directory / "spec.json").read_bytes()).hexdigest()[:16]
    return {"clips": directory.name, "content": content, "split": "train"}


def open_all(
    data: Mapping[str, Any], buckets: Sequence[Bucket], fingerprint: str
) -> dict[Bucket, Any]:
    """{bucket: latents} for every bucket; ValueError saying how to make those that are missing."""
    opened = {}
    for bucket in buckets:
        expected = describe(data, bucket, fingerprint)
        directory = storage.dataset_directory(data["data_dir"], "latents", expected)
        if not storage.is_complete(directory):
            raise ValueError(
                f"no latents of {bucket.shape} by autoencoder {fingerprint} in {directory}; make "
                "them with the same config:\n  python -m seedance_jax encode --config=..."
            )
        opened[bucket] = open_table(directory, "latents", expected)
    return opened


def encode_all(
    data: Mapping[str, Any],
    buckets: Sequence[Bucket],
    fingerprint: str,
    encode_fn: Callable[[jax.Array], jax.Array],
) -> list[Path]:
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


def encode_rows(
    source: Any, bucket: Bucket, encode_fn: Callable[[jax.Array], jax.Array]
) -> Iterator[tuple]:
    """Yields (id, latents, stills), float32 [t, h, w, C], of rows that can serve the bucket."""
    batches = loader.eval_batches(source, bucket)
    name = "encode {}x{}x{}".format(*bucket.shape)
    with tqdm.tqdm(total=len(source), desc=name, unit="clip", mininterval=1.0) as bar:
        for batch in batches:
            video = codec.from_bytes(batch["video"])
            latents = encode_fn(video)
            both = jax.device_get((latents, encode_stills(encode_fn, video, latents)))
            for row, *values in zip(batch["index"][batch["valid"]], *both, strict=False):
                yield source[int(row)]["id"], *values
                bar.update()


def encode_stills(
    encode_fn: Callable[[jax.Array], jax.Array], video: jax.Array, latents: jax.Array
) -> jax.Array:
    """The latent frames [B, t, h, w, C] of images given in the place of the frames of `video`.

    As when sampling (`given.encode_given`): a later one is the first of its pixel frames, encoded
    as the continuation of itself. The first is what it is.
    """
    stills = [latents[:, 0]]
    for start in range(1, video.shape[1], schema.FRAME_STRIDE):
        clip = video[:, start : start + 1].repeat(1 + schema.FRAME_STRIDE, axis=1)
        stills.append(encode_fn(clip)[:, 1])
    return jnp.stack(stills, axis=1)
