"""Measures a finished run on clips it has not seen.

    python -m seedance_jax.evaluate --workdir=runs/vae
    python -m seedance_jax.evaluate --workdir=runs/pretrain --split=validation

The stage is that of the run. An autoencoder is measured by how it reconstructs the split, next to
trivial codes of its size; a generator by whether its clips show what the caption tells: colour,
shape and direction of the object, the camera's move, cuts; and by how given frames come back.
Report and sheet go to evaluation_<split>.json and .png in the run's directory.
"""

import json
from pathlib import Path

import jax
from absl import flags

from seedance_jax import cli, sharding
from seedance_jax.evaluation.generation import evaluate_generator
from seedance_jax.evaluation.reconstruction import evaluate_autoencoder
from seedance_jax.sampling import runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import checkpoint, cluster

WORKDIR = flags.DEFINE_string("workdir", None, "Run to evaluate.", required=True)
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split to evaluate on.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Clips at a time.", 1)
KIND = flags.DEFINE_string("kind", "", "Stage that the run must be of; any by default.")
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


def evaluate_flow_matching(workdir):
    """Report and sheet of a generator."""
    data = runs.read_data(workdir, "flow_matching", DATA_DIR.value)
    mesh = sharding.make_mesh(sequence=-1) if jax.device_count() > 1 else None
    pipeline = Pipeline.from_run(workdir, VAE_RUN.value, mesh)
    given = {name: flags.FLAGS[name].value for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    return evaluate_generator(
        pipeline, SPLIT.value, NUM_PROMPTS.value, BATCH_SIZE.value, data, **given
    )


EVALUATIONS = {"vae": evaluate_vae, "flow_matching": evaluate_flow_matching}
# The flags that only one stage has a use for.
OWN = {"vae": ("tile",), "flow_matching": ("vae_run", "num_prompts", *SETTINGS)}


def check_flags(workdir, stage):
    """Raises ValueError if a flag of another stage than the run's is given."""
    for other, names in OWN.items():
        for name in names if other != stage else ():
            if flags.FLAGS[name].present:
                given = f"--{name}={flags.FLAGS[name].value}"
                raise ValueError(f"{given} is for runs of {other}; {workdir} is one of {stage}")


def main(argv):
    del argv
    workdir = WORKDIR.value
    stage = checkpoint.read_json(workdir, "config.json")["stage"]
    if stage not in EVALUATIONS:
        raise ValueError(f"{workdir}: stage {stage!r} is not one of {sorted(EVALUATIONS)}")
    if KIND.value and KIND.value != stage:
        raise ValueError(f"{workdir} is a run of stage {stage!r}, not --kind={KIND.value}")
    check_flags(workdir, stage)
    report, sheet = EVALUATIONS[stage](workdir)
    stem = f"evaluation_{SPLIT.value}" + (f"_tile{TILE.value}" if TILE.value else "")
    if cluster.is_main():
        checkpoint.write_json(workdir, f"{stem}.json", report)
        sheet.save(Path(workdir) / f"{stem}.png")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    cli.run(main, many=True)
