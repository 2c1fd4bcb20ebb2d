"""Generates clips from prompts.

    python -m seedance_jax.sample --workdir=runs/tiny/pretrain \
        --prompt="A red ball rolls to the left on a grey floor. The camera is static."

writes an mp4, a contact sheet and a JSON sidecar per prompt, numbered on from what the directory
holds, and one sheet of all prompts if there are several. `--prompts_file` takes many: one a
line (.txt), or with settings of their own (.csv, .jsonl; columns are named as the flags).
"""

import hashlib
import json

from absl import flags

from seedance_jax import cli
from seedance_jax.sampling import media
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.sampling.prompts import read_prompts
from seedance_jax.training import checkpoint

WORKDIR = flags.DEFINE_string("workdir", None, "Run of the generator.", required=True)
VAE_RUN = flags.DEFINE_string("vae_run", "", "Run of its autoencoder, if it has moved.")
OUTPUT = flags.DEFINE_string("output", "samples", "Directory for the results.")
PROMPTS_FILE = flags.DEFINE_string("prompts_file", None, "Many prompts: .txt, .csv or .jsonl.")
FPS = flags.DEFINE_float("fps", None, "Frames per second of the mp4; default: of the training.")

flags.DEFINE_string("prompt", None, "What the clip shows.")
flags.DEFINE_string("negative_prompt", None, "What to move away from; default: no caption.")
flags.DEFINE_string("image", None, "First frame (any format Pillow reads).")
flags.DEFINE_integer("height", None, "Pixels, a multiple of 16.")
flags.DEFINE_integer("width", None, "Pixels, a multiple of 16.")
flags.DEFINE_integer("num_frames", None, "4n+1; 1 makes an image.")
flags.DEFINE_integer("num_inference_steps", None, "Steps of the solver.")
flags.DEFINE_float("guidance_scale", None, "1 is no guidance.")
flags.DEFINE_integer("seed", None, "Of the first clip; the following ones count up.")
flags.DEFINE_string("solver", None, "euler or heun.")
SETTINGS = (
    "negative_prompt image height width num_frames num_inference_steps guidance_scale seed solver"
).split()


def main(argv):
    del argv
    if FPS.value is not None and not 0 < FPS.value <= 240:
        raise ValueError(f"fps={FPS.value}: must be above 0 and at most 240")
    requests = read_requests()
    output = media.check_writable(OUTPUT.value)
    pipeline = Pipeline.from_run(WORKDIR.value, VAE_RUN.value)
    fps = FPS.value or pipeline.metadata["fps"]
    requests = [load_image(request, pipeline) for request in requests]
    for request, image, _ in requests:  # a mistake in the last row must not cost the others
        pipeline.prepare(image=image, **request)
    origin = describe_run(WORKDIR.value)
    rows, first = [], media.next_number(output)
    for number, (request, image, notes) in enumerate(requests, first):
        result = pipeline(image=image, **request)
        settings = {**result.settings[0], **notes, **origin}
        path = media.write_clip(output / f"{number:04d}", result.frames[0], fps, settings)
        print(path)
        rows.append((request["prompt"], result.frames[0]))
    if len(rows) > 1:
        sheet = output / f"sheet_{first:04d}-{number:04d}.png"
        media.contact_sheet(rows).save(sheet)
        print(sheet)


def read_requests():
    """One dict of pipeline arguments per clip, from the flags and the prompts file."""
    given = {name: flags.FLAGS[name].value for name in SETTINGS}
    shared = {name: value for name, value in given.items() if value is not None}
    prompt, path = flags.FLAGS.prompt, PROMPTS_FILE.value
    if (prompt is None) == (path is None):
        raise ValueError("give either --prompt or --prompts_file")
    rows = [{"prompt": prompt}] if path is None else read_prompts(path)
    first_seed = shared.pop("seed", 0)
    return [{"seed": first_seed + i, **shared, **row} for i, row in enumerate(rows)]


def load_image(request, pipeline):
    """Takes the image path out of a request: (request, image or None, notes for the sidecar)."""
    request = dict(request)
    path = request.pop("image", None)
    if path is None:
        return request, None, {}
    _, height, width = pipeline.size(request)
    image, changes = media.read_image(path, height, width)
    for change in changes:
        print(f"{path}: {change}")
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]
    return request, image, {"image": path, "image_sha256": digest, "image_changes": changes}


def describe_run(workdir):
    """What identifies the weights: run, step and hash of the config."""
    config = checkpoint.read_json(workdir, "config.json")
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "workdir": workdir,
        "checkpoint_step": checkpoint.latest_step(workdir),
        "config_hash": digest,
    }


if __name__ == "__main__":
    cli.run(main)
