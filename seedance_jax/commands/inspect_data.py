"""Shows what a config trains on, from the loader that training uses.

    python -m seedance_jax inspect_data --config=configs/vae.py:tiny --output=sheet.png

writes a sheet of examples and, beside it, a report (JSON), which it also prints. If the config has
tasks, green bars mark the frames that a draw of them gives to the model.
"""

import functools
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from seedance_jax.commands import cli
from seedance_jax.data import inspection
from seedance_jax.data.builders import storage
from seedance_jax.pretrained import generators
from seedance_jax.stages import generator_inputs

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config whose data to show.")
OUTPUT = cli.define_path("output", "sheet.png", "The sheet; the report goes beside it.")
NUM_BATCHES = flags.DEFINE_integer("num_batches", 8, "Batches to draw from the loader.", 1)
SPLIT = flags.DEFINE_string("split", "train", "The split to show.")


def main(argv: list[str]) -> None:
    del argv
    config, output = CONFIG.value, Path(OUTPUT.value)
    tokenizer = generators.open_tokenizer(config.text.to_dict()) if "text" in config else None
    draw = functools.partial(generator_inputs.example_mask, config) if "tasks" in config else None
    sheet, report = inspection.inspect(
        config.data.to_dict(), SPLIT.value, NUM_BATCHES.value, config.seed, tokenizer, draw
    )
    sheet.save(output)
    storage.write_json(output.with_suffix(".json"), report)
    print(inspection.format_reports(report))
    print(f"written: {output}, {output.with_suffix('.json')}")
