"""The model card of a release: what it is, how it was trained, and what its judges say."""

import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from seedance_jax.data import sources
from seedance_jax.data.world.spec import read_spec
from seedance_jax.training import checkpoint, run_directory
from seedance_jax.training.places import Place

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
NOT_JUDGED = """\
Not at all: the judges know the clips of the synthetic world only, and it was trained on others.
"""


def write_card(output: Place, judged: str, commit: str) -> str:
    """The model card of a release.

    Args:
      output: its directory.
      judged: what its judges say, Markdown; "" is of a release that was not judged.
      commit: of the code that makes it.
    """
    config, metadata = (
        run_directory.read_json(output, f"{n}.json") for n in ("config", "metadata")
    )
    return CARD.format(
        name=output.name,
        parameters=count_parameters(output),
        autoencoder_parameters=count_parameters(output / "autoencoder"),
        step=metadata["step"],
        prompt="a red ball rolls to the left" if of_world(config) else "...",
        trained_by=describe_training(config),
        commit=commit,
        data=describe_data(config["data"]),
        buckets=", ".join("x".join(map(str, bucket)) for bucket in metadata["buckets"]),
        text_length=metadata["text_length"],
        judged=judged or NOT_JUDGED,
    )


def of_world(config: Mapping[str, Any]) -> bool:
    """Whether a run was trained on the synthetic world alone, which the judges know."""
    return sources.only_world(config["data"])


def count_parameters(run: str | Path) -> int:
    """Numbers in the weights of a run."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(checkpoint.stored_tree(run)))


def current_commit() -> str:
    """The commit of the code, marked if files have changed since; "unknown" outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_training(config: Mapping[str, Any]) -> str:
    """The command that trains a run like this one."""
    if not of_world(config) or len(sources.sources_of(config["data"])) > 1:
        return "`python -m seedance_jax train`, with the settings of `config.json`"
    if config["size"] == "released":
        return "`bash launch/release.sh`, from nothing to this directory"
    return f"`bash launch/chain.sh {config['size']}`"


def describe_data(data: Mapping[str, Any]) -> str:
    """One line on what a run was trained on: its sources, and the share of steps of each."""
    named = sources.sources_of(data)
    told = [SOURCES[own["source"]](own[own["source"]]) for own, _ in named]
    if len(named) > 1:
        total = sum(weight for _, weight in named)
        shares = [f"{weight / total:.0%} of steps" for _, weight in named]
        told = [f"{share}: {line}" for share, line in zip(shares, told, strict=True)]
    return "; ".join(told) + ("; no footage" if sources.only_world(data) else "")


def describe_world(section: Mapping[str, Any]) -> str:
    """What a source of the synthetic world is."""
    return (
        f"the synthetic world {read_spec(section).version}, slice {section['slice']}: "
        f"{section['train']:,} simulated clips of {section['num_frames']} frames, "
        f"{section['height']}x{section['width']}, {section['fps']} per second"
    )


def describe_folder(section: Mapping[str, Any]) -> str:
    """What a source of films is."""
    return f"the clips of a folder, {Path(section['path']).name}"


SOURCES = {"world": describe_world, "folder": describe_folder}
