"""The records of a data set, as TFDS writes and reads them in ArrayRecord files."""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from seedance_jax.data import schema
from seedance_jax.data.remote import Place


class Source:
    """The rows of a split by number, as dictionaries in which text is `str`.

    `table` holds `schema.TABLE` as arrays [rows] (None if the rows are not clips). `selection` is
    the filter that training chooses rows by (`curation.selection.Selection`; None: all rows).
    """

    def __init__(self, records: Any, table: Mapping[str, np.ndarray] | None):
        # Without TFDS's builder, which would read its files again where a source is unpickled.
        self._records, self._features = records.data_source, records.dataset_info.features
        self.table = table
        self.selection = None
        features = self._features
        self._text = [key for key in features if isinstance(features[key], tfds.features.Text)]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = dict(self._features.deserialize_example_np(self._records[int(index)]))
        return row | {key: row[key].decode() for key in self._text}


def write(
    directory: Path,
    name: str,
    fields: Mapping[str, schema.Field],
    splits: Mapping[str, Callable[[], Iterable[tuple[int, Mapping[str, Any]]]]],
) -> dict[str, int]:
    """Writes splits of numbered records; returns how many each has. OSError if they cannot be."""
    builder = _builder_class(name, fields, splits)(data_dir=directory, file_format="array_record")
    tfds.disable_progress_bar()  # the callers show one that counts what is slow
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces a download
            builder.download_and_prepare()
    except RuntimeError as error:  # of ArrayRecord: a full disk, above all
        if type(error) is not RuntimeError:  # of what makes the records
            raise
        raise OSError(f"{directory} cannot be written: {' '.join(str(error).split())}") from error
    shutil.rmtree(directory / "downloads", ignore_errors=True)  # which is empty
    return {split: info.num_examples for split, info in builder.info.splits.items()}


def read(directory: Place, split: str) -> Any:
    """The records of a split of a finished data set; ValueError if it has no such split."""
    [info] = directory.glob("*/*/dataset_info.json")
    builder = tfds.builder_from_directory(info.parent)
    if split not in builder.info.splits:
        raise ValueError(
            f"no split {split!r} in {directory}: there are {sorted(builder.info.splits)}"
        )
    return builder.as_data_source(split=split)


def _builder_class(name, fields, generators):
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


def _feature(field):
    if field.dtype is str:
        return tfds.features.Text()
    dtype = np.bytes_ if field.dtype is bytes else field.dtype
    # Without TensorFlow more than one unknown length needs the raw encoding. No compression: the
    # record files are compressed already.
    encoding = "bytes" if field.shape.count(None) > 1 else "none"
    return tfds.features.Tensor(shape=field.shape, dtype=dtype, encoding=encoding)
