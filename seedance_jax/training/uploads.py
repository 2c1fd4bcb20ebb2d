"""Files that grow, of a run in a bucket: kept on this machine, and uploaded whole again and again.

They are logs, TensorBoard's events and traces, none of which training reads: if the storage cannot
be reached, they wait, with a warning, for the next time.
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from seedance_jax.training import places
from seedance_jax.training.lock import FOLDER, hold

# Uploading takes no more than this share of the time, and rests for so many seconds at least.
SHARE, REST = 0.05, 1.0
OWN = (".tmp", ".lock")  # drafts, which may be gone at any moment, and locks, of this machine


class Mirror:
    """A local directory `path` whose files are those of `target`, which has them after `upload`.

    If `target` is local it is `path` itself, and nothing is to do.
    """

    def __init__(self, target: str | places.Place):
        self._target, self._sent, self._next = places.place(target), {}, 0.0
        self._apart = places.in_bucket(target)
        self.path = (
            pathlib.Path(tempfile.mkdtemp(prefix="seedance_")) if self._apart else self._target
        )

    def fetch(self, name: str) -> pathlib.Path:
        """The local path of a file, with what `target` has of it, if it does."""
        path, stored = self.path / name, self._target / name
        if self._apart and stored.exists():
            path.write_bytes(stored.read_bytes())
            self._sent[path] = _stamp(path)
        return path

    def fetch_all(self) -> None:
        """Copies all that `target` has, but its lock."""
        for path in places.names(self._target):
            if not path.startswith(f"{FOLDER}/"):
                (self.path / path).parent.mkdir(parents=True, exist_ok=True)
                self.fetch(path)

    def upload(self) -> None:
        """Uploads what has changed, unless the last time is too short ago."""
        if not self._apart or time.monotonic() < self._next:
            return
        start = time.monotonic()
        try:
            self._upload()
        except Exception as error:  # the reasons are many, and all of the storage's making
            print(f"WARNING: {self._target} is not up to date: {error}", file=sys.stderr)
        self._next = time.monotonic() + max(REST, (time.monotonic() - start) / SHARE)

    def _upload(self):
        for path in _files(self.path):
            stamp = None if path.suffix in OWN else _stamp(path)
            if self._sent.get(path) != stamp:
                stored = self._target / path.relative_to(self.path)
                stored.write_bytes(path.read_bytes())
                self._sent[path] = stamp

    def close(self) -> None:
        """Uploads what is left, and removes the local files; if it fails they stay.

        Raises OSError, with the place where they are.
        """
        if not self._apart:
            return
        try:
            self._upload()
        except Exception as error:
            raise OSError(f"cannot upload {self.path} to {self._target}: {error}") from error
        shutil.rmtree(self.path)

    def leave(self) -> None:
        """As `close`, but what cannot be uploaded stays here, with a warning that says where."""
        try:
            self.close()
        except OSError as error:
            print(f"WARNING: {error}; it is kept in {self.path}", file=sys.stderr)


@contextlib.contextmanager
def mirrored(folder: str | places.Place, every: float = 30.0) -> Iterator[pathlib.Path]:
    """Yields a folder of this machine to read and write: `folder`, or what becomes like it.

    Of a folder in a bucket process 0 has all files, and uploads what is new every so many seconds
    and at the end; others have an empty one. All processes must call it.

    Raises ValueError if another run holds the folder in the bucket.
    """
    if not places.in_bucket(folder):
        yield places.place(folder)
        return
    if not (held := hold(folder)):
        with tempfile.TemporaryDirectory(prefix="seedance_") as empty:
            yield pathlib.Path(empty)
        return
    mirror = Mirror(folder)
    with contextlib.closing(held[0]):
        mirror.fetch_all()
        with _repeated(mirror, every):
            yield mirror.path


@contextlib.contextmanager
def _repeated(mirror, every):
    ended = threading.Event()

    def go_on():
        while not ended.wait(every):
            mirror.upload()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        mirror.close()


@contextlib.contextmanager
def assembled(target: places.Place, last: str) -> Iterator[pathlib.Path]:
    """Yields where on this machine to make a directory, which becomes `target` if all goes well.

    last: the file that a bucket gets last. What lies beside the directory is thrown away.
    """
    apart = places.in_bucket(target)
    if not apart:
        target.parent.mkdir(parents=True, exist_ok=True)
    where = None if apart else target.parent
    with tempfile.TemporaryDirectory(prefix=f".{target.name}_", dir=where) as folder:
        draft = pathlib.Path(folder) / target.name
        yield draft
        if not apart:
            draft.rename(target)
            return
        for path in sorted(_files(draft), key=lambda path: path == draft / last):
            (target / path.relative_to(draft)).write_bytes(path.read_bytes())


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _stamp(path):
    found = path.stat()
    return found.st_size, found.st_mtime_ns
