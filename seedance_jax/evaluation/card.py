"""The model card of a release."""

import math
import subprocess
from pathlib import Path

import jax

from seedance_jax.data.world import WORLD_VERSION
from seedance_jax.training import checkpoint, run_directory

CARD = """\
# {name}

A release of seedance-jax: a generator of {parameters:,} parameters after {step:,} training steps,
and its autoencoder in `autoencoder/`, {autoencoder_parameters:,} parameters, both in bfloat16.

    python -m seedance_jax sample --workdir=DIRECTORY --prompt="{prompt}"

| | |
|---|---|
| trained by | {trained_by} |
| released by | `python -m seedance_jax release`, at commit {commit} |
| data | {data} |
| clips (frames, height, width), first the one it makes by default | {buckets} |
| captions | at most {text_length} tokens |
| license | that of the code |

## Judged

{judged}

## Limits

To try the code, and to start small experiments from. It knows its data only: words that are not in
the captions it was trained on mean nothing to it, nor do other sizes, or clips much longer.
"""
JUDGED = """\
Clips of the split `{split}`, never trained on; `true` is what the judges say of the clips
themselves, that is, how far to trust them. Made from the weights as released; `evaluation.json`
has the settings.

{table}

The autoencoder alone: {psnr:.1f} dB; a PCA of its size: {pca:.1f} dB."""
NOT_JUDGED = """\
Not at all: the judges know the clips of the synthetic world only, and it was trained on others."""


def write_card(output, report, commit):
    """The model card of a release.

    Args:
      output: its directory.
      report: the judges', or None.
      commit: of the code that makes it.
    """
    config, metadata = (
        run_directory.read_json(output, f"{n}.json") for n in ("config", "metadata")
    )
    return CARD.format(
        name=Path(output).name,
        parameters=count_parameters(output),
        autoencoder_parameters=count_parameters(output / "autoencoder"),
        step=metadata["step"],
        prompt="a red ball rolls to the left" if of_world(config) else "...",
        trained_by=describe_training(config),
        commit=commit,
        data=describe_data(config["data"]),
        buckets=", ".join("x".join(map(str, bucket)) for bucket in metadata["buckets"]),
        text_length=metadata["text_length"],
        judged=describe_judgement(report) if report else NOT_JUDGED,
    )


def of_world(config):
    """Whether a run was trained on the synthetic world, which the judges know."""
    return config["data"]["source"] == "world"


def count_parameters(run):
    """Numbers in the weights of a run."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(checkpoint.stored_tree(run)))


def current_commit():
    """The commit of the code, marked if files have changed since; "unknown" outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_training(config):
    """The command that trains a run like this one."""
    if not of_world(config):
        return "`python -m seedance_jax train`, with the settings of `config.json`"
    if config["size"] == "released":
        return "`bash launch/release.sh`, from nothing to this directory"
    return f"`bash launch/chain.sh {config['size']}`"


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


def describe_judgement(report):
    """What the judges say, with a table."""
    psnr, pca = (report["autoencoder"][name]["psnr"] for name in ("autoencoder", "pca"))
    return JUDGED.format(split=report["split"], table=write_table(report), psnr=psnr, pca=pca)


def write_table(report):
    """Markdown: a row per measure, a column per part of the report that has measures."""
    parts = {name: part for name, part in report.items() if name not in ("autoencoder", "settings")}
    columns = dict(measured(parts, ""))
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        lines.append([name, *(f"{c[name]:.3g}" if name in c else "" for c in columns.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(parts, prefix, clips=None):
    """Yields (name, measures) of all parts that have some, `clips` among them: of how many clips.

    The name of a part inside of another one is that of both.
    """
    clips = parts.get("clips", clips)
    for name, part in parts.items():
        if isinstance(part, dict):
            measures = {key: value for key, value in part.items() if isinstance(value, float)}
            if measures:
                yield prefix + name, {"clips": part.get("clips", clips), **measures}
            yield from measured(part, f"{prefix}{name}, ", clips)
