"""What was computed once, latents and text tokens, stored row for row beside the clips."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.builders import storage
from seedance_jax.data.remote import Place, place


def build_latents(
    directory: str | Place,
    rows: Iterable[tuple[str, np.ndarray, np.ndarray]],
    metadata: Mapping[str, Any],
) -> Place:
    """Writes (id, latents, stills), both [n+1,h,w,C], as bfloat16, and returns the directory.

    The order is kept, and must be that of the rows that can serve the bucket
    (`loader.eval_batches`). metadata says what they are latents of: clips, split, bucket, weights
    of the autoencoder. Latents that are there already are kept if they were made of the same
    (`rows` is not touched), or else are an error.
    """
    records = (
        {"id": name, "latents": _short(latents), "stills": _short(stills)}
        for name, latents, stills in rows
    )
    return _build(directory, "latents", records, metadata)


def build_texts(
    directory: str | Place,
    rows: Iterable[tuple[str, np.ndarray, np.ndarray]],
    metadata: Mapping[str, Any],
) -> Place:
    """Writes (id, tokens [n,E], shot [n]) as bfloat16 for every row, as `build_latents` does.

    metadata says what made them: clips, split, language model, layers, tokenizer, dtype. The report
    has the tokens of the longest row.
    """
    longest = 0

    def records():
        nonlocal longest
        for name, tokens, shot in rows:
            longest = max(longest, len(tokens))
            yield {
                "id": name,
                "tokens": _short(tokens),
                "shot": shot,
            }

    return _build(directory, "texts", records(), metadata, lambda: {"longest": longest})


def _short(array: np.ndarray) -> np.ndarray:
    return np.asarray(array).astype(ml_dtypes.bfloat16)


def _build(
    directory: str | Place,
    kind: str,
    records: Iterable[Mapping[str, Any]],
    metadata: Mapping[str, Any],
    report: Callable[[], Mapping[str, Any]] = dict,
) -> Place:
    directory = place(directory)
    with storage.writing(directory) as draft:
        if draft is not None:
            fields = schema.SIDE_TABLES[kind]
            counts = storage.write_records(draft, kind, fields, {kind: lambda: records})
            if not counts.get(kind):
                raise ValueError(f"no {kind} to write into {directory}")
            storage.write_json(draft / "report.json", {"rows": counts, "lost": [], **report()})
            storage.write_json(draft / "spec.json", dict(metadata))
    open_table(directory, kind, metadata)
    return directory


def open_table(directory: str | Place, kind: str, expected: Mapping[str, Any]) -> Any:
    """Opens rows of a kind; raises ValueError naming every key in which they are not as expected.

    Args:
      kind: of `schema.SIDE_TABLES`.
      expected: of the metadata that they were built with.
    """
    source = storage.open_split(directory, kind)
    found = json.loads((place(directory) / "spec.json").read_text())
    expected = json.loads(json.dumps(dict(expected)))  # JSON has no tuples
    differing = [key for key in expected if key not in found or found[key] != expected[key]]
    if differing:
        lines = "".join(
            f"\n  {key}: found {found.get(key)!r}, expected {expected[key]!r}" for key in differing
        )
        raise ValueError(f"the {kind} in {directory} are of something else:{lines}")
    return source
