"""Turns a finished generator into a release: small, whole, judged, with a model card.

    python -m seedance_jax release --workdir=runs/released/pretrain --output=released

A release is a directory with the weights of the generator and its autoencoder in bfloat16 (see
`training/release.py`). Everything that takes a run takes it: `sample`, `evaluate`, `merge`, and
training as `init_from`, its autoencoder as `vae_run`. The judges see the weights as released; they
need the data that `build_data` made for the runs. They know the synthetic world only: a generator
of other clips is released without their verdict. The directory is there when it is complete.
"""

import tempfile
from pathlib import Path

from absl import flags

from seedance_jax.data import sources
from seedance_jax.evaluation import card
from seedance_jax.evaluation.generation import evaluate_generator
from seedance_jax.evaluation.reconstruction import evaluate_autoencoder
from seedance_jax.pretrained import exchange, runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import run_directory

WORKDIR = flags.DEFINE_string("workdir", None, "Run of the generator.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "New directory.", required=True)
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split for the judges.")
NUM_PROMPTS = flags.DEFINE_integer(
    "num_prompts", None, "Clips for the judges to generate; by default 48, if there are.", 1
)
DATA_DIR = flags.DEFINE_string("data_dir", "", "Where the runs' data set is, if it has moved.")


def main(argv):
    del argv
    output = Path(OUTPUT.value).resolve()
    run = runs.open_run(WORKDIR.value, "generator")
    vae_run, judged = exchange.check_release(run, output), card.of_world(run.config)
    check_judges(run, vae_run, judged)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}_", dir=output.parent) as directory:
        draft = Path(directory) / output.name
        exchange.release_run(run, draft)
        report = judge(draft, output.with_name(f"{output.name}_sheet.png")) if judged else None
        (draft / "README.md").write_text(card.write_card(draft, report, card.current_commit()))
        draft.rename(output)
    megabytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file()) / 1e6
    print(f"{output}: {megabytes:.1f} MB")


def check_judges(run, vae_run, judged):
    """Raises ValueError if judging misses data, or, where there is none, is asked for."""
    if judged:
        data = runs.read_data(run, DATA_DIR.value)
        vae_data = runs.read_data(vae_run, DATA_DIR.value)
        for part, split in ((data, SPLIT.value), (vae_data, SPLIT.value), (vae_data, "train")):
            sources.open_split(part, split)
    elif given := [flag.name for flag in (SPLIT, NUM_PROMPTS, DATA_DIR) if flag.present]:
        raise ValueError(f"--{given[0]} is for the judges, who know the synthetic world only")


def judge(release, sheet_path):
    """The judges' report of a release, which gets it as evaluation.json; saves their sheet."""
    data = runs.read_data(runs.open_run(release, "generator"), DATA_DIR.value)
    report, sheet = evaluate_generator(
        Pipeline.from_run(release), SPLIT.value, NUM_PROMPTS.value, data=data
    )
    report["autoencoder"], _ = evaluate_autoencoder(
        release / "autoencoder", SPLIT.value, data_dir=DATA_DIR.value
    )
    run_directory.write_json(release, "evaluation.json", report)
    sheet.save(sheet_path)
    return report
