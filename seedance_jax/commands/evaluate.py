"""Measures a finished run on clips it has not seen.

    python -m seedance_jax evaluate --workdir=runs/vae
    python -m seedance_jax evaluate --workdir=runs/pretrain --split=validation
    python -m seedance_jax evaluate --workdir=runs/pretrain --suite=world_v1_dev
    python -m seedance_jax evaluate --compare suites/a suites/b

A generator makes clips of prompts again, and judges that look at pixels alone say whether they show
what their scenes hold: of a suite, a fixed list of prompts of the synthetic world, or of a split of
the data set that it was trained on: from text, from the true first frame, from first and last, and
in two shots. Clips are judged one by one; started again, it goes on, and reports on the clips that
are asked for then. Results, report.json, report.html and sheet.png go to suite_<name>/<step> in the
run's directory, or to --output, and two such directories are compared clip by clip. Without
--workdir, a suite is run on the released weights. Suites that end in _dev are for choosing among
weights, those that end in _test for tables: each run of one on the weights that come with the
package is written down (--show_log).

An autoencoder is measured by how it reconstructs the split, next to trivial codes of its size:
evaluation_<split>.json and .png in the run's directory; or, with --suite, by what the judges say of
the suite's true clips as it returns them: suite_<name>.json there.
"""

import json
from typing import Any

import jax
from absl import flags

from seedance_jax import sharding
from seedance_jax.commands import cli
from seedance_jax.evaluation import releases
from seedance_jax.evaluation.reconstruction import report_autoencoder
from seedance_jax.evaluation.suite import cases, command, comparison, log, report, roundtrip, splits
from seedance_jax.pretrained import runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import cluster
from seedance_jax.training.places import place

WORKDIR = cli.define_path("workdir", None, "Run to evaluate.")
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split to evaluate on.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Clips at a time.", 1)
MAKES = flags.DEFINE_enum(
    "makes", None, ["autoencoder", "generator"], "What the run must make; any by default."
)
TILE = flags.DEFINE_integer(
    "tile", 0, "Autoencoders: decode in tiles of so many latent positions; 0 is whole.", 0
)
DATA_DIR = cli.define_path("data_dir", "", "Where the run's data set is, if it has moved.")
VAE_RUN = cli.define_path("vae_run", "", "Run of a generator's autoencoder, if it has moved.")
NUM_PROMPTS = flags.DEFINE_integer(
    "num_prompts",
    None,
    "Generators: clips of one shot to take prompts from. Each makes a clip from text, one from its "
    "first frame and, of 16, one from first and last; as many of two shots come on top.",
    1,
)
SUITE = flags.DEFINE_string("suite", None, f"One of {', '.join(cases.SUITES)}.")
LIMIT = flags.DEFINE_integer("limit", None, "Of a suite: its first clips only; default: all.", 1)
OUTPUT = cli.define_path("output", None, "Of clips or a comparison: directory.", buckets=True)
COMPARE = flags.DEFINE_bool("compare", False, "Compare two directories of results.")
CARD = flags.DEFINE_bool("card", False, "Write the report into the card of the release, too.")
LOG = cli.define_path(
    "log",
    None,
    "File that keeps runs of test suites; '' is none. Default: the package's, for its weights.",
)
SHOW_LOG = flags.DEFINE_bool("show_log", False, "Print the runs of test suites of --log.")

flags.DEFINE_integer("num_inference_steps", None, "Steps of the solver.")
flags.DEFINE_float("guidance_scale", None, "1 is no guidance.")
flags.DEFINE_integer("seed", None, "Of the first clip; the following ones count up.")
SETTINGS = ("num_inference_steps", "guidance_scale", "seed")

# The flags that have a use, by what is done.
OF_RUNS = ("workdir", "makes", "batch_size")
OF_CLIPS = (*OF_RUNS, "vae_run", "output", *SETTINGS)
USES = {
    "--compare": ("output",),
    "--show_log": ("log",),
    "--suite of a generator": ("limit", "log", "card", *OF_CLIPS),
    "--suite of an autoencoder": ("limit", *OF_RUNS),
    "a run that makes a generator": ("split", "data_dir", "num_prompts", *OF_CLIPS),
    "a run that makes an autoencoder": ("split", "data_dir", "tile", *OF_RUNS),
}


def evaluate_autoencoder(opened: runs.Run) -> None:
    """Report and sheet of an autoencoder on a split, or what judges say of it on --suite."""
    if SUITE.value:
        suite = cases.read_dev_suite(SUITE.value)  # reports on generators have tables
        print(roundtrip.one_line(roundtrip.report(opened, suite, LIMIT.value, BATCH_SIZE.value)))
        return
    settings = {"batch_size": BATCH_SIZE.value, "tile": TILE.value, "data_dir": DATA_DIR.value}
    print(json.dumps(report_autoencoder(opened, SPLIT.value, **settings), indent=2))


def evaluate_generator(opened: runs.Run) -> None:
    """Results of a generator on a split, or on --suite."""
    if not SUITE.value:
        data = runs.read_data(opened, DATA_DIR.value)
        run(opened, *splits.draw_split(data, SPLIT.value, NUM_PROMPTS.value))
        return
    if not (WORKDIR.value or OUTPUT.value):
        raise ValueError("--suite without --workdir is of the released weights: give an --output")
    suite = cases.read_suite(SUITE.value)
    kept = log.choose_log(LOG.value, opened.path, suite)
    releases.check_card(opened.path, CARD.value)
    found = run(opened, suite, LIMIT.value)
    cluster.of_main(lambda: releases.record(opened.path, found, kept, CARD.value))


def run(opened: runs.Run, suite: cases.Suite, limit: int | None) -> dict[str, Any]:
    """Runs a suite on all devices, prints what came of it and returns the report."""
    folder = place(OUTPUT.value or command.folder_of(opened, suite))
    mesh = sharding.spread("sequence") if jax.device_count() > 1 else None
    pipeline = Pipeline.from_run(opened, VAE_RUN.value, mesh)
    given = {name: flags.FLAGS[name].value for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    found = command.run(pipeline, suite, folder, limit, BATCH_SIZE.value, **given)
    print(report.one_line(found))
    print(folder / "report.html")
    return found


def compare(folders: list[str]) -> None:
    """Compares two directories and prints what came of it."""
    if len(folders) != 2:
        raise ValueError(f"--compare takes two directories of results, got {folders}")
    output = place(OUTPUT.value or "comparison")
    print(comparison.one_line(command.compare(*folders, output)))
    print(output / "comparison.html")


EVALUATIONS = {"autoencoder": evaluate_autoencoder, "generator": evaluate_generator}


def main(argv: list[str]) -> None:
    folders = argv[1:]
    modes = [name for name in ("compare", "show_log", "suite") if flags.FLAGS[name].value]
    if len(modes) > 1:
        raise ValueError(f"--{modes[0]} and --{modes[1]} do not go together")
    if folders and not COMPARE.value:
        raise ValueError(f"{' '.join(folders)!r} belongs to no flag; directories are of --compare")
    if not (modes or WORKDIR.value):
        raise ValueError("--workdir is missing: the run to evaluate")
    if COMPARE.value or SHOW_LOG.value:
        cli.needs(USES, f"--{modes[0]}")
        if COMPARE.value:
            return compare(folders)
        return print(log.table(log.read(place(LOG.value or log.PATH))))
    if SUITE.value:  # what no suite takes is refused before the run is opened
        of_suites = {*USES["--suite of a generator"], *USES["--suite of an autoencoder"]}
        cli.needs(USES | {"--suite": of_suites}, "--suite")
    wanted = (MAKES.value, "--makes") if MAKES.value else (tuple(EVALUATIONS), "--workdir")
    opened = runs.open_run(WORKDIR.value or runs.RELEASED, *wanted)
    by = "--suite of" if SUITE.value else "a run that makes"
    cli.needs(USES, f"{by} {runs.MAKES[opened.makes]}")
    EVALUATIONS[opened.makes](opened)
