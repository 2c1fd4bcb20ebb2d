"""A file of JSON lines while a page writes to it: opened and locked once, rows appended and synced.

A row counts once its newline is there: what a crash leaves of a row is cut off by the next one.
"""

import contextlib
import datetime
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Rows(NamedTuple):
    """An open file: its path, its descriptor, and its rows so far."""

    path: Path
    descriptor: int
    rows: list


@contextlib.contextmanager
def open_rows(path: str | Path, read: Callable[[Path], list], in_use: str) -> Iterator[Rows]:
    """Opens, or begins, a file, and keeps others from writing to it.

    Args:
      read: path -> rows; it raises ValueError if they are of something else.
      in_use: what to say, after the path, if another process has it open.

    Raises OSError if another process has it open, or it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OSError(f"{path} {in_use}") from error
        yield Rows(path, descriptor, read(path))
    finally:
        os.close(descriptor)


def append(file: Rows, what: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Appends a row and waits until it is on disk; raises OSError, and leaves no part of it.

    what: a row is, for the message.
    """
    line = json.dumps(row).encode() + b"\n"
    end = cut_torn_row(file)
    try:
        if os.write(file.descriptor, line) != len(line):
            raise OSError(f"{file.path}: no room for {what}")
        os.fsync(file.descriptor)
    except OSError:
        os.ftruncate(file.descriptor, end)
        raise
    file.rows.append(dict(row))
    return file.rows[-1]


def new_id() -> str:
    """What no other row is called."""
    return secrets.token_hex(8)


def now() -> str:
    """The time, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def cut_torn_row(file: Rows) -> int:
    """Cuts off what has no newline, of a writer that was killed; returns the length in bytes."""
    text = file.path.read_bytes()
    end = text.rfind(b"\n") + 1
    if end < len(text):
        os.ftruncate(file.descriptor, end)
    return end
