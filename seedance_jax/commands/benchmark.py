"""Times and memory of the autoencoder and of the diffusion transformer on this machine.

python -m seedance_jax benchmark --what=diffusers   against diffusers (extra: parity)
python -m seedance_jax benchmark --what=length      peak memory against clip length
python -m seedance_jax benchmark --what=thin        the thin decoder against the full one
python -m seedance_jax benchmark --what=dit         the DiT against diffusers' (extra: parity)
python -m seedance_jax benchmark --what=dit_cost --generator=configs/pretrain.py:7b
                                                    decoupled against full attention, 2 s to 12 s
python -m seedance_jax benchmark --what=input --generator=configs/pretrain.py:7b
                                                    the input pipeline, from mp4 and from latents
python -m seedance_jax benchmark --what=train --generator=configs/pretrain.py:base --size=480p \
    --seconds=2,5 --batch=4                         a training step on the devices at hand, MFU
python -m seedance_jax benchmark --what=sample --generator=configs/pretrain.py:base --size=480p \
    --seconds=5                                     a guided step of sampling there
"""

import functools
import json
import tempfile

import jax
from absl import flags
from ml_collections import config_flags

from seedance_jax.data import sources
from seedance_jax.data.loader import Bucket
from seedance_jax.performance import cost
from seedance_jax.performance.timed import autoencoder_speed, dit_speed, input_speed, step_speed
from seedance_jax.sampling.sizes import SIZES

NAMES = ("diffusers", "length", "thin", "dit", "dit_cost", "input", "train", "sample")
WHAT = flags.DEFINE_enum("what", None, NAMES, "Which one.", required=True)
SIDES = flags.DEFINE_list("sides", ["128", "256"], "Height and width of the clips.")
FRAMES = flags.DEFINE_list("frames", ["17"], "Frames of the clips: 4n+1.")
WIDTH = flags.DEFINE_integer("width", 32, "Of the encoder's first stage; 160 is the full model.")
DECODER_WIDTH = flags.DEFINE_integer("decoder_width", 48, "Of the decoder's last; 256 is full.")
CHUNK = flags.DEFINE_integer("chunk", 1, "Frames of latents at a time, ours.", 1)
TOKENS = flags.DEFINE_list("tokens", ["4096", "8192", "16384"], "Of video, for the DiT.")
PASSES = ["forward", "forward+backward"]
PASS = flags.DEFINE_multi_enum("pass", PASSES, PASSES, "Which pass of the DiT; may be repeated.")
DIT_WIDTH = flags.DEFINE_integer("dit_width", 512, "Of the DiT.", 1)
LAYERS = flags.DEFINE_integer("layers", 8, "Of the DiT, spatial and temporal ones.", 2)
WORDS = flags.DEFINE_integer("words", 64, "Text tokens of the DiT.", 1)
COMPILED = flags.DEFINE_bool("torch_compile", True, "Compile diffusers' DiT; takes minutes.")
GENERATOR = config_flags.DEFINE_config_file("generator", help_string="For all that follow dit.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Runs whose median is taken.", 1)
DATA = flags.DEFINE_string("data", None, "Data set for input; default: one that is thrown away.")
LATENTS = flags.DEFINE_string("latents", None, "The latents of --data.")
WORKERS = flags.DEFINE_list("workers", ["0", "1", "2"], "Processes that read, for input.")
WINDOW = flags.DEFINE_float("window", 5, "Seconds of every run of input.", 0)
STEP_SECONDS = flags.DEFINE_float("step_seconds", None, "Of a training step, for input.", 0)
BATCH = flags.DEFINE_integer("batch", None, "Clips of a step, over all hosts.", 1)
SIZE = flags.DEFINE_enum("size", None, list(SIZES), "Of the clips of train and sample; 16:9.")
SECONDS = flags.DEFINE_list("seconds", ["5"], "Of those clips, with --size.")
STEPS = flags.DEFINE_list("num_inference_steps", ["50", "8"], "Of sampling.")
COMPILED_STEPS = flags.DEFINE_string("steps", None, "Or else: the file of `compile --json`.")
HOSTS = flags.DEFINE_integer("hosts", 1, "That read such a batch together.", 1)
CORES = flags.DEFINE_integer("cores", None, "Of one of these hosts.", 1)


def sizes():
    """All (frames, height, width) asked for."""
    return [(int(t), int(side), int(side)) for side in SIDES.value for t in FRAMES.value]


def diffusers():
    """Seconds, ratios and peak memory next to diffusers."""
    widths = WIDTH.value, DECODER_WIDTH.value
    for size in sizes():
        report = {"clip": size} | autoencoder_speed.compare(
            size, *widths, CHUNK.value, REPEATS.value
        )
        for what in ("encode", "decode"):
            for who in ("ours", "diffusers"):
                peak = autoencoder_speed.peak_memory(
                    autoencoder_speed.one_runner, who, what, size, *widths, CHUNK.value
                )
                report[f"{who} {what} MiB"] = peak
        yield report


def length():
    """Peak memory of a streamed and of a whole decode."""
    widths = WIDTH.value, DECODER_WIDTH.value
    for frames, side, _ in sizes():
        runner = functools.partial(
            autoencoder_speed.peak_memory, autoencoder_speed.stream_runner, frames, side
        )
        yield {
            "frames": frames,
            "side": side,
            "streamed MiB": runner(*widths, False),
            "whole MiB": runner(*widths, True) if frames <= 121 else None,
        }


def thin():
    """Decode seconds of full and thin widths, in turns."""
    width, full = WIDTH.value, DECODER_WIDTH.value
    for frames, side, _ in sizes():
        models = {"full": autoencoder_speed.autoencoder(width, full)}
        first, *rest = models["full"].decoder_widths
        models["thin"] = models["full"].clone(
            decoder_widths=(first, *(size // 2 for size in rest)), decoder_blocks=(2,) * 4
        )
        runners = {
            name: autoencoder_speed.decode_runner(model, frames, side, whole=True)
            for name, model in models.items()
        }
        median = autoencoder_speed.in_turns(runners, REPEATS.value)
        yield {"clip": (frames, side, side), **median, "speed-up": median["full"] / median["thin"]}


def dit():
    """Seconds of forward and backward next to diffusers' WanTransformer3DModel."""
    settings = {"width": DIT_WIDTH.value, "layers": LAYERS.value, "words": WORDS.value}
    for tokens in TOKENS.value:
        for what in PASS.value:
            yield dit_speed.compare(
                int(tokens), what, compiled=COMPILED.value, repeats=REPEATS.value, **settings
            )


def dit_cost():
    """How cost grows with the length of a 480p clip, for decoupled and full attention."""
    if GENERATOR.value is None or GENERATOR.value.stage != "flow_matching":
        raise ValueError("--what=dit_cost needs --generator=configs/pretrain.py:7b")
    config = GENERATOR.value.to_dict()
    for seconds in (2, 4, 6, 8, 10, 12):
        yield dit_speed.growth(config, seconds, width=128, repeats=REPEATS.value)


def input_pipeline():
    """Clips per second of the loader alone, and what part of training steps that would be."""
    if GENERATOR.value is None:
        raise ValueError("--what=input needs --generator=configs/pretrain.py:7b")
    if LATENTS.value and not DATA.value:
        raise ValueError("--latents needs the --data that they are of")
    data, workers = GENERATOR.value.data.to_dict(), list(map(int, WORKERS.value))
    shape = sources.make_buckets(data["buckets"])[0].shape
    bucket, steps = Bucket(*shape, batch_size=1), read_steps(shape)
    with tempfile.TemporaryDirectory() as folder:
        clips, latents = DATA.value, LATENTS.value
        if not clips:
            clips, latents = f"{folder}/clips/set", f"{folder}/latents/set"
            input_speed.write_throw_away(clips, latents, bucket)
        inputs = input_speed.make_inputs(bucket, data["text_length"], clips, latents)
        settings = data["num_threads"], workers, WINDOW.value, REPEATS.value
        for name, count, report in input_speed.in_turns(inputs, *settings):
            yield {"input": name, "clip": shape, "workers": count, **report}
            for step in steps:
                rate = report["clips/s per core"]
                yield {
                    "input": name,
                    "workers": count,
                    **input_speed.share(rate, step, CORES.value),
                }


def read_steps(shape):
    """[input_speed.Step] of the flags."""
    told = [STEP_SECONDS.value, BATCH.value]
    if COMPILED_STEPS.value is None and told == [None, None]:
        return []
    if CORES.value is None or (COMPILED_STEPS.value is None) == (None in told):
        raise ValueError(
            "a step is --step_seconds and --batch, or --steps=FILE, with --hosts and --cores"
        )
    if COMPILED_STEPS.value is None:
        if BATCH.value % HOSTS.value:
            raise ValueError(f"hosts={HOSTS.value} does not divide batch={BATCH.value}")
        return [input_speed.Step(*told, HOSTS.value)]
    return input_speed.read_steps(COMPILED_STEPS.value, shape, HOSTS.value)


def clips():
    """[(frames, height, width)] of --size and --seconds, or else of the config's first bucket."""
    if GENERATOR.value is None or GENERATOR.value.stage != "flow_matching":
        raise ValueError(f"--what={WHAT.value} needs --generator=configs/pretrain.py:base")
    data = GENERATOR.value.data.to_dict()
    if SIZE.value is None:
        if SECONDS.present:
            raise ValueError("--seconds needs --size")
        return [sources.make_buckets(data["buckets"])[0].shape]
    fps = sources.clip_fps(data)
    return [cost.clip_shape(SIZE.value, float(seconds), fps) for seconds in SECONDS.value]


def train():
    """Seconds and MFU of training steps, on latents."""
    for clip in clips():
        bucket = Bucket(*clip, BATCH.value or jax.device_count())
        yield step_speed.train(GENERATOR.value, bucket, REPEATS.value)


def sample():
    """Seconds of steps of sampling with guidance, without the autoencoder."""
    for clip in clips():
        steps = list(map(int, STEPS.value))
        yield step_speed.sample(GENERATOR.value, clip, steps, REPEATS.value, BATCH.value or 1)


RUNS = (diffusers, length, thin, dit, dit_cost, input_pipeline, train, sample)
BENCHMARKS = dict(zip(NAMES, RUNS, strict=True))


def main(argv):
    del argv
    for report in BENCHMARKS[WHAT.value]():
        print(json.dumps(report), flush=True)
