"""Measures a finished run on clips it has not seen.

    python -m seedance_jax evaluate --workdir=runs/vae
    python -m seedance_jax evaluate --workdir=runs/pretrain --split=validation
    python -m seedance_jax evaluate --workdir=runs/pretrain --suite=world_v1
    python -m seedance_jax evaluate --compare runs/a/suite_world_v1 runs/b/suite_world_v1

An autoencoder is measured by how it reconstructs the split, next to trivial codes of its size; a
generator by whether its clips show what the caption tells: colour,
shape and direction of the object, the camera's move, cuts; and by how given frames come back.
Report and sheet go to evaluation_<split>.json and .png in the run's directory.

A suite is a fixed list of prompts of the synthetic world, whose clips are judged one by one;
started again, it goes on. Results, report.json and report.html go to suite_<name> in the run's
directory. Two such directories are compared clip by clip. Without --workdir, a suite is run on the
released weights.
"""

import json
from pathlib import Path

import jax
from absl import flags

from seedance_jax import sharding
from seedance_jax.evaluation.generation import evaluate_generator
from seedance_jax.evaluation.reconstruction import evaluate_autoencoder
from seedance_jax.evaluation.suite import cases, command, comparison, report
from seedance_jax.pretrained import runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import cluster, run_directory

WORKDIR = flags.DEFINE_string("workdir", None, "Run to evaluate.")
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split to evaluate on.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Clips at a time.", 1)
MAKES = flags.DEFINE_enum(
    "makes", None, ["autoencoder", "generator"], "What the run must make; any by default."
)
TILE = flags.DEFINE_integer(
    "tile", 0, "Autoencoders: decode in tiles of so many latent positions; 0 is whole.", 0
)
DATA_DIR = flags.DEFINE_string("data_dir", "", "Where the run's data set is, if it has moved.")
VAE_RUN = flags.DEFINE_string("vae_run", "", "Run of a generator's autoencoder, if it has moved.")
NUM_PROMPTS = flags.DEFINE_integer(
    "num_prompts",
    None,
    "Generators: clips to generate, the first of split; by default 48, if there are.",
    1,
)
SUITE = flags.DEFINE_enum("suite", None, sorted(cases.SUITES), "Generators: suite to run.")
LIMIT = flags.DEFINE_integer("limit", None, "Of a suite: its first clips only; default: all.", 1)
OUTPUT = flags.DEFINE_string("output", None, "Of a suite or a comparison: directory for results.")
COMPARE = flags.DEFINE_bool("compare", False, "Compare two directories of a suite's results.")

flags.DEFINE_integer("num_inference_steps", None, "Steps of the solver.")
flags.DEFINE_float("guidance_scale", None, "1 is no guidance.")
flags.DEFINE_integer("seed", None, "Of the first clip; the following ones count up.")
SETTINGS = ("num_inference_steps", "guidance_scale", "seed")


def evaluate_vae(workdir):
    """Report and sheet of an autoencoder."""
    return evaluate_autoencoder(
        workdir,
        SPLIT.value,
        batch_size=BATCH_SIZE.value,
        tile=TILE.value,
        data_dir=DATA_DIR.value,
    )


def evaluate_of_split(workdir):
    """Report and sheet of a generator."""
    data = runs.read_data(runs.open_run(workdir, "generator"), DATA_DIR.value)
    pipeline = open_pipeline(workdir)
    return evaluate_generator(
        pipeline, SPLIT.value, NUM_PROMPTS.value, BATCH_SIZE.value, data, **given_settings()
    )


def open_pipeline(workdir):
    """The pipeline of a run, on all devices."""
    mesh = sharding.make_mesh(sequence=-1) if jax.device_count() > 1 else None
    return Pipeline.from_run(workdir, VAE_RUN.value, mesh)


def given_settings():
    """The settings of sampling that were given."""
    given = {name: flags.FLAGS[name].value for name in SETTINGS}
    return {name: value for name, value in given.items() if value is not None}


def run_suite(workdir):
    """Runs --suite and prints what came of it."""
    if not (workdir or OUTPUT.value):
        raise ValueError("--suite without --workdir is of the released weights: give an --output")
    suite = cases.read_suite(SUITE.value)
    cases.first_cases(suite, LIMIT.value)
    folder = Path(OUTPUT.value or Path(workdir) / f"suite_{suite.name}")
    pipeline = open_pipeline(workdir or runs.RELEASED)
    parts = (pipeline, suite.name, folder, LIMIT.value, BATCH_SIZE.value)
    print(report.one_line(command.run(*parts, **given_settings())))
    print(folder / "report.html")


def compare(folders):
    """Compares two directories and prints what came of it."""
    if len(folders) != 2:
        raise ValueError(f"--compare takes two directories of results, got {folders}")
    output = Path(OUTPUT.value or "comparison")
    print(comparison.one_line(command.compare(*folders, output)))
    print(output / "comparison.html")


EVALUATIONS = {"autoencoder": evaluate_vae, "generator": evaluate_of_split}
# The flags that have a use for only one of them.
OWN = {"autoencoder": ("tile",), "generator": ("vae_run", "num_prompts", *SETTINGS)}

# The flags that a mode has no use for.
OF_SPLIT = ("split", "makes", "tile", "data_dir", "num_prompts")
USELESS = {
    "compare": ("workdir", "suite", "limit", "batch_size", "vae_run", *SETTINGS, *OF_SPLIT),
    "suite": OF_SPLIT,
    "": ("limit", "output"),
}


def check_flags(workdir, makes):
    """Raises ValueError if a flag has no use for what the run makes."""
    for other, names in OWN.items():
        for name in names if other != makes else ():
            if flags.FLAGS[name].present:
                given = f"--{name}={flags.FLAGS[name].value}"
                raise ValueError(
                    f"{given} is for a run of {runs.MAKES[other]}; {workdir} makes "
                    f"{runs.MAKES[makes]}"
                )


def check_mode(folders):
    """Raises ValueError for a flag, or words, that the mode has no use for."""
    mode = "compare" if COMPARE.value else "suite" if SUITE.value else ""
    for name in USELESS[mode]:
        if flags.FLAGS[name].present:
            said = f"with --{mode}" if mode else "without --suite or --compare"
            raise ValueError(f"--{name}={flags.FLAGS[name].value} has no use {said}")
    if folders and mode != "compare":
        raise ValueError(f"{' '.join(folders)!r} belongs to no flag; directories are of --compare")
    if not (mode or WORKDIR.value):
        raise ValueError("--workdir is missing: the run to evaluate")


def main(argv):
    check_mode(argv[1:])
    if COMPARE.value:
        return compare(argv[1:])
    workdir = WORKDIR.value
    if SUITE.value:
        return run_suite(workdir)
    asked = (MAKES.value, "--makes") if MAKES.value else (tuple(EVALUATIONS), "--workdir")
    run = runs.open_run(workdir, *asked)
    check_flags(workdir, run.makes)
    found, sheet = EVALUATIONS[run.makes](workdir)
    stem = f"evaluation_{SPLIT.value}" + (f"_tile{TILE.value}" if TILE.value else "")
    if cluster.is_main():
        run_directory.write_json(workdir, f"{stem}.json", found)
        sheet.save(Path(workdir) / f"{stem}.png")
    print(json.dumps(found, indent=2))
