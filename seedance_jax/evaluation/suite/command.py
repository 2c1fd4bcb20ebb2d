"""A suite from beginning to end: results, report, page and sheet of a run; and of two runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedance_jax.evaluation.suite import (
    cases,
    comparison,
    comparison_page,
    page,
    pictures,
    report,
    scoring,
)
from seedance_jax.evaluation.suite.cases import Suite
from seedance_jax.pretrained.runs import Run
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import cluster, places, run_directory, uploads
from seedance_jax.training.places import Place


def run(
    pipeline: Pipeline,
    suite: Suite,
    folder: str | Place,
    limit: int | None = None,
    batch_size: int = 16,
    **settings: Any,
) -> dict[str, Any]:
    """Scores a pipeline on a suite, see `scoring.score`; returns the report of `report.summarize`.

    It is of the first `limit` clips alone, whatever else the folder has, and goes to report.json
    and report.html there, and a picture of the clips to sheet.png.
    """
    with uploads.mirrored(folder) as here:
        rows = scoring.score(pipeline, suite, here, limit, batch_size, **settings)
        return cluster.of_main(lambda: finish(suite, here, rows))


def folder_of(run: Run, suite: Suite) -> Place:
    """Where results of the checkpoint that a run stands for lie by default."""
    return run.path / f"suite_{suite.name}" / f"{run.step:08d}"


def finish(suite: Suite, folder: str | Path, rows: Mapping[int, dict]) -> dict[str, Any]:
    """Writes report, page and sheet of {number: row} to a folder; returns the report."""
    found = report.summarize(suite, rows)
    run_directory.write_json(folder, "report.json", found)
    page.write_report(Path(folder) / "report.html", folder, found, rows)
    pictures.sheet(folder, rows.values()).save(Path(folder) / "sheet.png")
    return found


def compare(first: str | Path, second: str | Path, folder: str | Path) -> Mapping[str, Any]:
    """Compares two folders of `run`; writes comparison.json and .html, and returns the report."""
    for one in (first, second):
        places.check_place("--compare", one, buckets=False)
    found, pairs = comparison.compare(Path(first), Path(second))
    name, checksum = (found["first"][key] for key in ("suite", "checksum"))
    if name in cases.SUITES and cases.SUITES[name][1] != checksum:
        raise ValueError(
            f"{first} is of {name} {checksum[:16]}, which is {cases.SUITES[name][1][:16]} here"
        )
    folder = places.check_writable(folder)
    run_directory.write_json(folder, "comparison.json", found)
    comparison_page.write_comparison(folder / "comparison.html", found, pairs)
    return found
