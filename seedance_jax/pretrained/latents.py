"""Precomputed latents of a data set, one side table per bucket and autoencoder."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from seedance_jax.data import schema, sources
from seedance_jax.data.buckets import Bucket, clips_per_row
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.side_tables import build_latents, open_table
from seedance_jax.data.remote import Place
from seedance_jax.pretrained import codec


def describe(data: Mapping[str, Any], bucket: Bucket, fingerprint: str) -> dict[str, Any]:
    """Everything that determines the values of precomputed latents (JSON).

    Args:
      data: section `data` of a config.
      fingerprint: hash of the autoencoder.
    """
    found = {
        **describe_clips(data),
        "bucket": [*bucket.shape, bucket.stride],
        "autoencoder": fingerprint,
        "fields": [*schema.LATENTS],
    }
    clips = clips_of(data, bucket)
    return found | ({"clips_per_row": clips} if clips > 1 else {})


def clips_of(data: Mapping[str, Any], bucket: Bucket) -> int:
    """How many clips of each row are encoded for a bucket of a config."""
    table = sources.open_split(data, "train").table
    return clips_per_row(table, bucket, data["clips_per_row"])


def describe_clips(data: Mapping[str, Any]) -> dict[str, str]:
    """Everything that determines the training clips of a config and their captions (JSON)."""
    return storage.describe_clips(sources.locate(data), "train")


def open_all(
    data: Mapping[str, Any], buckets: Iterable[Bucket], fingerprint: str
) -> dict[Bucket, Any]:
    """{bucket: latents} (`side_tables.open_table`).

    Raises:
      ValueError: some are missing; the message says how to make them.
    """
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
    buckets: Iterable[Bucket],
    fingerprint: str,
    encode_fn: Callable[[np.ndarray], jax.Array],
) -> list[Place]:
    """Writes the latents of every bucket unless they exist; returns their directories.

    Args:
      encode_fn: jitted; video float32 [B, T, H, W, 3] in [-1, 1] -> latents [B, t, h, w, C].
    """
    source = sources.open_split(data, "train")
    directories = []
    for bucket in buckets:
        metadata = describe(data, bucket, fingerprint)
        directory = storage.dataset_directory(data["data_dir"], "latents", metadata)
        rows = encode_rows(source, bucket, encode_fn, clips_of(data, bucket))
        directories.append(build_latents(directory, rows, metadata))
    return directories


def encode_rows(
    source: Sequence[Mapping[str, Any]],
    bucket: Bucket,
    encode_fn: Callable[[np.ndarray], jax.Array],
    clips: int = 1,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields (id, latents, stills), float32 [t, h, w, C], of the rows that fit the bucket: of
    `clips` clips of each, one after the other."""
    from seedance_jax.data import loader  # who encodes nothing needs no Grain

    name = "encode {}x{}x{}".format(*bucket.shape)

    def start(batch):
        video = codec.from_bytes(batch["video"])
        latents = encode_fn(video)
        return batch, (latents, encode_stills(encode_fn, video, latents))

    # While the device encodes a batch, the next one is read: `start` does not wait for the device.
    started = map(start, loader.eval_batches(source, bucket, clips=clips))
    with tqdm.tqdm(total=clips * len(source), desc=name, unit="clip", mininterval=1.0) as bar:
        for (batch, both), _ in itertools.pairwise(itertools.chain(started, [None])):
            rows = batch["index"][batch["valid"]]
            for row, *values in zip(rows, *jax.device_get(both), strict=False):
                yield source[int(row)]["id"], *values
                bar.update()


def encode_stills(
    encode_fn: Callable[[np.ndarray], jax.Array], video: np.ndarray, latents: jax.Array
) -> jax.Array:
    """Latent frames of given images at every latent frame of `video`, [B, t, h, w, C].

    As in sampling (`given.encode_given`), a later image is the first of the pixel frames of its
    latent frame, encoded as the continuation of itself; the first latent frame is unchanged.
    """
    stills = [latents[:, 0]]
    for start in range(1, video.shape[1], schema.FRAME_STRIDE):
        clip = video[:, start : start + 1].repeat(1 + schema.FRAME_STRIDE, axis=1)
        stills.append(encode_fn(clip)[:, 1])
    return jnp.stack(stills, axis=1)
