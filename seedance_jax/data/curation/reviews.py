"""What people decided on clips: a file of JSON lines, and the columns that filters read of it.

    {"schema": "seedance_jax.reviews/1", "kind": "decision", "id": "3f...", "reviewer": "ann",
     "time": "2026-01-31T12:00:00+00:00", "clips": "8e...", "content": "d1...", "split": "train",
     "row": 12, "clip": "train/12", "decision": "keep", "label": "falls"}
    {"schema": "seedance_jax.reviews/1", "kind": "undo", "id": ..., "decision": "3f...",
     "reviewer": "ann", "time": ...}

`clips`, `content` and `split` say which data set the row is of (`storage.describe_clips`). Of
several decisions on a row that stand, the last one counts, whoever made it:

    kept    1 or 0, NaN where nobody has decided
    label   what the clip is called by people, "" where they call it nothing
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seedance_jax.data import appended, json_lines
from seedance_jax.data.appended import Rows
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import scores
from seedance_jax.data.remote import Place

SCHEMA = "seedance_jax.reviews/1"
DECISIONS = ("keep", "drop")
OF = ("clips", "content", "split")
FIELDS = {
    "decision": ("id", "reviewer", "time", *OF, "row", "clip", "decision", "label"),
    "undo": ("id", "reviewer", "time", "decision"),
}
LABEL_LENGTH = 40


def open_file(path: str | Path) -> contextlib.AbstractContextManager[Rows]:
    """Opens, or begins, a file of reviews; raises OSError if another process has it open."""
    in_use = "is in use by another page of reviews; give another --output"
    return appended.open_rows(path, read_rows, in_use)


def decide(
    file: Rows,
    reviewer: str,
    of: Mapping[str, str],
    row: int,
    *,
    clip: str,
    decision: str,
    label: str,
) -> dict[str, Any]:
    """Appends a decision on a row of a data set, and returns it.

    Args:
      of: `storage.describe_clips` of the data set and split.
      clip: the id of the record.

    Raises ValueError for another decision than DECISIONS, or text that is no label.
    """
    if decision not in DECISIONS:
        raise ValueError(f"decision={decision!r} is not one of {list(DECISIONS)}")
    about = {"row": row, "clip": clip, "decision": decision, "label": check_label(label)}
    return _append(file, "decision", reviewer, {**of, **about})


def take_back(file: Rows, reviewer: str, of: Mapping[str, str]) -> dict[str, Any] | None:
    """Appends that the last decision of a reviewer on a data set does not count.

    Returns that decision, None if there is none.
    """
    own = [one for one in standing(file.rows, of) if one["reviewer"] == reviewer]
    if not own:
        return None
    _append(file, "undo", reviewer, {"decision": own[-1]["id"]})
    return own[-1]


def _append(file, kind, reviewer, fields):
    row = {"schema": SCHEMA, "kind": kind, "id": appended.new_id(), "reviewer": reviewer}
    return appended.append(file, "a decision", row | {"time": appended.now()} | fields)


def check_label(text: Any) -> str:
    """A label without the accidents of typing; ValueError if it is none."""
    label = " ".join(text.split()) if isinstance(text, str) else None
    if label is None or len(label) > LABEL_LENGTH or not label.isprintable():
        raise ValueError(f"label {text!r} must be text of at most {LABEL_LENGTH} letters")
    return label


def read_rows(path: str | Path) -> list[dict]:
    """All rows of a file; raises ValueError for one that is not of this schema."""
    return [check_row(row, where) for where, row in json_lines.read(path)]


def check_row(row: Any, where: str) -> dict[str, Any]:
    """A row; raises ValueError, with where it stands, if it is none."""
    found = row.get("schema") if isinstance(row, dict) else None
    if found != SCHEMA:
        raise ValueError(f"{where} has schema={found!r}, not {SCHEMA!r}: it is no file of reviews")
    kind = row.get("kind")
    if kind not in FIELDS:
        raise ValueError(f"{where}: kind={kind!r} is not one of {sorted(FIELDS)}")
    if missing := [name for name in FIELDS[kind] if name not in row]:
        raise ValueError(f"{where} has no {', '.join(missing)}")
    if kind == "decision" and row["decision"] not in DECISIONS:
        raise ValueError(f"{where}: decision={row['decision']!r} is not one of {list(DECISIONS)}")
    return row


def standing(rows: Sequence[Mapping[str, Any]], of: Mapping[str, str]) -> list[dict]:
    """The decisions on a data set that were not taken back, the oldest first."""
    gone = {row["decision"] for row in rows if row["kind"] == "undo"}
    made = (row for row in rows if row["kind"] == "decision" and row["id"] not in gone)
    return [row for row in made if all(row[name] == of[name] for name in of)]


def latest(rows: Sequence[Mapping[str, Any]], of: Mapping[str, str]) -> dict[int, dict]:
    """{row: the decision that counts} of a data set."""
    return {one["row"]: one for one in standing(rows, of)}


def columns(decided: Mapping[int, Mapping[str, Any]], count: int) -> dict[str, np.ndarray]:
    """{"kept": float32, "label": text} of `count` rows, of the decisions that count."""
    kept, label = np.full(count, np.nan, np.float32), [""] * count
    for row, one in decided.items():
        kept[row], label[row] = one["decision"] == "keep", one["label"]
    return {"kept": kept, "label": np.array(label, str)}


def fingerprint(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash (16 hex digits) of all that counts in a file, of any data set."""
    counts = {tuple(one[name] for name in (*OF, "row")): one for one in standing(rows, {})}
    told = sorted([*place, one["decision"], one["label"]] for place, one in counts.items())
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def build(
    directories: Sequence[Place], split: str, path: str | Path, data_dir: str | Place
) -> tuple[list[Place], str]:
    """Writes a table of a file of reviews for each data set, unless it exists.

    Where the file decides nothing of a data set, its table says so of all rows. Returns (the
    directories of the tables, the name that they share).

    Raises ValueError if the file has no decision on a split of any of the data sets.
    """
    rows, made = read_rows(path), []
    name = fingerprint(rows)
    decided = [latest(rows, storage.describe_clips(one, split)) for one in directories]
    if not any(decided):
        where = " or ".join(map(str, directories))
        raise ValueError(f"{path} has no decision on a clip of {where}, {split}")
    for directory, own in zip(directories, decided, strict=True):
        spec = scores.describe(directory, split, scores.REVIEW, name)
        made.append(storage.dataset_directory(data_dir, "scores", spec))
        count = len(storage.open_split(directory, split))
        scores.write_table(made[-1], spec, columns(own, count))
    return made, name


def labels(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The labels of the decisions that stand, each once."""
    yield from dict.fromkeys(one["label"] for one in standing(rows, {}) if one["label"])
