"""Builds the data sets that a config names (a finished one is left as it is).

python -m seedance_jax build_data --config=configs/vae.py:tiny
"""

from ml_collections import config_flags

from seedance_jax.data import inspection, sources
from seedance_jax.data.builders import storage

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config whose data to build.")


def main(argv: list[str]) -> None:
    del argv
    data = CONFIG.value.data.to_dict()
    for directory in sources.build(data):
        report = storage.read_report(directory)
        print(f"{directory}: {report['rows']} rows, {len(report['lost'])} files lost")
        for line in inspection.format_built(report, sources.make_buckets(data["buckets"])):
            print(line)
