"""Measures a finished run on clips it has not seen.

    python -m seedance_jax.evaluate --workdir=runs/vae
    python -m seedance_jax.evaluate --workdir=runs/pretrain --split=validation

The stage is that of the run. An autoencoder is measured by how it reconstructs the split, next to
PCA; a generator by whether its clips show the colour of the caption and move, with a sheet of the
clips. All goes to evaluation_<split>.json and .png in the run's directory.
"""

import json
from pathlib import Path

from absl import flags

from seedance_jax import cli
from seedance_jax.evaluation.generation import evaluate_generator
from seedance_jax.evaluation.reconstruction import evaluate_autoencoder
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import checkpoint

WORKDIR = flags.DEFINE_string("workdir", None, "Run to evaluate.", required=True)
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split to evaluate on.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Clips at a time.", 1)
VAE_RUN = flags.DEFINE_string("vae_run", "", "Run of a generator's autoencoder, if it has moved.")
NUM_PROMPTS = flags.DEFINE_integer("num_prompts", 48, "Clips to generate, the first of split.", 1)

flags.DEFINE_integer("num_inference_steps", None, "Steps of the solver.")
flags.DEFINE_float("guidance_scale", None, "1 is no guidance.")
flags.DEFINE_integer("seed", None, "Of the first clip; the following ones count up.")
SETTINGS = ("num_inference_steps", "guidance_scale", "seed")


def evaluate_vae(workdir):
    """Writes evaluation_<split>.json and returns it."""
    report = evaluate_autoencoder(workdir, SPLIT.value, batch_size=BATCH_SIZE.value)
    checkpoint.write_json(workdir, f"evaluation_{SPLIT.value}.json", report)
    return report


def evaluate_flow_matching(workdir):
    """Writes evaluation_<split>.json and .png and returns the former."""
    pipeline = Pipeline.from_run(workdir, VAE_RUN.value)
    given = {name: flags.FLAGS[name].value for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    report, sheet = evaluate_generator(
        pipeline, SPLIT.value, NUM_PROMPTS.value, BATCH_SIZE.value, **given
    )
    stem = f"evaluation_{SPLIT.value}"
    checkpoint.write_json(workdir, f"{stem}.json", report)
    sheet.save(Path(workdir) / f"{stem}.png")
    return report


EVALUATIONS = {"vae": evaluate_vae, "flow_matching": evaluate_flow_matching}


def main(argv):
    del argv
    workdir = WORKDIR.value
    stage = checkpoint.read_json(workdir, "config.json")["stage"]
    if stage not in EVALUATIONS:
        raise ValueError(f"{workdir}: stage {stage!r} is not one of {sorted(EVALUATIONS)}")
    print(json.dumps(EVALUATIONS[stage](workdir), indent=2))


if __name__ == "__main__":
    cli.run(main)
