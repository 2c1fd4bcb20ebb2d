"""Writes clips of the synthetic world as a data set."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seedance_jax.data import schema
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.data.remote import Place
from seedance_jax.data.video import encode_parts
from seedance_jax.data.world import WorldSpec, generate, stream
from seedance_jax.data.world.spec import CODEC


def world_directory(
    data_dir: str | Place, spec: WorldSpec, splits: Mapping[str, int], dense: bool = False
) -> Place:
    """Where `build_world` writes (dense: where it writes the ground truth per pixel)."""
    return storage.dataset_directory(
        data_dir, "world_dense" if dense else "world", _full_spec(spec, splits)
    )


def _full_spec(spec: WorldSpec, splits: Mapping[str, int]) -> dict[str, Any]:
    return {
        "world": spec.version,
        "clips": spec.as_dict(),
        "splits": dict(splits),
        "codec": CODEC,
    }


def build_world(
    data_dir: str | Place,
    spec: WorldSpec,
    splits: Mapping[str, int],
    num_processes: int = 1,
    dense: bool = False,
) -> Place:
    """Generates `splits` (name -> number of clips) and returns the directory of the clips.

    The bytes do not depend on num_processes. A data set that is there already is left as it is.
    With dense, also writes depth, segmentation and flow, row for row, to `world_directory(...,
    dense=True)`.
    """
    if not splits or min(splits.values()) < 1:
        raise ValueError(f"every split needs one clip or more, got {dict(splits)}")
    for is_dense in (False, True) if dense else (False,):
        directory = world_directory(data_dir, spec, splits, is_dense)
        with storage.writing(directory) as draft:
            if draft is not None:
                _write(draft, spec, splits, num_processes, is_dense)
    return world_directory(data_dir, spec, splits)


def _write(
    draft: Path, spec: WorldSpec, splits: Mapping[str, int], num_processes: int, dense: bool
) -> None:
    record = functools.partial(dense_record if dense else clip_record, spec=spec)
    with contextlib.ExitStack() as stack:

        def records(split: str) -> Iterator[dict[str, Any]]:
            jobs = ((split, index) for index in range(splits[split]))
            made = ordered_map(record, jobs, num_processes)
            stack.enter_context(contextlib.closing(made))
            return iter(tqdm(made, f"world {split}", splits[split]))

        rows = storage.write_records(
            draft,
            "world_dense" if dense else "world",
            schema.WORLD_DENSE if dense else schema.WORLD_CLIP,
            {split: functools.partial(records, split) for split in splits},
        )
    storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
    storage.write_json(draft / "spec.json", _full_spec(spec, splits))


def clip_record(job: tuple[str, int], spec: WorldSpec) -> dict[str, Any]:
    """The record of clip (split, index)."""
    clip, parts = stream(*job, spec)
    rest: dict[str, list] = {}

    def pictures() -> Iterator[np.ndarray]:
        for part in parts:
            yield part.pop("frames")
            for name, values in part.items():
                rest.setdefault(name, []).append(values)

    video = encode_parts(pictures(), spec.fps, **CODEC)
    return clip | {"video": video} | {name: np.concatenate(part) for name, part in rest.items()}


def dense_record(job: tuple[str, int], spec: WorldSpec) -> dict[str, Any]:
    """The ground truth per pixel of clip (split, index)."""
    clip = generate(*job, spec, dense=True)
    return {name: clip[name] for name in schema.WORLD_DENSE}
