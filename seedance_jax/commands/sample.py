"""Generates clips from prompts, and from images and clips if any.

    python -m seedance_jax sample --prompt="a red ball rolls to the left"
    python -m seedance_jax sample --workdir=runs/tiny/pretrain --prompts_file=launch/prompts.txt

by the weights that come with the package, or by a run of your own. It writes an mp4, a contact
sheet and a JSON sidecar per clip, numbered on from what the directory holds, and one sheet of all
clips if there are several. `--prompts_file` takes many: one a line (.txt), or with settings of
their own (.csv, .jsonl; columns are named as the flags, paths are relative to the file).

    --image=first.png --last_image=last.png          first and last frame; the same one makes a loop
    --video=clip.mp4 --num_frames=33                 extend a clip (also --extend=backward)
    --frames='{"0": "a.png", "8": "b.png"}'          images, or clips, at any frames
    --prompt="Shot 1 (1s): ... Shot 2 (0.5s): ..."   several shots
    --size=480p --ratio=9:16                         a named size
    --rewriter=world                                 a short prompt becomes a caption of the world
    --warmup                                         compile, and keep the programs, but no clip
"""

from collections.abc import Mapping
from typing import Any

import jax
from absl import flags

from seedance_jax import sharding
from seedance_jax.commands import cli
from seedance_jax.data import sources
from seedance_jax.data.world.spec import read_spec
from seedance_jax.pretrained import runs
from seedance_jax.sampling import files, rewriting
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.sampling.preparation import prepare_all
from seedance_jax.sampling.prompt_files import COLUMNS, read_requests
from seedance_jax.training import places

WORKDIR = cli.define_path("workdir", None, "Run of the generator; default: released weights.")
MESH = flags.DEFINE_list(
    "mesh", None, "axis=size,...: how several devices share the work; sequence=-1 by default, and "
    "fsdp=-1 spreads the params, too."
)  # fmt: skip
VAE_RUN = cli.define_path("vae_run", "", "Run of its autoencoder, if it has moved.")
LORA = cli.define_path("lora", "", "Run of adapters to add (configs/lora.py).")
LORA_SCALE = flags.DEFINE_float("lora_scale", 1.0, "How much of them; 1 is as trained.")
OUTPUT = cli.define_path("output", "samples", "Directory for the results.", buckets=True)
PROMPTS_FILE = cli.define_path("prompts_file", None, "Many prompts: .txt, .csv or .jsonl.")
WARMUP = flags.DEFINE_bool("warmup", False, "Compile what the requests need, then stop.")
OUTPUT_TYPE = flags.DEFINE_enum("output_type", "mp4", ["mp4", "np", "latent"], "What to write.")
REWRITER = flags.DEFINE_enum(
    "rewriter",
    None,
    list(rewriting.REWRITERS),
    "Of prompts; default: world for models of the synthetic world, none for others.",
)
REWRITER_MODEL = cli.define_path("rewriter_model", "", "Directory of a chat model, for lm.")
REWRITER_TOP_P = flags.DEFINE_float("rewriter_top_p", 0.0, "Of lm; 0 takes the likeliest token.")

flags.DEFINE_string("prompt", None, "What the clip shows.")
flags.DEFINE_string("negative_prompt", None, "What to move away from; default: no caption.")
cli.define_path("image", None, "First frame (any format Pillow reads).")
cli.define_path("last_image", None, "Last frame; the same as --image makes a loop.")
cli.define_path("video", None, "Clip to extend; --num_frames counts its frames too.")
flags.DEFINE_string("extend", None, "Where new frames go: forward or backward; default: forward.")
flags.DEFINE_string("frames", None, "JSON {frame number: image or clip that begins there}.")
flags.DEFINE_string("size", None, "480p, 720p or 1080p, in the place of height and width.")
flags.DEFINE_string("ratio", None, "Of --size: 16:9 (default), 4:3, 1:1, 3:4, 9:16 or 21:9.")
flags.DEFINE_integer("height", None, "Pixels, a multiple of 16.")
flags.DEFINE_integer("width", None, "Pixels, a multiple of 16.")
flags.DEFINE_integer("num_frames", None, "4n+1; 1 makes an image.")
flags.DEFINE_float(
    "fps", None, "Frames per second, of a model that knows rates; default: of the training."
)
flags.DEFINE_float("gravity", None, "m/s^2, of a model that knows it; default: not told.")
flags.DEFINE_integer("num_inference_steps", None, "Steps of the solver.")
flags.DEFINE_float("guidance_scale", None, "By the text; 1 is no guidance.")
flags.DEFINE_float("image_guidance_scale", None, "By the given frames; 1 is no guidance.")
flags.DEFINE_float("guidance_rescale", None, "0 to 1: how far guidance may not raise contrast.")
flags.DEFINE_string("guidance_interval", None, "low,high: times (1 is noise) to guide at.")
flags.DEFINE_integer("seed", None, "Of the first clip; the following ones count up.")
flags.DEFINE_string("solver", None, "euler, heun or multistep.")
flags.DEFINE_integer("num_videos_per_prompt", None, "Clips per prompt, with seeds counting up.")


def main(argv: list[str]) -> None:
    del argv
    cli.needs({"--lora": ("lora_scale",), "--rewriter=lm": ("rewriter_model", "rewriter_top_p")})
    shared = {name: flags.FLAGS[name].value for name in COLUMNS if name != "prompt"}
    shared = {name: value for name, value in shared.items() if value is not None}
    rows = read_requests(flags.FLAGS.prompt, PROMPTS_FILE.value, shared)
    output = places.check_writable(OUTPUT.value)
    run = runs.open_run(WORKDIR.value or runs.RELEASED, "generator")
    lora = (LORA.value, LORA_SCALE.value)
    if not WORKDIR.value:
        print(f"no --workdir: sampling with the released tiny weights, {run.path}")
    pipeline = Pipeline.from_run(run, VAE_RUN.value, make_mesh(), *lora)
    prepared = []
    for one in prepare_all(pipeline, rows, REWRITER.value, **rewriter_settings(pipeline.config)):
        for line in one.messages:
            print(line)
        prepared.append(one)  # a mistake in the last must not cost the others
    if WARMUP.value:
        for one in prepared:
            pipeline.warm_up(one.plan)
        print("compiled")
        return
    origin = files.describe_run(run, *lora)
    for path in files.write_clips(pipeline, prepared, output, origin, OUTPUT_TYPE.value):
        print(path)


def make_mesh() -> jax.sharding.Mesh | None:
    """The mesh of --mesh; without, that of all devices, or None for one."""
    if MESH.value:
        return sharding.make_mesh(**sharding.read_mesh(MESH.value))
    return sharding.spread("sequence") if jax.device_count() > 1 else None


def rewriter_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of rewriters, as `rewriting.make_rewriter` takes them."""
    data = config["data"]
    world = (sources.worlds_of(data) or [data["world"]])[0]
    return {
        "slice_name": f"{read_spec(world).version}/{world['slice']}",
        "directory": REWRITER_MODEL.value,
        "top_p": REWRITER_TOP_P.value,
        "seed": flags.FLAGS.seed or 0,
    }
