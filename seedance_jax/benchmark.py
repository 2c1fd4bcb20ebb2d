"""Times and memory of the autoencoder and of the diffusion transformer on this machine.

python -m seedance_jax.benchmark --what=diffusers   against diffusers (extra: parity)
python -m seedance_jax.benchmark --what=length      peak memory against clip length
python -m seedance_jax.benchmark --what=thin        the thin decoder against the full one
python -m seedance_jax.benchmark --what=dit         the DiT against diffusers' (extra: parity)
python -m seedance_jax.benchmark --what=dit_cost --generator=configs/pretrain.py:7b
                                                    decoupled against full attention, 2 s to 12 s
"""

import functools
import json

from absl import flags
from ml_collections import config_flags

from seedance_jax import cli
from seedance_jax.evaluation import dit_speed, throughput

NAMES = ("diffusers", "length", "thin", "dit", "dit_cost")
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
GENERATOR = config_flags.DEFINE_config_file("generator", help_string="Config, for dit_cost.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Runs whose median is taken.", 1)


def sizes():
    """All (frames, height, width) asked for."""
    return [(int(t), int(side), int(side)) for side in SIDES.value for t in FRAMES.value]


def diffusers():
    """Seconds, ratios and peak memory next to diffusers."""
    widths = WIDTH.value, DECODER_WIDTH.value
    for size in sizes():
        report = {"clip": size} | throughput.compare(size, *widths, CHUNK.value, REPEATS.value)
        for what in ("encode", "decode"):
            for who in ("ours", "diffusers"):
                peak = throughput.peak_memory(
                    throughput.one_runner, who, what, size, *widths, CHUNK.value
                )
                report[f"{who} {what} MiB"] = peak
        yield report


def length():
    """Peak memory of a streamed and of a whole decode."""
    widths = WIDTH.value, DECODER_WIDTH.value
    for frames, side, _ in sizes():
        runner = functools.partial(throughput.peak_memory, throughput.stream_runner, frames, side)
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
        models = {"full": throughput.autoencoder(width, full)}
        first, *rest = models["full"].decoder_widths
        models["thin"] = models["full"].clone(
            decoder_widths=(first, *(size // 2 for size in rest)), decoder_blocks=(2,) * 4
        )
        runners = {
            name: throughput.decode_runner(model, frames, side, whole=True)
            for name, model in models.items()
        }
        median = throughput.in_turns(runners, REPEATS.value)
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


BENCHMARKS = dict(zip(NAMES, (diffusers, length, thin, dit, dit_cost), strict=True))


def main(argv):
    del argv
    for report in BENCHMARKS[WHAT.value]():
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    cli.run(main)
