"""Turns a finished generator into a release: small, whole, judged, with a model card.

    python -m seedance_jax.release --workdir=runs/released/pretrain --output=released

A release is a directory with the weights of the generator and its autoencoder in bfloat16 (see
`training/release.py`). Everything that takes a run takes it: `sample`, `evaluate`, `merge`, and
training as `init_from`, its autoencoder as `vae_run`. The judges see the weights as released; they
need the data that `build_data` made for the run.
"""

import math
import subprocess
from pathlib import Path

import jax
from absl import flags

from seedance_jax import cli
from seedance_jax.data.world import WORLD_VERSION
from seedance_jax.evaluation.generation import evaluate_generator
from seedance_jax.evaluation.reconstruction import evaluate_autoencoder
from seedance_jax.sampling import exchange
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import checkpoint

WORKDIR = flags.DEFINE_string("workdir", None, "Run of the generator.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "New directory.", required=True)
SPLIT = flags.DEFINE_string("split", "held_out_combinations", "Split for the judges.")
NUM_PROMPTS = flags.DEFINE_integer("num_prompts", 48, "Clips for the judges to generate.", 1)

CARD = """\
# {name}

A release of seedance-jax: a generator of {parameters:,} parameters after {step:,} training steps,
and its autoencoder in `autoencoder/`, {autoencoder_parameters:,} parameters, both in bfloat16.

    python -m seedance_jax.sample --workdir=DIRECTORY --prompt="a red ball rolls to the left"

| | |
|---|---|
| trained by | `bash launch/chain.sh {size}` |
| released by | `python -m seedance_jax.release`, at commit {commit} |
| data | {data} |
| clips (frames, height, width), first the one it makes by default | {buckets} |
| captions | at most {text_length} tokens |
| license | that of the code |

## Judged

{clips} clips of the split `{split}`, never trained on; `true` is what the judges say of the clips
themselves, that is, how far to trust them. Made from the weights as released; `evaluation.json`
has the settings.

{table}

The autoencoder alone: {psnr:.1f} dB; a PCA of its size: {pca:.1f} dB.

## Limits

To try the code, and to start small experiments from. It knows its data only: words that are not in
the captions it was trained on mean nothing to it, nor do other sizes, or clips much longer.
"""


def main(argv):
    del argv
    output = Path(OUTPUT.value)
    exchange.release_run(WORKDIR.value, output)
    report, sheet = evaluate_generator(Pipeline.from_run(output), SPLIT.value, NUM_PROMPTS.value)
    report["autoencoder"], _ = evaluate_autoencoder(output / "autoencoder", SPLIT.value)
    checkpoint.write_json(output, "evaluation.json", report)
    sheet.save(output.with_name(f"{output.name}_sheet.png"))
    (output / "README.md").write_text(write_card(output, report))
    megabytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file()) / 1e6
    print(f"{output}: {megabytes:.1f} MB")


def write_card(output, report):
    """The model card of a release, from its files and the judges' report."""
    config, metadata = (checkpoint.read_json(output, f"{n}.json") for n in ("config", "metadata"))
    return CARD.format(
        name=output.name,
        parameters=count_parameters(output),
        autoencoder_parameters=count_parameters(output / "autoencoder"),
        step=metadata["step"],
        size=config["size"],
        commit=commit(),
        data=describe_data(config["data"]),
        buckets=", ".join("x".join(map(str, bucket)) for bucket in metadata["buckets"]),
        text_length=metadata["text_length"],
        clips=report["clips"],
        split=report["split"],
        table=write_table(report),
        psnr=report["autoencoder"]["autoencoder"]["psnr"],
        pca=report["autoencoder"]["pca"]["psnr"],
    )


def count_parameters(run):
    """Numbers in the weights of a run."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(checkpoint.stored_tree(run)))


def commit():
    """The commit of the code, marked if files have changed since; "unknown" outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_data(data):
    """One line on what a run was trained on."""
    if data["source"] == "folder":
        return f"the clips of a folder, {Path(data['folder']['path']).name}"
    world = data["world"]
    return (
        f"the synthetic world {WORLD_VERSION}, slice {world['slice']}: {world['train']:,} "
        f"simulated clips of {world['num_frames']} frames, {world['height']}x{world['width']}, "
        f"{world['fps']} per second; no footage"
    )


def write_table(report):
    """Markdown: a row per measure, a column per part of the report that has measures."""
    measures = lambda part: {n: v for n, v in part.items() if isinstance(v, float)}  # noqa: E731
    parts = {name: measures(part) for name, part in report.items() if isinstance(part, dict)}
    parts = {name: part for name, part in parts.items() if part and name != "autoencoder"}
    lines = [["", *parts], ["---"] * (1 + len(parts))]
    for name in dict.fromkeys(name for part in parts.values() for name in part):
        lines.append([name, *(f"{p[name]:.3g}" if name in p else "" for p in parts.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    cli.run(main)
