"""From a finished generator to a release that is judged, with a model card."""

from pathlib import Path
from typing import Any, NamedTuple

from seedance_jax.data import sources
from seedance_jax.evaluation import judgement
from seedance_jax.evaluation.judges.forms import find_bounds
from seedance_jax.evaluation.reconstruction import evaluate_autoencoder
from seedance_jax.evaluation.suite import cases, command, log, splits
from seedance_jax.pretrained import card, exchange, runs
from seedance_jax.pretrained.runs import Run
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import places, run_directory, uploads
from seedance_jax.training.places import Place
from seedance_jax.training.release import FILE as WEIGHTS
from seedance_jax.training.release import exists as is_release


class Judging(NamedTuple):
    """How a release is judged.

    Attributes:
      split: of the data set, for the autoencoder; and for the generator where no test suite is of
        its clips, or `by_split` says so.
      num_prompts: of the split, see `splits.draw_split`.
      data_dir: where the data set is, if it has moved.
      log: file that keeps what came of a test suite; None keeps nothing.
    """

    split: str
    by_split: bool = False
    num_prompts: int | None = None
    data_dir: str = ""
    log: Path | None = None


def make_release(run: Run, output: Place, judging: Judging) -> Place:
    """Makes the release `output` of a run; the directory is there when it is complete.

    What the judges have looked at goes to <output>_sheet.png beside it. A generator of other clips
    than those of the synthetic world is released without them.

    Raises:
      ValueError: `output` is in use, the run cannot be released, or data are missing.
    """
    vae_run, judged = exchange.check_release(run, output), card.of_world(run.config)
    if judged:
        check_data(run, vae_run, judging)
    with uploads.assembled(output, last=WEIGHTS) as draft:
        results = draft.with_name("results")
        exchange.release_run(run, vae_run, draft)
        report = judge(draft, results, judging) if judged else None
        text = card.write_card(draft, judgement.describe(report), card.current_commit())
        (draft / "README.md").write_text(text)
        if judged:
            sheet = (results / "sheet.png").read_bytes()
            output.with_name(f"{output.name}_sheet.png").write_bytes(sheet)
    return output


def check_card(workdir: str | Place, wanted: bool) -> None:
    """Raises ValueError if a card is wanted of what is no release."""
    if wanted and not is_release(workdir):
        raise ValueError(f"--card: {workdir} is no release; a card comes with one")


def record(workdir: str | Place, report: dict[str, Any], kept: Path | None, renew: bool) -> None:
    """Keeps the report of a suite on a run in a log, if there is one, and in the run's card."""
    if kept:
        log.append(kept, places.absolute(workdir).name, report)
    if renew:
        judgement.renew(workdir, report)


def check_data(run: Run, vae_run: Run, judging: Judging) -> None:
    """Raises ValueError if judging misses data, or thresholds of the judges."""
    data = runs.read_data(run, judging.data_dir)
    vae_data = runs.read_data(vae_run, judging.data_dir)
    for part, split in ((data, judging.split), (vae_data, judging.split), (vae_data, "train")):
        sources.open_split(part, split)
    if judging.by_split or not cases.test_suite_of(run.config, run.metadata):
        find_bounds(splits.form_of(data))


def judge(release: Path, folder: Path, judging: Judging) -> dict[str, Any]:
    """The report on a release, which gets it as evaluation.json; results lie in a folder then.

    It is that of a suite, see `suite.report.summarize`, and "autoencoder" of
    `reconstruction.evaluate_autoencoder`.
    """
    run = runs.open_run(release, "generator")
    pipeline = Pipeline.from_run(run)
    name = cases.test_suite_of(pipeline.config, pipeline.metadata)
    if name and not judging.by_split:
        suite, limit = cases.read_suite(name), None
    else:
        data = runs.read_data(run, judging.data_dir)
        suite, limit = splits.draw_split(data, judging.split, judging.num_prompts)
    report = command.run(pipeline, suite, folder, limit)
    if judging.log and cases.is_test(suite):
        log.append(judging.log, release.name, report)
    coder = runs.open_run(release / "autoencoder", "autoencoder")
    coded, _ = evaluate_autoencoder(coder, judging.split, data_dir=judging.data_dir)
    report |= {"autoencoder": coded}
    run_directory.write_json(release, "evaluation.json", report)
    return report
