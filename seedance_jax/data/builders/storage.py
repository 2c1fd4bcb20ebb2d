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
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from seedance_jax.data import schema

# Raise it when the same spec would be stored in another form.
FORMAT_VERSION = 2

Records = Iterable[Mapping[str, Any]]


def dataset_directory(data_dir: str | Path, name: str, spec: Mapping[str, Any]) -> Path:
    """Where the data set that `spec` asks for lies: other specs have other directories."""
    text = json.dumps({"format": FORMAT_VERSION, **spec}, sort_keys=True)
    return Path(data_dir) / name / hashlib.sha256(text.encode()).hexdigest()[:16]


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

    builder_class = _builder_class(name, fields, {s: lambda s=s: checked(s) for s in splits})
    builder = builder_class(data_dir=directory, file_format="array_record")
    tfds.disable_progress_bar()  # the callers show one that counts what is slow
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces a download
            builder.download_and_prepare()
    except RuntimeError as error:  # of ArrayRecord: a full disk, above all
        raise OSError(f"{directory} cannot be written: {' '.join(str(error).split())}") from error
    shutil.rmtree(directory / "downloads", ignore_errors=True)  # which is empty
    if is_clips:
        columns = {
            f"{split}/{column}": np.array([row[column] for row in rows], dtype)
            for split, rows in tables.items()
            for column, dtype in schema.TABLE.items()
        }
        np.savez(directory / "table.npz", **columns)
    return {split: info.num_examples for split, info in builder.info.splits.items()}


def _builder_class(name: str, fields: Mapping[str, schema.Field], generators: Mapping) -> type:
    # TFDS registers builder classes by name, once per process; this one must not be registered,
    # because every data set has a class of its own.
    with tfds.core.registered.skip_registration():

        class Builder(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = tfds.features.FeaturesDict(
                    {key: _feature(field) for key, field in fields.items()}
                )
                return tfds.core.DatasetInfo(
                    builder=self, features=features, disable_shuffling=True
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split) for split in generators}

            def _generate_examples(self, split):
                return generators[split]()

    Builder.name = name
    return Builder


def _feature(field: schema.Field) -> tfds.features.FeatureConnector:
    if field.dtype is str:
        return tfds.features.Text()
    dtype = np.bytes_ if field.dtype is bytes else field.dtype
    # Without TensorFlow more than one unknown length needs the raw encoding. No compression: the
    # record files are compressed already.
    encoding = "bytes" if field.shape.count(None) > 1 else "none"
    return tfds.features.Tensor(shape=field.shape, dtype=dtype, encoding=encoding)


class Source:
    """The rows of a split by number, as dictionaries in which text is `str`.

    `table` holds `schema.TABLE` as arrays [rows] (None if the rows are not clips).
    """

    def __init__(self, records: Any, table: Mapping[str, np.ndarray] | None):
        self._records = records
        self.table = table
        features = records.dataset_info.features
        self._text = [key for key in features if isinstance(features[key], tfds.features.Text)]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = dict(self._records[index])
        return row | {key: row[key].decode() for key in self._text}


def open_split(directory: str | Path, split: str) -> Source:
    """Opens one split of a finished data set.

    Raises ValueError if there is none, or no such split (naming those there are).
    """
    directory = Path(directory)
    if not is_complete(directory):
        raise ValueError(f"no complete data set in {directory}")
    [info] = directory.glob("*/*/dataset_info.json")
    builder = tfds.builder_from_directory(info.parent)
    if split not in builder.info.splits:
        raise ValueError(
            f"no split {split!r} in {directory}: there are {sorted(builder.info.splits)}"
        )
    table = None
    if (directory / "table.npz").exists():
        with np.load(directory / "table.npz") as columns:
            table = {column: columns[f"{split}/{column}"] for column in schema.TABLE}
    return Source(builder.as_data_source(split=split), table)


def read_report(directory: str | Path) -> dict[str, Any]:
    """What happened when the data set was built."""
    return json.loads((Path(directory) / "report.json").read_text())
