"""From the data part of a config to a data set on disk: shared by everything that needs one.

A config names its source and describes it in the section of that name:

    source="world"   world: slice, num_frames, height, width, fps, and clips per split
    source="folder"  folder: path, num_frames, fps, storage_size, validation_fraction, max_lost
    data_dir, num_processes
    buckets          tuples (frames, height, width, batch_size, weight[, stride])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedance_jax.data import loader
from seedance_jax.data.builders import folder, storage, world_clips
from seedance_jax.data.loader import Bucket
from seedance_jax.data.world import WorldSpec
from seedance_jax.data.world.vocabulary import SPLITS


def _world_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    spec = {name: section[name] for name in section if name not in SPLITS}
    splits = {split: section[split] for split in SPLITS if section.get(split)}
    return {"spec": WorldSpec(**spec), "splits": splits}


def _build_world(data: Mapping[str, Any]) -> Path:
    arguments = _world_arguments(data["world"])
    return world_clips.build_world(
        data["data_dir"], num_processes=data["num_processes"], **arguments
    )


def _locate_world(data: Mapping[str, Any]) -> Path:
    return world_clips.world_directory(data["data_dir"], **_world_arguments(data["world"]))


def _build_folder(data: Mapping[str, Any]) -> Path:
    settings = folder.FolderSpec(**data["folder"])
    return folder.build_folder(data["data_dir"], settings, data["num_processes"])


def _locate_folder(data: Mapping[str, Any]) -> Path:
    return folder.folder_directory(data["data_dir"], folder.FolderSpec(**data["folder"]))


def _world_needs(bucket: Bucket) -> dict[str, int]:
    return {"num_frames": bucket.span, "height": bucket.height, "width": bucket.width}


def _folder_needs(bucket: Bucket) -> dict[str, int]:
    # The long side of a clip is as long as its film makes it.
    return {"num_frames": bucket.span, "storage_size": min(bucket.height, bucket.width)}


BUILDERS = {"world": _build_world, "folder": _build_folder}
DIRECTORIES = {"world": _locate_world, "folder": _locate_folder}
NEEDS = {"world": _world_needs, "folder": _folder_needs}


def _choose(functions: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    if data["source"] not in functions:
        raise ValueError(f"data.source={data['source']!r} is not one of {sorted(functions)}")
    return functions[data["source"]]


def build(data: Mapping[str, Any]) -> Path:
    """Builds the data set that a config asks for, unless it is there; returns its directory.

    Raises ValueError, before anything is made, if its clips would not fit the buckets.
    """
    check_buckets(data)
    return _choose(BUILDERS, data)(data)


def check_buckets(data: Mapping[str, Any]) -> None:
    """Raises ValueError if a bucket needs longer or larger clips than the config stores."""
    needs, stored = _choose(NEEDS, data), data[data["source"]]
    for bucket in make_buckets(data["buckets"]):
        for name, least in needs(bucket).items():
            if stored[name] < least:
                raise ValueError(
                    f"data.{data['source']}.{name}={stored[name]} makes clips that cannot serve "
                    f"{bucket}: it must be {least} or more, or the bucket smaller"
                )


def locate(data: Mapping[str, Any]) -> Path:
    """The directory of the data set that a config asks for; ValueError if it is not built."""
    directory = _choose(DIRECTORIES, data)(data)
    if not storage.is_complete(directory):
        raise ValueError(
            f"no complete data set in {directory}; build it with the same config:\n"
            "  python -m seedance_jax build_data --config=..."
        )
    return directory


# Files of configs that build the data of a run, by what it makes.
CONFIGS = {"autoencoder": "vae", "generator": "pretrain", "adapters": "pretrain"}


def check_built(data: Mapping[str, Any], makes: str, size: str) -> None:
    """Raises ValueError with the command that builds the data set of a run unless it is there.

    Args:
      data: the section of its config; the command has the fields that say where films and data lie.
      makes: what the run makes.
      size: of the config.
    """
    if storage.is_complete(directory := _choose(DIRECTORIES, data)(data)):
        return
    told = f"--config=configs/{CONFIGS[makes]}.py:{size}"
    told += f" --config.data.data_dir={data['data_dir']}"
    if data["source"] == "folder":
        told += f" --config.data.source=folder --config.data.folder.path={data['folder']['path']}"
    raise ValueError(
        f"no complete data set in {directory}; where it is, say by --data_dir, or build it:\n"
        f"  python -m seedance_jax build_data {told}"
    )


def open_split(data: Mapping[str, Any], split: str) -> storage.Source:
    """Opens one split of the data set that a config asks for."""
    return storage.open_split(locate(data), split)


def make_buckets(buckets: Sequence[Sequence[float]]) -> tuple[Bucket, ...]:
    """The buckets of a config."""
    return tuple(Bucket(*bucket) for bucket in buckets)


def clip_fps(data: Mapping[str, Any]) -> float:
    """Frames per second of the clips that a config trains on.

    They are those of the first bucket that holds more than images; buckets of other strides show
    their clips at another speed.
    """
    buckets = make_buckets(data["buckets"])
    stride = next((bucket.stride for bucket in buckets if bucket.frames > 1), 1)
    return data[data["source"]]["fps"] / stride


def open_training(data: Mapping[str, Any], *, latents: Any = None, **options: Any) -> Any:
    """The training batches of a config, as `loader.make_dataset` gives them.

    Args:
      latents: precomputed latents by bucket, see `loader.make_dataset`.
      **options: of `loader.make_dataset`; text_length is the config's unless given.
    """
    buckets = make_buckets(data["buckets"])
    source = open_split(data, "train")
    options = {"text_length": data["text_length"], "latents": latents, **options}
    return loader.make_dataset(source, buckets, **options)


def iterate(data: Mapping[str, Any], dataset: Any, start_step: int) -> Any:
    """The iterator over `dataset` from `start_step` on, with the config's threads and workers."""
    options = {"num_threads": data["num_threads"], "num_workers": data["num_workers"]}
    return loader.make_iterator(dataset, start_step, **options)
