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

import contextlib
import functools
import hashlib
import json
from pathlib import Path

import jax
from absl import flags

from seedance_jax import sharding
from seedance_jax.commands import cli
from seedance_jax.pretrained import runs
from seedance_jax.sampling import given, media, rewriting
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.sampling.prompt_files import COLUMNS, PATHS, parse_frames, read_prompts
from seedance_jax.sampling.requests import SIZE, size_note
from seedance_jax.training import cluster, run_directory

WORKDIR = flags.DEFINE_string("workdir", None, "Run of the generator; default: released weights.")
MESH = flags.DEFINE_list(
    "mesh", None, "axis=size,...: how several devices share the work; sequence=-1 by default, and "
    "fsdp=-1 spreads the weights, too."
)  # fmt: skip
VAE_RUN = flags.DEFINE_string("vae_run", "", "Run of its autoencoder, if it has moved.")
LORA = flags.DEFINE_string("lora", "", "Run of adapters to add (configs/lora.py).")
LORA_SCALE = flags.DEFINE_float("lora_scale", 1.0, "How much of them; 1 is as trained.")
OUTPUT = flags.DEFINE_string("output", "samples", "Directory for the results.")
PROMPTS_FILE = flags.DEFINE_string("prompts_file", None, "Many prompts: .txt, .csv or .jsonl.")
FPS = flags.DEFINE_float("fps", None, "Frames per second of the mp4; default: of the training.")
WARMUP = flags.DEFINE_bool("warmup", False, "Compile what the requests need, then stop.")
OUTPUT_TYPE = flags.DEFINE_enum("output_type", "mp4", ["mp4", "np", "latent"], "What to write.")
REWRITER = flags.DEFINE_enum(
    "rewriter",
    None,
    list(rewriting.REWRITERS),
    "Of prompts; default: world for models of the synthetic world, none for others.",
)
REWRITER_MODEL = flags.DEFINE_string("rewriter_model", "", "Directory of a chat model, for lm.")
REWRITER_TOP_P = flags.DEFINE_float("rewriter_top_p", 0.0, "Of lm; 0 takes the likeliest word.")

flags.DEFINE_string("prompt", None, "What the clip shows.")
flags.DEFINE_string("negative_prompt", None, "What to move away from; default: no caption.")
flags.DEFINE_string("image", None, "First frame (any format Pillow reads).")
flags.DEFINE_string("last_image", None, "Last frame; the same as --image makes a loop.")
flags.DEFINE_string("video", None, "Clip to extend; --num_frames counts its frames too.")
flags.DEFINE_string("extend", None, "Where new frames go: forward or backward; default: forward.")
flags.DEFINE_string("frames", None, "JSON {frame number: image or clip that begins there}.")
flags.DEFINE_string("size", None, "480p, 720p or 1080p, in the place of height and width.")
flags.DEFINE_string("ratio", None, "Of --size: 16:9 (default), 4:3, 1:1, 3:4, 9:16 or 21:9.")
flags.DEFINE_integer("height", None, "Pixels, a multiple of 16.")
flags.DEFINE_integer("width", None, "Pixels, a multiple of 16.")
flags.DEFINE_integer("num_frames", None, "4n+1; 1 makes an image.")
flags.DEFINE_integer("num_inference_steps", None, "Steps of the solver.")
flags.DEFINE_float("guidance_scale", None, "By the text; 1 is no guidance.")
flags.DEFINE_float("image_guidance_scale", None, "By the given frames; 1 is no guidance.")
flags.DEFINE_float("guidance_rescale", None, "0 to 1: how far guidance may not raise contrast.")
flags.DEFINE_string("guidance_interval", None, "low,high: times (1 is noise) to guide at.")
flags.DEFINE_integer("seed", None, "Of the first clip; the following ones count up.")
flags.DEFINE_string("solver", None, "euler, heun or multistep.")
flags.DEFINE_integer("num_videos_per_prompt", None, "Clips per prompt, with seeds counting up.")

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif")


def main(argv):
    del argv
    if FPS.value is not None and not 0 < FPS.value <= 240:
        raise ValueError(f"fps={FPS.value}: must be above 0 and at most 240")
    check_flags()
    requests = read_requests()
    output = media.check_writable(OUTPUT.value)
    sizes = sharding.read_mesh(MESH.value) if MESH.value else {"sequence": -1}
    mesh = sharding.make_mesh(**sizes) if MESH.value or jax.device_count() > 1 else None
    lora = {"lora": LORA.value, "lora_scale": LORA_SCALE.value}
    workdir = WORKDIR.value or str(runs.RELEASED)
    if not WORKDIR.value:
        print(f"no --workdir: sampling with the released tiny weights, {workdir}")
    pipeline = Pipeline.from_run(workdir, VAE_RUN.value, mesh, **lora)
    rewriter, prepared = functools.cache(functools.partial(open_rewriter, pipeline)), []
    tell_size = functools.cache(functools.partial(print_size_note, pipeline.metadata))
    for where, request in requests:  # a mistake in the last must not cost the others
        with named(where):
            name = REWRITER.value or rewriting.choose(pipeline.config, request["prompt"])
            request, said = rewrite_prompt(request, name, rewriter(name))
            request, notes = load_given(request, pipeline)
            plan = pipeline.prepare(**request)
            check_used(request, plan)
        tell_size(*(plan.settings[0][name] for name in SIZE))
        for number, shot in enumerate(plan.settings[0].get("shots", ()), 1):
            print(f"shot {number}: {shot['num_frames']} frames: {shot['prompt']}")
        prepared.append((request, said | notes))
    if WARMUP.value:
        for request, _ in prepared:
            pipeline.warm_up(**request)
        print("compiled")
        return
    write_clips(pipeline, prepared, output, describe_run(workdir))


def write_clips(pipeline, prepared, output, origin):
    """Generates and writes clip after clip; prints the files. `origin` is of `describe_run`."""
    fps = FPS.value or pipeline.metadata["fps"]
    if LORA.value:
        origin |= {"lora": LORA.value, "lora_scale": LORA_SCALE.value}
    rows, first = [], media.next_number(output)
    movie, main_process = OUTPUT_TYPE.value == "mp4", cluster.is_main()
    write = media.write_clip if movie else media.write_array
    for request, notes in prepared:
        result = pipeline(**request, output_type="np" if movie else OUTPUT_TYPE.value)
        for frames, settings in zip(result.frames, result.settings, strict=True):
            settings = {**settings, **notes, **origin}
            if main_process:
                print(write(output / f"{first + len(rows):04d}", frames, fps, settings))
            rows.append((settings["prompt"], frames))
    if len(rows) > 1 and movie and main_process:
        sheet = output / f"sheet_{first:04d}-{first + len(rows) - 1:04d}.png"
        media.contact_sheet(rows).save(sheet)
        print(sheet)


def check_flags():
    """Raises ValueError for a flag that would do nothing without another one."""
    runs.check_scale(LORA_SCALE.value)
    cli.needs({"--lora": ("lora_scale",), "--rewriter=lm": ("rewriter_model", "rewriter_top_p")})


def check_used(request, plan):
    """Raises ValueError for settings of guidance where nothing guides; defaults are no matter."""
    if plan.weights != {"positive": 1.0}:
        return
    usual = {"negative_prompt": "", "guidance_rescale": 0.0, "guidance_interval": (0.0, 1.0)}
    for name, value in usual.items():
        if request.get(name, value) != value:
            scale = plan.settings[0]["guidance_scale"]
            raise ValueError(
                f"{name}={request[name]!r} does nothing at guidance_scale={scale:g}, which is no "
                "guidance"
            )


def read_requests():
    """(where it stands, pipeline arguments) of every request of the flags or the prompts file."""
    values = {name: flags.FLAGS[name].value for name in COLUMNS if name != "prompt"}
    shared = {name: value for name, value in values.items() if value is not None}
    prompt, path = flags.FLAGS.prompt, PROMPTS_FILE.value
    if (prompt is None) == (path is None):
        raise ValueError("give either --prompt or --prompts_file")
    rows = [(None, {"prompt": prompt})] if path is None else read_prompts(path)
    requests, seed = [], shared.pop("seed", 0)
    for line, row in rows:
        where = "" if line is None else f"{Path(path).name} line {line}: "
        request = {"seed": seed, **shared, **row}
        seed += max(request.get("num_videos_per_prompt", 1), 1)
        requests.append((where, request))
    return requests


def open_rewriter(pipeline, name):
    """The rewriter of this name, with the other flags, for the prompts of a pipeline."""
    return rewriting.make_rewriter(
        name,
        slice_name=pipeline.config["data"]["world"]["slice"],
        directory=REWRITER_MODEL.value,
        top_p=REWRITER_TOP_P.value,
        seed=flags.FLAGS.seed or 0,
        pipeline=pipeline,
    )


def rewrite_prompt(request, name, rewrite):
    """The request with its prompt rewritten, and notes for the sidecar; prints what changed."""
    answer = rewrite(request["prompt"])
    if answer.hint:
        print(answer.hint)
    if answer.prompt != request["prompt"]:
        print(f"prompt: {answer.prompt}")
    notes = rewriting.notes(name, request["prompt"], answer)
    return request | {"prompt": answer.prompt}, notes


def print_size_note(metadata, *clip):
    """Prints what is to be said of the size of a clip, if anything."""
    if note := size_note(clip, metadata):
        print(note)


@contextlib.contextmanager
def named(where):
    """Says in front of an error where the mistake is."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{where}{error}") from error


def load_given(request, pipeline):
    """Reads the files that a request names: (pipeline arguments, notes for the sidecar).

    Clips are cut to a length that they may have there.
    """
    request = dict(request)
    if "guidance_interval" in request:
        request["guidance_interval"] = parse_interval(request["guidance_interval"])
    paths = {name: request.pop(name) for name in PATHS if name in request}
    frames = parse_frames(request.pop("frames")) if "frames" in request else {}
    # Nothing is given yet, so what is said of given frames must wait.
    clip = pipeline.prepare(**request | {"extend": "forward", "image_guidance_scale": 1.0})
    clip = clip.settings[0]
    arrays, notes = {}, {}
    for name, path in [*paths.items(), *((f"frames {i}", path) for i, path in frames.items())]:
        check_kind(name, path)
        pixels, changes = load_file(path, clip, pipeline.metadata["fps"])
        if is_clip(path):
            pixels, cuts = cut_clip(name, pixels, request.get("extend", "forward"))
            changes = changes + cuts
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        arrays[name] = pixels
        notes[name] = {"path": path, "sha256": digest, "changes": changes}
        for change in changes:
            print(f"{path}: {change}")
    request |= {name: arrays[name] for name in paths}
    if frames:
        request["frames"] = {index: arrays[f"frames {index}"] for index in frames}
    # The flags that make the clip again, and what was behind them.
    sidecar = paths | ({"frames": json.dumps(frames)} if frames else {})
    return request, sidecar | ({"files": notes} if notes else {})


def load_file(path, clip, fps):
    """(pixels, what was changed) of an image or a video file, at the size of the clip."""
    size = (clip["height"], clip["width"])
    if is_clip(path):
        return media.read_video(path, *size, fps)
    return media.read_image(path, *size)


def cut_clip(name, pixels, extend):
    """(clip of a length that it may have as the argument `name`, notes)."""
    if name == "video":
        return given.cut_to_extend(pixels, extend)
    return given.cut_to_place(pixels, int(name.removeprefix("frames ")))


def is_clip(path):
    """Whether a file is a clip, by its name."""
    return Path(path).suffix.lower() in VIDEOS


def check_kind(name, path):
    """Raises an error unless there is a file, an image or a clip as the argument `name` wants."""
    media.check_file(name, path)
    if name in given.IMAGES and is_clip(path):
        raise ValueError(
            f"{name} {path!r} is a clip; give an image, or the clip as --video to extend it"
        )
    if name == "video" and not is_clip(path):
        raise ValueError(
            f"video {path!r} is not a clip, by its name: {', '.join(VIDEOS)}; images are given as "
            "--image"
        )


def parse_interval(text):
    """(low, high) of "low,high"."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"guidance_interval={text!r} must be two numbers, as in 0.2,0.9") from None
    return low, high


def describe_run(workdir):
    """What identifies the weights: run, step and hash of the config."""
    config = run_directory.read_json(workdir, "config.json")
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "workdir": workdir,
        "checkpoint_step": run_directory.latest_step(workdir),
        "config_hash": digest,
    }
