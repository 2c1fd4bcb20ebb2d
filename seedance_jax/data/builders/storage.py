"""Data sets on disk: TFDS in ArrayRecord files, written whole or not at all, read by row number.

<data_dir>/<name>/<hash of the spec>/
    spec.json      what was asked for; written last, so its presence means complete
    report.json    what happened: rows per split, files lost and why
    table.npz      `schema.TABLE` of every row (clips only)
    <name>/1.0.0/  the records
"""

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from seedance_jax.data import remote, schema
from seedance_jax.data.remote import Place, place

# Raise it when the same spec would be stored in another form.
FORMAT_VERSION = 2

Records = Iterable[Mapping[str, Any]]


def dataset_directory(data_dir: str | Place, name: str, spec: Mapping[str, Any]) -> Place:
    """Where the data set that `spec` asks for lies: other specs have other directories."""
    text = json.dumps({"format": FORMAT_VERSION, **spec}, sort_keys=True)
    return place(data_dir) / name / hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_clips(directory: Place, split: str) -> dict[str, str]:
    """Everything that determines the clips and captions of a split of a data set (JSON)."""
    # The name depends on the settings alone, the spec also on the contents of the source folder.
    content = hashlib.sha256((directory / "spec.json").read_bytes()).hexdigest()[:16]
    return {"clips": directory.name, "content": content, "split": split}


def is_complete(directory: Place) -> bool:
    """True if a data set was written to its end here."""
    return (directory / "spec.json").exists()


@contextlib.contextmanager
def writing(directory: Place) -> Iterator[Place | None]:
    """Yields an empty directory to write into, which becomes `directory` if all goes well.

    Yields None if `directory` is complete. What a killed run left behind is removed. Two processes
    that want to build the same data set wait for each other.

    For a bucket it is a temporary one of this machine, which is uploaded at the end. There two
    processes do the same work, and what the first one has made stays.
    """
    if remote.in_bucket(directory):
        with _uploading(directory) as draft:
            yield draft
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = directory.with_name(directory.name + ".incomplete")
    with open(directory.with_name(directory.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(directory):
            yield None
            return
        for leftover in (draft, directory):
            shutil.rmtree(leftover, ignore_errors=True)
        draft.mkdir()
        try:
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        draft.rename(directory)


@contextlib.contextmanager
def _uploading(directory):
    if is_complete(directory):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="seedance_") as draft:
        yield place(draft)
        if not is_complete(directory):
            remote.upload(place(draft), directory, last="spec.json")


def write_json(path: Place, value: Any) -> None:
    """Writes a value as indented JSON."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_records(
    directory: Place,
    name: str,
    fields: Mapping[str, schema.Field],
    splits: Mapping[str, Callable[[], Records]],
) -> dict[str, int]:
    """Writes one TFDS data set; row i of a split is the i-th record of its iterable.

    If the records are clips, also writes their table. Returns the number of rows of each split;
    raises ValueError if a split has none.
    """
    tables = {split: [] for split in splits}
    is_clips = schema.CLIP.keys() <= fields.keys()

    def checked(split: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for index, record in enumerate(splits[split]()):
            schema.check_record(record, fields)
            tables[split].append(schema.table_row(record) if is_clips else {})
            yield index, record
        if not tables[split]:
            raise ValueError(f"split {split!r} has no records")

    from seedance_jax.data.builders import records  # as below: TFDS takes a while to import

    generators = {split: lambda split=split: checked(split) for split in splits}
    counts = records.write(directory, name, fields, generators)
    if is_clips:
        columns = {
            f"{split}/{column}": np.array([row[column] for row in rows], dtype)
            for split, rows in tables.items()
            for column, dtype in schema.TABLE.items()
        }
        np.savez(directory / "table.npz", **columns)
    return counts


def open_split(directory: str | Place, split: str) -> Any:
    """Opens one split of a finished data set, a `records.Source`.

    Raises ValueError if there is none, or no such split (naming those there are).
    """
    from seedance_jax.data.builders import records

    directory = place(directory)
    if not is_complete(directory):
        raise ValueError(f"no complete data set in {directory}")
    rows = records.read(directory, split)
    table = None
    if (directory / "table.npz").exists():
        with np.load(remote.opened(directory / "table.npz")) as columns:
            table = {column: columns[f"{split}/{column}"] for column in schema.TABLE}
    return records.Source(rows, table)


def read_report(directory: str | Place) -> dict[str, Any]:
    """What happened when the data set was built."""
    return json.loads((place(directory) / "report.json").read_text())
