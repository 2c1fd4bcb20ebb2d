"""The model card of a release."""

import math
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
{clips} of the {of} clips of `{suite}`, judged by pixels alone, as shares that pass; of the weights
as released, on the synthetic world. `true` is what the judges say of true clips: how far to
trust them; `autoencoder` of those as the autoencoder gives them back, which no generator that uses
it can be expected to beat; `chance` of true clips that are judged by the scene of another.
`evaluation.json` is the whole report, with intervals.

{table}
"""
AUTOENCODER = """
The autoencoder alone, on the split `{split}`: {psnr:.1f} dB; a PCA of its size: {pca:.1f} dB.
"""
# Change from given frames to the next one, over that of true clips.
JUMPS = {"made": "change after them", "autoencoder": "the same of the autoencoder"}
NOT_JUDGED = """\
Not at all: the judges know the clips of the synthetic world only, and it was trained on others.
"""


def write_card(output: Path, report: Mapping[str, Any] | None, commit: str) -> str:
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


def of_world(config: Mapping[str, Any]) -> bool:
    """Whether a run was trained on the synthetic world, which the judges know."""
    return config["data"]["source"] == "world"


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
    if not of_world(config):
        return "`python -m seedance_jax train`, with the settings of `config.json`"
    if config["size"] == "released":
        return "`bash launch/release.sh`, from nothing to this directory"
    return f"`bash launch/chain.sh {config['size']}`"


def describe_data(data: Mapping[str, Any]) -> str:
    """One line on what a run was trained on."""
    if data["source"] == "folder":
        return f"the clips of a folder, {Path(data['folder']['path']).name}"
    world = data["world"]
    return (
        f"the synthetic world {WORLD_VERSION}, slice {world['slice']}: {world['train']:,} "
        f"simulated clips of {world['num_frames']} frames, {world['height']}x{world['width']}, "
        f"{world['fps']} per second; no footage"
    )


def describe_judgement(report: Mapping[str, Any]) -> str:
    """What the judges say, with a table."""
    told = JUDGED.format(
        clips=report["clips"], of=report["of"], suite=report["suite"], table=write_table(report)
    )
    if coded := report.get("autoencoder"):
        psnr, pca = (coded[name]["psnr"] for name in ("autoencoder", "pca"))
        told += AUTOENCODER.format(split=coded["split"], psnr=psnr, pca=pca)
    return told


def write_table(report: Mapping[str, Any]) -> str:
    """Markdown of a report of a suite: a column per group and reference, a row per measure."""
    parts = {"all": report, **report["groups"], **report["reference"]}
    columns = {name: dict(measures(part)) for name, part in parts.items()}
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        lines.append([name, *(column.get(name, "") for column in columns.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measures(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (name, text) of what a part of a report says."""
    if "clips" in part:
        yield "clips", str(part["clips"])
    yield from share("all gates", part["passed"])
    for kind in ("axes", "gates"):
        for name, found in part[kind].items():
            yield from share(name, found["passed"] if isinstance(found, dict) else found)
    yield from share("camera, where it moves", part.get("moving_camera"))
    for frame, value in part.get("given_frames", {}).items():
        yield f"given frame {frame}, dB", f"{value:.1f}"
    for name, value in (part.get("jump") or {}).items():
        yield JUMPS[name], f"{value:.2f}"


def share(name: str, found: Sequence[float] | None) -> Iterator[tuple[str, str]]:
    """Yields (name, text) of [share, low, high], if there is one."""
    if found:
        yield name.replace("_", " "), f"{found[0]:.2f}"


def renew(release: str | Path, report: Mapping[str, Any]) -> None:
    """Writes report and card of a release that is there; its autoencoder stays as judged."""
    old = Path(release) / "evaluation.json"
    coded = run_directory.read_json(release, old.name).get("autoencoder") if old.exists() else None
    report = report | ({"autoencoder": coded} if coded else {})
    run_directory.write_json(release, old.name, report)
    card = Path(release) / "README.md"
    released = re.search(r"`, at commit (\S+) \|", card.read_text()) if card.exists() else None
    commit = released[1] if released else current_commit()
    card.write_text(write_card(Path(release), report, commit))
