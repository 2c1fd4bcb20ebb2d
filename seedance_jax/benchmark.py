"""Times and memory of the autoencoder on this machine.

python -m seedance_jax.benchmark --what=diffusers   against diffusers (extra: parity)
python -m seedance_jax.benchmark --what=length      peak memory against clip length
python -m seedance_jax.benchmark --what=thin        the thin decoder against the full one
"""

import functools
import json

from absl import flags

from seedance_jax import cli
from seedance_jax.evaluation import throughput

WHAT = flags.DEFINE_enum("what", None, ["diffusers", "length", "thin"], "Which one.", required=True)
SIDES = flags.DEFINE_list("sides", ["128", "256"], "Height and width of the clips.")
FRAMES = flags.DEFINE_list("frames", ["17"], "Frames of the clips: 4n+1.")
WIDTH = flags.DEFINE_integer("width", 32, "Of the encoder's first stage; 160 is the full model.")
DECODER_WIDTH = flags.DEFINE_integer("decoder_width", 48, "Of the decoder's last; 256 is full.")
CHUNK = flags.DEFINE_integer("chunk", 1, "Frames of latents at a time, ours.", 1)
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


BENCHMARKS = {"diffusers": diffusers, "length": length, "thin": thin}


def main(argv):
    del argv
    for report in BENCHMARKS[WHAT.value]():
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    cli.run(main)
