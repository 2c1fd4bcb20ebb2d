"""Where runs lie: paths of this machine, storage that it mounts among them, or gs://bucket/path.

A bucket holds objects, each there and whole, or not there. Nothing is renamed or appended to, and a
folder is no more than names that begin alike. What needs one of these is done here, in `uploads`
(files that grow) and in `lock`.
"""

import atexit
import contextlib
import functools
import importlib.util
import io
import logging
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from etils import epath

Place = pathlib.Path | epath.Path

BUCKET = "gs://"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")  # of a bucket


def in_bucket(path: str | Place) -> bool:
    """Whether a path is that of a bucket."""
    return os.fspath(path).startswith(BUCKET)


def place(path: str | Place) -> Place:
    """A path of this machine as `pathlib.Path`, one of a bucket as `epath.Path`.

    Raises ImportError if what reads buckets is not installed.
    """
    if not in_bucket(path):
        return pathlib.Path(path)
    if importlib.util.find_spec("gcsfs") is None:
        raise ImportError(f'{path}: gcsfs reads buckets; it comes with pip install -e ".[gcs]"')
    _prepare()
    return epath.Path(path)


@functools.cache
def _prepare():
    import fsspec

    # Others write to the same bucket: what lies there is asked, not remembered.
    fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what it would log it raises, too


def check_place(name: str, path: str | Place, buckets: bool = True) -> None:
    """Raises an error for a place that cannot be reached as a directory or file.

    Args:
      name: the flag or field that says it.
      buckets: whether it may be in a bucket.

    Raises:
      ValueError: it is in storage of another kind, or in what can be no bucket.
      ImportError: it is in a bucket, and what reads these is not installed.
    """
    if re.match("gs:/?[^/]", str(path)):
        raise ValueError(f"{name}={path}: a bucket is written gs://bucket/path, with two slashes")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S*$", str(path)):
        return
    if not (buckets and in_bucket(path)):
        legal = "local paths, mounted storage and gs://" if buckets else "local paths and mounted"
        raise ValueError(
            f"{name}={path}: only {legal}{'' if buckets else ' storage'} can be read and written; "
            "mount it first (gcsfuse, NFS, ...), and give the path of the mount"
        )
    bucket = os.fspath(path).removeprefix(BUCKET).partition("/")[0]
    if not NAME.fullmatch(bucket):
        raise ValueError(
            f"{name}={path}: {bucket!r} is no name of a bucket, which is 3 or more of a-z 0-9 . _ -"
        )
    try:
        place(path)
    except ImportError as error:
        raise ImportError(f"{name}={error}") from None


def absolute(path: str | Place) -> Place:
    """A path from the root, with links followed; that of a bucket as it is."""
    return place(path) if in_bucket(path) else place(path).resolve()


def at_home(path: str) -> Place:
    """A path with ~ at its start written out; that of a bucket as it is."""
    return place(path) if in_bucket(path) else place(path).expanduser()


def join(base: str | Place, path: str | Place) -> Place:
    """The place that `path`, if it is relative, means in the directory `base`."""
    return place(path) if in_bucket(path) or os.path.isabs(path) else place(base) / path


def check_writable(directory: str | Place, what: str = "output directory") -> Place:
    """Makes a directory; raises OSError with the path, and `what` it is, if it cannot be written.

    In a bucket that takes an object that is written and removed.
    """
    directory = place(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".write_probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        absent = in_bucket(directory) and isinstance(error, FileNotFoundError)
        reason = f"there is no bucket {directory.parts[2]!r}" if absent else error
        raise OSError(f"cannot write to {what} {str(directory)!r}: {reason}") from error
    return directory


def finish(draft: Place, path: Place, content: str) -> None:
    """Writes `path`, whole or not at all, by way of the file `draft`, which is gone then."""
    if in_bucket(path):
        path.write_text(content)
        draft.unlink()
        return
    draft.write_text(content)
    draft.replace(path)


@contextlib.contextmanager
def new_directory(target: Place) -> Iterator[Place]:
    """Yields an empty directory, which becomes `target` if all goes well.

    In a bucket it is `target` itself: what says that it is complete must be written last.
    """
    if in_bucket(target):
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}_", dir=target.parent) as directory:
        draft = pathlib.Path(directory) / target.name
        draft.mkdir()
        yield draft
        draft.replace(target)


def write_whole(path: Place, content: str | bytes) -> None:
    """Writes a file, whole or not at all."""
    content = content.encode() if isinstance(content, str) else content
    if in_bucket(path):
        path.write_bytes(content)
        return
    draft = path.with_suffix(".tmp")
    draft.write_bytes(content)
    draft.replace(path)


@contextlib.contextmanager
def writing(path: Place) -> Iterator[BinaryIO]:
    """Opens a file to write; in a bucket it is there at the end, if all goes well."""
    if not in_bucket(path):
        with path.open("wb") as file:
            yield file
        return
    content = io.BytesIO()
    yield content
    path.write_bytes(content.getvalue())


def create(path: Place, content: bytes = b"") -> bool:
    """Makes a file; False if it is there already, be it that another made it at this moment.

    A bucket may have made it when its answer was lost, and the request repeated: then the content
    is the one that was asked for.
    """
    try:
        if in_bucket(path):
            files().pipe_file(os.fspath(path), content, mode="create")
        else:
            with path.open("xb") as file:
                file.write(content)
    except FileExistsError:
        return in_bucket(path) and bool(content) and path.read_bytes() == content
    return True


def fetch(path: Place) -> pathlib.Path:
    """A file of this machine: `path`, or a copy of it, for readers that know no buckets."""
    if not in_bucket(path):
        return path
    found = path.stat()
    return _fetch(os.fspath(path), found.length, found.mtime)


@functools.cache
def _fetch(path, length, mtime):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="seedance_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files().get_file(path, folder / place(path).name)
    return folder / place(path).name


def files() -> Any:
    """The fsspec file system of buckets."""
    import fsspec

    return fsspec.filesystem("gcs")


def set_aside(directory: Place, target: Place, mark: str) -> None:
    """Renames a directory; in a bucket its objects are moved one by one.

    There, the object `mark` says that it is whole: it goes first, so that no half of it counts.
    """
    if not in_bucket(directory):
        directory.rename(target)
        return
    (directory / mark).unlink(missing_ok=True)
    for name in names(directory):
        files().mv(os.fspath(directory / name), os.fspath(target / name))


def names(directory: Place) -> list[str]:
    """The objects of a bucket below a directory, relative to it."""
    start = os.fspath(directory).removeprefix(BUCKET) + "/"
    return [name.removeprefix(start) for name in files().find(start)]


def total_bytes(directory: Place) -> int:
    """The size of all files below a directory."""
    if in_bucket(directory):
        return files().du(os.fspath(directory))
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def remove(directory: Place) -> None:
    """Removes a directory with all that it holds, if it is there."""
    if in_bucket(directory):
        directory.rmtree(missing_ok=True)
    elif directory.exists():
        shutil.rmtree(directory)
