"""The log of test suites that were run to their end on released weights.

A line of JSON for each result that is not there yet: its date, what was judged
(`results.IDENTITY`) and the figures. It lies in the repository beside the weights that come with
the package.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedance_jax.data import json_lines
from seedance_jax.evaluation.metrics.intervals import in_words
from seedance_jax.evaluation.suite import axes, cases, results
from seedance_jax.evaluation.suite.cases import Suite
from seedance_jax.pretrained import runs
from seedance_jax.training import places

PATH = runs.RELEASED.parent / "test_runs.jsonl"


def choose_log(given: str | None, workdir: str | Path, suite: Suite) -> Path | None:
    """The file that keeps a run of a suite; None keeps none.

    Args:
      given: a file, "" for none; None is `PATH` for the weights that come with the package.

    Raises:
      ValueError: a log is given for a suite that is not for tables.
      OSError: the file cannot be written.
    """
    if given and not cases.is_test(suite):
        raise ValueError(f"--log={given} keeps runs of test suites, {suite.name} is none")
    if given is not None:
        return try_place(Path(given)) if given else None
    comes_along = PATH.parent.resolve() in places.absolute(workdir).parents
    return try_place(PATH) if comes_along and cases.is_test(suite) else None


def try_place(path: Path) -> Path:
    """`path`, after it was opened for writing: before a suite is run, and not after hours of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a"):
            return path
    except OSError as error:
        raise OSError(f"the log {path} cannot be written: {error}; give another --log") from None


def append(path: Path, name: str, report: Mapping[str, Any]) -> None:
    """Adds a report of `report.summarize` on the weights `name`, unless it is there already."""
    row = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "name": name,
        **{key: report[key] for key in (*results.IDENTITY, "clips", "passed")},
        "axes": {axis: part["passed"] for axis, part in report["axes"].items()},
        "reference": {key: part["passed"] for key, part in report["reference"].items()},
    }
    known = [old | {"date": row["date"]} for old in read(path)] if path.exists() else []
    if row not in known:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read(path: Path) -> list[dict]:
    """The runs of a log, the oldest first; ValueError for a line that is none."""
    rows = []
    for where, row in json_lines.read(path):
        if not isinstance(row, dict) or not {"date", "passed", "axes"} <= row.keys():
            raise ValueError(f"{where} is no run of a test suite: {row!r}")
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of the runs of a log."""
    head = ["date", "name", "weights", "suite", "judges", "clips", "passed", *axes.AXES]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        shares = [row["passed"], *(row["axes"].get(axis) for axis in axes.AXES)]
        cells = [in_words(share, ".2f") if share else "" for share in shares]
        lines.append([str(row[name]) for name in head[:6]] + cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
