"""What the page of reviews knows: the clips of a split, their columns, and the decisions so far."""

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from seedance_jax.data import schema, video
from seedance_jax.data.appended import Rows
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import filters, reviews, scores, selection

MOST = 60  # clips of an answer
PLAYED = "yuv420p"  # what every browser shows
SHOWN = ("any", "undecided", *reviews.DECISIONS)


class Desk(NamedTuple):
    """All that the application knows.

    Attributes:
      file: of the reviews, open.
      source: the clips of a split, a `records.Source`.
      of: `storage.describe_clips` of them.
      measured: {column: [rows]} of tables there are, without the reviews.
      named: {label: filter} of the config.
      suggested: labels to choose from, before those that are in the file.
      film: row -> bytes of an mp4 that browsers show.
    """

    file: Rows
    source: Any
    of: dict[str, str]
    measured: dict[str, np.ndarray]
    named: Mapping[str, str]
    suggested: Sequence[str]
    film: Any


def open_desk(
    file: Rows, data: Mapping[str, Any], directory: Path, split: str, suggested: Sequence[str] = ()
) -> Desk:
    """The Desk of a split of a data set; data: of a config, for its labels and tables."""
    source = storage.open_split(directory, split)
    measured = {name: source.table[name] for name in selection.OF_TABLES}
    for name in scores.SCORERS:
        spec = scores.describe(directory, split, name)
        if storage.is_complete(storage.dataset_directory(data["data_dir"], "scores", spec)):
            measured |= scores.open_table(directory, split, name, data["data_dir"])[0]
    film = functools.lru_cache(maxsize=64)(lambda row: playable(source[row]))
    of = storage.describe_clips(directory, split)
    suggested = [reviews.check_label(label) for label in suggested]
    return Desk(file, source, of, measured, dict(data.get("labels", {})), suggested, film)


def playable(record: Mapping[str, Any]) -> bytes:
    """The film of a record, as it is or in the form that every browser shows."""
    with av.open(io.BytesIO(record["video"])) as container:
        if container.streams.video[0].codec_context.pix_fmt == PLAYED:
            return record["video"]
    return video.encode_mp4(video.decode_mp4(record["video"])[0], float(record["fps"]))


def columns_of(desk: Desk) -> dict[str, np.ndarray]:
    """{column: [rows]}, with the reviews as they are now."""
    decided = reviews.latest(desk.file.rows, desk.of)
    return desk.measured | reviews.columns(decided, len(desk.source))


def labels_of(desk: Desk) -> list[str]:
    """Labels to choose from."""
    return [*dict.fromkeys([*desk.suggested, *reviews.labels(desk.file.rows)])]


def find(desk: Desk, text: str, shown: str, sort: str, falling: bool) -> np.ndarray:
    """The rows that a filter keeps, sorted by a column ("" is as they are stored).

    shown: of SHOWN. Rows without a value of the column come last.

    Raises ValueError for an illegal filter, or a column that is not there.
    """
    columns = columns_of(desk)
    rows = np.ones(len(desk.source), bool)
    if text.strip():
        words = {name: selection.WORDS[name] for name in {*columns} & {*schema.TEXT_SCORES}}
        tree = filters.parse(text, columns, desk.named, "filter", words)
        rows = filters.evaluate(tree, columns)
    if shown not in SHOWN:
        raise ValueError(f"shown={shown!r} is not one of {list(SHOWN)}")
    kept = columns["kept"]
    of = {"undecided": np.isnan(kept), "keep": kept == 1, "drop": kept == 0}
    found = np.flatnonzero(rows & of.get(shown, True))
    return arrange(found, columns, sort, falling)


def arrange(
    rows: np.ndarray, columns: Mapping[str, np.ndarray], sort: str, falling: bool
) -> np.ndarray:
    """Rows sorted by a column, those without a value of it last."""
    if not sort:
        return rows[::-1] if falling else rows
    if sort not in columns:
        raise ValueError(f"no column {sort!r} to sort by; there are {', '.join(sorted(columns))}")
    values = columns[sort][rows]
    there = values != "" if values.dtype.kind == "U" else ~np.isnan(values)
    order = np.argsort(values[there], kind="stable")
    return np.concatenate([rows[there][order[::-1] if falling else order], rows[~there]])


def count(desk: Desk) -> dict[str, int]:
    """How many clips there are, how many of them are kept and dropped."""
    made = [one["decision"] for one in reviews.latest(desk.file.rows, desk.of).values()]
    return {"all": len(desk.source)} | {name: made.count(name) for name in reviews.DECISIONS}


def tell(desk: Desk, rows: Sequence[int]) -> list[dict[str, Any]]:
    """What the page shows of rows, ready for JSON."""
    decided = reviews.latest(desk.file.rows, desk.of)
    return [_tell(desk, int(row), decided.get(int(row), {})) for row in rows]


def _tell(desk, row, decision):
    record = desk.source[row]
    values = {
        name: str(column[row]) if column.dtype.kind == "U" else _number(column[row])
        for name, column in desk.measured.items()
    }
    return {
        "row": row,
        **{name: record[name] for name in ("id", "caption")},
        **{name: int(record[name]) for name in ("height", "width")},
        **{name: decision.get(name, "") for name in ("decision", "label", "reviewer")},
        "values": values,
    }


def _number(value):
    """A number as JSON has it: NaN is none."""
    return None if np.isnan(value) else round(float(value), 3)
