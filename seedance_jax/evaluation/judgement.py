"""What a model card says of the report of a suite."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedance_jax.pretrained import card
from seedance_jax.training import run_directory
from seedance_jax.training.places import Place, place

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


def describe(report: Mapping[str, Any] | None) -> str:
    """What the judges say, with a table, for `card.write_card`; "" without a report."""
    if report is None:
        return ""
    text = JUDGED.format(
        clips=report["clips"], of=report["of"], suite=report["suite"], table=write_table(report)
    )
    if coded := report.get("autoencoder"):
        psnr, pca = (coded[name]["psnr"] for name in ("autoencoder", "pca"))
        text += AUTOENCODER.format(split=coded["split"], psnr=psnr, pca=pca)
    return text


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


def renew(release: str | Place, report: Mapping[str, Any]) -> None:
    """Writes report and card of a release that is there; its autoencoder stays as judged."""
    old = place(release) / "evaluation.json"
    coded = run_directory.read_json(release, old.name).get("autoencoder") if old.exists() else None
    report = report | ({"autoencoder": coded} if coded else {})
    run_directory.write_json(release, old.name, report)
    page = place(release) / "README.md"
    released = re.search(r"`, at commit (\S+) \|", page.read_text()) if page.exists() else None
    commit = released[1] if released else card.current_commit()
    page.write_text(card.write_card(place(release), describe(report), commit))
