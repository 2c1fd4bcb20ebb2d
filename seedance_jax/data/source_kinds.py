"""What kinds of sources there are: how each builds its data set, and where that lies."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders import folder, world_clips
from seedance_jax.data.file_names import printable
from seedance_jax.data.remote import Place, place
from seedance_jax.data.world.spec import read_spec
from seedance_jax.data.world.vocabulary import SPLITS


def _world_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    splits = {split: section[split] for split in SPLITS if section.get(split)}
    return {"spec": read_spec(section), "splits": splits}


def _build_world(data: Mapping[str, Any]) -> Place:
    arguments = _world_arguments(data["world"])
    return world_clips.build_world(
        data["data_dir"], num_processes=data["num_processes"], **arguments
    )


def _locate_world(data: Mapping[str, Any]) -> Place:
    return world_clips.world_directory(data["data_dir"], **_world_arguments(data["world"]))


def _build_folder(data: Mapping[str, Any]) -> Place:
    settings = folder.FolderSpec(**data["folder"])
    return folder.build_folder(data["data_dir"], settings, data["num_processes"])


def _locate_folder(data: Mapping[str, Any]) -> Place:
    return folder.folder_directory(data["data_dir"], folder.FolderSpec(**data["folder"]))


def _check_folder(data: Mapping[str, Any]) -> None:
    path = data["folder"]["path"]
    if not path:
        raise ValueError("data.folder.path is not set: --config.data.folder.path=FOLDER")
    if not place(path).is_dir():
        raise ValueError(f"data.folder.path={printable(path)}: there is no such folder")


def _world_needs(bucket: Bucket) -> dict[str, int]:
    return {"num_frames": bucket.span, "height": bucket.height, "width": bucket.width}


def _folder_needs(bucket: Bucket) -> dict[str, int]:
    # The long side of a clip is as long as its film makes it.
    return {"num_frames": bucket.span, "storage_size": min(bucket.height, bucket.width)}


class Kind(NamedTuple):
    """A kind of source: functions of the data part of a config that has one source, of this kind.

    Attributes:
      build, locate: make its directory; say which it is.
      check: raises ValueError if that of which it is made is not there.
      needs: bucket -> {field of its section: the least value that serves the bucket}.
    """

    build: Callable[[Mapping[str, Any]], Place]
    locate: Callable[[Mapping[str, Any]], Place]
    check: Callable[[Mapping[str, Any]], None]
    needs: Callable[[Bucket], dict[str, int]]


KINDS = {
    "world": Kind(_build_world, _locate_world, lambda data: None, _world_needs),
    "folder": Kind(_build_folder, _locate_folder, _check_folder, _folder_needs),
}
