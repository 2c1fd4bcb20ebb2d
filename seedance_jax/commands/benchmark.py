"""Times and memory of the autoencoder and of the diffusion transformer on this machine.

python -m seedance_jax benchmark --what=table --repeats=9 --json=FILE
                                                    all times of a CPU that the README has; with
                                                    --against=FILE the ratio to earlier ones, with
                                                    --against=CHECKOUT that checkout in turns
python -m seedance_jax benchmark --what=diffusers   against diffusers (extra: parity)
python -m seedance_jax benchmark --what=length      peak memory against clip length
python -m seedance_jax benchmark --what=thin        the thin decoder against the full one
python -m seedance_jax benchmark --what=dit         the DiT against diffusers' (extra: parity)
python -m seedance_jax benchmark --what=dit_cost --generator=configs/pretrain.py:7b
                                                    decoupled against full attention, 2 s to 12 s
python -m seedance_jax benchmark --what=input --generator=configs/pretrain.py:7b
                                                    the input pipeline, from mp4 and from latents
python -m seedance_jax benchmark --what=train --generator=configs/pretrain.py:base --size=480p \\
    --seconds=2,5 --batch=4                         a training step on the devices at hand, MFU
python -m seedance_jax benchmark --what=sample --generator=configs/pretrain.py:base --size=480p \\
    --seconds=5                                     a guided step of sampling there
python -m seedance_jax benchmark --what=startup     `sample` in new processes, part by part
"""

import json
from pathlib import Path
from types import SimpleNamespace

from absl import flags
from ml_collections import config_flags

from seedance_jax.commands import cli
from seedance_jax.performance.timed import reports, table
from seedance_jax.performance.timed.benchmarks import BENCHMARKS
from seedance_jax.sampling.sizes import SIZES

WHAT = flags.DEFINE_enum("what", None, list(BENCHMARKS), "Which one.", required=True)
flags.DEFINE_list("sides", ["128", "256"], "Height and width of the clips.")
flags.DEFINE_list("frames", ["17"], "Frames of the clips: 4n+1.")
flags.DEFINE_integer("width", 32, "Of the encoder's first stage; 160 is the full model.")
flags.DEFINE_integer("decoder_width", 48, "Of the decoder's last; 256 is full.")
flags.DEFINE_integer("chunk", 1, "Frames of latents at a time, ours.", 1)
flags.DEFINE_list("tokens", ["4096", "8192", "16384"], "Of video, for the DiT.")
PASSES = ["forward", "forward+backward"]
flags.DEFINE_multi_enum("pass", PASSES, PASSES, "Which pass of the DiT; may be repeated.")
flags.DEFINE_integer("dit_width", 512, "Of the DiT.", 1)
flags.DEFINE_integer("layers", 8, "Of the DiT, spatial and temporal ones.", 2)
flags.DEFINE_integer("text_tokens", 64, "Text tokens of the DiT.", 1)
flags.DEFINE_bool("torch_compile", True, "Compile diffusers' DiT; takes minutes.")
GENERATOR = config_flags.DEFINE_config_file("generator", help_string="For all that follow dit.")
flags.DEFINE_integer("repeats", 5, "Runs whose median is taken.", 1)
flags.DEFINE_string("rows", "", "Regular expression: the rows of table that are run.")
flags.DEFINE_float("row_seconds", 30, "After which a row has no more than 3 runs of each.", 0)
flags.DEFINE_bool("peer", True, "Run diffusers' in turns with ours (extra: parity).")
cli.define_path("against", None, "A file of --json to compare with, or another checkout.")
JSON = cli.define_path("json", None, "File to add the reports to, a line each.")
cli.define_path("data", None, "Data set for input; default: one that is thrown away.")
cli.define_path("latents", None, "The latents of --data.")
flags.DEFINE_list("workers", ["0", "1", "2"], "Processes that read, for input.")
flags.DEFINE_float("window", 5, "Seconds of every run of input.", 0)
flags.DEFINE_float("step_seconds", None, "Of a training step, for input.", 0)
flags.DEFINE_integer("batch", None, "Clips of a step, over all hosts.", 1)
flags.DEFINE_enum("size", None, list(SIZES), "Of the clips of train and sample; 16:9.")
flags.DEFINE_list("seconds", ["5"], "Of those clips, with --size.")
flags.DEFINE_list("num_inference_steps", ["50", "8"], "Of sampling.")
cli.define_path("steps", None, "Or else: the file of `compile --json`.")
flags.DEFINE_integer("hosts", 1, "That read such a batch together.", 1)
flags.DEFINE_integer("cores", None, "Of one of these hosts.", 1)


def main(argv: list[str]) -> None:
    del argv
    benchmark = BENCHMARKS[WHAT.value]
    cli.needs({f"--what={name}": one.settings for name, one in BENCHMARKS.items()})
    cli.needs({"--size": ("seconds",), "--data": ("latents",)})
    if "generator" in benchmark.settings and GENERATOR.value is None:
        raise ValueError(f"--what={WHAT.value} needs --generator=configs/pretrain.py:base")
    if JSON.value:
        Path(JSON.value).parent.mkdir(parents=True, exist_ok=True)
    given = {name: flags.FLAGS[name].value for name in benchmark.settings}
    for report in benchmark.run(SimpleNamespace(**given)):
        line = json.dumps(reports.signed(report, table.HERE))
        print(reports.sentence(report) if "row" in report else line, flush=True)
        if JSON.value:
            with open(JSON.value, "a") as file:
                file.write(line + "\n")
