"""Turns a finished generator into a release: small, whole, judged, with a model card.

    python -m seedance_jax release --workdir=runs/released/pretrain --output=released

A release is a directory with the weights of the generator and its autoencoder in bfloat16 (see
`training/release.py`). Everything that takes a run takes it: `sample`, `evaluate`, `merge`, and
training as `init_from`, its autoencoder as `vae_run`. The judges see the weights as released: on
the test suite of its clips or, where there is none and with --num_prompts, on --split. They need
the data that `build_data` made for the runs, and know the synthetic world only: a generator of
other clips is released without their verdict. The directory is there when it is complete.
"""

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.evaluation import releases
from seedance_jax.evaluation.suite import log
from seedance_jax.pretrained import card, runs
from seedance_jax.training import places

WORKDIR = cli.define_path("workdir", None, "Run of the generator.", required=True)
OUTPUT = cli.define_path("output", None, "New directory.", required=True, buckets=True)
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split for the judges.")
NUM_PROMPTS = flags.DEFINE_integer(
    "num_prompts", None, "As of evaluate; by default 48, if there are.", 1
)
DATA_DIR = cli.define_path("data_dir", "", "Where the runs' data set is, if it has moved.")
LOG = cli.define_path("log", "", "File that keeps what came of a test suite.")


def main(argv: list[str]) -> None:
    del argv
    output = places.absolute(OUTPUT.value)
    run = runs.open_run(WORKDIR.value, "generator")
    given = [flag.name for flag in (SPLIT, NUM_PROMPTS, DATA_DIR, LOG) if flag.present]
    if given and not card.of_world(run.config):
        raise ValueError(f"--{given[0]} is for the judges, who know the synthetic world only")
    by_split = SPLIT.present or NUM_PROMPTS.present
    kept = log.try_place(places.place(LOG.value)) if LOG.value else None
    judging = releases.Judging(SPLIT.value, bool(by_split), NUM_PROMPTS.value, DATA_DIR.value, kept)
    output = releases.make_release(run, output, judging)
    print(f"{output}: {places.total_bytes(output) / 1e6:.1f} MB")
