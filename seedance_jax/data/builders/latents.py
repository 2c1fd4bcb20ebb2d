"""Latents that were computed once, stored row for row beside the clips they belong to."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.builders import storage

SPLIT = "latents"


def build_latents(
    directory: str | Path,
    rows: Iterable[tuple[str, np.ndarray]],
    metadata: Mapping[str, Any],
) -> Path:
    """Writes (id, latents [n+1,h,w,C]) as bfloat16, in the order given, and returns the directory.

    The order must be that of the rows that can serve the bucket (`loader.eval_batches`). metadata
    says what they are latents of: clips, split, bucket, weights of the autoencoder. Latents that
    are there already are kept if they were made of the same (`rows` is not touched), or else are an
    error.
    """
    directory = Path(directory)
    records = (
        {"id": name, "latents": np.asarray(latents).astype(ml_dtypes.bfloat16)}
        for name, latents in rows
    )
    with storage.writing(directory) as draft:
        if draft is not None:
            counts = storage.write_records(
                draft, "latents", schema.LATENTS, {SPLIT: lambda: records}
            )
            if not counts.get(SPLIT):
                raise ValueError(f"no latents to write into {directory}")
            storage.write_json(draft / "report.json", {"rows": counts, "lost": []})
            storage.write_json(draft / "spec.json", dict(metadata))
    open_latents(directory, metadata)
    return directory


def open_latents(directory: str | Path, expected: Mapping[str, Any]) -> storage.Source:
    """Opens latents; raises ValueError naming every key in which they are not as expected."""
    source = storage.open_split(directory, SPLIT)
    found = json.loads((Path(directory) / "spec.json").read_text())
    expected = json.loads(json.dumps(dict(expected)))  # JSON has no tuples
    differing = [key for key in expected if key not in found or found[key] != expected[key]]
    if differing:
        lines = "".join(
            f"\n  {key}: found {found.get(key)!r}, expected {expected[key]!r}" for key in differing
        )
        raise ValueError(f"the latents in {directory} are of something else:{lines}")
    return source
