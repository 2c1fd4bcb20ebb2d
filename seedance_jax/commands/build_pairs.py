"""Builds the scenes of the world that rewards are trained on (finished ones are left as they are).

    python -m seedance_jax build_pairs --config=configs/vae.py:tiny

They have the form and the splits of `data.world`, unless `preferences.scenes` of the config says
otherwise: a true clip of each, clips of it at graded severities of corruptions, and wrong captions.
"""

from ml_collections import config_flags

from seedance_jax.data.builders import storage
from seedance_jax.data.preferences import graded_pairs, mixtures

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config whose pairs to build.")


def main(argv: list[str]) -> None:
    del argv
    config = CONFIG.value.to_dict()
    directory = mixtures.build(config["data"], config.get("preferences", {}))
    report = storage.read_report(directory)
    print(f"{directory}: {report['rows']} clips, {report['left_out']} scenes left out")
    for split in report["rows"]:
        for line in graded_pairs.describe(graded_pairs.open_scenes(directory, split)):
            print(f"{split}: {line}")
