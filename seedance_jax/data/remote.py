"""Where data sets and clips lie: paths of this machine, storage that it mounts, or gs://bucket/path.

In a bucket nothing is renamed or locked; a data set counts once its last object is there. Decoders
and NumPy read files of this machine, or what is in memory.
"""

import contextlib
import functools
import io
import os
import pathlib
import tempfile
from collections.abc import Iterator

from etils import epath

Place = pathlib.Path | epath.Path

BUCKET = "gs://"


def in_bucket(path: str | Place) -> bool:
    """Whether a path is that of a bucket."""
    return os.fspath(path).startswith(BUCKET)


def place(path: str | Place, *parts: str) -> Place:
    """A path of this machine as `pathlib.Path`, one of a bucket as `epath.Path`.

    Raises ImportError if what reads buckets is not installed.
    """
    if not in_bucket(path):
        return pathlib.Path(path, *parts)
    _fsspec().get_filesystem_class("gcs")
    return epath.Path(path, *parts)


@functools.cache
def _fsspec():
    import fsspec  # of local files alone nobody needs it

    # Others write to the same bucket: what lies there is asked, not remembered.
    fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    return fsspec


def names(folder: Place) -> list[str]:
    """The objects of a bucket below a folder, relative to it, sorted."""
    start = f"{os.fspath(folder).removeprefix(BUCKET)}/"
    return [name.removeprefix(start) for name in _fsspec().filesystem("gcs").find(start)]


def upload(folder: pathlib.Path, target: Place, last: str) -> None:
    """Copies the files of a folder to a bucket, that of the name `last` at the end."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in sorted(paths, key=lambda path: path == folder / last):
        (target / path.relative_to(folder)).write_bytes(path.read_bytes())


@contextlib.contextmanager
def local(path: Place) -> Iterator[pathlib.Path]:
    """A file of this machine: `path`, or a copy of it that is there for a while."""
    if not in_bucket(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="seedance_") as folder:
        copy = pathlib.Path(folder, path.name)
        copy.write_bytes(path.read_bytes())
        yield copy


def opened(path: Place) -> pathlib.Path | io.BytesIO:
    """What `numpy.load` reads: the path of a file, or what a bucket has there."""
    return io.BytesIO(path.read_bytes()) if in_bucket(path) else path


def version(path: Place) -> tuple[int, int]:
    """(size in bytes, when it was changed): another if a file is another."""
    found = path.stat()
    if in_bucket(path):
        return found.length, found.mtime
    return found.st_size, found.st_mtime_ns
