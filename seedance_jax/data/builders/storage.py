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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seedance_jax.data import schema

# Raise it when the same spec would be stored in another form.
FORMAT_VERSION = 2

Records = Iterable[Mapping[str, Any]]


def dataset_directory(data_dir: str | Path, name: str, spec: Mapping[str, Any]) -> Path:
    """Where the data set that `spec` asks for lies: other specs have other directories."""
    text = json.dumps({"format": FORMAT_VERSION, **spec}, sort_keys=True)
    return Path(data_dir) / name / hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_clips(directory: Path, split: str) -> dict[str, str]:
    """Everything that determines the clips and captions of a split of a data set (JSON)."""
    # The name depends on the settings alone, the spec also on the contents of the source folder.
    content = hashlib.sha256((directory / "spec.json").read_bytes()).hexdigest()[:16]
    return {"clips": directory.name, "content": content, "split": split}


def is_complete(directory: Path) -> bool:
    """True if a data set was written to its end here."""
    return (directory / "spec.json").exists()


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[Path | None]:
    """Yields an empty directory to write into, which becomes `directory` if all goes well.

    Yields None if `directory` is complete. What a killed run left behind is removed. Two processes
    that want to build the same data set wait for each other.
    """
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


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_records(
    directory: Path,
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


def open_split(directory: str | Path, split: str) -> Any:
    """Opens one split of a finished data set, a `records.Source`.

    Raises ValueError if there is none, or no such split (naming those there are).
    """
    from seedance_jax.data.builders import records

    directory = Path(directory)
    if not is_complete(directory):
        raise ValueError(f"no complete data set in {directory}")
    rows = records.read(directory, split)
    table = None
    if (directory / "table.npz").exists():
        with np.load(directory / "table.npz") as columns:
            table = {column: columns[f"{split}/{column}"] for column in schema.TABLE}
    return records.Source(rows, table)


def read_report(directory: str | Path) -> dict[str, Any]:
    """What happened when the data set was built."""
    return json.loads((Path(directory) / "report.json").read_text())
