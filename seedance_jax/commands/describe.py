"""Shows what a config's model is and costs, without making it.

    python -m seedance_jax describe --config=configs/pretrain.py:7b
    python -m seedance_jax describe --config=configs/pretrain.py:7b --size=480p --seconds=12
    python -m seedance_jax describe --config=configs/pretrain.py:7b --devices=256 --check
    python -m seedance_jax describe --lineage=runs/tiny/sft

The clip is the config's first bucket unless --size and --seconds say otherwise. Fields of the
config can be set as in training: --config.model.attention=full, --config.mesh.sequence=8.

--lineage draws the tree of the runs that a run was made from, with what judges said of each.
"""

from collections.abc import Iterator

from absl import flags
from ml_collections import config_flags

from seedance_jax.commands import cli
from seedance_jax.performance import description
from seedance_jax.pretrained import lineage, runs
from seedance_jax.sampling import sizes

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config to describe.")
SIZE = flags.DEFINE_enum("size", None, list(sizes.SIZES), "Named size, 16:9.")
SECONDS = flags.DEFINE_float("seconds", 5, "Of the clip, with --size.", 0)
DEVICES = flags.DEFINE_integer("devices", 1, "How many the config's mesh is laid over.", 1)
LINEAGE = cli.define_path("lineage", "", "Run whose parents are drawn.")
CHECK = flags.DEFINE_bool("check", False, "Generators: count a trace of the program, too.")


def main(argv: list[str]) -> None:
    del argv
    if bool(LINEAGE.value) == (CONFIG.value is not None):
        raise ValueError("describe takes --config=CONFIG, or --lineage=RUN")
    if LINEAGE.value:
        runs.open_run(LINEAGE.value, flag="--lineage")
        lines = lineage.draw(LINEAGE.value)
    else:
        lines = of_config()
    for line in lines:
        print(line, flush=True)


def of_config() -> Iterator[str]:
    """Lines on --config."""
    config = CONFIG.value.to_dict()
    cli.needs({"--size": ("seconds",)})
    clip = sizes.clip_of(config["data"], SIZE.value, SECONDS.value)
    return description.describe(config, clip, DEVICES.value, CHECK.value)
