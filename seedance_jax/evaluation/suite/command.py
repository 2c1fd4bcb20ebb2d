"""A suite from beginning to end: results, report and page of a run; and of two runs."""

from pathlib import Path

from seedance_jax.evaluation.suite import (
    cases,
    comparison,
    comparison_page,
    page,
    report,
    results,
    scoring,
)
from seedance_jax.sampling import media
from seedance_jax.training import cluster, run_directory


def run(pipeline, name, folder, limit=None, batch_size=16, **settings):
    """Scores a pipeline on a suite, see `scoring.score`; returns the report of `report.summarize`.

    It is of all clips that the folder has then, and goes to report.json and report.html there.
    """
    suite = cases.read_suite(name)
    scoring.score(pipeline, suite, folder, limit, batch_size, **settings)
    return cluster.of_main(lambda: finish(suite, folder))


def finish(suite, folder):
    """Writes report and page of the results of a folder; returns the report."""
    rows = results.read_rows(folder)
    found = report.summarize(suite, rows)
    run_directory.write_json(folder, "report.json", found)
    page.write_report(Path(folder) / "report.html", folder, found, rows, suite.spec.fps)
    return found


def compare(first, second, folder):
    """Compares two folders of `run`; writes comparison.json and .html, and returns the report."""
    found, pairs = comparison.compare(Path(first), Path(second))
    suite = cases.read_suite(found["first"]["suite"])
    if found["first"]["checksum"] != suite.checksum:
        raise ValueError(
            f"{first} is of {suite.name} {found['first']['checksum'][:16]}, which is "
            f"{suite.checksum[:16]} here"
        )
    folder = media.check_writable(folder)
    run_directory.write_json(folder, "comparison.json", found)
    comparison_page.write_comparison(folder / "comparison.html", found, pairs, suite.spec.fps)
    return found
