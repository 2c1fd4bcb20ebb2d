"""Shows what a config trains on, from the loader that training uses.

    python -m seedance_jax inspect_data --config=configs/vae.py:tiny --output=sheet.png

writes a sheet of examples and, beside it, a report (JSON), which it also prints. If the config has
tasks, green bars mark the frames that a draw of them gives to the model.
"""

import pathlib

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from seedance_jax.data import inspection, loader, sources, tokenizer, transforms
from seedance_jax.data.builders import storage
from seedance_jax.diffusion.tasks import sample_conditions
from seedance_jax.pretrained import runs

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config whose data to show.")
OUTPUT = flags.DEFINE_string("output", "sheet.png", "The sheet; the report goes beside it.")
NUM_BATCHES = flags.DEFINE_integer("num_batches", 8, "Batches to draw from the loader.", 1)
SPLIT = flags.DEFINE_string("split", "train", "The split to show.")


def draw_mask(batch, key, task_weights, dropout):
    """Which latent frames are given, [B,n+1], as a training step would draw them."""
    latent_frames = transforms.latent_shape(*batch["video"].shape[1:4])[0]
    given, _ = sample_conditions(key, len(batch["video"]), latent_frames, task_weights, dropout)
    return np.asarray(given)


def main(argv: list[str]) -> None:
    del argv
    config = CONFIG.value
    data = config.data.to_dict()
    directory = sources.locate(data)
    source = storage.open_split(directory, SPLIT.value)
    buckets = sources.make_buckets(data["buckets"])
    encoder = runs.open_tokenizer(config.text.to_dict()) if "text" in config else tokenizer.BYTES
    tokens = loader.count_tokens(source, encoder)
    text_length = data["text_length"] if "text" in config else int(tokens.max())
    text = {"text_length": text_length, "tokenizer": encoder}
    dataset = loader.make_dataset(source, buckets, seed=config.seed, **text)
    batches = [dataset[step] for step in range(NUM_BATCHES.value)]
    if "tasks" in config:
        key = jax.random.key(config.seed)
        tasks = (config.tasks, config.condition_dropout)
        masks = [
            draw_mask(batch, jax.random.fold_in(key, step), *tasks)
            for step, batch in enumerate(batches)
        ]
        batches = [batch | {"given_mask": mask} for batch, mask in zip(batches, masks, strict=True)]
    ids = {int(row): source[int(row)]["id"] for batch in batches for row in batch["index"][:2]}
    output = pathlib.Path(OUTPUT.value)
    inspection.draw_sheet(inspection.pick_examples(batches, ids, encoder)).save(output)
    report = inspection.make_report(
        source.table, buckets, tokens, text_length, storage.read_report(directory)
    )
    storage.write_json(output.with_suffix(".json"), report)
    print(inspection.format_report(report))
    print(f"written: {output}, {output.with_suffix('.json')}")
