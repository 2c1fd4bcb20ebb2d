"""Adds adapters to the weights they were trained on: an ordinary run of the generator.

python -m seedance_jax merge --workdir=runs/pretrain --lora=runs/lora --output=runs/merged
"""

from pathlib import Path

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.pretrained import adapters, runs

WORKDIR = cli.define_path("workdir", None, "Run of the generator.", required=True)
LORA = cli.define_path("lora", None, "Run of the adapters.", required=True)
LORA_SCALE = flags.DEFINE_float("lora_scale", 1.0, "How much of them; 1 is as trained.")
OUTPUT = cli.define_path("output", None, "New run.", required=True)


def main(argv: list[str]) -> None:
    del argv
    run = runs.open_run(WORKDIR.value, "generator")
    added = runs.open_run(LORA.value, "adapters", "--lora")
    adapters.merge_lora(run, added, LORA_SCALE.value, Path(OUTPUT.value))
    print(OUTPUT.value)
