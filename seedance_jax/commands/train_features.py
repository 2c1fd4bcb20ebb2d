"""Trains the features of `fvd_world` and `kvd_world` on rendered clips, in 2.4 minutes of one core.

    python -m seedance_jax train_features --output=features.safetensors

Needs the extra [world]. The weights that come with the package were made so; those of a file of
one's own are used by `python -m seedance_jax measure --features=features.safetensors`.
"""

from pathlib import Path

import numpy as np
from absl import flags

from seedance_jax.commands import cli
from seedance_jax.evaluation.metrics import features, world_training
from seedance_jax.training import places

OUTPUT = cli.define_path("output", None, "File to write (.safetensors).", required=True)
NUM_CLIPS = flags.DEFINE_integer("num_clips", 800, "Clips to render and train on.", 32)
NUM_STEPS = flags.DEFINE_integer("num_steps", 240, "Steps of 32 clips.", 20)
SEED = flags.DEFINE_integer("seed", 0, "Of the weights and the order of clips.", 0)


def main(argv: list[str]) -> None:
    del argv
    if not OUTPUT.value.endswith(".safetensors"):
        raise ValueError(f"--output={OUTPUT.value}: must end with .safetensors")
    places.check_writable(Path(OUTPUT.value).parent)
    weights, losses = world_training.train(NUM_CLIPS.value, NUM_STEPS.value, SEED.value)
    features.save_world(weights, OUTPUT.value)
    last = np.mean(losses[-20:])
    print(f"loss {np.mean(losses[:5]):.2f} -> {last:.2f} of the last steps; {OUTPUT.value}")
